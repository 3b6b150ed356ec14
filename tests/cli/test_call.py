"""`greenflow call` as users run it."""

from __future__ import annotations

import base64
import signal
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Start, get

SHOP = """\
- {kind: listener, name: web, port: 0, links: {out: {name: total}}}
- {kind: schedule, name: nightly, cron: "0 6 * * *", links: {out: {name: due}, error: {name: log}}}
- {kind: snippet, name: due, language: cel, code: self.due}
- {kind: snippet, name: total, language: cel, code: self.price * self.count}
- {kind: snippet, name: same, language: cel, code: self}
- {kind: snippet, name: blob, language: cel, code: bytes(self)}
- {kind: throw, name: boom}
- {kind: if, name: gate, when: self > 1, links: {"out[0]": {name: same}}}
- {kind: write, name: log, filename: log.txt, append: true}
- {kind: nop, name: hooked, links: {active: {name: log}}}
- {kind: trigger, name: tell, topic: t}
- {kind: trigger, name: hear, topic: t, links: {out: {name: log}}}
- {kind: fork, name: later, links: {out: {name: log}}}
- {kind: call, name: lost, links: {out: {name: nobody}}}
- {kind: test, name: t, links: {out: {name: total}}}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(SHOP)
    return tmp_path


@pytest.mark.parametrize("stored", [False, True])
def test_a_node_answers(greenflow: Command, shop: Path, stored: bool) -> None:
    where = () if stored else ("-f", "shop.yaml")
    if stored:
        applied = greenflow("apply", "-f", "shop.yaml")
        assert applied.code == 5  # `lost` leads to nobody
        assert "will not run:" in applied.err
    (shop / "payload.json").write_text('{"price": 2, "count": 4}')
    for arguments, stdin, out in (
        (("total", '{"price": 2, "count": 3}'), "", "6\n"),
        (("total", "-"), '{"price": 2, "count": 5}', "10\n"),
        (("total", "--input", "payload.json"), "", "8\n"),
        (("total", "--input", "-"), '{"price": 1, "count": 1}', "1\n"),
        (("same",), "", "null\n"),
        (("same", '"text"'), "", '"text"\n'),
        (("blob", '"text"'), "", f'"{base64.b64encode(b"text").decode()}"\n'),
        (("gate", "2", "--port", "in"), "", "2\n"),
        # an event of a source
        (("nightly", '{"due": "now"}'), "", '"now"\n'),
        (("nightly", "{}"), "", None),
        (("web", '{"price": 3, "count": 3}'), "", "9\n"),
    ):
        done = greenflow("call", *arguments, *where, stdin=stdin)
        assert (done.code, done.err) == (0, ""), arguments
        assert out is None or done.out == out
    # The error of the second event of the schedule went to its `error` link; no hook has run.
    assert "no such key" in (shop / "log.txt").read_text()
    assert "hooked" not in (shop / "log.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("boom", '"no money"'), 1, "no money\n"),
        (("boom", '["outer", "inner"]'), 1, "inner, because of outer\n"),
        (("totl",), 1, "no node has the name or id 'totl' in namespace 'default'; did you mean"),
        (("zzz",), 1, "'zzz' in namespace 'default'; there are blob, boom, due, "),
        (("lost",), 1, "it cannot run: links.out: no node 'nobody'"),
        (("t",), 1, "node 't' is a test: run it with `greenflow test`"),
        (("gate", "2", "--port", "other"), 1, "has no in port 'other'"),
        (("total", "{price: 2}"), 2, "the payload: no JSON"),
        (("total", "1", "--input", "-"), 2, "either PAYLOAD or --input"),
        (("total", "--timeout", "soon"), 2, "--timeout"),
        (("total", "--input", "no such file"), 1, "no such file"),
    ],
)
def test_what_goes_wrong_is_said(
    greenflow: Command, shop: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = greenflow("call", *arguments, "-f", "shop.yaml")
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_of_a_store_that_is_empty(greenflow: Command) -> None:
    assert greenflow("apply", "-f", "-", stdin="[]").code == 0
    done = greenflow("call", "a")
    assert (done.code, done.out) == (1, "")
    assert done.err == "no node has the name or id 'a' in namespace 'default'; there is none\n"
    assert greenflow("call", "a", "--values", "x.yaml").code == 2


def test_a_faulty_file_is_told(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{kind: nopp}\n")
    done = greenflow("call", "a", "-f", "a.yaml")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("a.yaml:1:2: $.kind: unknown kind 'nopp'")


def test_values_and_the_environment(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        '- {kind: snippet, name: a, env: {K: {name: k}}, code: "{{ .K.word }}"}\n'
        '- {kind: snippet, name: b, env: {K: {data: "{{ .WORD }}"}}, code: "{{ .K }}"}\n'
    )
    (tmp_path / "values.yaml").write_text("name: k\ndata: {word: horse}\n")
    done = greenflow("call", "a", "-f", "a.yaml", "--values", "values.yaml")
    assert (done.code, done.out) == (0, '"horse"\n')
    done = greenflow("call", "b", "-f", "a.yaml", "--environment", "WORD=battery")
    assert (done.code, done.out) == (0, '"battery"\n')


def test_what_it_begins_is_waited_for(greenflow: Command, shop: Path) -> None:
    for node in ("later", "tell"):
        done = greenflow("call", node, '"hi"', "-f", "shop.yaml")
        assert (done.code, done.out, done.err) == (0, "null\n", "")
    assert (shop / "log.txt").read_text() == "hihi"


def test_a_broker_that_is_shared_delivers_nothing_here(greenflow: Command, shop: Path) -> None:
    """Events are for the service: its triggers may not lose one to a call."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        url = f"redis://127.0.0.1:{broker.getsockname()[1]}/0"
        done = greenflow("call", "later", '"hi"', "-f", "shop.yaml", "--broker-url", url)
        assert (done.code, done.out) == (0, "null\n")
        broker.setblocking(False)
        with pytest.raises(BlockingIOError):
            broker.accept()


