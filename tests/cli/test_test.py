"""`greenflow test` as users run it, and what it makes of results."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest

from greenflow.cli.junit import write_junit
from greenflow.cli.test import Result
from tests.cli.conftest import Command, Start

SHOP = """\
- {kind: listener, name: web, port: PORT, links: {out: {name: checkout}}}
- {kind: watch, name: inbox, path: inbox, links: {out: {name: checkout}}}
- kind: if
  name: checkout
  when: self.total < 100
  links: {out: {name: paid}, "out[1]": {name: no}}
- {kind: snippet, name: paid, language: json, code: '{"status": 201}'}
- {kind: snippet, name: no, language: json, code: '{"status": 402}'}

- {kind: test, name: a small order, links: {out: {name: small}, "out[1]": {name: accepted}}}
- kind: snippet
  name: small
  language: json
  code: '{"total": 10}'
  links: {out: {name: checkout}}
- {kind: assert, name: accepted, expect: self.status == 201, links: {out: {name: asked}}}
- {kind: assert, name: asked, target: {name: checkout}, expect: self.total == 10}
"""

FAILS = """\
- {kind: test, name: a large order, links: {out: {name: large}, "out[1]": {name: refused}}}
- kind: snippet
  name: large
  language: json
  code: '{"total": 1000, "password": "hidden"}'
  links: {out: {name: checkout}}
- {kind: assert, name: refused, expect: self.status == 403}
"""

CASES = """\
specs: shop.yaml
cases:
  - {name: small is accepted, call: checkout, payload: {total: 5}, answer: {status: 201}}
  - {name: large is accepted, call: checkout, payload: {total: 500}, answer: {status: 201}}
"""


def untimed(text: str) -> str:
    return re.sub(r"\d+\.\d+ ?s", "0 s", text)


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A socket that listens, as the service does that runs beside the tests."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_test_nodes_of_a_file(greenflow: Command, tmp_path: Path, taken: socket.socket) -> None:
    """The address of the listener is taken, and nobody minds."""
    (tmp_path / "shop.yaml").write_text(SHOP.replace("PORT", str(taken.getsockname()[1])))
    done = greenflow("test", "-f", "shop.yaml")
    assert (done.code, done.err) == (0, "")
    assert (
        untimed(done.out)
        == "shop.yaml\n  passed  a small order  (0 s)\n1 passed, 0 failed in 0 s\n"
    )


TELLS = """\
- {kind: trigger, name: tell, topic: orders}
- {kind: trigger, name: hear, topic: orders, links: {out: {name: work}}}
- {kind: nop, name: work}
- {kind: test, name: an event, links: {out: {name: tell}}}
"""


def test_a_test_has_nothing_to_do_with_the_broker_of_the_service(
    greenflow: Command, tmp_path: Path, taken: socket.socket
) -> None:
    url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
    (tmp_path / "shop.yaml").write_text(TELLS)
    done = greenflow("test", "-f", "shop.yaml", GREENFLOW_BROKER_URL=url)
    assert (done.code, done.err) == (0, "")
    taken.setblocking(False)
    with pytest.raises(BlockingIOError):  # nobody connected
        taken.accept()


VALUED = """\
- {kind: test, name: the place, links: {out: {name: place}, "out[1]": {name: is}}}
- {kind: snippet, name: place, env: {P: {name: place}}, code: "{{ .P.town }}"}
- {kind: assert, name: is, expect: self == "Seoul"}
"""


def test_values_of_files_go_with_specs_of_files(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(VALUED)
    (tmp_path / "values.yaml").write_text("name: place\ndata: {town: Seoul}\n")
    (tmp_path / "faulty.yaml").write_text("data: {town: Seoul}\n")
    done = greenflow("test", "-f", "flow.yaml", "--values", "values.yaml")
    assert (done.code, done.err) == (0, "")
    assert "passed  the place" in done.out
    assert greenflow("test", "-f", "flow.yaml").code == 3
    done = greenflow("test", "-f", "flow.yaml", "--values", "faulty.yaml")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("faulty.yaml:1:1: $: neither id nor name")
    assert greenflow("test", "-f", "flow.yaml", "--values", "none.yaml").code == 2
    assert greenflow("test", "--values", "values.yaml").code == 2


SECRET = """\
- {kind: test, name: t, links: {out: {name: says}, "out[1]": {name: is}}}
- {kind: snippet, name: says, env: {P: {name: place}}, code: "{{ .P.word }}"}
- {kind: assert, name: is, expect: self == "other"}
- {kind: test, name: u, links: {out: {name: told}}}
- kind: snippet
  name: told
  env: {P: {name: place}}
  code: "{{ .P.word }}"
  links: {out: {name: "no"}}
