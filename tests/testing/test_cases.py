"""Cases as data: setup, steps, what is taken, what may reach outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenflow.spec.batch import Faulty
from greenflow.testing.cases import Case, CaseFailed, read_cases

SHOP = """\
specs:
  - {kind: listener, name: web, port: 8000, links: {out: {name: routes}}}
  - kind: router
    name: routes
    routes:
      - {method: POST, path: /orders, port: "out[0]"}
      - {method: GET, path: "/orders/:id", port: "out[1]"}
    links: {"out[0]": {name: add}, "out[1]": {name: look}}
  - kind: step
    name: add
    specs:
      - kind: snippet
        language: cel
        code: "['INSERT INTO o (t) VALUES (?) RETURNING id', [self.body.total]]"
      - {kind: sql, name: db, source: "sqlite://"}
      - kind: snippet
        language: cel
        code: >-
          {"status": 201, "header": {"Location": "/orders/" + string(self[0].id)}, "body": self[0]}
  - kind: step
    name: look
    specs:
      - {kind: snippet, language: cel, code: "['SELECT t FROM o WHERE id = ?', [self.params.id]]"}
      - {kind: sql, name: db, source: "sqlite://"}
      - {kind: snippet, language: cel, code: "{'body': self}"}
  - {kind: sql, name: database, source: "sqlite://"}
  - {kind: snippet, name: same, language: cel, code: self}
  - {kind: throw, name: boom}
"""


def cases(folder: Path, text: str, specs: str = SHOP) -> list[Case]:
    file = folder / "a.flow.yaml"
    file.write_text(specs + text)
    return read_cases(str(file))


def test_steps_go_on_with_what_earlier_ones_took(tmp_path: Path) -> None:
    (case,) = cases(
        tmp_path,
        """
setup: {call: database, payload: "CREATE TABLE o (id INTEGER PRIMARY KEY, t INTEGER)"}
cases:
  name: an order is found
  setup: {call: database, payload: "INSERT INTO o (t) VALUES (5)", answer: []}
  steps:
    - request: {method: POST, path: /orders, body: {total: 10}}
      response: {status: 201}
      take: {id: self.body.id, place: "self.header.Location[0]", answer: self.body}
    - request: {path: "{{ .place }}"}
      response: {body: [{t: 10}]}
    - request: {path: "/orders/{{ .id }}"}
      response: {body: [{t: 10}]}
    - call: same
      payload: {whole: "{{ .id }}", in text: "no {{ .id }}", deep: ["{{ .answer.id }}"]}
      answer: {whole: 2, in text: no 2, deep: [2]}
    - {call: boom, payload: "lost {{ .id }}", error: "lost {{ .id }}"}
  passed:
    database: {in: []}
    boom: {in: lost 2}
