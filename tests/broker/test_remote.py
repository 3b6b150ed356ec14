"""Events over real servers: each subscriber gets each, one runtime of several does, and what fails
is delivered again until it is a dead letter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import gevent
import pytest
import redis
from gevent.event import Event
from pymongo import MongoClient

from greenflow.broker import consuming
from greenflow.broker.amqp import AmqpTransport
from greenflow.broker.mongo import MongoTransport
from greenflow.broker.redis import RedisTransport
from greenflow.broker.sqs import SqsTransport
from greenflow.broker.transport import Posting, Queue, Transport
from greenflow.config import BrokerSettings
from greenflow.errors import BrokerMisconfigured, BrokerUnavailable, InvalidArgument
from greenflow.payload.origin import origin_of
from greenflow.payload.stream import Stream
from tests import brokers
from tests.flows import Flow, flow
from tests.ports import free_port
from tests.waiting import until

KINDS = [pytest.param(kind, id=f"broker-{kind}") for kind in ("redis", "rabbitmq", "mongo", "sqs")]
both = pytest.mark.parametrize("kind", KINDS[:2])
every = pytest.mark.parametrize("kind", KINDS)


class Bench:
    """A server, and a namespace on it for one test."""

    def __init__(self, server: brokers.Place) -> None:
        self.server, self.namespace = server, brokers.namespace()

    @contextmanager
    def flow(self, text: str, **settings: Any) -> Iterator[Flow]:
        chosen = {"backoff": 0.01, "deliveries": 3, "expires": 60.0, **settings}
        grace = chosen.pop("grace", 5.0)
        broker = BrokerSettings(url=self.server.url, **chosen)
        with flow(text, grace, namespace=self.namespace, broker=broker) as running:
            yield running

    def put(self, topic: str, subscriber: str, body: bytes, content_type: str) -> None:
        """What another program may write into a queue."""
        settings = BrokerSettings(url=self.server.url, expires=60.0)
        kinds: dict[str, type[Transport]] = {
            "redis": RedisTransport,
            "amqp": AmqpTransport,
            "mongodb": MongoTransport,
            "sqs": SqsTransport,
        }
        kind: Any = kinds[self.server.url.partition(":")[0]]
        transport = kind(self.server.url, self.namespace, settings)
        producer = transport.producer()
        queue = Queue(topic, subscriber, kept=not subscriber)
        producer.publish([Posting(topic, body, content_type, queue)])
        producer.close()
        transport.close()


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that look more often than they do."""
    monkeypatch.setattr("greenflow.broker.consuming.TICK", 0.01)
    monkeypatch.setattr("greenflow.broker.sqs.transport.WAIT_SECONDS", 0)
    monkeypatch.setattr("greenflow.broker.sqs.transport.LOOK_SECONDS", 0.0)


@pytest.fixture
def bench(kind: str, request: pytest.FixtureRequest) -> Bench:
    if kind == "mongo":
        request.getfixturevalue("hurried")
    return Bench(brokers.server(kind))


PUBLISH = """
- {kind: trigger, name: publish, topic: orders}
"""
AT_ONCE = """
- {kind: trigger, name: publish, topic: orders, when: now}
"""
RECEIVE = """
- {kind: trigger, name: first, topic: orders, links: {out: {name: a}}}
- {kind: probe, name: a}
"""
SECOND = """
- {kind: trigger, name: second, topic: orders, links: {out: {name: b}}}
- {kind: probe, name: b}
"""
DEAD = """
- {kind: trigger, name: dead, topic: dead, links: {out: {name: letters}}}
- {kind: probe, name: letters}
"""


@every
def test_each_subscriber_gets_each_event_as_it_was(bench: Bench) -> None:
    payload = {
        "null": None,
        "most": 2**64 - 1,
        "raw": b"\x00\xff",
        "when": datetime(2024, 2, 29, 12, tzinfo=UTC),
        "list": [1.5, True, "ü"],
    }
    with bench.flow(PUBLISH + RECEIVE + SECOND) as running:
        assert running.call("publish", payload) is None
        assert running.call("publish", ValueError("sold out")) is None
        until(lambda: len(running.probes.of("a")) == len(running.probes.of("b")) == 2)
        for name in "ab":
            first, second = running.probes.of(name)
            assert first == payload
            assert str(second) == "sold out"


