"""GF010 to GF012, GF014, GF018, GF024: what will become of the specs when they run.

Lives here: nothing but the sorting of what the table and the kinds say into rules. A node that
waits for another one that is inactive is not told: the other one is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from greenflow.config import Settings
from greenflow.errors import SpecFault
from greenflow.lint.checks.validity import as_author_wrote, located
from greenflow.lint.finding import LintFinding, at
from greenflow.scheme.advice import advice_on
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Entry
from greenflow.table.stored import judge

# What the table says of a node that lacks something, and the rule that it is of.
_REASONS = (
    (re.compile(r"no node '"), "GF010"),
    (re.compile(r"node .* has no in port"), "GF011"),
    (re.compile(r".* is taken by node '"), "GF014"),
)

_NO_NODE = re.compile(r"no node '(.*?)' in namespace")
_WAITS = re.compile(r"node .* is inactive$")


def check(
    entries: Sequence[Entry],
    broken: Sequence[Mapping[str, Any]],
    scheme: Scheme,
    settings: Settings,
) -> Iterator[LintFinding]:
    """The findings about all specs together. What is linked to one that is `broken` will be all
    right when that is mended."""
    there = {str(document.get(key)) for document in broken for key in ("id", "name")}
    by_namespace: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        by_namespace.setdefault(entry.data["namespace"], {})[entry.data["id"]] = entry
    for namespace, ours in by_namespace.items():
        documents = [ours[id].data for id in sorted(ours)]
        judgement = judge(documents, scheme, namespace, (), settings, list(ours))
        for id, faults in judgement.faults.items():
            for fault in faults:
                missing = _NO_NODE.match(fault.reason)
                waits = _WAITS.search(fault.reason) or (missing and missing[1] in there)
                if not waits and not _of_a_value(fault):
                    yield _finding(ours[id], scheme, _rule(fault), fault)
        for id, doubts in judgement.doubts.items():
            for doubt in doubts:
                yield _finding(ours[id], scheme, "GF024", doubt)
        for document, line in advice_on(documents, scheme):
            yield at(ours[document["id"]].document, "GF018", "$", line)


def _rule(fault: SpecFault) -> str:
    return next((rule for words, rule in _REASONS if words.match(fault.reason)), "GF012")


def _of_a_value(fault: SpecFault) -> bool:
    """Whether it is about a named value, which no spec file holds."""
    return fault.path.startswith("$.env") or "no value '" in fault.reason


def _finding(entry: Entry, scheme: Scheme, rule: str, fault: SpecFault) -> LintFinding:
    path = as_author_wrote(entry.document, scheme, fault.path)
    return located(entry.document, rule, fault._replace(path=path))
