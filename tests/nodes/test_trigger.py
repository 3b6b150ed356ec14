"""trigger in one runtime (BEHAVIOUR 14): events in memory, and the events `load` and `unload`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import BrokerMisconfigured, GreenflowError, messages
from greenflow.runtime import Runtime
from tests.flows import Flow, flow
from tests.waiting import until

EVENTS = """
- {kind: trigger, name: publish, topic: orders}
- {kind: trigger, name: first, topic: orders, links: {out: {name: a}, error: {name: e}}}
- {kind: trigger, name: second, topic: orders, links: {out: {name: b}}}
- {kind: probe, name: a}
- {kind: probe, name: b}
- {kind: probe, name: e}
"""


def idle(running: Flow) -> None:
    until(lambda: not running.runtime.services.processes)


def test_each_subscriber_gets_an_event_in_a_process_of_its_own() -> None:
    with flow(EVENTS) as running:
        assert running.call("publish", {"sku": "A1"}) is None
        idle(running)
        assert running.probes.of("a") == running.probes.of("b") == [{"sku": "A1"}]
        one, other = running.probes.processes
        assert one is not other
        assert one.parent is other.parent is None


def test_in_answers_at_once_while_the_workflows_run() -> None:
    with flow(EVENTS) as running:
        running.probes.gates["a"] = Event()
        for number in range(3):
            assert running.call("publish", number) is None
        until(lambda: len(running.probes.of("a")) == 3)
        assert running.runtime.table.find("first").version.node.in_flight == 3  # type: ignore[union-attr]
        running.probes.gates["a"].set()
        idle(running)


def test_null_and_any_other_value_is_an_event() -> None:
    values: list[Any] = [None, 0, "", [], {}, b"x", ValueError("v")]
    with flow(EVENTS) as running:
        for value in values:
            running.call("publish", value)
        idle(running)
        assert running.probes.of("a") == values


def test_without_subscribers_an_event_is_lost() -> None:
    with flow("{kind: trigger, name: publish, topic: orders}") as running:
        assert running.call("publish", 1) is None
        added = [
            {"kind": "trigger", "name": "late", "topic": "orders", "links": {"out": {"name": "a"}}},
            {"kind": "probe", "name": "a"},
        ]
        records = running.runtime.operations.apply(added)
        running.followed(records[-1].revision)
        running.call("publish", 2)
        idle(running)
        assert running.probes.of("a") == [2]


def test_another_topic_is_not_heard() -> None:
    with flow(EVENTS + "\n- {kind: trigger, name: other, topic: invoices}") as running:
        running.call("other", 1)
        idle(running)
        assert running.probes.seen == []


RAISES = """
- {kind: trigger, name: publish, topic: orders}
- {kind: trigger, name: first, topic: orders, links: {out: {name: a}LINK}}
- {kind: probe, name: a, raises: sold out, resource: true}
- {kind: probe, name: e, answer: handled}
"""


def test_an_error_without_link_is_logged_once_and_fails_its_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with flow(RAISES.replace("LINK", "")) as running:
        running.call("publish", "secret payload")
        idle(running)
        assert running.probes.of("a") == ["secret payload", "opened", "rolled back"]
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "sold out" in record.getMessage()
    assert (record.__dict__["node"], record.__dict__["source"]) == ("a", "first")
    assert "secret payload" not in caplog.text


def test_an_error_goes_to_the_error_link(caplog: pytest.LogCaptureFixture) -> None:
    with flow(RAISES.replace("LINK", ", error: {name: e}")) as running:
        running.call("publish", 1)
        idle(running)
        (error,) = running.probes.of("e")
        assert "sold out" in str(error.__cause__)
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def test_a_process_that_exits_in_the_middle_leaves_the_others_alone() -> None:
    with flow(EVENTS) as running:
        running.probes.gates["a"] = Event()
        running.call("publish", 1)
        until(lambda: bool(running.probes.of("a") and running.probes.of("b")))
        (process,) = running.runtime.services.processes
        process.exit()
        running.probes.gates["a"].set()
        running.call("publish", 2)
        idle(running)
        assert running.probes.of("a") == [1, 2]


def test_an_event_does_not_see_the_variables_of_its_publisher() -> None:
    variable = ContextVar("variable", default="nothing")
    seen = []
    with flow(EVENTS) as running:
        broker = running.runtime.services.broker
        subscription = broker.subscribe("orders", "x", lambda *_: seen.append(variable.get()))
        subscription.start()
        token = variable.set("the publisher's")
        running.call("publish", 1)
        variable.reset(token)
        idle(running)
        subscription.stop()
    assert seen == ["nothing"]


def test_a_changed_trigger_follows_its_new_topic_and_ends_what_is_under_way() -> None:
    with flow(EVENTS + "\n- {kind: trigger, name: other, topic: invoices}") as running:
        running.probes.gates["a"] = Event()
        running.call("publish", "old")
        until(lambda: bool(running.probes.of("a")))
        (record,) = running.runtime.operations.update({"name": "first", "topic": "invoices"})
        running.followed(record.revision)
        running.call("publish", "missed")
        running.call("other", "new")
        until(lambda: len(running.probes.of("a")) == 2)
        running.probes.gates["a"].set()
        idle(running)
        assert running.probes.of("a") == ["old", "new"]
        assert running.probes.of("b") == ["old", "missed"]


LIFECYCLE = """
- {kind: trigger, name: loads, topic: load, links: {out: {name: l}}}
- {kind: trigger, name: unloads, topic: unload, links: {out: {name: u}}}
- {kind: probe, name: l}
- {kind: probe, name: u}
- {kind: nop, name: n, annotations: {a: 1}}
"""


def names(payloads: list[Any]) -> list[str]:
    return sorted(payload["name"] for payload in payloads)


def test_load_and_unload_carry_the_spec_of_each_symbol() -> None:
    with flow(LIFECYCLE) as running:
        idle(running)
        # Triggers of one change hear of all symbols of that change, also of themselves.
        assert names(running.probes.of("l")) == ["l", "loads", "n", "u", "unloads"]
        (spec,) = [each for each in running.probes.of("l") if each["name"] == "n"]
        assert (spec["kind"], spec["namespace"], spec["annotations"]) == (
            "nop",
            "default",
            {"a": 1},
        )
        assert running.probes.of("u") == []
        running.probes.seen.clear()
        (record,) = running.runtime.operations.update({"name": "n", "annotations": {"a": 2}})
        running.followed(record.revision)
        idle(running)
        assert [each["annotations"] for each in running.probes.of("l")] == [{"a": 2}]
        assert [each["annotations"] for each in running.probes.of("u")] == [{"a": 1}]
        running.probes.seen.clear()
        running.runtime.operations.delete({"name": "n"})
        until(lambda: names(running.probes.of("u")) == ["n"])
        assert running.probes.of("l") == []


def test_a_symbol_that_becomes_inactive_is_unloaded_and_one_that_becomes_active_loaded() -> None:
    caller = "\n- {kind: call, name: c, links: {'out[0]': {name: n}}}"
    with flow(LIFECYCLE + caller) as running:
        idle(running)
        running.probes.seen.clear()
        running.runtime.operations.delete({"name": "n"})
        until(lambda: names(running.probes.of("u")) == ["c", "n"])
        running.runtime.operations.apply({"kind": "nop", "name": "n"})
        until(lambda: names(running.probes.of("l")) == ["c", "n"])


PUBLISHES = """
- {kind: trigger, name: publish, topic: orders}
- {kind: nop, name: n, links: {init: {name: publish}}}
- {kind: trigger, name: first, topic: orders, links: {out: {name: a}}}
- {kind: probe, name: a}
"""


def test_what_a_load_hook_publishes_reaches_a_trigger_of_the_same_change() -> None:
    with flow(PUBLISHES) as running:
        idle(running)
        assert names(running.probes.of("a")) == ["n"]


def test_ten_thousand_events_are_under_way_at_once() -> None:
    with flow(EVENTS) as running:
        running.probes.gates["a"] = Event()
        node = running.runtime.table.find("publish").version.node
        for number in range(10_000):
            running.runtime.services.broker.publish("orders", number)
        until(lambda: len(running.probes.seen) == 20_000)
        assert node is not None
        running.probes.gates["a"].set()
        idle(running)
        assert sorted(running.probes.of("b")) == list(range(10_000))


def test_a_runtime_that_stops_gives_what_is_under_way_the_grace() -> None:
    with flow(EVENTS) as running:
        running.probes.gates["a"] = Event()
        running.call("publish", 1)
        until(lambda: bool(running.probes.of("a")))
        gevent.spawn_later(0.01, running.probes.gates["a"].set)
        (process,) = running.runtime.services.processes
    assert process.error is None


@pytest.mark.parametrize("topic", ["", None, 7.5])
def test_a_topic_is_a_text(topic: Any) -> None:
    with Runtime("memory://") as runtime, pytest.raises(GreenflowError) as raised:
        runtime.operations.apply({"kind": "trigger", "name": "t", "topic": topic})
    assert "$.topic" in ": ".join(messages(raised.value))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("kafka://", "no such broker; installed are: amqp://"),
        ("sqs://user:secret@", "sqs://***@: there is no region"),
        ("orders", "no such broker"),
        ("memory://somewhere", "write memory:// and nothing more"),
        ("redis://user:secret@host:port/0", "redis://***@host:port/0"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused_at_the_start(url: str, reason: str) -> None:
    from greenflow.config import BrokerSettings, Settings

    runtime = Runtime("memory://", settings=Settings(broker=BrokerSettings(url=url)))
    with pytest.raises(BrokerMisconfigured) as raised:
        runtime.start()
    assert reason in str(raised.value)
    assert "secret" not in str(raised.value)
