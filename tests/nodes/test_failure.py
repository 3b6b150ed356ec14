"""throw, try, retry (BEHAVIOUR 5, 13)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from greenflow.errors import InvalidArgument, WorkflowError
from tests.flows import flow

THROW = "{kind: throw, name: a}"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("boom", "boom"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (7, "7"),
        (False, "false"),
        (["x"], "x"),
        (b"ab", '"YWI="'),
        (datetime(2026, 1, 1, tzinfo=UTC), '"2026-01-01T00:00:00Z"'),
    ],
)
def test_throw_raises_its_input(payload: Any, message: str) -> None:
    with flow(THROW) as running, pytest.raises(WorkflowError) as raised:
        running.call("a", payload)
    assert str(raised.value) == message


def test_throw_raises_a_chain_the_root_cause_first() -> None:
    with flow(THROW) as running, pytest.raises(WorkflowError, match="outer") as raised:
        running.call("a", ["root", None, "middle", "outer"])
    middle = raised.value.__cause__
    assert str(middle) == "middle"
    assert middle is not None
    assert str(middle.__cause__) == "root"


@pytest.mark.parametrize("payload", [None, [], [None]])
def test_throw_raises_nothing_for_null(payload: Any) -> None:
    with flow(THROW) as running:
        assert running.call("a", payload) is None


def test_throw_raises_an_error_as_itself() -> None:
    with (
        flow("""
- {kind: try, name: t, links: {out: {name: bad}, error: {name: again}}}
- {kind: probe, name: bad, raises: broken}
- {kind: throw, name: again}
""") as running,
        pytest.raises(InvalidArgument) as raised,
    ):
        running.call("t", 1)
    assert str(raised.value.__cause__) == "broken"


def test_try_sends_an_error_answer_to_its_error_link() -> None:
    with flow("""
- {kind: try, name: a, links: {out: {name: b}, error: {name: e}}}
- {kind: probe, name: b, links: {out: {name: c}}}
- {kind: probe, name: c, raises: broken, times: 1}
- {kind: probe, name: e, answer: handled}
""") as running:
        assert running.call("a", 1) == "handled"
        assert running.call("a", 2) == 2
        assert len(running.probes.of("e")) == 1


def test_try_without_error_link_passes_the_error_on() -> None:
    with (
        flow("""
- {kind: try, name: a, links: {out: {name: b}}}
- {kind: probe, name: b, raises: broken}
""") as running,
        pytest.raises(InvalidArgument),
    ):
        running.call("a", 1)


def test_an_error_raised_in_the_error_branch_does_not_enter_it_again() -> None:
    with flow("""
- {kind: try, name: a, links: {out: {name: b}, error: {name: e}}}
- {kind: probe, name: b, raises: first}
- {kind: probe, name: e, raises: second}
""") as running:
        with pytest.raises(InvalidArgument) as raised:
            running.call("a", 1)
        assert str(raised.value.__cause__) == "second"
        assert len(running.probes.of("e")) == 1


def test_an_error_at_an_open_end_of_an_error_branch_is_an_error_again() -> None:
    with (
        flow("""
- {kind: probe, name: a, raises: broken, links: {error: {name: pass}}}
- {kind: probe, name: pass}
""") as running,
        pytest.raises(InvalidArgument),
    ):
        running.call("a", 1)


def test_an_error_goes_to_the_error_link_of_the_node_that_raised_it() -> None:
    with flow("""
- {kind: probe, name: a, links: {out: {name: b}, error: {name: never}}}
- {kind: probe, name: b, raises: broken, links: {error: {name: e}}}
- {kind: probe, name: e, answer: handled}
- {kind: probe, name: never}
""") as running:
        assert running.call("a", 1) == "handled"
        assert running.probes.of("never") == []


RETRY = """
- kind: retry
  name: a
  threshold: 2
  links: {out: {name: b}, error: {name: e}}
- {kind: probe, name: b, raises: broken, times: TIMES}
- {kind: probe, name: e, answer: handled}
"""


@pytest.mark.parametrize(
    ("times", "tries", "answer"), [(0, 1, 1), (1, 2, 1), (2, 3, 1), (3, 3, "handled")]
)
def test_retry_tries_again_at_most_threshold_times(times: int, tries: int, answer: Any) -> None:
    with flow(RETRY.replace("TIMES", str(times))) as running:
        assert running.call("a", 1) == answer
        assert len(running.probes.of("b")) == tries


def test_retry_waits_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(
        "greenflow.hub.clock.Clock.sleep", lambda self, seconds: waited.append(seconds)
    )
    with (
        flow("""
- kind: retry
  name: a
  threshold: 5
  backoff: {initial: 100ms, factor: 2, max: 300ms}
  links: {out: {name: b}}
- {kind: probe, name: b, raises: broken}
""") as running,
        pytest.raises(InvalidArgument),
    ):
        running.call("a", 1)
    assert waited == [0.1, 0.2, 0.3, 0.3, 0.3]
