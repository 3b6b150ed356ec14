"""Which stored specs can be active in a runtime, and why the others cannot (BEHAVIOUR 6.2).

Lives here: the rule of activation applied to stored specs, without running them: a spec is active
only when its kind takes it, and every one of its links leads to an in port of an active spec of its
namespace, and the values that it is bound to are there. What only shows when it is rendered or
opened, such as an address that is in use, a runtime says in its log.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from greenflow.engine.node import has_port
from greenflow.errors import GreenflowError
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Link, Spec
from greenflow.spec.ports import canonical
from greenflow.spec.template import Deferred


def inactive(
    documents: Iterable[dict[str, Any]],
    scheme: Scheme,
    namespace: str,
    values: Iterable[dict[str, Any]] = (),
) -> dict[str, str]:
    """Why specs of a namespace are inactive, by id; those that can be active are not in it.
    `documents` are all specs of the namespace, `values` all values."""
    known = {called for value in values for called in (value["id"], value.get("name"))}
    specs: dict[str, Spec] = {}
    names: dict[str, str] = {}
    deferred: set[str] = set()  # their ports depend on what they are rendered with
    reasons: dict[str, str] = {}
    for document in documents:
        id = document["id"]
        if document.get("name"):
            names[document["name"]] = id
        try:
            specs[id] = scheme.decode(document, namespace)
        except Deferred:
            specs[id] = scheme.outline(document, namespace)
            deferred.add(id)
        except GreenflowError as error:
            reasons[id] = str(error)
            continue
        for key, each in specs[id].env.items():
            called = each.id or each.name
            if called is not None and called not in known:
                reasons[id] = f"$.env.{key}: no value {called!r} in namespace {namespace!r}"
    # Those that link to a spec become inactive with it.
    referrers: dict[str, list[tuple[str, str, str]]] = {}
    for id, spec in specs.items():
        for port, links in spec.links.items():
            for link in links:
                called = link.id or link.name or ""
                target = link.id or names.get(called)
                if target is None or (target not in specs and target not in reasons):
                    reason = f"links.{port}: no node {called!r} in namespace {namespace!r}"
                    reasons.setdefault(id, reason)
                    continue
                referrers.setdefault(target, []).append((id, port, called))
                if target in deferred or target not in specs:
                    continue
                if not _has_input(scheme, specs[target], link):
                    reason = f"links.{port}: node {called!r} has no in port {link.port!r}"
                    reasons.setdefault(id, reason)
    queue = list(reasons)
    while queue:
        for id, port, called in referrers.get(queue.pop(), ()):
            if id not in reasons:
                reasons[id] = f"links.{port}: node {called!r} is inactive"
                queue.append(id)
    return reasons


def _has_input(scheme: Scheme, spec: Spec, link: Link) -> bool:
    return has_port(scheme.ports(spec)[0], canonical(link.port))
