"""greenflow.testing.flow: specs in memory, what passed, nodes replaced, listeners asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
import trustme
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow import Fault, Runtime, Scheme
from greenflow.config import Settings
from greenflow.engine.declaring import node
from greenflow.engine.node import Context
from greenflow.errors import GreenflowError, Inactive, SpecInvalid
from greenflow.spec.batch import Faulty
from greenflow.testing import LeftBehind, flow, sequence

SHOP = """
- {kind: listener, name: web, port: 8000, links: {out: {name: checkout}}}
- {kind: try, name: checkout, links: {out: {name: payment}, error: {name: sorry}}}
- {kind: snippet, name: payment, language: json, code: '{"paid": true}'}
- {kind: snippet, name: sorry, language: json, code: '{"status": 402, "body": "no"}'}
"""


def test_values_are_handed_over_by_name() -> None:
    spec = {"kind": "snippet", "name": "a", "env": {"K": {"name": "db"}}, "code": "{{ .K.user }}"}
    with flow(spec, values={"db": {"user": "shop"}}) as running:
        assert running.call("a") == "shop"
    with pytest.raises(Inactive, match="no value 'db'"), flow(spec):
        pass


def test_specs_are_a_file_a_text_a_spec_or_a_list(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    single = {"kind": "snippet", "name": "payment", "language": "json", "code": '{"paid": true}'}
    for specs in (SHOP, file, str(file), tmp_path, single, [single], [file]):
        with flow(specs) as shop:
            assert shop.call("payment") == {"paid": True}


def test_faults_of_specs_are_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(Faulty, match=r"^specs:2:4: \$\.kind: unknown"), flow("\n- {kind: snipet}"):
        pass
    with pytest.raises(SpecInvalid), flow({"kind": "snipet"}):
        pass
    lost = {"kind": "snippet", "name": "a", "links": {"out": {"name": "b"}}}
    with pytest.raises(Inactive, match=r"a: links\.out: no node 'b'"), flow(lost):
        pass


def test_specs_of_another_namespace_are_not_left_out_silently() -> None:
    specs = {"kind": "nop", "name": "a", "namespace": "shop"}
    with pytest.raises(Inactive, match="shop; the flow runs 'default'"), flow(specs):
        pass
    with flow(specs, settings=Settings(namespace="shop")) as running:
        assert running.call("a") is None


def test_what_passed_is_kept_in_order_by_node_and_port() -> None:
    with flow(SHOP, replace={"payment": ValueError("broke")}) as shop:
        shop.call("checkout", 1)
        shop.call("checkout", 2)
        assert shop.passed("checkout") == shop.passed("checkout", "out[0]") == [1, 2]
        assert [str(error) for error in shop.passed("checkout", "error")] == ["broke", "broke"]
        assert shop.passed("payment", "out") == []
        assert shop.passed("sorry", "out") == [{"status": 402, "body": "no"}] * 2
        assert [(p.node, p.port) for p in shop.record[:4]] == [
            ("checkout", "in"),
            ("checkout", "out"),
            ("payment", "in"),
            ("checkout", "error"),
        ]
        each = len(shop.record) // 2
        assert len({p.process for p in shop.record[:each]}) == 1
        assert len({p.process for p in shop.record}) == 2
        with pytest.raises(LookupError, match="no node 'nobody'; there are checkout, payment"):
            shop.passed("nobody")


def test_every_way_out_of_a_node_is_seen() -> None:
    @node("several", outputs=("out[i]",))
    def several(ctx: Context, payload: Any) -> Any:
        ctx.call("out[2]", "called")
        yield ctx.to("out[1]", "second")
        yield "first"
        yield from (ctx.to("error", ValueError("third")) for _ in range(payload))

    scheme = Scheme.installed()
    scheme.register(several)
    specs = """
- {kind: several, name: a, links: {"out[1]": {name: b}}}
- {kind: split, name: b}
"""
    with flow(specs, scheme=scheme) as running:
        assert running.call("a", 0) == "first"
        assert running.passed("a", "out") == ["first"]
        assert running.passed("a", "out[1]") == running.passed("b") == ["second"]
        assert running.passed("a", "out[2]") == ["called"]


def test_a_block_and_what_is_in_it_are_seen_alike() -> None:
    specs = """