""",
    )
    case.run()


def test_without_take_braces_are_text(tmp_path: Path) -> None:
    (case,) = cases(
        tmp_path,
        "cases: {name: a, steps: [{call: same, payload: '{{ .x }}', answer: '{{ .x }}'}]}\n",
    )
    case.run()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "setup: {name: the table, call: database, payload: CREATE NONSENSE}\n"
            "cases: {name: a, call: same}\n",
            ":29:26: a: the setup failed: the table: it raised SqlFailed",
        ),
        (
            "cases:\n  name: a\n  steps:\n  - {call: same}\n"
            "  - {name: second, call: same, payload: 1,\n     answer: 2}\n",
            ":34:6: a: second: the answer is not as expected",
        ),
        (
            "cases:\n  name: a\n  steps:\n  - {call: same, payload: {b: 1},\n"
            "     take: {c: self.c}}\n",
            ":33:13: a: line 1, column 5: no such key: 'c', of the answer {\"b\": 1}",
        ),
        (
            "cases:\n  name: a\n  steps:\n  - {call: same, payload: {b: 1}, take: {x: self}}\n"
            "  - {call: same,\n     payload: '{{ .x.y }}'}\n",
            ":33:5: a: {{ .x.y }} stands for nothing: 'x' of what was taken has no 'y'",
        ),
    ],
)
def test_a_step_that_fails_says_which(tmp_path: Path, text: str, reason: str) -> None:
    (case,) = cases(tmp_path, text)
    with pytest.raises(CaseFailed) as raised:
        case.run()
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("cases: {name: a, call: b, steps: [{call: b}]}", "29:1: $.cases[0]: with `steps`"),
        ("cases: {name: a, steps: [{payload: 1}]}", "29:26: $.cases[0].steps[0]: a step has eit"),
        ("cases: {name: a, setup: [{call: b, request: {}}], call: b}", "$.cases[0].setup[0]: a st"),
        ("setup: [{}]\ncases: {name: a, call: b}", "29:9: $.setup[0]: a step has either"),
        (
            "cases:\n  name: a\n  steps:\n  - {call: b, take: {x: self.}}",
            "32:30: $.cases[0].steps[0].take.x: unexpected the end",
        ),
        (
            "cases:\n  name: a\n  steps:\n  - {call: b, take: {x y: self}}",
            "32:22: $.cases[0].steps[0].take.x y: a name has",
        ),
        (
            "cases:\n  name: a\n  steps:\n  - {call: b, payload: '{{ .x }}', take: {x: self}}\n"
            "  - {call: b, payload: {c: ['{{ .x }} {{ .y.z }}']}}",
            "{{ .x }} stands for nothing; taken so far: nothing\n"
            "FILE:33:29: $.cases[0].steps[1].payload.c[0]: {{ .y }} stands for nothing; "
            "taken so far: x",
        ),
        (
            "cases:\n  name: a\n  steps:\n  - {call: b, error: no, take: {x: self}}",
            "$.cases[0].steps[0].take: from an error nothing is taken",
        ),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_runs(
    tmp_path: Path, text: str, fault: str
) -> None:
    with pytest.raises(Faulty) as raised:
        cases(tmp_path, text)
    assert fault.replace("FILE", str(tmp_path / "a.flow.yaml")) in str(raised.value)


WRITES = """\
specs:
  - {kind: try, name: save, links: {out: {name: log}, error: {name: well}}}
  - {kind: write, name: log, filename: FILE}
  - {kind: snippet, name: well, code: all is well}
  - {kind: schedule, name: nightly, interval: 1h, links: {out: {name: log}}}
  - {kind: sleep, name: year, interval: 8784h}
clock: jump
"""


def test_a_case_touches_nothing_unless_it_says_so(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    refused, other, allowed = cases(
        tmp_path,
        """
cases:
  - {name: refused, call: save, payload: hi, answer: all is well}
  - {name: other, call: year, passed: {log: {in: []}, nightly: {out: []}}}
  - {name: allowed, call: save, payload: hi, answer: 2, allow: log}
""",
        WRITES.replace("FILE", str(file)),
    )
    with pytest.raises(CaseFailed) as raised:
        refused.run()
    assert ":10:6: refused: write node 'log' reaches outside" in str(raised.value)
    other.run()
    assert not file.exists()
    allowed.run()
    assert file.read_text() == "hi"


def test_a_source_begins_only_by_name_and_a_call_is_its_event(tmp_path: Path) -> None:
    specs = """\
specs:
  - {kind: trigger, name: tell, topic: t}
  - {kind: schedule, name: once, cron: "0 0 1 1 *", links: {out: {name: tell}}}
  - {kind: trigger, name: hear, topic: t, links: {out: {name: seen}}}
  - {kind: nop, name: seen}
"""
    still, event, lost = cases(
        tmp_path,
        """
cases:
  - {name: still, call: seen, passed: {once: {out: []}}}
  - name: event
    call: once
    payload: {due: now}
    passed: {once: {out: {due: now}}, seen: {in: {due: now}}}
  - {name: lost, sources: [once, twice], call: seen}
""",
        specs,
    )
    still.run()
    event.run()
    with pytest.raises(CaseFailed, match="no source is called 'twice'"):
        lost.run()


def test_a_use_is_checked_against_the_template_beside_it(tmp_path: Path) -> None:
    """BEHAVIOUR 13.5, 13.6."""
    specs = """\
specs:
  - {kind: template, name: t, parameters: {n: {type: integer}}, specs: [{kind: nop}]}
  - {kind: use, name: u, template: t, with: {n: many}}
"""
    (case,) = cases(tmp_path, "cases: [{name: one, call: u}]", specs)
    with pytest.raises(Faulty) as caught:
        case.run()
    (line,) = caught.value.lines
    assert line.endswith("flow.yaml:2:44)")
    assert "flow.yaml:3:46: $.specs[1].with.n: expected `int`, got `str` (template 't', " in line