def test_a_body_that_is_encoded_is_bytes(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "{kind: wsgi, name: a, app: 'wsgiref.simple_server:demo_app'}\n"
    )
    done = greenflow("call", "a", '{"path": "/"}', "-f", "a.yaml")
    assert (done.code, done.data["status"]) == (0, 200)
    assert base64.b64decode(done.data["body"]).startswith(b"Hello world!")


def test_a_time_that_is_over(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{kind: sleep, name: a, interval: 1h}\n")
    done = greenflow("call", "a", "-f", "a.yaml", "--timeout", "10ms")
    assert (done.code, done.out) == (1, "")
    assert "did not answer within 0.01 s" in done.err


def test_an_interrupt_ends_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("""\
- {kind: snippet, name: a, language: javascript, links: {out: {name: b}},
   code: 'export default () => console.log("it has begun")'}
- {kind: sleep, name: b, interval: 1h}
""")
    running = start("call", "a", "-f", "a.yaml")
    running.line("it has begun")
    assert running.stop(signal.SIGINT) == 130
    assert not any("Traceback" in line for line in running.log)


def test_beside_a_service_of_the_same_store(greenflow: Command, start: Start, shop: Path) -> None:
    """No address is taken twice, and what a workflow stores, the service has."""
    (shop / "more.yaml").write_text("""\
- {kind: listener, name: web, port: 0, links: {out: {name: says}}}
- {kind: snippet, name: says, code: old}
- {kind: syscall, name: change, opcode: nodes.update}
""")
    assert greenflow("apply", "-f", "more.yaml").code == 0
    service = start("run")
    port = service.port()
    assert get(port) == (200, "old")
    done = greenflow("call", "change", '{"name": "says", "code": "new"}')
    assert done.code == 0
    assert done.data[0]["code"] == "new"
    assert greenflow("call", "says").out == '"new"\n'
    assert "listening" not in done.err
    assert service.stop() == 0
