"""What is special about SQS: its names, URLs and limits, and how long it hides a message."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from greenflow.broker.sqs import SqsTransport
from greenflow.broker.sqs.bodies import BATCH, MAX_BYTES, batches, size_of
from greenflow.broker.sqs.names import full_name, parse, part, prefix_of
from greenflow.broker.transport import Posting, Queue
from greenflow.config import BrokerSettings
from greenflow.errors import BrokerMisconfigured, BrokerUnavailable, messages
from tests import brokers
from tests.broker.test_remote import DEAD, PUBLISH, RECEIVE, SECOND, Bench
from tests.flows import Flow
from tests.waiting import until

KIND = pytest.mark.parametrize("kind", [pytest.param("sqs", id="broker-sqs")])
NAMES = st.text(max_size=90) | st.from_regex(r"[-_A-Za-z0-9]{0,30}", fullmatch=True)


@pytest.fixture
def bench(kind: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("greenflow.broker.consuming.TICK", 0.01)
    monkeypatch.setattr("greenflow.broker.sqs.transport.WAIT_SECONDS", 0)
    monkeypatch.setattr("greenflow.broker.sqs.transport.LOOK_SECONDS", 0.0)
    return Bench(brokers.server(kind))


@contextmanager
def client(bench: Bench) -> Iterator[Any]:
    """As another program has one."""
    place = parse(bench.server.url)
    made = botocore.session.Session().create_client(
        "sqs",
        region_name=place.region,
        endpoint_url=place.endpoint,
        aws_access_key_id=place.key,
        aws_secret_access_key=place.secret,
    )
    yield made
    made.close()


def named(bench: Bench, subscriber: str) -> str:
    return full_name(bench.namespace, Queue("orders", subscriber))


def is_empty(sqs: Any, bench: Bench) -> bool:
    """Whether the server has nothing more for the first subscriber, visible or not."""
    url = sqs.get_queue_url(QueueName=named(bench, "first"))["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return set(found["Attributes"].values()) == {"0"}


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, running: Flow, method: str) -> Iterator[list[Any]]:
    """The answers that a runtime gets to one kind of request."""
    answers: list[Any] = []
    broker: Any = running.runtime.services.broker
    whole = getattr(broker.transport.client, method)

    def ask(**options: Any) -> Any:
        answers.append(whole(**options))
        return answers[-1]

    with monkeypatch.context() as patch:
        patch.setattr(broker.transport.client, method, ask)
        yield answers


# -- names and URLs --------------------------------------------------------------------------------


@given(NAMES, NAMES, NAMES)
def test_a_name_is_one_that_the_server_takes(namespace: str, topic: str, subscriber: str) -> None:
    name = full_name(namespace, Queue(topic, subscriber))
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name)
    assert name.split("--") == ["greenflow", part(namespace), part(topic), part(subscriber)]
    dead = full_name(namespace, Queue(topic, "", kept=True))
    assert name.startswith(prefix_of(namespace, topic))
    assert not dead.startswith(prefix_of(namespace, topic))


@given(NAMES, NAMES)
def test_different_texts_have_different_parts(one: str, other: str) -> None:
    assert (part(one) == part(other)) == (one == other)
    assert part(part(one)) != part(other) or part(one) == other


def test_plain_names_stay_readable() -> None:
    assert named_in("default", "order-sent", "first_one") == (
        "greenflow--default--order-sent--first_one"
    )
    assert re.fullmatch(
        "greenflow--default--lng__[a-z2-7]{12}--a", named_in("default", "läng", "a")
    )


def named_in(namespace: str, topic: str, subscriber: str) -> str:
    return full_name(namespace, Queue(topic, subscriber))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqs://eu-central-1", ("eu-central-1", None, None, None)),
        ("sqs://AK:a/b+c%2F@us-east-1/", ("us-east-1", None, "AK", "a/b+c/")),
        ("sqs://local?endpoint=http://[::1]:9324", ("local", "http://[::1]:9324", None, None)),
    ],
)
def test_a_url_says_where_and_who(url: str, place: tuple[str | None, ...]) -> None:
    assert parse(url) == place


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqs://", "there is no region"),
        ("sqs://AK:topsecret/x@", "there is no region"),
        ("sqs://AK:topsecret@eu central", "there is no region"),
        ("sqs://AK@eu-central-1", "a key goes with its secret"),
        ("sqs://:topsecret@eu-central-1", "a key goes with its secret"),
        ("sqs://AK:topsecret@eu-central-1?region=x", "unknown: region"),
        ("sqs://AK:topsecret@eu-central-1?endpoint=localhost:9", "the endpoint is no URL"),
        ("sqs://eu-central-1?endpoint=http://a:99999", "the endpoint is no URL"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused(url: str, reason: str) -> None:
    with pytest.raises(BrokerMisconfigured) as raised:
        SqsTransport(url, "default", BrokerSettings())
    assert reason in str(raised.value)
    assert "topsecret" not in str(raised.value)


def test_a_visibility_that_the_server_does_not_take_is_refused() -> None:
    with pytest.raises(BrokerMisconfigured) as raised:
        SqsTransport("sqs://eu-central-1", "default", BrokerSettings(visibility=43_201.0))
    assert "broker.visibility: 43201 s is too long; SQS allows 43200 s" in str(raised.value)


@given(st.lists(st.integers(0, 60_000), max_size=40))
def test_a_request_has_no_more_than_the_server_takes(sizes: list[int]) -> None:
    postings = [Posting("t", b"x" * size, "application/msgpack", None) for size in sizes]
    together = list(batches(postings))
    assert [posting for batch in together for posting in batch] == postings
    for batch in together:
        assert 1 <= len(batch) <= BATCH
        assert sum(map(size_of, batch)) <= MAX_BYTES


# -- at the server ---------------------------------------------------------------------------------


@KIND
def test_an_event_that_is_too_large_is_an_error_that_says_so(bench: Bench) -> None:
    with bench.flow(PUBLISH + RECEIVE + DEAD, deliveries=1) as running:
        fits = b"x" * 183_000
        running.call("publish", fits)
        until(lambda: running.probes.of("a") == [fits])
        with pytest.raises(BrokerUnavailable) as raised:
            running.call("publish", b"x" * 184_000)
        assert "the event is too large: 184005 bytes, SQS takes 183552" in str(raised.value)


@KIND
def test_the_largest_event_fits_into_a_dead_letter(bench: Bench) -> None:
    failing = RECEIVE.replace("name: a}\n", "name: a, raises: " + "x" * 8_000 + ", times: 9}\n")
    with bench.flow(PUBLISH + failing + DEAD, deliveries=1) as running:
        running.call("publish", b"x" * 183_000)
        until(lambda: running.probes.of("letters"))
        assert len(running.probes.of("letters")[0]["payload"]) == 183_000


@KIND
def test_other_programs_write_json(bench: Bench) -> None:
    with bench.flow(RECEIVE + DEAD) as running, client(bench) as sqs:
        url = sqs.get_queue_url(QueueName=named(bench, "first"))["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody='{"sku": "Ä1"}')
        until(lambda: running.probes.of("a") == [{"sku": "Ä1"}])
        kind = {"type": {"DataType": "String", "StringValue": "application/msgpack"}}
        sqs.send_message(QueueUrl=url, MessageBody="{no base64}", MessageAttributes=kind)
        until(lambda: running.probes.of("letters"))
        assert running.probes.of("letters")[0]["payload"] == b"{no base64}"


@KIND
def test_what_is_worked_on_stays_hidden_longer_than_the_visibility(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.flow(PUBLISH + RECEIVE, visibility=3.0) as one, client(bench) as sqs:
        one.probes.gates["a"] = Event()
        for number in range(12):  # more than a request takes
            one.call("publish", number)
        until(lambda: len(one.probes.of("a")) == 12)
        with (
            bench.flow(RECEIVE, visibility=3.0) as other,
            counted(monkeypatch, one, "change_message_visibility_batch") as claims,
        ):
            # Two requests for all of them, three times in the time-out: longer than that.
            until(lambda: len(claims) >= 2 * 3 + 4)
            assert other.probes.seen == []
        one.probes.gates["a"].set()
        until(lambda: is_empty(sqs, bench))
        assert sorted(one.probes.of("a")) == list(range(12))


@KIND
def test_what_is_received_once_more_while_in_hand_is_not_worked_on_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime was silent for longer than the visibility time-out."""
    monkeypatch.setattr("greenflow.broker.sqs.transport.CLAIMS", 0.001)
    with bench.flow(PUBLISH + RECEIVE, visibility=1.0) as running, client(bench) as sqs:
        running.probes.gates["a"] = Event()
        with counted(monkeypatch, running, "receive_message") as answers:
            running.call("publish", 1)
            until(lambda: sum(len(each.get("Messages", ())) for each in answers) >= 2)
        running.probes.gates["a"].set()
        until(lambda: is_empty(sqs, bench))
        assert running.probes.of("a") == [1]


