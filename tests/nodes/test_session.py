"""session (BEHAVIOUR 13.session)."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from greenflow.nodes import session
from tests.flows import flow
from tests.waiting import until

SESSION = """
- {kind: probe, name: open, links: {out: [{name: s, port: io}, {name: hold}]}}
- {kind: probe, name: hold}
- {kind: session, name: s, links: {out: {name: each}}}
- {kind: probe, name: each}
"""


def test_a_session_is_reached_from_every_process_while_its_own_lives() -> None:
    with flow(SESSION) as running:
        assert running.call("s", "nobody") is None
        running.probes.gates["hold"] = Event()
        opened = []
        for name in ("first", "second"):
            running.probes.reached["hold"] = Event()
            opened.append(gevent.spawn(running.call, "open", name))
            running.probes.reached["hold"].wait()
        assert running.call("s", "hello") == [["first", "hello"], ["second", "hello"]]
        running.probes.gates["hold"].set()
        gevent.joinall(opened, raise_error=True)
        assert running.call("s", "gone") is None


def test_many_sessions_are_reached_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AT_ONCE", 3)
    with flow(SESSION) as running:
        hold, each = running.probes.gates, running.probes.gates
        hold["hold"], each["each"] = Event(), Event()
        opened = [gevent.spawn(running.call, "open", i) for i in range(10)]
        until(lambda: len(running.probes.of("hold")) == 10)
        reaching = gevent.spawn(running.call, "s", "hello")
        until(lambda: len(running.probes.of("each")) == 3)
        gevent.idle()
        assert len(running.probes.of("each")) == 3
        another = gevent.spawn(running.call, "s", "again")
        until(lambda: len(running.probes.of("each")) == 4)
        gevent.idle()
        assert len(running.probes.of("each")) == 4  # full, but one of each packet goes on
        each["each"].set()
        assert reaching.get() == [[i, "hello"] for i in range(10)]
        assert another.get() == [[i, "again"] for i in range(10)]
        hold["hold"].set()
        gevent.joinall(opened, raise_error=True)


def test_a_session_whose_process_ends_meanwhile_answers_nothing() -> None:
    with flow(SESSION) as running:
        running.probes.gates["hold"] = Event()
        running.probes.reached["hold"] = Event()
        opened = gevent.spawn(running.call, "open", "first")
        running.probes.reached["hold"].wait()
        running.probes.gates["each"] = Event()
        running.probes.reached["each"] = Event()
        reaching = gevent.spawn(running.call, "s", "hello")
        running.probes.reached["each"].wait()
        running.probes.processes[0].exit()
        assert reaching.get() is None
        opened.join()
        assert not opened.successful()
