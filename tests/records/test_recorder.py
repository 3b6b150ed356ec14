"""What is recorded of processes: which of them, and what a record says."""

from __future__ import annotations

import itertools
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.config.groups import RecordsSettings
from greenflow.records import recorder as recording
from tests.flows import flow
from tests.records.recorded import ALL, FAILURES, asks, calls, newest, running

CHAIN = """
- kind: snippet
  name: first
  language: cel
  code: '{"n": self.n - 1}'
  links: {out: {name: second}}
- {kind: snippet, name: second, language: cel, code: '10 / self.n'}
"""


def test_a_failed_process_has_its_way_though_nobody_asked_before() -> None:
    with running(CHAIN) as runtime:
        assert calls(runtime, "first", {"n": 6}) is None
        assert runtime.records.find().records[0].why == ("slow",)
        assert calls(runtime, "first", {"n": 1}) is not None
        record = newest(runtime, failed=True)
        assert [(hop.node, hop.kind, hop.port) for hop in record.hops] == [
            ("first", "snippet", "in"),
            ("second", "snippet", "in"),
        ]
        assert [hop.payload and hop.payload.text for hop in record.hops] == ['{"n": 1}', '{"n": 0}']
        assert record.hops[1].by == "first.out"
        assert all(hop.duration is not None and hop.duration >= 0 for hop in record.hops)
        assert record.hops[0].start == 0.0 <= record.hops[1].start <= record.duration
        error = record.error
        assert error is not None
        assert record.outcome == "failed"
        assert (error.type, error.node, error.kind) == ("SnippetFailed", "second", "snippet")
        assert "division by zero" in error.message
        assert error.code == "1:4"
        assert error.at.endswith("revision 2")
        assert error.input is not None
        assert error.input.text == '{"n": 0}'
        assert record.change == 1
        assert record.event is not None
        assert record.event.text == '{"n": 1}'
        assert runtime.records.event_of(record.id) == {"n": 1}


WEB = """
- {kind: listener, name: web, port: 0, host: 127.0.0.1, request_id: true, links: {out: {name: a}}}
- {kind: snippet, name: a, language: cel, code: 'self.query.n[0] == "0" ? {} : self.lost'}
"""


def test_a_request_has_its_line_and_its_source() -> None:
    with running(WEB) as runtime:
        status = asks(runtime, "GET /x?n=1", "X-Request-Id: abc")
        assert status == 500
        record = newest(runtime, failed=True)
        assert (record.source, record.source_kind) == ("web", "listener")
        assert record.request is not None
        assert record.request[:2] == ("GET", "/x")
        assert record.request[2] not in (None, "abc")  # nobody believes a stranger
        about = runtime.records.find(failed=True).records[0]
        assert about.request == "GET /x"
        assert about.node == "a"
        assert about.nodes == {"web", "a"}


HANDLED = """
- kind: listener
  name: web
  port: 0
  host: 127.0.0.1
  links: {out: {name: a}, error: {name: says}}
- {kind: snippet, name: a, language: cel, code: self.lost}
- {kind: snippet, name: says, language: cel, code: '{"status": STATUS}'}
"""


@pytest.mark.parametrize(("status", "failures"), [(503, 1), (404, 0), (200, 0)])
def test_an_answer_of_500_is_a_failure_and_says_what_the_node_failed_with(
    status: int, failures: int
) -> None:
    with running(HANDLED.replace("STATUS", str(status))) as runtime:
        assert asks(runtime, "GET /") == status
        assert len(runtime.records.find(failed=True).records) == failures
        if failures:
            record = newest(runtime, failed=True)
            assert record.status == 503
            assert record.error is not None
            assert (record.error.node, record.error.type) == ("a", "SnippetFailed")


def test_rounds_of_a_loop_that_have_processes_of_their_own_are_in_its_record() -> None:
    text = """
    - {kind: loop, name: each, concurrency: 2, links: {out: {name: a}}}
    - {kind: snippet, name: a, language: cel, code: '1 / self'}
    """
    with running(text) as runtime:
        assert calls(runtime, "each", [1, 2, 0]) is not None
        [about] = runtime.records.find(failed=True).records
        record = runtime.records.get(about.id)
        assert record is not None
        assert record.error is not None
        assert record.error.node == "a"
        assert about.nodes == {"each", "a"}
        assert {hop.node for part in record.parts for hop in part.hops} == {"a"}
        assert [part.error is None for part in record.parts].count(False) >= 1


def test_a_fork_that_fails_has_a_record_that_names_its_parent() -> None:
    text = """
    - {kind: fork, name: begin, links: {out: {name: a}}}
    - {kind: snippet, name: a, language: cel, code: self.lost}
    """
    with running(text, ALL) as runtime:
        assert calls(runtime, "begin", {}) is None
        runtime.drain()
        [child] = runtime.records.find(failed=True).records
        record = runtime.records.get(child.id)
        assert record is not None
        assert record.parent is not None
        parent = runtime.records.get(record.parent)
        assert parent is not None
        assert parent.outcome == "ok"
        assert [part.number for part in parent.parts] == [record.number]


def test_what_is_retried_and_ends_well_is_no_failure() -> None:
    text = """
    - {kind: try, name: tries, links: {out: {name: a}, error: {name: calm}}}
    - {kind: snippet, name: a, language: cel, code: self.lost}
    - {kind: snippet, name: calm, language: text, code: calm}
    """
    with running(text) as runtime:
        assert calls(runtime, "tries", {}) is None
        assert runtime.records.find(failed=True).records == []


