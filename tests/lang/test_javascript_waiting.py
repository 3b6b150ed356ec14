"""Calls that wait: they hold up nobody, keep what is theirs apart, and end when nobody waits."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from greenflow.errors import GreenflowError, InvalidArgument, JavaScriptError
from greenflow.lang import javascript
from tests.lang.scripts import run
from tests.lang.test_javascript_faults import BOMBS, held
from tests.waiting import DEADLINE, until

SLEEP = "const sleep = (time) => new Promise((done) => setTimeout(done, time));\n"
SHORT = 0.1  # seconds that a call may take which takes too long


@pytest.fixture(autouse=True)
def one_worker() -> Iterator[None]:
    """All calls of a test are in one worker, as long as that lives."""
    with held(javascript.WorkerLimits(workers=1, timeout=DEADLINE)):
        yield
    javascript.close()


def test_calls_of_one_program_wait_at_the_same_time() -> None:
    program = javascript.compile(
        f"{SLEEP}let here = 0; export default async (a) => {{ here++;"
        " while (here < 100) await sleep(1); return a; }"
    )
    calls = [gevent.spawn(program, i) for i in range(100)]
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value for call in calls] == list(range(100))


def test_what_was_logged_is_each_ones_own() -> None:
    program = javascript.compile(
        f"{SLEEP}let here = 0; export default async (a) => {{ console.log(a, 'begins'); here++;"
        " while (here < 10) await sleep(1); await null; console.log(a, 'ends'); }"
    )
    lines: list[list[str]] = [[] for _ in range(10)]
    calls = [gevent.spawn(program, i, log=lines[i].append) for i in range(10)]
    gevent.joinall(calls, timeout=DEADLINE, raise_error=True)
    assert lines == [[f"{i} begins", f"{i} ends"] for i in range(10)]


def test_an_error_that_came_in_is_known_after_a_wait() -> None:
    program = javascript.compile(
        f"{SLEEP}let here = 0; export default async (a) => {{ here++;"
        " while (here < 5) await sleep(1); if (here++ % 2) throw a; return a; }"
    )
    errors = [InvalidArgument(str(i)) for i in range(5)]
    calls = [gevent.spawn(program, error) for error in errors]
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value or call.exception for call in calls] == errors


@pytest.mark.parametrize("keyword", ["", "async "])
def test_a_call_may_settle_another(keyword: str) -> None:
    program = javascript.compile(
        "let open; const gate = new Promise((done) => { open = done; });\n"
        f"export default {keyword}(a) => {{"
        " if (a !== 'open') return gate; open(5); return 1; }"
    )
    calls = [gevent.spawn(program, i) for i in range(3)]
    gevent.sleep(0)
    assert program("open") == 1
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value for call in calls] == [5, 5, 5]


@pytest.mark.parametrize(
    "set", ["setTimeout(act, 1)", "setInterval(act, 1)", "queueMicrotask(act)"]
)
def test_what_a_timer_throws_is_the_error_of_the_call(set: str) -> None:
    with pytest.raises(JavaScriptError, match="late") as caught:
        run(
            "export default () => new Promise(() => {\n"
            f"const act = () => {{ throw new TypeError('late'); }}; {set}; }})"
        )
    assert (caught.value.name, caught.value.line) == ("TypeError", 2)


def test_one_that_waits_too_long_is_no_matter_of_the_others() -> None:
    program = javascript.compile(
        f"{SLEEP}let over = false; globalThis.kept = (globalThis.kept ?? 0) + 1;\n"
        "export default async (a) => { if (a === 'end') over = true;"
        " while (!over) await sleep(1); return kept; }"
    )
    calls = [gevent.spawn(program, i) for i in range(3)]
    gevent.sleep(0)
    with pytest.raises(GreenflowError, match="limit"):
        program("long", timeout=SHORT)
    assert program("end") == 1
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value for call in calls] == [1, 1, 1]


@pytest.mark.parametrize("name", ["endless loop", "endless promise", "memory", "split", "buffers"])
def test_those_that_share_with_a_bomb_are_answered(name: str) -> None:
    code, reason = BOMBS[name]
    bomb = code.removeprefix("export default ")
    program = javascript.compile(
        f"{SLEEP}const bomb = {bomb};\nexport default async (a) => {{ if (a === 'bomb') {{"
        " await sleep(1); return bomb(); } await sleep(100); return a; }"
    )
    calls = [gevent.spawn(program, i) for i in range(5)]
    gevent.sleep(0)
    with pytest.raises(GreenflowError, match=f"{reason}|worker died"):
        program("bomb", timeout=SHORT if reason == "limit" else DEADLINE)
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value for call in calls] == list(range(5))


def test_calls_that_together_are_too_large_are_run_apart() -> None:
    program = javascript.compile(
        f"{SLEEP}export default async (a) => {{ const list = []; for (let i = 0; i < 25; i++)"
        " { list.push(new Array(200_000).fill(a + 0.5)); await sleep(1); } return list[9][3]; }"
    )
    calls = [gevent.spawn(program, i) for i in range(5)]  # 40 MB each
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value for call in calls] == [i + 0.5 for i in range(5)]


def test_large_payloads_do_not_wait_together() -> None:
    program = javascript.compile(
        f"{SLEEP}export default async (a) => {{ await sleep(5); return a.length; }}"
    )
    calls = [gevent.spawn(program, "x" * 5_000_000) for _ in range(6)]
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value for call in calls] == [5_000_000] * 6


@pytest.mark.parametrize("by", ["kill", "timeout"])
def test_a_caller_that_is_interrupted_gives_up_the_wait(by: str) -> None:
    program = javascript.compile(
        f"{SLEEP}let ran = 0; let here = 0; let open = false; export default async (a) => {{"
        " if (a === 'here') return here;"
        " if (a === 'ran') { open = true; await sleep(20); return ran; }"
        " here++; while (!open) await sleep(1); ran++; }"
    )
    assert program("here") == 0
    (worker,) = javascript.running()._workers
    if by == "kill":
        call = gevent.spawn(program, None)
        until(lambda: program("here") == 1)
        call.kill()
    else:
        with gevent.Timeout(0, False):
            program(None)
    until(lambda: not worker.calls)
    assert program("ran") == 0


def test_a_call_that_has_not_begun_is_given_up() -> None:
    program = javascript.compile(
        "let begun = 0; export default (a) => { if (a === 'begun') return begun; begun++;"
        " const end = Date.now() + 50; while (Date.now() < end); }"
    )
    calls = [gevent.spawn(program, None) for _ in range(5)]
    gevent.sleep(0)
    gevent.killall(calls[1:])
    calls[0].join()
    assert program("begun") == 1
