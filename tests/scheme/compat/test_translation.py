"""Documents of a release of uniflow, in the meanings of this engine."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from greenflow import Runtime, Scheme
from greenflow.config import Compat, Settings
from greenflow.errors import SpecFault
from greenflow.scheme.compat.releases import RELEASES
from greenflow.scheme.compat.translation import as_meant
from greenflow.scheme.compat.unclear import unclear
from greenflow.spec.batch import Faulty, check
from greenflow.spec.document import read
from greenflow.spec.translated import Insertion, Translated
from greenflow.store.operations import Operations

OLD, NEW = Scheme.installed(compat="uniflow-2024"), Scheme.installed(compat="uniflow-2025")


def test_the_setting_has_every_release() -> None:
    assert {*RELEASES, "none"} == {*get_args(Compat)}
    assert Scheme.installed().release is None


@pytest.mark.parametrize(
    ("document", "old", "new"),
    [
        ({"kind": "sleep", "interval": 2000}, {"interval": "2us"}, {"interval": "2s"}),
        ({"kind": "sleep", "interval": "2000"}, {"interval": "2us"}, {"interval": "2s"}),
        ({"kind": "sleep", "interval": 1500.7}, {"interval": "1500ns"}, {"interval": "1500ms"}),
        ({"kind": "sleep", "interval": "2s"}, {}, {}),
        ({"kind": "sleep", "interval": 0}, {"interval": "0s"}, {"interval": "0s"}),
        ({"kind": "sleep", "interval": -1}, {}, {}),
        ({"kind": "sleep", "interval": True}, {}, {}),
        ({"kind": "sleep", "interval": "self.wait"}, {}, {}),
        ({"kind": "if", "when": "n > 1", "timeout": 500}, {"timeout": "500ns"}, None),
        ({"kind": "if", "when": "self.n > 1"}, {}, {}),
        ({"kind": "if", "when": "n", "language": "javascript"}, {}, {}),
        ({"kind": "snippet", "language": "cel", "code": "n"}, {}, {"code": "self.n"}),
        ({"kind": "snippet", "language": "text", "code": "n"}, {}, {}),
        ({"kind": "snippet", "code": "n"}, {}, {}),
        ({"kind": "native", "opcode": "nodes.read"}, {"kind": "syscall"}, {}),
        ({"kind": "unheard", "timeout": 5, "x": 1}, {}, {}),
        ({"kind": "block", "specs": [{"kind": "nop"}]}, {}, {"chain": False}),
        ({"kind": "block", "specs": [{"kind": "nop"}], "inbounds": {"in": []}}, {}, None),
        ({"kind": "listener", "port": 0}, {}, {"untyped": "guess"}),
        ({"kind": "listener", "port": 0, "untyped": "bytes"}, {}, {}),
        ({"name": "a", "data": {"kind": "x"}}, {}, {}),
    ],
)
def test_what_a_release_means(
    document: dict[str, Any], old: dict[str, Any], new: dict[str, Any] | None
) -> None:
    assert OLD.translated(document).data == {**document, **old}
    if new is not None:
        assert NEW.translated(document).data == {**document, **new}
    for scheme in (OLD, NEW):
        meant = scheme.translated(document).data
        assert scheme.translated(meant).data == meant
    assert Scheme.installed().translated(document) == Translated(document)


def test_a_limit_of_no_time_is_none() -> None:
    document = {"kind": "block", "specs": [{"kind": "nop", "links": {}}], "timeout": 0}
    assert "timeout" not in OLD.translated(document).data


def test_specs_inside_of_specs_are_meant_so_too() -> None:
    inner = {"kind": "if", "when": "n > 1", "timeout": 20}
    document = {"kind": "step", "nodes": {"kind": "step", "specs": [inner]}}
    data = NEW.translated(document).data
    wanted = {"kind": "if", "when": "self.n > 1", "timeout": "20ms"}
    assert data == {"kind": "step", "nodes": {"kind": "step", "specs": [wanted]}}


def test_unknown_fields_are_left_out_and_told() -> None:
    document = {
        "kind": "router",
        "comment": "ours",
        "routes": [{"method": "GET", "path": "/", "port": "out[0]", "note": 1, "metod": 2}],
        "annotations": {"any": 1},
    }
    data, notes, _ = NEW.translated(document)
    assert data["routes"] == [{"method": "GET", "path": "/", "port": "out[0]"}]
    assert "comment" not in data
    assert data["annotations"] == {"any": 1}
    assert [note.path for note in notes] == ["$.comment", "$.routes[0].note", "$.routes[0].metod"]
    assert "did you mean 'method'?" in notes[2].reason


def test_what_no_env_binds_comes_from_the_environment() -> None:
    code = {"kind": "snippet", "code": "{{ .B }} {{ .C.x }}", "env": {"C": {"data": {"x": 1}}}}
    document = {"kind": "step", "specs": [code], "links": {"{{ .NO }}": []}, "name": "{{ .NO }}"}
    data = NEW.translated(document).data
    assert data == {**document, "env": {"B": {"data": "{{ .B }}"}}}
    bound = {"kind": "snippet", "code": "{{ .A }}", "env": {"D": {"data": 1}}}
    assert OLD.translated(bound).data["env"] == {"D": {"data": 1}, "A": {"data": "{{ .A }}"}}


def test_a_duration_that_is_inserted_has_to_have_its_unit() -> None:
    document = {"kind": "sleep", "interval": "{{ .WAIT }}", "env": {"WAIT": {"name": "wait"}}}
    (note,) = NEW.translated(document).notes
    assert note.path == "$.interval"
    assert "means 1ms by 1" in note.reason


TEXT = """\
- kind: if  # it's "count" here
  name: a
  when: |
    count > 1
      && tags.exist(t, t == tag)