def test_one_that_is_cancelled_says_so() -> None:
    with flow("{kind: probe, name: holds}") as running_flow:
        runtime, probes = running_flow.runtime, running_flow.probes
        gate = probes.gates["holds"] = Event()
        reached = probes.reached["holds"] = Event()
        errors: list[Any] = []
        asked = gevent.spawn(lambda: errors.append(calls(runtime, "holds", "x")))
        reached.wait()
        [info] = runtime.processes()
        assert runtime.cancel(info.id)
        asked.join()
        gate.set()
        record = newest(runtime, failed=True)
        assert record.outcome == "cancelled"
        assert record.number == info.id
        assert [hop.node for hop in record.hops] == ["holds"]
        assert errors


def test_a_sample_is_recorded_however_it_ends() -> None:
    with running(CHAIN, ALL) as runtime:
        for _ in range(5):
            runtime.call("first", {"n": 6})
        assert len(runtime.records.find().records) == 5
    with running(CHAIN, RecordsSettings(sample=0.0)) as runtime:
        for _ in range(5):
            runtime.call("first", {"n": 6})
        assert len(runtime.records.find().records) == 1  # the slowest of the minute


def test_the_sample_is_the_part_that_is_set() -> None:
    kept: list[Any] = []
    one = recording.ProcessRecorder("n", lambda *record: kept.append(record), 0.1, 10**9)
    gaps = [one._gap() for _ in range(20_000)]
    assert min(gaps) >= 1
    assert 9 < sum(gaps) / len(gaps) < 11.5


class Slow:
    """A process as it ends, that took so long."""

    def __init__(self, number: int, seconds: float, end: float) -> None:
        from greenflow.engine.trail import Trail

        self.id, self.parent, self.source, self.event = number, None, None, None
        self.failure = self.error = None
        self.generation, self.met = None, ()
        self.trail = Trail([_port(), end - seconds, "x"], end=end)


def _port() -> Any:
    from greenflow.engine.port import InPort

    return InPort(lambda reader, packet: False)


def test_the_slowest_of_each_minute_stays() -> None:
    with running("[]", RecordsSettings(sample=0.0, rate=1000)) as runtime:
        records = runtime.records
        one: Any = records.recorder
        start = one.minute
        times = [(0.1, -50), (0.3, -40), (0.2, -30), (0.4, -20), (0.1, 5), (0.2, 6), (0.1, 7)]
        for number, (seconds, end) in enumerate(times):
            one.ended(Slow(number, seconds, start + end))
        found = records.find(slow=True).records
        assert [about.id.rpartition("-")[2] for about in found] == ["5", "3"]


def test_more_than_so_many_a_second_are_counted_by_node_and_error() -> None:
    with running(CHAIN, RecordsSettings(sample=0.0, rate=4)) as runtime:
        clock = itertools.repeat(7.0)
        shedding = runtime.records.recorder.shedding
        admits = shedding.admits
        shedding.admits = lambda kind, now, share=2: admits(  # type: ignore[method-assign]
            kind, next(clock), share
        )
        for _ in range(5):
            calls(runtime, "first", {"n": 1})
        assert len(runtime.records.find(failed=True).records) == 2
        assert runtime.records.counts().shed == {("second", "SnippetFailed"): 3}
        calls(runtime, "first", {})  # another one has room
        assert len(runtime.records.find(failed=True).records) == 3


def test_filters_and_pages() -> None:
    text = CHAIN + "- {kind: snippet, name: other, language: cel, code: self.lost}\n"
    with running(text, RecordsSettings(sample=0.0, rate=1000)) as runtime:
        for _ in range(3):
            calls(runtime, "first", {"n": 1})
            calls(runtime, "other", {})
        records = runtime.records
        page = records.find(failed=True, limit=4)
        rest = records.find(failed=True, limit=4, cursor=page.cursor)
        assert (len(page.records), len(rest.records), rest.cursor) == (4, 2, None)
        assert len({about.id for about in page.records + rest.records}) == 6
        assert {about.node for about in records.find(node="other").records} == {"other"}
        since = rest.records[0].started
        assert len(records.find(failed=True, since=since).records) == 5
        assert records.get("r0-0") is None
        with pytest.raises(LookupError, match="no record r0-0"):
            records.event_of("r0-0")
        with pytest.raises(ValueError, match="invalid literal"):
            records.find(cursor="x")


def test_a_body_that_is_not_shown_whole_is_not_kept() -> None:
    text = "- {kind: snippet, name: a, language: cel, code: '1 / 0'}"
    with running(text) as runtime:
        calls(runtime, "a", {"body": "x" * 100_000})
        record = newest(runtime, failed=True)
        assert record.event is not None
        assert record.event.cut
        with pytest.raises(LookupError, match="not kept whole"):
            runtime.records.event_of(record.id)


def test_the_error_of_a_recorder_is_no_error_of_a_request(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    with running(CHAIN, FAILURES) as runtime:
        monkeypatch.setattr(recording, "Writing", fails)
        error = calls(runtime, "first", {"n": 1})
        assert error is not None
        assert "division" in str(error)
    assert "could not be recorded: a fault of ours" in caplog.text
