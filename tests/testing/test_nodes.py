"""`test` nodes as `greenflow test` runs them: apart from one another, and from the world."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.config import Settings
from greenflow.engine.declaring import node
from greenflow.engine.node import Node
from greenflow.engine.source import Run, Source
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import check
from greenflow.spec.document import cases_of, read
from greenflow.spec.fields import Spec
from greenflow.testing.nodes import NodeTest, Workflow
from greenflow.testing.running import NodeTestFailed


def workflow(text: str, *kinds: type[Node[Any]]) -> Workflow:
    scheme = Scheme.installed()
    for kind in kinds:
        scheme.register(kind)
    entries = check(read(text, "test"), scheme, "default", named=False)
    return Workflow([entry.data for entry in entries], [], Settings(), scheme)


def runs_of(found: Workflow) -> dict[str, NodeTest]:
    names = {id: found.specs[id]["name"] for id in found.tests}
    return {name: NodeTest(found, id, name, "test", 0, 5.0) for id, name in names.items()}


def names(found: Workflow, test: str) -> set[str]:
    return {document["name"] for document in found.of(runs_of(found)[test].id)}


SHOP = """
- {kind: listener, name: web, port: 0, links: {out: {name: checkout}}}
- {kind: try, name: checkout, links: {out: {name: pay}}}
- {kind: nop, name: pay}
- {kind: test, name: t, links: {out: {name: a}, "out[1]": {name: shared}}}
- {kind: call, name: a, links: {out: {name: checkout}, "out[1]": {name: a2}}}
- {kind: call, name: a2, links: {out: {name: a}}}
- {kind: test, name: u, links: {out: [{name: b}, {name: lost}], "out[1]": {name: shared}}}
- {kind: call, name: b, links: {out: {name: checkout}}}
- {kind: try, name: shared}
- {kind: nop, name: alone}
"""


def test_a_test_runs_without_what_only_others_use() -> None:
    found = workflow(SHOP)
    serves = {"web", "checkout", "pay", "alone"}
    assert names(found, "t") == serves | {"t", "a", "a2", "shared"}
    assert names(found, "u") == serves | {"u", "b", "shared"}


@node("topic", outputs=("out",))
class Topic(Source[Spec]):
    """Passes what it is sent to all nodes of its kind, as a source that is reached by no link."""

    inputs = ("in",)

    def start(self, run: Run) -> None:
        self.services.share("topics", list[Topic], list[Topic].clear).append(self)
        self.begin = run

    def stop(self) -> None:
        self.services.share("topics", list[Topic], list[Topic].clear).remove(self)

    def handle(self, ctx: Any, payload: Any) -> Any:
        for each in self.services.share("topics", list[Topic], list[Topic].clear):
            each.begin.spawn(payload, ctx.process, ctx.packet.hops)
        return payload


def test_sources_that_can_be_reached_work() -> None:
    """Also those that links of other tests lead to."""
    found = workflow(
        """
- {kind: topic, name: says}
- {kind: topic, name: hears, links: {out: {name: got}}}
- {kind: nop, name: got}
- {kind: test, name: t, links: {out: {name: says}, "out[1]": {name: check}}}
- {kind: assert, name: check, target: {name: got}, expect: self == null}
- {kind: test, name: u, links: {out: {name: hears}}}
""",
        Topic,
    )
    assert {"hears", "got"} <= names(found, "t")
    runs_of(found)["t"].run()


def test_sources_that_begin_by_themselves_stay_still() -> None:
    begun: list[str] = []

    @node("begins")
    class Begins(Source[Spec]):
        def prepare(self) -> None:
            begun.append("prepared")

        def start(self, run: Run) -> None:
            begun.append("started")

        def stop(self) -> None:
            begun.append("stopped")

    found = workflow("[{kind: begins, name: s}, {kind: test, name: t}]", Begins)
    runs_of(found)["t"].run()
    assert begun == []


def test_no_test_sees_what_another_did() -> None:
    found = workflow("""
- {kind: cache, name: c, links: {out: {name: d}}}
- {kind: snippet, name: d, language: json, code: '1'}
- {kind: test, name: t, links: {out: {name: c}, "out[1]": {name: check}}}
- {kind: assert, name: check, target: {name: d}, expect: 'true'}
""")
    for _ in range(2):  # the second one would be answered from the cache
        runs_of(found)["t"].run()


def test_what_cannot_run_fails_with_the_reason() -> None:
    with pytest.raises(NodeTestFailed, match=r"^it cannot run: links.out: no node 'lost'"):
        runs_of(workflow(SHOP))["u"].run()


def test_a_document_of_a_kind_that_is_not_installed_fails_only_who_needs_it() -> None:
    specs: list[dict[str, Any]] = [
        {"id": "1", "kind": "klingon", "name": "k", "namespace": "default", "links": 5},
        {"id": "2", "kind": "test", "name": "t", "namespace": "default"},
        {
            "id": "3",
            "kind": "test",
            "name": "u",
            "namespace": "default",
            "links": {"out": [{"id": "1"}]},
        },
    ]
    tests = runs_of(Workflow(specs, [], Settings(), Scheme.installed()))
    tests["t"].run()
    with pytest.raises(NodeTestFailed, match="node '1' is inactive"):
        tests["u"].run()


def test_cases_are_files_by_their_ending(tmp_path: Any) -> None:
    for name in ("a.yaml", "b.flow.yaml", "deep/c.flow.yaml", "deep/.hidden.flow.yaml", "d.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [file.removeprefix(f"{tmp_path}/") for file in cases_of(str(tmp_path))]
    assert found == ["b.flow.yaml", "deep/c.flow.yaml"]
    assert cases_of("x.flow.yaml") == ["x.flow.yaml"]
    assert cases_of("x.yaml") == cases_of("-") == []
