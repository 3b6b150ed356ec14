"""`schedule`: a process at each due time (BEHAVIOUR 14.schedule).

Lives here: Schedule, and what becomes of due times that were missed. When something is due is
timetable.py's.

A due time is missed when the run before is still under way, or with `overlap` as many as may be
at one time, or when it is noticed more than
LATE_SECONDS late: the clock was set forward, the machine slept, something blocked the hub. One
greenlet waits for the next due time and begins runs; it waits for none of them.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import gevent
from msgspec import Meta

from greenflow.engine.budget import IN_FLIGHT, SourceSpec
from greenflow.engine.declaring import node
from greenflow.engine.node import describe
from greenflow.engine.origin import identity_of
from greenflow.engine.process import Process
from greenflow.engine.scope import limited_alone
from greenflow.engine.services import Compiler, Services
from greenflow.engine.source import Run, Source
from greenflow.errors import SpecFault
from greenflow.nodes.schedule.timetable import Cron, Interval, shown
from greenflow.nodes.unlinked import leads_nowhere
from greenflow.spec.fields import Duration, TimeLimit

#: Seconds that a run may begin after its due time and still be in time. More than a hub is blocked
#: where all is well, and than a clock that was set is noticed in (clock.LOOK_SECONDS).
LATE_SECONDS = 60.0

#: Seconds that the system's clock may be set back without a due time coming again: longer where it
#: is at a fixed time of day, as Debian's cron has it (cron(8)), for there each run means a day; the
#: others would pause for so long.
SET_BACK_SECONDS, SET_BACK_FIXED_SECONDS = 60.0, 3 * 3600.0

#: The shortest interval, in seconds: a run costs more than that.
SHORTEST = 0.001

_log = logging.getLogger("greenflow.nodes.schedule")


class ScheduleSpec(SourceSpec):
    cron: Annotated[
        str | None,
        Meta(description="minute, hour, day of month, month, day of week; or @daily and the like"),
    ] = None
    interval: Annotated[
        Duration | None, Meta(description="instead of `cron`: the time from due time to due time")
    ] = None
    timezone: Annotated[str, Meta(description="where `cron` is read, such as Europe/Berlin")] = (
        "UTC"
    )
    jitter: Annotated[
        Duration, Meta(description="each run begins up to so much later, by chance")
    ] = 0.0
    overlap: Annotated[
        bool, Meta(description="begin a run although the one before is under way")
    ] = False
    missed: Annotated[
        Literal["skip", "once", "all"],
        Meta(description="of due times that were missed: run none, the last, or each"),
    ] = "skip"
    limit: Annotated[
        int, Meta(ge=1, le=1000, description="for `missed: all`: the last so many at most")
    ] = 100
    timeout: Annotated[
        TimeLimit | None,
        Meta(description="how long a run may take: then its process ends, rolled back"),
    ] = None


class _Line:
    """The runs of one schedule that are under way, also those of its versions before an edit, and
    the version that begins runs now."""

    def __init__(self) -> None:
        self.under_way: set[Process] = set()
        self.current: Schedule | None = None


def _lines() -> dict[str, _Line]:
    """For each schedule of a runtime, by id."""
    return {}


@node("schedule", reads_only=True)
class Schedule(Source[ScheduleSpec]):
    """Starts a process at each due time, with `{name, due}`: the node's name, and the due time.

    Runs do not overlap unless `overlap` allows it. What becomes of missed due times `missed` says.
    """

    can_pause = True

    def __init__(self, spec: ScheduleSpec, services: Services) -> None:
        super().__init__(spec, services)
        self._cron = Cron(spec.cron, spec.timezone) if spec.cron is not None else None
        self._behind: deque[float] = deque(maxlen=self._keeps())  # missed ones that will be run
        self._skipped = 0  # missed ones since the last run
        self._timer: gevent.Greenlet[..., None] | None = None
        self._most = (spec.limits.in_flight or IN_FLIGHT) if spec.overlap else 1
        self._lines, self._line = _lines(), _Line()

    @classmethod
    def check(cls, spec: ScheduleSpec, compiler: Compiler) -> list[SpecFault]:
        if (spec.cron is None) == (spec.interval is None):
            return [SpecFault("$.cron", "give exactly one of `cron` and `interval`")]
        faults = []
        if spec.cron is not None:
            try:
                Cron(spec.cron, spec.timezone)
            except LookupError as error:
                faults.append(SpecFault("$.timezone", str(error.args[0])))
            except ValueError as error:
                faults.append(SpecFault("$.cron", str(error)))
        elif spec.timezone != "UTC":
            faults.append(SpecFault("$.timezone", "an interval is the same in every time zone"))
        if spec.interval is not None:
            if spec.interval < SHORTEST:
                faults.append(SpecFault("$.interval", f"at least {SHORTEST:g} s"))
            if spec.jitter >= max(spec.interval, SHORTEST):
                faults.append(SpecFault("$.jitter", "must be shorter than the interval"))
        return faults

    @classmethod
    def doubts(cls, spec: ScheduleSpec, compiler: Compiler) -> list[SpecFault]:
        return leads_nowhere(spec)

    # -- beginning and ending ------------------------------------------------------------------

    def start(self, run: Run) -> None:
        self._lines = self.services.share("schedule", _lines, dict.clear)
        self._line = self._lines.setdefault(identity_of(self), _Line())
        self._line.current = self
        self._run = run
        self._timer = gevent.spawn(self._keep_time)

    def stop(self) -> None:
        self._behind.clear()
        if self._line.current is self:
            self._line.current = None
            self._forget()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.kill()  # it only ever waits for the clock

    def _forget(self) -> None:
        if self._line.current is None and not self._line.under_way:
            self._lines.pop(identity_of(self), None)

    def resume(self) -> None:
        super().resume()
        self._catch_up()

    def begin_now(self) -> str:
        if self._line.current is not self:
            return "it does not run"
        if not self._has_room():
            return self._why_not()
        self._begin(self.services.clock.time())
        return ""

    # -- time ----------------------------------------------------------------------------------

    def _keep_time(self) -> None:
        try:
            if self._cron is not None:
                self._follow_cron(self._cron)
            else:
                self._follow_interval()
        except Exception as error:
            _log.error("the schedule stopped: %s", error, exc_info=error, extra=describe(self))

    def _follow_cron(self, cron: Cron) -> None:
        clock = self.services.clock
        back = SET_BACK_FIXED_SECONDS if cron.is_fixed else SET_BACK_SECONDS
        last = clock.time()
        due = cron.after(last)
        while due is not None:
            moment = due + self._jitter()
            while last - back <= clock.time() < moment:
                clock.sleep_until(moment)
            now = clock.time()
            if now < last - back:
                _log.warning("the clock was set back, and counts", extra=describe(self))
                last = now
            else:
                found = cron.between(last, max(now, due), self._counts()) or [due]
                last = found[-1]
                self._passed(found, moment - due, now)
            due = cron.after(last)
        _log.warning("it will never be due again", extra=describe(self))

    def _follow_interval(self) -> None:
        assert self.spec.interval is not None
        clock = self.services.clock
        last = clock.monotonic()
        interval = Interval(self.spec.interval, last)
        while True:
            due = interval.after(last)
            delay = self._jitter()
            clock.sleep(max(0.0, due + delay - clock.monotonic()))
            now = max(clock.monotonic(), due)
            found = interval.between(last, now, self._counts())
            last = found[-1]
            wall = clock.time() - now  # what a moment of this clock is as a wall time
            self._passed([each + wall for each in found], delay, now + wall)

    def _jitter(self) -> float:
        return random.random() * self.spec.jitter

    def _keeps(self) -> int:
        """How many missed due times will be run."""
        return {"skip": 0, "once": 1, "all": self.spec.limit}[self.spec.missed]

    def _counts(self) -> int:
        """How many due times that passed are looked at: the last of them may be in time."""
        return self._keeps() + 1

    # -- runs ----------------------------------------------------------------------------------

    def _passed(self, dues: list[float], delay: float, now: float) -> None:
        """These due times have come; the last one may be in time."""
        if self._line.current is not self:
            return  # an edit has put another version in the place
        last = dues.pop() if now - dues[-1] <= LATE_SECONDS + delay else None
        for due in dues:
            self._miss(due, "it passed unnoticed")
        if last is None:
            self._catch_up()
        elif self._behind and self._keeps() > 1:
            self._behind.append(last)  # in its turn
            self._catch_up()
        elif self._may_begin():
            self._behind.clear()  # this one is what a single late run would have been for
            self._begin(last)
        else:
            self._miss(last, self._why_not())

    def _miss(self, due: float, reason: str) -> None:
        if not self._skipped:
            shown = self._shown(due).isoformat()
            then = {"skip": "not run", "once": "the last is run late", "all": "each is run late"}
            fate = then[self.spec.missed]
            _log.warning("missed %s: %s; %s", shown, reason, fate, extra=describe(self))
        self._skipped += 1
        self._behind.append(due)

    def _catch_up(self) -> None:
        while self._behind and self._may_begin():
            self._begin(self._behind.popleft())

    def _may_begin(self) -> bool:
        return self._has_room() and not self.paused

    def _has_room(self) -> bool:
        return len(self._line.under_way) < self._most

    def _why_not(self) -> str:
        if self._has_room():
            return "it is paused"
        if not self.spec.overlap:
            return "the run before is under way"
        return f"{self._most} runs are under way (limits.in_flight)"

    def _begin(self, due: float) -> None:
        if self._skipped > 1:
            _log.warning("missed %d due times in a row", self._skipped, extra=describe(self))
        self._skipped = 0
        payload: dict[str, Any] = {
            "name": self.spec.name or identity_of(self),
            "due": self._shown(due),
        }
        process = self._run.spawn(payload)
        self._line.under_way.add(process)
        limited_alone(self, process, self.spec.timeout)
        process.on_exit(partial(self._ended, process))

    def _ended(self, process: Process) -> None:
        self._line.under_way.discard(process)
        if self._line.current is not None:
            self._line.current._catch_up()
        self._forget()

    def _shown(self, due: float) -> datetime:
        return self._cron.shown(due) if self._cron is not None else shown(due)