@both
def test_a_large_event_is_decoded_while_others_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [{"id": number, "text": "ä"} for number in range(20_000)]
    monkeypatch.setattr("greenflow.hub.breathing.STRETCH", -1.0)
    with bench.flow(PUBLISH + RECEIVE + DEAD) as running:
        running.call("publish", large)
        running.call("publish", 1)
        until(lambda: len(running.probes.of("a")) == 2)
        assert sorted(running.probes.of("a"), key=str) == [1, large]
        bench.put("orders", "first", b"\xc1" * consuming.LARGE, "application/msgpack")
        until(lambda: running.probes.of("letters"))
        assert running.probes.of("letters")[0]["payload"] == b"\xc1" * consuming.LARGE


@both
def test_a_large_event_that_was_not_handed_out_goes_to_the_next_runtime(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.flow(PUBLISH + RECEIVE) as running:
        decode = consuming.wire.decode

        def never(*arguments: Any) -> None:
            gevent.sleep(600)

        monkeypatch.setattr(consuming.wire, "decode", never)
        running.call("publish", b"x" * consuming.LARGE)
        subscriptions = running.runtime.services.broker._subscriptions
        until(lambda: any(each._retries for each in subscriptions))
    monkeypatch.setattr(consuming.wire, "decode", decode)
    with bench.flow(RECEIVE) as running:
        until(lambda: running.probes.of("a"))


@every
def test_of_several_runtimes_one_gets_an_event(bench: Bench) -> None:
    with bench.flow(PUBLISH + RECEIVE) as one, bench.flow(RECEIVE, prefetch=2) as other:
        gevent.joinall([gevent.spawn(one.call, "publish", n) for n in range(100)], raise_error=True)
        until(lambda: len(one.probes.of("a")) + len(other.probes.of("a")) >= 100)
        assert sorted(one.probes.of("a") + other.probes.of("a")) == list(range(100))
        assert one.probes.of("a")
        assert other.probes.of("a")


@contextmanager
def servers_limit(bench: Bench) -> Iterator[None]:
    """A server that takes 16 MiB, as MongoDB's and RabbitMQ's do."""
    if not bench.server.url.startswith("redis:"):
        yield
        return
    with closing(redis.Redis.from_url(bench.server.url)) as client:
        before = client.config_get("proto-max-bulk-len")
        client.config_set("proto-max-bulk-len", 16 * 1024 * 1024)
        yield
        client.config_set("proto-max-bulk-len", before["proto-max-bulk-len"])


@pytest.mark.parametrize("kind", KINDS[:3])
def test_an_event_that_is_too_large_is_an_error_of_its_packet_alone(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with servers_limit(bench), bench.flow(AT_ONCE + RECEIVE) as running:
        payloads = [*range(5), b"x" * 17_000_000, *range(5, 10)]
        calls = [gevent.spawn(running.call, "publish", payload) for payload in payloads]
        gevent.joinall(calls)
        (error,) = (call.exception for call in calls if call.exception is not None)
        assert isinstance(error, BrokerUnavailable)
        assert re.search(
            r"topic 'orders': the event is too large: 17000005 bytes, the broker takes 167\d{5};",
            str(error),
        )
        origin = origin_of(error)
        assert origin is not None
        assert origin.node == "publish"
        # At least once: what was not confirmed when the server refused is sent again.
        until(lambda: set(running.probes.of("a")) == set(range(10)))
        with pytest.raises(BrokerUnavailable, match="too large"):  # also once the limit is known
            running.call("publish", b"x" * 16_770_000)
        running.call("publish", 10)
        until(lambda: 10 in running.probes.of("a"))
    assert "away" not in caplog.text
    assert len(caplog.text) < 10_000


@every
def test_another_namespace_hears_nothing(bench: Bench) -> None:
    elsewhere = Bench(bench.server)
    with bench.flow(PUBLISH + RECEIVE) as here, elsewhere.flow(RECEIVE + DEAD) as there:
        here.call("publish", 1)
        until(lambda: here.probes.of("a"))
        assert there.probes.seen == []


@every
def test_what_is_published_while_no_runtime_is_there_waits(bench: Bench) -> None:
    with bench.flow(PUBLISH) as running:
        running.call("publish", "nobody has ever asked for it")
    with bench.flow(RECEIVE) as running:
        pass
    with bench.flow(PUBLISH) as running:
        running.call("publish", "kept")
    with bench.flow(RECEIVE) as running:
        until(lambda: running.probes.of("a"))
        assert running.probes.of("a") == ["kept"]


FAILS = """
- {kind: trigger, name: first, topic: orders, links: {out: {name: a}}}
- {kind: probe, name: a, raises: sold out, TIMES}
"""


@every
def test_a_failed_event_is_delivered_again_until_it_goes_well(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with bench.flow(PUBLISH + FAILS.replace("TIMES", "times: 2") + DEAD) as running:
        running.call("publish", {"sku": "A1"})
        until(lambda: len(running.probes.of("a")) == 3)
        until(lambda: not running.runtime.services.processes)
        assert running.probes.of("letters") == []
    said = [each.getMessage() for each in caplog.records if each.name == "greenflow.broker"]
    assert said == [
        "topic 'orders': delivery 1 of 3 failed: the next one is in 0.01 s",
        "topic 'orders': delivery 2 of 3 failed: the next one is in 0.02 s",
    ]
    assert len({process.id for process in running.probes.processes}) == 3
    with bench.flow(RECEIVE) as running:  # and is acknowledged then
        assert running.probes.seen == []


def test_a_dead_letter_says_no_more_than_fits_beside_its_event() -> None:
    for length in (consuming.ERROR, consuming.ERROR + 1, 100_000):
        said = consuming.letter("orders", "first", "x" * length, 3, None)["error"]
        assert len(said) == consuming.ERROR
        assert said.endswith("...") is (length > consuming.ERROR)


@every
def test_an_event_that_always_fails_is_a_dead_letter(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with bench.flow(PUBLISH + FAILS.replace("TIMES", "times: 99")) as running:
        running.call("publish", {"sku": "A1"})
        until(lambda: "goes to the dead letters" in caplog.text)
        assert len(running.probes.of("a")) == 3
    # Nobody had asked for it so far.
    with bench.flow(DEAD) as running:
        until(lambda: running.probes.of("letters"))
        (letter,) = running.probes.of("letters")
        assert isinstance(letter.pop("time"), datetime)
        assert letter == {
            "topic": "orders",
            "trigger": "first",
            "error": "invalid argument: sold out",
            "deliveries": 3,
            "payload": {"sku": "A1"},
        }
    with bench.flow(DEAD) as running:
        assert running.probes.of("letters") == []


@every
def test_each_subscriber_fails_for_itself(bench: Bench) -> None:
    with bench.flow(PUBLISH + FAILS.replace("TIMES", "times: 99") + SECOND + DEAD) as running:
        running.call("publish", 1)
        until(lambda: running.probes.of("letters"))
        assert running.probes.of("b") == [1]


@every
def test_a_dead_letter_is_tried_until_it_goes_well(bench: Bench) -> None:
    failing = DEAD.replace("name: letters}\n", "name: letters, raises: no, times: 4}\n")
    with bench.flow(PUBLISH.replace("orders", "dead") + failing, deliveries=1) as running:
        running.call("publish", "by hand")
        until(lambda: len(running.probes.of("letters")) == 5)
        assert set(running.probes.of("letters")) == {"by hand"}


@every
def test_a_message_that_is_no_payload_is_a_dead_letter(bench: Bench) -> None:
    with bench.flow(RECEIVE + DEAD) as running:
        bench.put("orders", "first", b"\xc1 poison", "application/msgpack")
        bench.put("orders", "first", b"<a/>", "text/xml")
        bench.put("orders", "first", b'{"sku": "A1"}', "application/json")
        bench.put("dead", "", b"\xc1 of others", "application/msgpack")
        until(lambda: len(running.probes.of("letters")) == 3 and running.probes.of("a"))
        assert running.probes.of("a") == [{"sku": "A1"}]
        letters = {each["payload"]: each for each in running.probes.of("letters")}
        assert set(letters) == {b"\xc1 poison", b"<a/>", b"\xc1 of others"}
        assert "malformed" in letters[b"\xc1 poison"]["error"]
        assert letters[b"<a/>"]["topic"] == "orders"


@every
def test_an_error_link_that_answers_makes_an_event_done(bench: Bench) -> None:
    handled = FAILS.replace("{out: {name: a}}", "{out: {name: a}, error: {name: e}}")
    more = "- {kind: probe, name: e, answer: handled}\n"
    with bench.flow(PUBLISH + handled.replace("TIMES", "times: 99") + more) as running:
        running.call("publish", 1)
        until(lambda: running.probes.of("e"))
        until(lambda: not running.runtime.services.processes)
    assert len(running.probes.of("a")) == 1
    with bench.flow(RECEIVE) as running:
        assert running.probes.seen == []


FORKS = """
- {kind: trigger, name: first, topic: orders, links: {out: {name: f}}}
- {kind: fork, name: f, links: {out: {name: a}}}
- {kind: probe, name: a}
"""


@every
def test_an_event_is_done_when_the_children_have_ended(bench: Bench) -> None:
    with bench.flow(PUBLISH + FORKS, grace=0.05) as running:
        running.probes.gates["a"] = Event()
        running.call("publish", 1)
        until(lambda: running.probes.of("a"))
    # The grace was over, and the child was ended: somebody else gets it.
    with bench.flow(RECEIVE) as running:
        until(lambda: running.probes.of("a"))
        assert running.probes.of("a") == [1]
    with bench.flow(RECEIVE) as running:
        assert running.probes.seen == []


SETTLES = """
- {kind: trigger, name: first, topic: orders, links: {out: {name: a}}}
- {kind: python, name: a, call: "tests.broker.committing:hold"}
"""


@every
def test_an_event_whose_commit_fails_is_delivered_again(bench: Bench) -> None:
    from tests.broker import committing

    committing.commits.clear()
    with bench.flow(PUBLISH + SETTLES) as running:
        running.call("publish", 1)
        until(lambda: len(committing.commits) == 2)
        until(lambda: not running.runtime.services.processes)
    assert committing.commits == ["failed", "done"]


@every
def test_a_runtime_that_stops_finishes_what_it_has_and_gives_back_the_rest(bench: Bench) -> None:
    with bench.flow(PUBLISH + RECEIVE, prefetch=4) as running:
        running.probes.gates["a"] = Event()
        for number in range(10):
            running.call("publish", number)
        until(lambda: len(running.probes.of("a")) == 4)
        gevent.spawn_later(0.05, running.probes.gates["a"].set)
    assert running.probes.of("a") == [0, 1, 2, 3]
    with bench.flow(RECEIVE) as running:
        until(lambda: len(running.probes.of("a")) == 6)
        assert sorted(running.probes.of("a")) == [4, 5, 6, 7, 8, 9]


@every
def test_no_more_than_prefetch_are_worked_on(bench: Bench) -> None:
    with bench.flow(PUBLISH + RECEIVE, prefetch=3) as running:
        running.probes.gates["a"] = Event()
        for number in range(8):
            running.call("publish", number)
        until(lambda: len(running.probes.of("a")) == 3)
        gevent.sleep(0.15)  # longer than the worker waits in one go
        assert len(running.probes.of("a")) == 3
        running.probes.gates["a"].set()
        until(lambda: len(running.probes.of("a")) == 8)


@every
def test_an_edited_trigger_misses_nothing_and_gets_nothing_twice(bench: Bench) -> None:
    with bench.flow(PUBLISH + RECEIVE) as running:
        for number in range(50):
            running.call("publish", number)
            if number % 20 == 10:
                patch = {"name": "first", "annotations": {"number": number}}
                (record,) = running.runtime.operations.update(patch)
                running.followed(record.revision)
        until(lambda: len(running.probes.of("a")) >= 50)
        until(lambda: not running.runtime.services.processes)
        assert sorted(running.probes.of("a")) == list(range(50))


@every
def test_what_cannot_travel_is_an_error_of_the_packet(bench: Bench) -> None:
    with bench.flow(PUBLISH) as running:
        with pytest.raises(InvalidArgument):
            running.call("publish", Stream(iter(())))
        assert running.call("publish", "x") is None


@every
def test_load_and_unload_stay_in_their_runtime(bench: Bench) -> None:
    loads = "\n- {kind: trigger, name: loads, topic: load, links: {out: {name: a}}}"
    probe = "\n- {kind: probe, name: a}"
    with bench.flow(loads + probe) as one, bench.flow(loads + probe + PUBLISH) as other:
        until(lambda: len(other.probes.of("a")) == 3)
        until(lambda: len(one.probes.of("a")) == 2)
        gevent.idle()
        assert {each["name"] for each in one.probes.of("a")} == {"loads", "a"}


@every
def test_names_of_any_letters_and_length_are_kept_apart(bench: Bench) -> None:
    long = "x" * 300
    specs = [
        {"kind": "trigger", "name": f"p{n}", "topic": topic}
        for n, topic in enumerate(("a.b", "a", long + "1", long + "2", "ü %.~{}"))
    ]
    subscribers = [
        {**spec, "name": name, "links": {"out": {"name": f"s{n}"}}}
        for n, spec in enumerate(specs)
        for name in (f"b.{n}", long + str(n))
    ]
    probes = [{"kind": "probe", "name": f"s{n}"} for n in range(len(specs))]
    with bench.flow(json.dumps([*specs, *subscribers, *probes])) as running:
        for n in range(len(specs)):
            running.call(f"p{n}", n)
        until(lambda: len(running.probes.seen) == 2 * len(specs))
        for n in range(len(specs)):
            assert running.probes.of(f"s{n}") == [n, n]


@every
def test_publishing_while_the_server_is_away_is_an_error_after_a_while(
    kind: str, hurried: None
) -> None:
    address = f"127.0.0.1:{free_port()}"
    url = {
        "redis": f"redis://{address}/",
        "rabbitmq": f"amqp://{address}/",
        "mongo": f"mongodb://{address}/?serverSelectionTimeoutMS=100",
        "sqs": f"sqs://key:word@eu-central-1?endpoint=http://{address}",
    }[kind]
    broker = BrokerSettings(url=url, timeout=0.2)
    linked = (
        "- {kind: trigger, name: linked, topic: orders, when: now, links: {error: {name: e}}}\n"
    )
    probe = "- {kind: probe, name: e, answer: sorry}\n"
    with flow(PUBLISH + RECEIVE + linked + probe, broker=broker) as running:
        with pytest.raises(BrokerUnavailable) as raised:
            running.call("publish", 1)
        assert "topic 'orders': not published within 0.2 s" in str(raised.value)
        said = "Could not connect to the endpoint" if kind == "sqs" else "refused"
        assert said in str(raised.value)
        assert running.call("linked", 1) == "sorry"


@pytest.mark.parametrize("kind", [pytest.param("redis", id="broker-redis")])
def test_an_event_does_not_pass_by_who_subscribes_beside_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subscriber's connection comes later than the publisher's, as after a server was away."""
    connect, away = RedisTransport.consumer, [True]

    def late(*args: Any) -> Any:
        if away:
            raise ConnectionError("not yet")
        return connect(*args)

    monkeypatch.setattr(RedisTransport, "consumer", late)
    monkeypatch.setattr("greenflow.hub.backoff.FIRST", 0.01)
    raises = pytest.raises(BrokerUnavailable, match=r"'orders': not published within .*: not yet")
    with bench.flow(PUBLISH + RECEIVE, timeout=0.05) as running, raises:
        running.call("publish", 0)
    with bench.flow(PUBLISH + RECEIVE, timeout=60.0) as running:
        early = gevent.spawn(running.call, "publish", 1)
        away.clear()
        assert early.get() is None
        until(lambda: running.probes.of("a") == [1])


def test_a_server_that_was_killed_and_came_back(caplog: pytest.LogCaptureFixture) -> None:
    with closing(brokers.another("redis")) as server:
        kill_server(server, caplog)


def kill_server(server: brokers.Server, caplog: pytest.LogCaptureFixture, age: float = 0.0) -> None:
    """Workflows go on while the server is away; nothing is lost, and what was done stays so. The
    queues are so many seconds old when the server is killed."""
    caplog.set_level("INFO")
    bench = Bench(server)
    with bench.flow(PUBLISH + RECEIVE + SECOND, timeout=60.0) as running:
        gevent.sleep(age)
        running.probes.gates["b"] = Event()
        running.call("publish", 0)
        until(lambda: running.probes.of("a") and running.probes.of("b"))
        server.kill()
        until(lambda: "is away, workflows run on" in caplog.text)
        late = gevent.spawn(running.call, "publish", 1)
        running.probes.gates["b"].set()
        server.start()
        assert late.get() is None
        until(lambda: {0, 1} <= set(running.probes.of("a")) & set(running.probes.of("b")))
        until(lambda: "the broker is back" in caplog.text)
        until(lambda: not running.runtime.services.processes)
        # Only what was in hand of a connection that ended may come twice.
        assert running.probes.of("a").count(1) == 1
    with bench.flow(RECEIVE + SECOND) as running:
        assert running.probes.seen == []


@pytest.mark.parametrize("kind", [pytest.param("redis", id="broker-redis")])
def test_redis_keeps_nothing_of_what_is_done(bench: Bench) -> None:
    import redis

    with bench.flow(PUBLISH + RECEIVE) as running:
        for number in range(50):
            running.call("publish", number)
        until(lambda: len(running.probes.of("a")) == 50)
        with redis.Redis.from_url(bench.server.url) as client:
            prefix = f"{{greenflow:{bench.namespace}}}"
            stream = f"{prefix}:queue.orders.first"
            until(lambda: client.xlen(stream) == 0)
            until(lambda: client.xpending(stream, "greenflow")["pending"] == 0)
            assert 0 < client.pttl(stream) <= 60_000
            assert sorted(client.keys(f"{prefix}*")) == [
                stream.encode(),
                f"{prefix}:topic.orders".encode(),
            ]
            # A queue that is gone gets nothing more.
            client.delete(stream)
            until(lambda: client.exists(stream))  # the consumer has made it anew
            until(lambda: client.sismember(f"{prefix}:topic.orders", "orders.first"))
            running.call("publish", "after")
            until(lambda: "after" in running.probes.of("a"))
    with bench.flow(PUBLISH) as running, redis.Redis.from_url(bench.server.url) as client:
        client.delete(stream)  # as when its time is over
        running.call("publish", "nobody")
        assert client.keys(f"{prefix}*") == []


@pytest.mark.parametrize("kind", [pytest.param("mongo", id="broker-mongo")])
def test_mongodb_keeps_nothing_of_what_is_done_or_over(bench: Bench) -> None:
    with closing(MongoClient[dict[str, Any]](bench.server.url)) as client:
        database = client.get_default_database()
        messages, queues = database["broker_messages"], database["broker_queues"]
        with bench.flow(PUBLISH + RECEIVE + SECOND) as running:
            running.call("publish", 1)
            until(lambda: running.probes.of("a") and running.probes.of("b"))
            until(lambda: messages.count_documents({}) == 0)
        with bench.flow(PUBLISH) as running:
            running.call("publish", 2)
        assert messages.count_documents({}) == 2
        past = {"$set": {"until": datetime(2024, 1, 1, tzinfo=UTC)}}
        queues.update_one({"_id": f"{bench.namespace}.orders.second"}, past)
        with bench.flow(RECEIVE) as running:
            until(lambda: running.probes.of("a") == [2])
            until(lambda: messages.count_documents({}) == 0)
        assert [each["_id"] for each in queues.find()] == [f"{bench.namespace}.orders.first"]


@every
def test_a_message_that_kills_its_runtimes_is_a_dead_letter(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the server knows: each time the runtime is gone before it has answered."""
    monkeypatch.setattr("greenflow.broker.consuming.DEATHS", 1)
    with bench.flow(PUBLISH + RECEIVE, deliveries=2, visibility=1.0, grace=0.01) as running:
        running.probes.gates["a"] = Event()
        running.call("publish", "deadly")
        until(lambda: running.probes.of("a"))
    with bench.flow(RECEIVE, deliveries=2, visibility=1.0, grace=0.01) as running:
        running.probes.gates["a"] = Event()
        until(lambda: running.probes.of("a"))
    with bench.flow(RECEIVE + DEAD, deliveries=2, visibility=1.0) as running:
        until(lambda: running.probes.of("letters"))
        assert running.probes.of("a") == []
        (letter,) = running.probes.of("letters")
        assert (letter["error"], letter["payload"]) == (
            "delivered 2 times, and never answered",
            "deadly",
        )


def test_a_visibility_that_is_too_short_is_refused() -> None:
    with pytest.raises(BrokerMisconfigured) as raised:
        RedisTransport("redis://127.0.0.1", "default", BrokerSettings(visibility=0.5))
    assert "broker.visibility: 0.5 s is too short; at least 1 s" in str(raised.value)


def test_what_is_delivered_again_and_what_is_dead_is_counted() -> None:
    from prometheus_client import REGISTRY

    bench = Bench(brokers.server("redis"))
    with bench.flow(PUBLISH + FAILS.replace("TIMES", "times: 99") + DEAD) as running:
        running.call("publish", 1)
        until(lambda: running.probes.of("letters"))
    labels = {"namespace": bench.namespace, "topic": "orders", "node": "first"}
    for name, count in (("redelivered", 2.0), ("dead_letters", 1.0)):
        assert REGISTRY.get_sample_value(f"greenflow_broker_{name}_total", labels) == count


def test_a_program_that_is_not_patched_and_has_no_hub() -> None:
    """The runtime has a thread of its own, and the client library threads of theirs."""
    script = f"""
        import threading
        from greenflow import Runtime, Settings
        from greenflow.config import BrokerSettings
        seen = threading.Event()
        settings = Settings(broker=BrokerSettings(url={brokers.server("redis").url!r}))
        specs = [
            {{"kind": "trigger", "name": "publish", "topic": "orders"}},
            {{"kind": "trigger", "name": "first", "topic": "orders",
              "links": {{"out": {{"name": "s"}}}}}},
            {{"kind": "syscall", "name": "s", "opcode": "seen"}},
        ]
        name = {brokers.namespace()!r}
        runtime = Runtime("memory://", specs=specs, settings=settings, namespace=name)
        runtime.register("seen", lambda payload: seen.set())
        with runtime:
            runtime.call("publish", 1)
            assert seen.wait(10)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@both
def test_a_queue_that_the_server_refuses_is_tried_with_a_back_off(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def refuse(self: object, hand: object) -> None:
        tries.append(1)
        raise ConnectionError("no such thing here")

    kind = "Redis" if bench.server.url.startswith("redis") else "Amqp"
    module = f"greenflow.broker.{kind.lower()}.{kind}Consumer.flush"
    with monkeypatch.context() as patch, bench.flow(PUBLISH + RECEIVE) as running:
        patch.setattr("greenflow.hub.backoff.FIRST", 0.01)
        patch.setattr("greenflow.hub.backoff.MOST", 0.04)
        patch.setattr(module, refuse)
        until(lambda: len(tries) >= 4)
        running.call("publish", 1)  # workflows run on
        assert caplog.text.count("is away, workflows run on: no such thing here") == 1
        patch.undo()
        until(lambda: running.probes.of("a") == [1])


@both
def test_a_removed_trigger_leaves_no_connection(bench: Bench) -> None:
    with bench.flow(PUBLISH + RECEIVE) as running:
        running.call("publish", 1)
        until(lambda: running.probes.of("a"))
        broker: Any = running.runtime.services.broker
        (subscription,) = broker._subscriptions
        running.runtime.operations.delete({"name": "first"})
        until(lambda: not broker._subscriptions)
        until(lambda: subscription._worker._task is None)
        assert running.call("publish", 2) is None


@every
def test_a_paused_subscriber_leaves_events_to_others(bench: Bench) -> None:
    """Two runtimes share the events of a name: what one of them does not want, the other gets."""
    with bench.flow(PUBLISH + RECEIVE) as paused:
        trigger: Any = paused.runtime.table.find("first").version.node
        paused.call("publish", 1)
        until(lambda: paused.probes.of("a") == [1])
        trigger.pause()
        with bench.flow(RECEIVE) as other:
            for number in range(2, 12):
                paused.call("publish", number)
            until(lambda: sorted(other.probes.of("a")) == list(range(2, 12)))
            assert paused.probes.of("a") == [1]
        trigger.resume()
        paused.call("publish", 12)
        until(lambda: paused.probes.of("a") == [1, 12])
