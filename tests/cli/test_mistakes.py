"""What people type wrong: each mistake is named at its place by `apply`, with what to do.

A mistake of which the spec is invalid ends with 3 and stores nothing; one with which it is stored
and will not run, or hardly as it is meant, with 5. None passes in silence.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from greenflow.spec.document import read
from greenflow.store.base import open_store
from greenflow.store.operations import apply_values
from greenflow.values.seal import Keys
from tests.cli.conftest import Command

INVALID, STORED = 3, 5


class Mistake(NamedTuple):
    text: str
    code: int
    place: str
    """Line and column."""
    said: tuple[str, ...]


NOP = "- {kind: nop, name: end}\n"


def snippet(language: str, code: str) -> str:
    return f"- kind: snippet\n  name: a\n  language: {language}\n  code: {code}\n"


MISTAKES = {
    # -- texts ---------------------------------------------------------------------------------
    "a tab": Mistake("- kind: nop\n\tname: a\n", INVALID, "2:1", ("tab",)),
    "a key twice": Mistake(
        "kind: nop\nname: a\nname: b\n", INVALID, "3:1", ("'name' is there twice",)
    ),
    "a bracket that is open": Mistake("- {kind: nop, name: a\n", INVALID, "", ("a.yaml:",)),
    "no map": Mistake("- nop\n", INVALID, "1:3", ("a spec is a map, not a string",)),
    "an empty file": Mistake(
        "", INVALID, "", ("a.yaml: no spec in it: write one, or [] for none",)
    ),
    # -- fields --------------------------------------------------------------------------------
    "a kind": Mistake(
        "- {kind: listner, name: a, port: 1}\n", INVALID, "1:4", ("did you mean 'listener'",)
    ),
    "no kind": Mistake("- {name: a}\n", INVALID, "1:3", ("every spec says its kind",)),
    "no name": Mistake("- {kind: nop}\n", INVALID, "1:3", ("neither id nor name",)),
    "a name twice": Mistake(
        "- {kind: nop, name: a}\n- {kind: nop, name: a}\n",
        INVALID,
        "2:15",
        ("'a' is taken by the spec at a.yaml:1:15",),
    ),
    "an id twice": Mistake(
        "- {kind: nop, id: a}\n- {kind: nop, id: a}\n", INVALID, "2:15", ("is taken by",)
    ),
    "a field": Mistake(
        "- {kind: snippet, name: a, langauge: cel}\n", INVALID, "1:28", ("did you mean 'language'",)
    ),
    "a field inside": Mistake(
        "- {kind: listener, name: a, port: 1, limits: {bdy: 5}}\n",
        INVALID,
        "1:47",
        ("did you mean 'body'",),
    ),
    "a field that is missing": Mistake(
        "- {kind: if, name: a}\n", INVALID, "1:3", ("$.when: missing; this field is required",)
    ),
    "a field under both names": Mistake(
        "- {kind: nop, name: a, links: {out: []}, ports: {out: []}}\n",
        INVALID,
        "1:42",
        ("are one field; give one of them",),
    ),
    "a type": Mistake(
        "- {kind: listener, name: a, port: web}\n", INVALID, "1:29", ("$.port", "expected `int")
    ),
    "a number too large": Mistake(
        "- {kind: listener, name: a, port: 80000}\n", INVALID, "1:29", ("65535",)
    ),
    "a choice": Mistake(
        "- {kind: python, name: a, call: 'm:f', isolation: threads}\n",
        INVALID,
        "1:40",
        ("allowed are 'greenlet', 'thread', 'process'",),
    ),
    "a choice of a listener": Mistake(
        "- {kind: listener, name: a, port: 1, answers: json}\n",
        INVALID,
        "1:38",
        ("allowed are 'auto', 'body', 'response'",),
    ),
    "a duration": Mistake(
        "- {kind: sleep, name: a, interval: 5 minutes}\n", INVALID, "1:26", ("$.interval",)
    ),
    "a list": Mistake(
        "- {kind: router, name: a, routes: here}\n", INVALID, "1:27", ("expected a map",)
    ),
    # -- ports and links -------------------------------------------------------------------------
    "an out port": Mistake(
        "- {kind: nop, name: a, links: {outt: [{name: end}]}}\n" + NOP,
        INVALID,
        "1:32",
        ("no out port 'outt'; it has",),
    ),
    "a port name": Mistake(
        "- {kind: fork, name: a, links: {'out 1': [{name: end}]}}\n" + NOP,
        INVALID,
        "1:33",
        ("no port name; write a word",),
    ),
    "a port under both its names": Mistake(
        "- {kind: split, name: a, links: {out: [{name: end}], 'out[0]': [{name: end}]}}\n" + NOP,
        INVALID,
        "1:54",
        ("the same port as 'out'",),
    ),
    "a link to nothing": Mistake(
        "- {kind: fork, name: a, links: {out: [{port: in}]}}\n",
        INVALID,
        "1:39",
        ("a link needs the id or the name of a node",),
    ),
    "a link that is a name": Mistake(
        "- {kind: fork, name: a, links: {out: end}}\n" + NOP, INVALID, "1:33", ("expected a map",)
    ),
    "a node's name": Mistake(
        "- kind: fork\n  name: a\n  links:\n    out:\n    - {name: end}\n    - {name: enf}\n" + NOP,
        STORED,
        "6:7",
        ("no node 'enf' in namespace 'default'; did you mean 'end'?",),
    ),
    "a node that is not there": Mistake(
        "- {kind: fork, name: a, links: {error: [{name: catch}]}}\n",
        STORED,
        "1:41",
        ("no node 'catch' in namespace 'default'; apply it, or mend the link",),
    ),
    "a node's name at the old word for links": Mistake(
        "- {kind: fork, name: a, ports: {out: [{name: enf}]}}\n" + NOP,
        STORED,
        "1:39",
        ("did you mean 'end'?",),
    ),
    "a node that is told at its load": Mistake(
        "- {kind: nop, name: a, links: {init: [{name: enf}]}}\n" + NOP,
        STORED,
        "1:39",
        ("did you mean 'end'?",),
    ),
    "a name as an id": Mistake(
        "- {kind: fork, name: a, links: {out: [{id: end}]}}\n" + NOP,
        STORED,
        "1:39",
        ("no node 'end'", "did you mean the name"),
    ),
    "an id as a name": Mistake(
        "- {kind: fork, name: a, links: {out: [{name: x1}]}}\n- {kind: nop, id: x1}\n",
        STORED,
        "1:39",
        ("no node 'x1'", "did you mean the id"),
    ),
    "an in port": Mistake(
        "- {kind: fork, name: a, links: {out: [{name: end, port: inn}]}}\n" + NOP,
        STORED,
        "1:39",
        ("node 'end' has no in port 'inn'; did you mean 'in'?",),
    ),
    "a link into a listener": Mistake(
        "- {kind: fork, name: a, links: {out: [{name: web}]}}\n"
        "- {kind: listener, name: web, port: 0, links: {out: []}}\n",
        STORED,
        "1:39",
        ("has no in port 'in'; it has no in ports",),
    ),
    "what leads to a mistake": Mistake(
        "- {kind: fork, name: a, links: {out: [{name: b}]}}\n"
        "- {kind: fork, name: b, links: {out: [{name: enf}]}}\n",
        STORED,
        "1:39",
        ("node 'b' is inactive", "a.yaml:2:39: b: "),
    ),
    "a circle with a mistake": Mistake(
        "- {kind: call, name: a, links: {out: [{name: b}], error: [{name: enf}]}}\n"
        "- {kind: call, name: b, links: {out: [{name: a}]}}\n",
        STORED,
        "1:59",
        ("no node 'enf'", "a.yaml:2:39: b: "),
    ),
    "another namespace": Mistake(
        "- {kind: fork, name: a, links: {out: [{name: end}]}}\n"
        "- {kind: nop, name: end, namespace: shop}\n",
        STORED,
        "1:39",
        ("no node 'end' in namespace 'default'", "there is one in namespace 'shop'"),
    ),
    "a sub-node's name": Mistake(
        "- kind: block\n  name: a\n  specs:\n  - {kind: nop, name: x}\n"
        "  inbounds: {in: [{name: y, port: in}]}\n",
        INVALID,
        "5:14",
        ("no sub-node is called 'y'",),
    ),
    # -- kinds -----------------------------------------------------------------------------------
    "a listener without a port": Mistake(
        "- {kind: listener, name: a}\n", INVALID, "1:3", ("$.port: missing",)
    ),
    "a method": Mistake(
        "- kind: router\n  name: a\n  routes:\n  - {method: GTE, path: /, port: out}\n",
        INVALID,
        "4:6",
        ("GTE",),
    ),
    "a route twice": Mistake(
        "- kind: router\n  name: a\n  routes:\n  - {method: GET, path: /, port: out}\n"
        "  - {method: GET, path: /, port: out}\n",
        INVALID,
        "5:5",
        ("GET / is routed already",),
    ),
    "a route's port": Mistake(
        "- {kind: router, name: a, routes: [{method: GET, path: /, port: in}]}\n",
        INVALID,
        "1:59",
        ("a route leaves by out[0], out[1] and so on",),
    ),
    "a case's port": Mistake(
        "- {kind: switch, name: a, match: [{when: true, port: yes}]}\n",
        INVALID,
        "1:48",
        ("a case leaves by out[0]",),
    ),
    "a cron expression": Mistake(
        "- {kind: schedule, name: a, cron: '61 * * * *'}\n", INVALID, "1:29", ("$.cron",)
    ),
    "cron and interval": Mistake(
        "- {kind: schedule, name: a, cron: '* * * * *', interval: 5s}\n",
        INVALID,
        "1:29",
        ("give exactly one of `cron` and `interval`",),
    ),
    "a time zone": Mistake(
        "- {kind: schedule, name: a, cron: '* * * * *', timezone: Europe/Berln}\n",
        INVALID,
        "1:48",
        ("Europe/Berln",),
    ),
    "a URL": Mistake("- {kind: http, name: a, url: 'htp://x'}\n", INVALID, "1:25", ("$.url",)),
    "a function": Mistake(
        "- {kind: python, name: a, call: module.function}\n",
        INVALID,
        "1:27",
        ("`package.module:function`",),
    ),
    "an origin": Mistake(
        "- {kind: listener, name: a, port: 1, cors: {origins: [example.com]}}\n",
        INVALID,
        "1:55",
        ("write scheme://host",),
    ),
    "a network": Mistake(
        "- {kind: listener, name: a, port: 1, proxies: [10.0.0.0/99]}\n",
        INVALID,
        "1:48",
        ("10.0.0.0/99",),
    ),
    "a route that leads nowhere": Mistake(
        "- kind: router\n  name: a\n  routes:\n  - {method: GET, path: /, port: 'out[1]'}\n"
        "  links: {out: [{name: end}]}\n" + NOP,
        STORED,
        "4:28",
        ("'out[1]' leads nowhere", "links: {out[1]: []}"),
    ),
    "a link that no route leaves by": Mistake(
        "- kind: router\n  name: a\n  routes: {method: GET, path: /, port: out}\n"
        "  links: {out: [{name: end}], 'out[1]': [{name: end}]}\n" + NOP,
        STORED,
        "4:31",
        ("nothing leaves by 'out[1]'",),
    ),
    "a case that leads nowhere": Mistake(
        "- kind: switch\n  name: a\n  matches:\n  - {when: self > 1, port: out}\n",
        STORED,
        "4:22",
        ("'out' leads nowhere",),
    ),
    "a case in a block that leads nowhere": Mistake(
        "- kind: block\n  name: a\n  specs:\n  - kind: switch\n    match:\n"
        "    - {when: true, port: 'out[1]'}\n  - {kind: nop}\n",
        STORED,
        "6:20",
        ("'out[1]' leads nowhere",),
    ),
    "a listener that leads nowhere": Mistake(
        "- {kind: listener, name: a, port: 0}\n", STORED, "1:3", ("this listener leads nowhere",)
    ),
    "a schedule that leads nowhere": Mistake(
        "- {kind: schedule, name: a, interval: 1h}\n",
        STORED,
        "1:3",
        ("this schedule leads nowhere",),
    ),
    "an address twice": Mistake(
        "- {kind: listener, name: a, port: 8000, links: {out: []}}\n"
        "- {kind: listener, name: b, port: 8000, links: {out: []}}\n",
        STORED,
        "2:29",
        ("127.0.0.1:8000 is taken by node 'a'",),
    ),
    "an address that is a part of another": Mistake(
        "- {kind: listener, name: a, port: 8000, host: localhost, links: {out: []}}\n"
        "- {kind: listener, name: b, port: 8000, host: 0.0.0.0, links: {out: []}}\n",
        STORED,
        "2:29",
        ("0.0.0.0:8000 is taken by node 'a'",),
    ),
    "a socket twice": Mistake(
        "- {kind: listener, name: a, host: 'unix:/tmp/x', links: {out: []}}\n"
        "- {kind: listener, name: b, host: 'unix:/tmp/x', links: {out: []}}\n",
        STORED,
        "2:29",
        ("unix:/tmp/x is taken by node 'a'",),
    ),
    "an opcode": Mistake(
        "- {kind: syscall, name: a, opcode: node.create}\n",
        STORED,
        "1:28",
        ("did you mean 'nodes.create'",),
    ),
    "a driver that is not installed": Mistake(
        "- {kind: sql, name: a, driver: oracle, source: 'oracle://u@h/d'}\n",
        STORED,
        "1:40",
        ("pip install",),
    ),
    # -- languages -------------------------------------------------------------------------------
    "a language": Mistake(
        snippet("javscript", "x"), INVALID, "3:3", ("did you mean 'javascript'", "installed are")
    ),
    "a language of conditions": Mistake(
        "- {kind: if, name: a, language: cell, when: 'true'}\n",
        INVALID,
        "1:23",
        ("did you mean 'cel'",),
    ),
    "CEL": Mistake(snippet("cel", "self +"), INVALID, "4:15", ("$.code",)),
    "JavaScript": Mistake(
        snippet("javascript", "'export default function (x) { return x +; }'"),
        INVALID,
        "4:50",
        ("$.code",),
    ),
    "JavaScript without an export": Mistake(
        snippet("javascript", "'function f(x) { return x }'"), INVALID, "4:10", ("export",)
    ),
    "TypeScript": Mistake(
        snippet("typescript", "'export default (x: ) => x'"), INVALID, "4:29", ("$.code",)
    ),
    "JSON": Mistake(snippet("json", "'{'"), INVALID, "4:11", ("$.code",)),
    "a condition": Mistake("- {kind: if, name: a, when: 'self ='}\n", INVALID, "1:35", ("$.when",)),
    # -- values ----------------------------------------------------------------------------------
    "a value's name": Mistake(
        "- {kind: snippet, name: a, env: {K: {name: dbb}}, code: '{{ .K }}'}\n",
        STORED,
        "1:34",
        ("no value 'dbb' in namespace 'default'; did you mean 'db'?",),
    ),
    "a value that is not there": Mistake(
        "- {kind: snippet, name: a, env: {K: {name: mail}}, code: '{{ .K }}'}\n",
        STORED,
        "1:34",
        ("no value 'mail'", "greenflow apply values"),
    ),
    "a field of a value": Mistake(
        "- {kind: snippet, name: a, env: {K: {name: db}}, code: '{{ .K.pasword }}'}\n",
        STORED,
        "1:50",
        ("{{ .K.pasword }} stands for nothing", "it has password, port"),
    ),
    "a field of a value in env": Mistake(
        "- {kind: snippet, name: a, env: {K: {name: db, data: '{{ .pasword }}'}}, code: x}\n",
        STORED,
        "1:34",
        ("stands for nothing", "it has password, port"),
    ),
    "a value that does not fit": Mistake(
        "- {kind: sleep, name: a, env: {K: {name: db}}, interval: '{{ .K.password }}'}\n",
        STORED,
        "1:48",
        ("$.interval",),
    ),
    "a KEY": Mistake(
        "- {kind: snippet, name: a, env: {KEY: {name: db}}, code: '{{ .KYE }}'}\n",
        INVALID,
        "1:52",
        ("env has no 'KYE'; it has KEY",),
    ),
    "a placeholder without env": Mistake(
        "- {kind: snippet, name: a, code: 'to {{ .path }}'}\n",
        STORED,
        "1:28",
        ("{{ .path }} is taken as text, for the spec has no env", "env: {}"),
    ),
    "a placeholder without env inside": Mistake(
        "- kind: block\n  name: a\n  specs:\n  - {kind: snippet, code: '{{ .path }}'}\n",
        STORED,
        "4:21",
        ("{{ .path }} is taken as text",),
    ),
    "a placeholder without env that does not fit": Mistake(
        "- {kind: http, name: a, url: 'http://x/{{ .path }}'}\n",
        INVALID,
        "1:25",
        ("{{ .path }} is taken as text",),
    ),
    "a placeholder without its dot": Mistake(
        "- {kind: snippet, name: a, env: {K: {name: db}}, code: '{{ K }}'}\n",
        STORED,
        "1:50",
        ("{{ K }} is taken as text; did you mean {{ .K }}?",),
    ),
}

VALUES = "{name: db, data: {password: hunter2, port: 5432}}"


def test_there_are_sixty() -> None:
    assert len(MISTAKES) >= 60


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one value."""
    path = tmp_path_factory.mktemp("mistakes") / "values.db"
    with open_store(f"sqlite:///{path}") as store:
        apply_values(store.values, read(VALUES, "-")[0].data, "default", Keys(()))
    return path


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_at_its_place(
    greenflow: Command, tmp_path: Path, database: Path, name: str
) -> None:
    mistake = MISTAKES[name]
    shutil.copy(database, tmp_path / "greenflow.db")
    (tmp_path / "a.yaml").write_text(mistake.text)
    result = greenflow("apply", "a.yaml", "--strict")
    if mistake.code == STORED:
        assert (result.code, result.out) == (STORED, "")
        assert stored(tmp_path) == 0
        strict, result = result, greenflow("apply", "a.yaml")
        assert strict.err == result.err + "nothing was stored\n"
    assert result.code == mistake.code
    assert bool(stored(tmp_path)) == (mistake.code == STORED)
    assert "Traceback" not in result.err
    assert "hunter2" not in result.err
    for said in mistake.said:
        assert said in result.err
    if mistake.place:
        [line] = [line for line in result.err.splitlines() if mistake.said[0] in line]
        assert line.strip().startswith(f"a.yaml:{mistake.place}: ")


def stored(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "greenflow.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM specs").fetchone()[0])