- {kind: switch, name: b, matches: [{when: "\\"x\\" == name && nope(name)", port: "out[0]"}]}
- kind: sleep
  name: c
  interval: -5
  ports: {outt: []}
"""


def test_faults_stand_where_the_author_wrote_them() -> None:
    with pytest.raises(Faulty) as raised:
        check(read(TEXT, "a.yaml"), NEW, "default", named=True)
    places = [line.split(": ")[0] for line in raised.value.lines]
    assert places == ["a.yaml:5:14", "a.yaml:6:62", "a.yaml:9:3"]


@pytest.mark.parametrize(
    ("line", "column", "wanted"), [(1, 3, 1), (1, 6, 1), (1, 13, 5), (1, 15, 5)]
)
def test_a_fault_in_what_was_inserted_is_where_it_was_put(
    line: int, column: int, wanted: int
) -> None:
    insertions = (Insertion(0, "self."), Insertion(4, "self."))
    meaning = Translated({"when": "self.a + self.b"}, (), {"$.when": insertions})
    fault = meaning.located(SpecFault("$.when", "x", line, column))
    assert (fault.line, fault.column) == (1, wanted)
    other = SpecFault("$.name", "x", 1, 9)
    assert meaning.located(other) == other


def test_code_that_stands_alone() -> None:
    assert as_meant("n > 1", "cel", "uniflow-2025") == "self.n > 1"
    assert as_meant("n > 1", "cel", "uniflow-2024") == "n > 1"
    assert as_meant("n > 1", "javascript", "uniflow-2025") == "n > 1"
    assert as_meant("n > 1", "cel", "none") == "n > 1"


@pytest.mark.parametrize(
    ("interval", "doubtful"),
    [
        (999, False),
        (1000, True),
        ("2000", True),
        (" 2000 ", True),
        (999_999, True),
        (1_000_000, False),
        ("2000s", False),
        (1000.5, False),
        ("self.n", False),
    ],
)
def test_without_a_release_a_whole_number_that_may_be_no_seconds_is_told(
    interval: Any, doubtful: bool
) -> None:
    inner = {"kind": "sleep", "interval": interval}
    faults = [*unclear({"kind": "step", "specs": [inner]}, Scheme.installed())]
    assert [fault.path for fault in faults] == ["$.specs[0].interval"] * doubtful
    if doubtful:
        assert f"write the unit, as {int(interval)}s or {int(interval)}ms" in faults[0].reason


def test_what_comes_in_through_a_runtime_is_meant_so(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(compat="uniflow-2025")
    specs = [{"kind": "if", "name": "a", "when": "n > 1", "timeout": 500, "comment": "x"}]
    with Runtime("memory://", specs=specs, settings=settings) as runtime:
        assert "a: $.comment: there is no such field" in caplog.text
        (record,) = runtime.operations.read({"name": "a"})
        assert (record.document["when"], record.document["timeout"]) == ("self.n > 1", "500ms")
        (record,) = runtime.operations.update({"name": "a", "timeout": 20, "note": 1})
        assert record.document["timeout"] == "20ms"
        assert "note" not in record.document
        (record,) = runtime.operations.create({"kind": "sleep", "name": "b", "interval": 5})
        assert record.document["interval"] == "5ms"
        (record,) = runtime.operations.apply({**record.document, "name": "c"})
        assert (record.document["name"], record.document["interval"]) == ("c", "5ms")


def test_of_a_patch_only_what_it_says_is_translated() -> None:
    stored = [{"kind": "if", "name": "a", "when": "self.n > 1", "timeout": 5}]
    with Runtime("memory://", specs=stored) as runtime:
        operations = Operations(
            runtime.operations.collection, Scheme.installed(compat="uniflow-2025"), "default"
        )
        (record,) = operations.update({"name": "a", "when": "n > 2"})
        assert record.document["timeout"] == 5
        assert record.document["when"] == "self.n > 2"