- {kind: throw, name: "no"}
"""


def test_what_fails_does_not_show_a_value(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(SECRET)
    (tmp_path / "values.yaml").write_text("name: place\ndata: {word: correct horse}\n")
    arguments = ("test", "-f", "flow.yaml", "--values", "values.yaml", "--log-level", "debug")
    for output in ("table", "json"):
        done = greenflow(*arguments, "-o", output, "--junit", "results.xml")
        assert done.code == 3
        assert "***" in done.out
        told = done.out + done.err + (tmp_path / "results.xml").read_text()
        assert "correct horse" not in told


def test_what_fails_says_why(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "shop.yaml").write_text((SHOP + FAILS).replace("PORT", "8000"))
    (tmp_path / "specs" / "shop.flow.yaml").write_text(CASES)
    done = greenflow("test", "-f", "specs", "--junit", "results.xml")
    assert done.code == 3
    assert (
        untimed(done.out)
        == """\
specs/shop.yaml
  passed  a small order  (0 s)
  FAILED  a large order  (0 s)
          assert failed
          expected `self.status == 403` of what came, which is {"status": 402}
          in node 'refused'
specs/shop.flow.yaml
  passed  small is accepted  (0 s)
  FAILED  large is accepted  (0 s)
          specs/shop.flow.yaml:4:70: large is accepted: the answer is not as expected \
(- expected, + found)
            {
          -   "status": 201
          +   "status": 402
            }
2 passed, 2 failed in 0 s
"""
    )
    root = xml.parse(tmp_path / "results.xml").getroot()
    assert [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in root] == [
        ("specs/shop.yaml", "2", "1"),
        ("specs/shop.flow.yaml", "2", "1"),
    ]
    _, large = root[0]
    assert (large.get("file"), large.get("line")) == ("specs/shop.yaml", "18")
    assert large[0].tag == "failure"
    assert large[0].get("message", "").startswith("assert failed: expected `self.status == 403`")
    assert "in node 'refused'" in (large[0].text or "")


def test_of_a_store_and_what_a_test_stores_is_not_stored(greenflow: Command) -> None:
    specs = """\
- {kind: test, name: t, links: {out: {name: made}, "out[1]": {name: check}}}
- kind: snippet
  name: made
  language: json
  code: '[{"kind": "nop", "name": "new"}]'
  links: {out: {name: create}}
