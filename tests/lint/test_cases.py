"""What people get wrong: each fault is found at its line, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenflow.config import Settings
from greenflow.lint.linting import lint
from greenflow.lint.rules import RULES
from greenflow.scheme.registry import Scheme

EXAMPLES = sorted(
    path
    for path in (Path(__file__).parents[2] / "contrib" / "examples").rglob("*.yaml")
    if not path.name.endswith(".flow.yaml")
)

WEB = "- {kind: listener, name: web, port: 0, links: {out: {name: next}, error: {name: oops}}}\n"
OOPS = "- {kind: snippet, name: oops, language: text, code: sorry}\n"
HI = "- {kind: snippet, name: next, language: text, code: hi}\n"

# What stands before and behind the specs of a case, which begin at line 3: a listener that leads to
# the spec `next`.
AROUND = WEB + OOPS


def found(text: str, tmp_path: Path, preview: bool = False) -> list[tuple[str, int]]:
    file = tmp_path / "case.yaml"
    file.write_text(text)
    report = lint([str(file)], Scheme.installed(), Settings(), preview).report
    return [(finding.rule, finding.line) for finding in report.findings]


def next_(rest: str) -> str:
    return AROUND + f"- {rest}\n"


SNIPPET = "kind: snippet\n  name: next\n  language: "

CASES: dict[str, tuple[str, list[tuple[str, int]]]] = {
    # what cannot be read
    "an open list": ("- kind: nop\n  name: [a\n", [("GF001", 3)]),
    "an open string": ('- {kind: nop, name: "a}\n', [("GF001", 2)]),
    "a tab": ("kind: nop\n\tname: a\n", [("GF001", 2)]),
    "a key twice": ("kind: nop\nname: a\nname: b\n", [("GF001", 3)]),
    "an empty file": ("", [("GF001", 1)]),
    "a text": ("hello\n", [("GF001", 1)]),
    "a number in a list": ("- {kind: nop, name: a}\n- 5\n", [("GF001", 2)]),
    "an unknown anchor": ("- {kind: nop, name: *a}\n", [("GF001", 1)]),
    # what a kind does not take
    "no kind": ("- {name: a}\n", [("GF002", 1)]),
    "a kind that is not there": (next_("kind: snipet\n  name: next"), [("GF002", 3)]),
    "a field that is not there": (next_(SNIPPET + "text\n  cod: a\n  code: a"), [("GF002", 6)]),
    "a language that is not there": (next_(SNIPPET + "javasript\n  code: a"), [("GF002", 5)]),
    "no statement": (next_("kind: if\n  name: next"), [("GF002", 3)]),
    "a list for a string": (next_(SNIPPET + "text\n  code: [a]"), [("GF002", 6)]),
    "a port that is too large": (WEB.replace("port: 0", "port: 70000") + OOPS + HI, [("GF002", 1)]),
    "a port that is a word": (WEB.replace("port: 0", "port: http") + OOPS + HI, [("GF002", 1)]),
    "an out port that is not there": (
        next_(SNIPPET + "text\n  code: a\n  links:\n    outt: {name: oops}"),
        [("GF002", 8)],
    ),
    "a link without a target": (
        next_(SNIPPET + "text\n  code: a\n  links:\n    out: {port: in}"),
        [("GF002", 8)],
    ),
    "a name that is empty": (next_("kind: nop\n  name: ''"), [("GF010", 1), ("GF002", 3)]),
    "a name that is a number": (next_("kind: nop\n  name: 5"), [("GF010", 1), ("GF002", 4)]),
    "an interval without a unit that is known": (
        next_("kind: sleep\n  name: next\n  interval: 5 fortnights"),
        [("GF002", 5)],
    ),
    "cel that does not parse": (next_(SNIPPET + "cel\n  code: self +"), [("GF002", 6)]),
    "cel with a name that is not there": (
        next_(SNIPPET + "cel\n  code: slef.body"),
        [("GF002", 6)],
    ),
    "cel in a block": (
        next_(SNIPPET + "cel\n  code: |\n    self.a &&\n    slef.b"),
        [("GF002", 8)],
    ),
    "cel with a function that is not there": (
        next_(SNIPPET + "cel\n  code: sise(self)"),
        [("GF002", 6)],
    ),
    "javascript that does not parse": (
        next_(SNIPPET + "javascript\n  code: |\n    export default r => {\n      return (\n    }"),
        [("GF002", 8)],
    ),
    "json that does not parse": (next_(SNIPPET + "json\n  code: '{\"a\": }'"), [("GF002", 6)]),
    "a condition that does not parse": (
        next_("kind: if\n  name: next\n  when: self >"),
        [("GF002", 5)],
    ),
    "a case of a switch without a port": (
        next_("kind: switch\n  name: next\n  match:\n    - {when: 'true'}"),
        [("GF002", 6)],
    ),
    "a method that nobody sends": (
        next_("kind: router\n  name: next\n  routes:\n    - {method: GTE, path: /}"),
        [("GF002", 6)],
    ),
    "a schedule that never comes": (
        "- {kind: schedule, name: tick, cron: 61 * * * *, links: {out: {name: next}}}\n" + HI,
        [("GF002", 1)],
    ),
    "a source inside of a step": (
        next_("kind: step\n  name: next\n  specs:\n    - {kind: listener, port: 0}"),
        [("GF002", 6)],
    ),
    "a block of nothing": (next_("kind: block\n  name: next\n  specs: []"), [("GF002", 5)]),
    "a link to what is not in the block": (
        next_(
            "kind: block\n  name: next\n  inbounds: {in: {name: a, port: in}}\n  specs:\n"
            "    - {kind: snippet, name: a, language: text, code: a, links: {out: {name: b}}}"
        ),
        [("GF002", 7)],
    ),
    "a number for yes or no": (
        next_(SNIPPET + "text\n  code: a\n  annotations: 5"),
        [("GF002", 7)],
    ),
    "a URL without a scheme": (next_("kind: http\n  name: next\n  url: example"), [("GF002", 5)]),
    # what stands twice
    "a name twice": (AROUND + HI + HI, [("GF003", 4)]),
    "an id twice": (
        AROUND + HI + "- {kind: nop, name: a, id: x}\n- {kind: nop, name: b, id: x}\n",
        [("GF013", 4), ("GF003", 5)],
    ),
    # where links lead
    "a target that is misspelt": (
        AROUND + HI.replace("next", "nxet"),
        [("GF010", 1), ("GF013", 3)],
    ),
    "a target in another namespace": (
        AROUND + HI.replace("{kind", "{namespace: other, kind"),
        [("GF010", 1)],
    ),
    "the second of several links": (
        next_(
            SNIPPET + "text\n  code: a\n  links:\n    out:\n      - name: oops\n      - name: gone"
        ),
        [("GF010", 10)],
    ),
    "an id for a name": (
        WEB.replace("out: {name: next}", "out: {id: next}") + OOPS + HI,
        [("GF010", 1), ("GF013", 3)],
    ),
    "a port of a target that it has not": (
        WEB.replace("out: {name: next}", "out: {name: next, port: input}") + OOPS + HI,
        [("GF011", 1)],
    ),
    "a port of a loop": (
        next_(
            "kind: snippet\n  name: next\n  language: text\n  code: a\n  links:\n"
            "    out: {name: oops, port: 'in[3]'}"
        ),
        [("GF011", 8)],
    ),
    "only the one that is at fault": (
        next_(SNIPPET + "text\n  code: a\n  links: {out: {name: then}}")
        + "- {kind: snippet, name: then, language: text, code: a, links: {out: {name: gone}}}\n",
        [("GF010", 8)],
    ),
    # what nothing leads to
    "a node that was forgotten": (AROUND + HI + OOPS.replace("oops", "old"), [("GF013", 4)]),
    "two that only lead to each other": (
        AROUND
        + HI
        + "- {kind: if, name: a, when: self, links: {out: {name: b}}}\n"
        + "- {kind: if, name: b, when: self, links: {out: {name: a}}}\n",
        [("GF013", 4), ("GF013", 5)],
    ),
    "what a broken spec leads to is reached": (
        next_(SNIPPET + "text\n  cod: a\n  links: {out: {name: then}}")
        + "- {kind: snippet, name: then, language: text, code: a}\n",
        [("GF002", 6)],
    ),
    "a library has no sources": (HI + OOPS, []),
    "a template that nothing uses": (
        AROUND + HI + "- {kind: template, name: t, specs: [{kind: nop}]}\n",
        [],
    ),
    # what only one can have
    "a port twice": (
        WEB.replace("port: 0", "port: 8123")
        + OOPS
        + HI
        + WEB.replace("port: 0", "port: 8123").replace("web", "api"),
        [("GF014", 1)],
    ),
    "all addresses and one of them": (
        WEB.replace("port: 0", "port: 8123, host: 0.0.0.0")
        + OOPS
        + HI
        + WEB.replace("port: 0", "port: 8123").replace("web", "api"),
        [("GF014", 1)],
    ),
    # routes
    "a route twice": (
        next_(
            "kind: router\n  name: next\n  links: {out: {name: oops}}\n  routes:\n"
            "    - {method: GET, path: /a}\n    - {method: GET, path: /a}"
        ),
        [("GF015", 8)],
    ),
    "a route twice by other names": (
        next_(
            "kind: router\n  name: next\n  links: {out: {name: oops}}\n  routes:\n"
            "    - {method: GET, path: /a/:b}\n    - {method: GET, path: '/a/:c'}"
        ),
        [("GF015", 8)],
    ),
    "a port of a route that leads nowhere": (
        next_(
            "kind: router\n  name: next\n  links: {out: {name: oops}}\n  routes:\n"
            "    - {method: GET, path: /a}\n    - {method: GET, path: /b, port: 'out[1]'}"
        ),
        [("GF024", 8)],
    ),
    # errors
    "errors that no case takes": (
        WEB + "- kind: switch\n  name: oops\n  links: {out: {name: next}}\n  match:\n"
        "    - {when: self.status == 404, port: out}\n" + HI,
        [("GF016", 5)],
    ),
    "errors that a case takes": (
        WEB + "- kind: switch\n  name: oops\n  links: {out: {name: next}}\n  match:\n"
        "    - {when: 'true', port: out}\n" + HI,
        [],
    ),
    "no error link": (WEB.replace(", error: {name: oops}", "") + HI, [("GF017", 1)]),
    # retries
    "a retry around two effects": (
        next_("kind: retry\n  name: next\n  threshold: 3\n  links: {out: {name: pay}}")
        + "- {kind: http, name: pay, url: 'http://a.test/pay', links: {out: {name: receipt}}}\n"
        + "- {kind: http, name: receipt, url: 'http://a.test/receipt'}\n",
        [("GF018", 3)],
    ),
    # secrets
    "a token in a header": (
        next_(SNIPPET + 'json\n  code: \'{"header": {"Authorization": "Bearer abcdef0123"}}\''),
        [("GF019", 6)],
    ),
    "a password in a URL": (
        next_("kind: http\n  name: next\n  url: 'http://me:hunter2@a.test'"),
        [("GF019", 5)],
    ),
    "a password of a database": (
        next_("kind: sql\n  name: next\n  driver: postgres\n  source: postgres://a:b@c/d"),
        [("GF019", 6)],
    ),
    "a key of a service in code": (
        next_(SNIPPET + "text\n  code: AKIAABCDEFGHIJKLMNOP"),
        [("GF019", 6)],
    ),
    "a private key": (
        next_(SNIPPET + "text\n  code: |\n    -----BEGIN PRIVATE KEY-----\n    MIIE"),
        [("GF019", 6)],
    ),
    "a secret that is put in": (
        next_(
            SNIPPET + "json\n  env: {TOKEN: {name: token}}\n"
            '  code: \'{"header": {"Authorization": "Bearer {{ .TOKEN }}"}}\''
        ),
        [],
    ),
    # env
    "a key that is not used": (
        next_(SNIPPET + "text\n  code: a\n  env:\n    A: {data: 1}\n    B: {data: 2}"),
        [("GF020", 8), ("GF020", 9)],
    ),
    "a key of which another one is the beginning": (
        next_(SNIPPET + "text\n  code: '{{ .AB }}'\n  env: {A: {data: 1}, AB: {data: 2}}"),
        [("GF020", 7)],
    ),
    "a placeholder that nothing is bound to": (
        next_(SNIPPET + "text\n  code: '{{ .A }}'"),
        [("GF024", 6)],
    ),
    # cycles
    "two that go round": (
        next_(SNIPPET + "cel\n  code: self\n  links:\n    out: {name: back}")
        + "- {kind: snippet, name: back, language: cel, code: self, links: {out: {name: next}}}\n",
        [("GF021", 7)],
    ),
    "one that goes to itself": (
        next_(SNIPPET + "cel\n  code: self\n  links: {out: {name: next}}"),
        [("GF021", 7)],
    ),
    "a cycle that a condition ends": (
        next_("kind: if\n  name: next\n  when: self.n > 1\n  links: {out: {name: back}}")
        + "- {kind: snippet, name: back, language: cel, code: self, links: {out: {name: next}}}\n",
        [],
    ),
    "a cycle that waits": (
        next_("kind: sleep\n  name: next\n  interval: 1s\n  links: {out: {name: back}}")
        + "- {kind: snippet, name: back, language: cel, code: self, links: {out: {name: next}}}\n",
        [],
    ),
    # code that stands twice
    "the same code": (
        next_(
            SNIPPET + "javascript\n  links: {out: {name: then}}\n  code: |\n"
            "    export default r => {\n      const answer = {...r.body, seen: true, at: 5}\n"
            "      return answer\n    }"
        )
        + "- kind: snippet\n  name: then\n  language: javascript\n  code: |\n"
        "    export default r => {\n      const answer = {...r.body, seen: true, at: 5}\n"
        "      return answer\n    }\n",
        [("GF022", 15)],
    ),
    # other words
    "ports for links": (WEB.replace("links", "ports") + OOPS + HI, [("GF023", 1)]),
    "matches for match": (
        next_(
            "kind: switch\n  name: next\n  links: {out: {name: oops}}\n"
            "  matches: [{when: 'true', port: out}]"
        ),
        [("GF023", 6)],
    ),
    "nodes for specs": (
        next_("kind: block\n  name: next\n  nodes: [{kind: snippet, language: text, code: a}]"),
        [("GF023", 5)],
    ),
    "kinds by their other names": (
        next_("kind: pipe\n  name: next\n  links: {'out[0]': {name: oops}}"),
        [("GF023", 3)],
    ),
    "a kind in a block": (
        next_("kind: block\n  name: next\n  specs:\n  - kind: wait\n    interval: 1s"),
        [("GF023", 6)],
    ),
    "nanoseconds": (next_("kind: sleep\n  name: next\n  interval: 2000000"), [("GF023", 5)]),
    "specs.read for nodes.read": (
        next_("kind: syscall\n  name: next\n  opcode: specs.read"),
        [("GF023", 5)],
    ),
    "value for data": (
        next_(SNIPPET + "text\n  code: '{{ .A }}'\n  env: {A: {value: 1}}"),
        [("GF023", 7)],
    ),
    "a list for a value": (
        next_(SNIPPET + "text\n  code: '{{ .A }}'\n  env: {A: [{data: 1}]}"),
        [("GF023", 7)],
    ),
    "a kind of an older release": (next_("kind: native\n  name: next"), [("GF002", 3)]),
    # what is hardly meant
    "a listener that leads nowhere": ("- {kind: listener, name: web, port: 0}\n", [("GF024", 1)]),
    "a case whose port leads nowhere": (
        next_(
            "kind: switch\n  name: next\n  links: {out: {name: oops}}\n  match:\n"
            "    - {when: 'self', port: out}\n    - {when: 'true', port: 'out[1]'}"
        ),
        [("GF024", 8)],
    ),
    "an opcode that is misspelt": (
        next_("kind: syscall\n  name: next\n  opcode: nodes.raed"),
        [("GF024", 5)],
    ),
    # comments
    "an ignore that nothing needs": (
        AROUND + "# greenflow: ignore GF020 no\n" + HI,
        [("GF025", 3)],
    ),
    "an ignore without a rule": (AROUND + "# greenflow: ignore\n" + HI, [("GF025", 3)]),
    "an ignore of another spec": (
        AROUND + HI + "- {kind: nop, name: a} # greenflow: ignore GF013 for later\n"
        "- {kind: nop, name: b}\n",
        [("GF013", 5)],
    ),
    "an ignore of one rule of two": (
        next_(SNIPPET + "text\n  code: a\n  # greenflow: ignore GF024\n  env:\n    B: {data: 2}"),
        [("GF025", 7), ("GF020", 9)],
    ),
    "what looks like an ignore in code": (
        next_(SNIPPET + "text\n  code: |\n    # greenflow: ignore GF020\n  env: {A: {data: 1}}"),
        [("GF020", 8)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_fault_is_found_at_its_line_and_nothing_else(case: str, tmp_path: Path) -> None:
    text, expected = CASES[case]
    assert found(text, tmp_path) == expected


def test_there_are_eighty_files() -> None:
    assert len(CASES) >= 80


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.bad], ids=lambda rule: rule.id)
def test_a_rule_finds_its_bad_example_and_not_its_good_one(rule: object, tmp_path: Path) -> None:
    assert rule.id in {id for id, _ in found(rule.bad, tmp_path)}  # type: ignore[attr-defined]
    assert rule.id not in {id for id, _ in found(rule.good, tmp_path)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_is_wrong_with_the_examples(path: Path) -> None:
    report = lint([str(path)], Scheme.installed(), Settings(), False).report
    assert [finding for finding in report.findings if finding.rule != "GF017"] == []