- kind: block
  name: a
  specs:
    - {kind: snippet, name: b, language: cel, code: self + 1}
    - {kind: snippet, name: c, language: cel, code: self * 10}
"""
    with flow(specs) as running:
        assert running.call("a", 1) == 20
        assert (running.passed("a"), running.passed("b"), running.passed("c")) == ([1], [1], [2])
        assert running.passed("a", "out") == running.passed("c", "out") == [20]
    with flow(specs, replace={"c": lambda payload: payload + 5}) as running:
        assert running.call("a", 1) == 7


def test_a_replaced_node_keeps_its_ports_and_links() -> None:
    specs = """
- {kind: if, name: a, when: self, links: {out: {name: b}, error: {name: c}}}
- {kind: snippet, name: b, code: yes it is}
- {kind: snippet, name: c, code: an error}
"""
    with flow(specs, replace={"a": lambda payload: payload}) as running:
        assert running.call("a", False) == "yes it is"
    for error in (ValueError, ValueError("no")):
        with flow(specs, replace={"a": error}) as running:
            assert running.call("a", True) == "an error"
    unknown = pytest.raises(LookupError, match="no node to replace is called 'z'")
    with unknown, flow(specs, replace={"z": 1}):
        pass


def test_a_replaced_node_without_out_port_answers() -> None:
    with flow({"kind": "throw", "name": "a"}, replace={"a": 7}) as running:
        assert running.call("a", "boom") == 7


def test_a_sequence_goes_on_step_by_step_and_its_last_stays() -> None:
    steps = sequence(1, ValueError("two"), lambda payload: payload * 3)
    with flow({"kind": "nop", "name": "a"}, replace={"a": steps}) as running:
        assert running.call("a", 5) == 1
        with pytest.raises(ValueError, match="two"):
            running.call("a", 5)
        assert running.call("a", 5) == running.call("a", 5) == 15
    with pytest.raises(ValueError, match="at least one step"):
        sequence()


def test_what_a_replacement_and_a_test_hold_is_not_what_travels() -> None:
    constant = {"list": [1]}
    with flow({"kind": "nop", "name": "a"}, replace={"a": constant}) as running:
        running.call("a", [1])["list"].append(2)
        running.passed("a")[0].append(2)
        assert running.call("a", [1]) == {"list": [1]}
        assert running.passed("a") == [[1], [1]]


def test_a_listener_is_asked_over_its_socket() -> None:
    with flow(SHOP, replace={"payment": {"body": {"paid": True}}}) as shop:
        response = shop.request("POST", "/orders", {"total": 10})
        assert (response.status, response.body) == (200, {"paid": True})
        assert response.header["content-type"].startswith("application/json")
        (payload,) = shop.passed("checkout")
        assert (payload["path"], payload["body"]) == ("/orders", {"total": 10})
        assert shop.request("GET", "/", listener="web").status == 200
        with pytest.raises(LookupError, match="There are web"):
            shop.request("GET", "/", listener="other")


def test_a_listener_elsewhere_is_asked_here(tmp_path: Path) -> None:
    specs = [
        {
            "kind": "listener",
            "name": "a",
            "host": f"unix:{tmp_path}/socket",
            "links": {"out": {"name": "pong"}},
        },
        {"kind": "listener", "name": "b", "host": "192.0.2.1", "port": 80},
        {"kind": "snippet", "name": "pong", "code": "pong"},
    ]
    with flow(specs) as running:
        assert running.request("GET", "/", listener="b").status == 200
        assert running.request("GET", "/", listener="a").body == "pong"
    assert not (tmp_path / "socket").exists()


def test_a_listener_with_a_certificate_is_asked_too() -> None:
    pair = trustme.CA().issue_cert("127.0.0.1")
    cert = b"".join(blob.bytes() for blob in pair.cert_chain_pems).decode()
    tls = {"cert": cert, "key": pair.private_key_pem.bytes().decode()}
    specs = [
        {"kind": "listener", "port": 8443, "tls": tls, "links": {"out": {"name": "pong"}}},
        {"kind": "snippet", "name": "pong", "code": "pong"},
    ]
    with flow(specs) as running:
        assert running.request("GET", "/").body == "pong"


def test_what_comes_later_is_waited_for() -> None:
    gate = Event()

    def slow(payload: Any) -> Any:
        gate.wait()
        return payload

    specs = """