@KIND
def test_a_queue_whose_time_is_over_is_deleted_and_missed_by_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenflow.broker.sqs.transport.SWEEP_SECONDS", 0.0)
    with client(bench) as sqs:
        with bench.flow(PUBLISH + RECEIVE + SECOND):
            pass
        prefix = prefix_of(bench.namespace, "orders")
        second = sqs.get_queue_url(QueueName=named(bench, "second"))["QueueUrl"]
        sqs.tag_queue(QueueUrl=second, Tags={"greenflow-until": "1"})
        with bench.flow(PUBLISH + RECEIVE) as running:
            until(lambda: len(sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"]) == 1)
            (url,) = sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"]
            assert url.endswith(named(bench, "first"))
            # One that is deleted by somebody else is made anew.
            sqs.delete_queue(QueueUrl=url)
            until(lambda: sqs.list_queues(QueueNamePrefix=prefix).get("QueueUrls"))
            running.call("publish", "after")
            until(lambda: running.probes.of("a") == ["after"])
        with bench.flow(PUBLISH) as running:
            running.call("publish", "kept")
            sqs.delete_queue(QueueUrl=url)
            running.call("publish", "nobody")  # it still knows the queue
            assert running.call("publish", "nobody") is None


@KIND
def test_a_new_subscriber_of_another_runtime_is_found_soon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenflow.broker.sqs.transport.LIST_SECONDS", 0.05)
    with bench.flow(PUBLISH + RECEIVE) as one:
        one.call("publish", 0)
        with bench.flow(SECOND) as other:

            def heard() -> bool:
                one.call("publish", 1)
                return bool(other.probes.of("b"))

            until(heard)


def test_a_program_that_is_not_patched_waits_at_the_server_without_blocking() -> None:
    """With the real waiting times."""
    script = f"""
        import threading
        from greenflow import Runtime, Settings
        from greenflow.config import BrokerSettings
        seen = threading.Event()
        url = {brokers.server("sqs").url!r}
        settings = Settings(broker=BrokerSettings(url=url, backoff=0.01))
        specs = [
            {{"kind": "trigger", "name": "publish", "topic": "orders"}},
            {{"kind": "trigger", "name": "first", "topic": "orders",
              "links": {{"out": {{"name": "s"}}}}}},
            {{"kind": "syscall", "name": "s", "opcode": "seen"}},
            {{"kind": "snippet", "name": "alive", "language": "text", "code": "yes"}},
        ]
        tries = []
        def take(payload):
            tries.append(payload)
            if len(tries) == 1:
                raise ValueError("once more")
            seen.set()
        runtime = Runtime("memory://", specs=specs, settings=settings,
                          namespace={brokers.namespace()!r})
        runtime.register("seen", take)
        with runtime:
            for _ in range(100):
                assert runtime.call("alive", None) == "yes"
            runtime.call("publish", 1)
            assert seen.wait(20)
        assert tries == [1, 1]
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "is away" not in done.stderr


def test_what_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from greenflow import Runtime, Settings

    monkeypatch.setitem(sys.modules, "greenflow.broker.sqs", None)
    settings = Settings(broker=BrokerSettings(url="sqs://AK:topsecret@eu-central-1"))
    with pytest.raises(BrokerMisconfigured) as raised:
        Runtime("memory://", settings=settings).start()
    said = ": ".join(messages(raised.value))
    assert "pip install 'greenflow[broker]'" in said
    assert "topsecret" not in said


@KIND
def test_a_server_that_limits_tags_keeps_nobody_from_receiving(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("greenflow.broker.sqs.transport.SWEEP_SECONDS", 0.0)
    asked: list[str] = []

    def limited(client: Any, operation: str, **options: Any) -> Any:
        asked.append(operation)
        raise ClientError({"Error": {"Code": "RequestThrottled", "Message": "slower"}}, operation)

    whole = SqsTransport.client.fget  # type: ignore[attr-defined]

    def client_of(transport: SqsTransport) -> Any:
        made = whole(transport)
        for method in ("tag_queue", "list_queue_tags"):
            monkeypatch.setattr(made, method, partial(limited, made, method))
        return made

    with monkeypatch.context() as patch:
        patch.setattr(SqsTransport, "client", property(client_of))
        with bench.flow(PUBLISH + RECEIVE + SECOND) as running:
            running.call("publish", 1)
            until(lambda: running.probes.of("a") and running.probes.of("b"))
            until(lambda: {"tag_queue", "list_queue_tags"} <= set(asked))
    assert "is away" not in caplog.text