- {kind: syscall, name: create, opcode: nodes.create}
- {kind: assert, name: check, expect: 'self[0].name == "new"'}
- {kind: fork, name: broken, links: {out: {name: lost}}}
- {kind: test, name: u, links: {out: {name: broken}}}
"""
    assert greenflow("apply", "-f", "-", stdin=specs).code == 5  # `broken` leads to nobody
    done = greenflow("test", "-o", "json")
    assert done.code == 3
    results = [(one["source"], one["name"], one["reason"]) for one in done.data]
    inactive = (
        "it cannot run: links.out: node 'broken' is inactive\n"
        "broken: links.out: no node 'lost' in namespace 'default'"
    )
    assert results == [("namespace default", "t", None), ("namespace default", "u", inactive)]
    assert done.err.count("no node 'lost'") == 1  # and not once for each test
    assert greenflow("get", "new").code == 1


@pytest.mark.parametrize("regex", ["small", "^a s.*r$"])
def test_a_regex_chooses_by_name(greenflow: Command, tmp_path: Path, regex: str) -> None:
    (tmp_path / "shop.yaml").write_text((SHOP + FAILS).replace("PORT", "8000"))
    done = greenflow("test", regex, "-f", "shop.yaml")
    assert done.code == 0
    assert "1 passed, 0 failed" in done.out


def test_a_folder_may_hold_nothing_but_cases(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP.replace("PORT", "8000"))
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "a.flow.yaml").write_text(CASES.replace("shop.yaml", "../shop.yaml"))
    done = greenflow("test", "small", "-f", "cases", "-f", "shop.yaml", "-o", "yaml")
    assert done.code == 0
    sources = [line for line in done.out.splitlines() if "source" in line]
    assert sources == ["- source: shop.yaml", "- source: cases/a.flow.yaml"]


def test_without_a_test_nothing_has_passed(greenflow: Command) -> None:
    done = greenflow("test", "large", "-f", "-", stdin=SHOP.replace("PORT", "0"))
    assert (done.code, done.out) == (1, "")
    assert done.err == "no test of - has 'large' in its name; there are 'a small order'\n"
    done = greenflow("test", "-f", "-", stdin="[]")
    assert done.code == 1
    assert done.err == "no test in -: write a node of kind test, or a *.flow.yaml\n"


def test_faults_of_all_files_are_told_before_anything_runs(
    greenflow: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text("{kind: tst}")
    (tmp_path / "a.flow.yaml").write_text("specs: 5\n")
    done = greenflow("test", "-f", ".")
    assert (done.code, done.out) == (3, "")
    assert "./a.flow.yaml:1:1: $.cases: missing" in done.err
    assert "./a.yaml:1:2: $.kind: unknown kind 'tst'" in done.err


def test_usage(greenflow: Command) -> None:
    for arguments in (["("], ["--timeout", "soon"], ["-f", "lost.yaml"], ["-f", "lost.flow.yaml"]):
        done = greenflow("test", *arguments)
        assert (done.code, done.out) == (2, "")


def test_an_interrupt_ends_it_and_keeps_the_results(start: Start, tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text("""\
- {kind: test, name: quick, links: {out: {name: a}}}
- {kind: nop, name: a}
- {kind: test, name: long, timeout: 1h, links: {out: {name: b}}}
- {kind: snippet, name: b, language: json, code: 'null', links: {out: {name: says}}}
- {kind: snippet, name: says, language: javascript, links: {out: {name: c}},
   code: 'export default () => console.log("it has begun")'}
- {kind: sleep, name: c, interval: 1h}
""")
    running = start("test", "-f", "long.yaml", "--junit", "results.xml")
    running.line("it has begun")
    assert running.stop(signal.SIGINT) == 130
    assert "interrupted: 1 of 2 tests were run" in running.log
    assert not any("Traceback" in line for line in running.log)
    assert len(xml.parse(tmp_path / "results.xml").getroot()[0]) == 1


# -- in this process -------------------------------------------------------------------------------


class Named:
    """A test that is already over."""

    def __init__(self, name: str) -> None:
        self.name, self.source, self.line = name, "a.yaml", 0

    def run(self) -> None:
        raise NotImplementedError


def test_any_text_can_stand_in_the_xml(tmp_path: Path) -> None:
    """What XML has no form for is replaced, and secrets are hidden."""
    odd = "a\0<b>&\"'\x1b[0m\ud800\ufffe ]]> é\n"
    reason = f"{odd}password=hunter22 mongodb://me:hunter22@host/"
    file = tmp_path / "results.xml"
    write_junit(str(file), [Result(Named(odd), 0.5, reason), Result(Named("b"), 0.25, "")])
    root = xml.parse(file).getroot()
    assert root.attrib == {
        "name": "greenflow", "tests": "2", "failures": "1", "errors": "0", "skipped": "0",
        "time": "0.750",
    }  # fmt: skip
    case = root[0][0]
    assert case.get("name") == "a\ufffd<b>&\"'\ufffd[0m\ufffd\ufffd ]]> é\n"
    assert "hunter22" not in file.read_text()
    assert json.dumps(case[0].text).count("\\ufffd") == 4