- {kind: fork, name: a, links: {out: {name: b}}}
- {kind: snippet, name: b, links: {out: {name: c}}}
- {kind: nop, name: c}
"""
    with flow(specs, replace={"b": slow}) as running:
        assert running.call("a", 1) is None
        assert running.passed("c") == []
        gevent.spawn(gate.set).join()
        assert running.passed("c", count=1) == [1]
        running.settle()
        assert not running.runtime.services.processes


def test_what_never_comes_is_an_error_that_says_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenflow.testing.running.SECONDS", 0.01)
    with flow({"kind": "nop", "name": "a"}) as running:
        running.call("a", "x")
        with pytest.raises(AssertionError, match=r"1 of 2 packets passed 'a' by 'in'.*\['x'\]"):
            running.passed("a", count=2)


KINDS = ("call", "fork", "loop", "nop", "snippet", "throw", "try")


@given(st.data())
@settings(max_examples=30)
def test_a_graph_answers_as_it_does_elsewhere(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    specs: list[dict[str, Any]] = []
    for i in range(count):
        later = (
            st.lists(st.integers(i + 1, count - 1), max_size=3) if i + 1 < count else st.just([])
        )
        links = [{"name": f"n{target}"} for target in data.draw(later)]
        kind = data.draw(
            st.sampled_from(["call", "fork", "loop", "nop", "snippet", "throw", "try"])
        )
        code = {"language": "cel", "code": "[self, 1]"} if kind == "snippet" else {}
        out = {} if kind in ("nop", "throw") else {"out": links}
        specs.append({"kind": kind, "name": f"n{i}", "links": out, **code})

    def answer(call: Callable[[str, Any], Any]) -> Any:
        try:
            return call("n0", "x")
        except Exception as error:
            return type(error), str(error)

    with Runtime("memory://", specs=specs) as runtime:
        wanted = answer(runtime.call)
    with flow(specs, leaks=False) as running:
        assert answer(running.call) == wanted
        assert running.passed("n0") == ["x"]


NOP = {"kind": "nop", "name": "a"}


def test_what_is_left_behind_fails_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenflow.testing.leaks.SECONDS", 0.05)
    gate = Event()

    def leave() -> gevent.Greenlet[..., Any]:
        left = gevent.spawn(gate.wait)
        gevent.sleep(0)
        return left

    with pytest.raises(LeftBehind, match="greenlets: 1"), flow(NOP):
        first = leave()
    with flow(NOP, leaks=False):
        second = leave()
    gate.set()
    gevent.joinall([first, second])
    monkeypatch.undo()


def test_a_process_that_had_to_be_ended_is_left_behind() -> None:
    specs = """
- {kind: fork, name: a, links: {out: {name: b}}}
- {kind: sleep, name: b, interval: 1h}
"""
    ended = pytest.raises(LeftBehind, match=r"1 process\(es\) did not end within the grace")
    with ended, flow(specs, settings=Settings(grace=0.01)) as running:
        running.call("a")
        running.passed("b", count=1)


def test_errors_and_timeouts_of_calls_are_those_of_a_runtime() -> None:
    specs = "- {kind: throw, name: a}\n- {kind: sleep, name: b, interval: 1h}"
    with flow(specs) as running:
        with pytest.raises(GreenflowError, match="boom"):
            running.call("a", "boom")
        with pytest.raises(TimeoutError, match=r"0\.01 s"):
            running.call("b", timeout=0.01)
        assert not isinstance(running.call("a"), Fault)
