"""One run of a workflow: its packets, the greenlets that run them, what it holds, and its end.

Lives here: Process and Reader. What a handler returns means is node.py's; what a process holds is
in data.py.

A process is a queue of readers with packets, drained by the greenlet that asked: a chain that does
not block costs no greenlet switch. Nodes declare nothing. If the hub gets to run while that queue
is not empty, whoever drained it must be blocked, so a helper greenlet takes over; branches so block
side by side. All of a process happens on one hub's thread.

Ending: `settle` closes the resources (commit or roll back), then tells how that ended
(`on_settled`), before the answer leaves its source;
`exit` ends the children, interrupts the greenlets from inside the hub, answers every open packet,
and releases the rest in reverse order. Neither recurses, so 10,000 nested children end like one.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from math import inf
from time import monotonic
from typing import Any, TypeVar

import msgspec
from gevent import get_hub, getcurrent
from gevent.event import Event
from gevent.hub import GreenletExit, Waiter
from greenlet import greenlet

from greenflow.engine.budget import GREENLET, ROUND, Budget, Spending
from greenflow.engine.cycle import Cycles
from greenflow.engine.data import Data, Resources, Settled, release_one
from greenflow.engine.frames import empty
from greenflow.engine.generation import Generation
from greenflow.engine.packet import Fault, Packet, Reply, echo
from greenflow.engine.port import InPort, OutPort
from greenflow.engine.trail import LONG, TRIM, Recorder, Trail
from greenflow.errors import Interrupt, ProcessExited, Runaway
from greenflow.hub.breathing import breathe, in_turn, let_others_run, unhurried
from greenflow.hub.world import OUTSIDE, World, found_by
from greenflow.payload.value import MANY, pause_with

T = TypeVar("T")

RUNNING, EXITING, EXITED = "running", "exiting", "exited"

STEPS_A_TURN = 256  # packets a greenlet handles before it lets others run (BEHAVIOUR 4.2)
TRIMS_A_TURN = STEPS_A_TURN // TRIM
MET = 16  # errors whose frames a process keeps whole: one may live for days, and fail all the time
MAX_HOPS = 10_000  # writes a packet may descend from; more is a runaway cycle (BEHAVIOUR 3.10)
GRACE = 30.0  # seconds that exit waits for calls that must not be interrupted (BEHAVIOUR 4.11, 6.5)

NO_ROOM = -1  # less than any number of open packets: whoever has it takes none

#: Of a process that no runtime begins.
DEFAULT = Budget()

# Payloads are copied on the hub, beside all others.
pause_with(breathe)

_log = logging.getLogger("greenflow.process")
_numbers = itertools.count(1)
_NO_CHILDREN: frozenset[Process] = frozenset()  # of all that never had one: a set each costs time
_current: ContextVar[Process | None] = ContextVar("greenflow.process", default=None)
_shielded: set[Any] = set()  # greenlets inside `shield`; each adds and removes only itself


def current() -> Process | None:
    """The process that the calling code runs in, for code without a Context; None outside."""
    return _current.get()


def _world() -> World | None:
    process = _current.get()
    return None if process is None else process.world


found_by(_world)


class Reader(msgspec.Struct, eq=False):
    """What one process has for one in-port: its packets, handled one at a time, in write order."""

    process: Process
    port: InPort
    packet: Packet | None  # the next one
    later: deque[Packet] | None = None  # those behind it: mostly there is but one
    held: bool = True  # queued as ready, or a handler has the turn

    def __repr__(self) -> str:  # not of each packet: a tracker of errors shows locals
        return f"<Reader at {self.port}, {len(self)} packets>"

    def __len__(self) -> int:
        return (self.packet is not None) + (0 if self.later is None else len(self.later))

    def add(self, packet: Packet) -> None:
        """A packet comes behind those that are there."""
        if self.packet is None:
            self.packet = packet
        elif self.later is None:
            self.later = deque((packet,))
        else:
            self.later.append(packet)

    def drop(self) -> list[Packet]:
        """All packets, which are no longer here."""
        packets = [] if self.packet is None else [self.packet, *(self.later or ())]
        self.packet = self.later = None
        return packets

    def release(self) -> None:
        """Give up the turn: the next packet may be handled."""
        if self.packet is not None:
            self.process.push(self)
        else:
            self.held = False


class _Leaving:
    """One exit under way: which greenlets still run the processes that end by it."""

    __slots__ = ("left", "none_left", "outermost")

    def __init__(self) -> None:
        self.outermost: dict[Any, Process] = {}  # greenlet: the process its interrupt must reach
        self.left = 0
        self.none_left = Event()

    def one_less(self) -> None:
        self.left -= 1
        if not self.left:
            self.none_left.set()


class Process:
    """One run of a workflow. A source makes it, asks, settles, and finishes it.

    `registry`, for a process without parent, is a set that holds it as long as it lives. `hops` is
    the count of writes that it descends from (BEHAVIOUR 4.10). `generation` is the graph that it
    sees until it ends (BEHAVIOUR 6.7), by default its parent's; without one it is the newest.
    `world` has the time and chance of its runtime.
    """

    source: Any
    failure: BaseException | None
    trail: Trail | None

    __slots__ = (
        "_armed",
        "_childless",
        "_context",
        "_data",
        "_leaving",
        "_met",
        "_number",
        "_owed",
        "_refusal",
        "_registry",
        "_resources",
        "_room",
        "_runaway",
        "_runners",
        "_spending",
        "budget",
        "children",
        "error",
        "event",
        "failure",
        "generation",
        "grace",
        "hops",
        "open",
        "parent",
        "readers",
        "ready",
        "recorder",
        "route",
        "source",
        "state",
        "trace",
        "trail",
        "whole",
        "world",
    )

    def __init__(
        self,
        parent: Process | None = None,
        hops: int = 0,
        grace: float = GRACE,
        registry: set[Process] | None = None,
        generation: Generation | None = None,
        budget: Budget = DEFAULT,
        world: World = OUTSIDE,
    ) -> None:
        self.parent, self.hops = parent, hops
        self.children: Set[Process] = _NO_CHILDREN
        self.ready: deque[Reader] = deque()
        self.readers: dict[InPort, Reader] = {}
        self.open: set[Packet] = set()  # exactly the unanswered packets
        self.state = RUNNING
        self.error: BaseException | None = None
        # Of a request that it began with: method, path, and id if it has one.
        self.event: tuple[str, str, str | None] | None = None
        # Of which trace it is (tracing.py): a Traced, the text of a caller's, "" or None.
        self.trace: Any = None
        self.route = ""  # the pattern of the route that it took, if a router found one
        self._runners: set[Any] = set()  # greenlets that run handlers of this process
        self._runaway = False  # it is over its budget; until the source asks again
        self._refusal: Fault | None = None  # what all packets are answered then
        self._armed = False  # the hub was asked to look whether ready work needs a helper
        self._leaving: _Leaving | None = None
        self._childless: Event | None = None
        self._data: Data | None = None
        self._resources: Resources | None = None
        self._met: deque[BaseException] | None = None  # errors whose frames are to be cleared
        self._owed: list[Exception] | None = None  # errors that a node keeps for later
        self._number = 0
        # The node that began it, what it settled with, which ports its packets passed.
        self.source = self.failure = self.trail = None
        self._context = copy_context()
        self.whole: Process | None = None  # that it does a piece of the work of (part.py)
        self._registry = registry
        self.recorder: Recorder | None = None if parent is None else parent.recorder
        if parent is None:
            # So many may be open when it takes one: its budget's, or NO_ROOM (`_refused`).
            self._room = budget.open
            self.budget, self.world = budget, world
            self._spending: Spending | None = None
            self.grace = grace
            if registry is not None:
                registry.add(self)
        else:
            self.grace, self.budget, self.world = parent.grace, parent.budget, parent.world
            self.trace = parent.trace
            self._room = parent.budget.open
            spending = self._spending = parent.spending()
            if parent.state is not RUNNING:
                self.state, self.error, generation = EXITED, parent.error, None
                self._room = NO_ROOM
            elif spending.error is not None:
                self.state, self.error, generation = EXITED, spending.error, None
                self._room = NO_ROOM
                parent._end_if_hurried(spending)
            else:
                spending.children += 1
                if not isinstance(parent.children, set):
                    parent.children = set()
                parent.children.add(self)
                if generation is None:
                    generation = parent.generation
        self.generation: Generation | None = generation
        if generation is not None:
            generation.living += 1

    def spending(self) -> Spending:
        """What it and all that descends from the same one have used up; few ask."""
        spending = self._spending
        if spending is None:
            spending = self._spending = Spending(self.budget)
        return spending

    def spend_anew(self) -> None:
        """A child that begins for an event of its own: it has a budget of its own, too. Its parent,
        such as a WebSocket, may live for months."""
        spent, self._spending = self.spending(), Spending(self.budget)
        if spent.cycles is not None:
            self._spending.hurry(spent.cycles)

    @property
    def id(self) -> int:
        """A number for the logs, given when it is first asked for."""
        if not self._number:
            self._number = next(_numbers)
        return self._number

    @property
    def met(self) -> tuple[BaseException, ...]:
        """The errors that its handlers failed with, the last of them, until it is over."""
        return tuple(self._met or ())

    @property
    def data(self) -> Data:
        """What the nodes of this process keep for one another."""
        if self._data is None:
            self._data = Data(None if self.parent is None else self.parent.data)
        return self._data

    @property
    def owner(self) -> Process:
        """Who holds the transactions and open files that the nodes use: the process itself, or the
        one that it is a strand of (part.py)."""
        return self

    @property
    def runners(self) -> frozenset[Any]:
        """The greenlets that run it now."""
        return frozenset(self._runners)

    def __repr__(self) -> str:
        return f"<Process {self.id} {self.state}, {len(self.open)} open>"

    # -- moving packets ------------------------------------------------------------------------

    def write(self, port: OutPort, values: tuple[Any, ...], hops: int, origin: Any = None) -> Reply:
        """Write every value to every link of the port; the Reply has one place for each value."""
        reply, links = Reply(len(values)), port.links
        if len(links) == 1 and len(values) == 1:
            self.deliver(links[0], Packet(values[0], self, reply, 0, hops))
            return reply
        if type(links) is not tuple:
            links = port.links_for(self.generation)
        for place, value in enumerate(values):
            packet = Packet(value, self, reply, place, hops)
            if len(links) == 1:
                self.deliver(links[0], packet)
            elif not links:
                packet.answer(echo(value, origin))
            else:
                self.fan_out([(link, value) for link in links], packet, origin)
        return reply

    def fan_out(
        self, targets: list[tuple[InPort | None, Any]], packet: Packet, origin: Any
    ) -> None:
        """Send several values, none meaning an open end, in the packet's place; all one write
        deep."""
        above, place = packet.take()
        reply, hops = Reply(len(targets), above, place), packet.hops
        each = enumerate(targets if len(targets) <= MANY else unhurried(targets))
        packets = [Packet(value, self, reply, i, hops) for i, (_, value) in each]
        pairs = zip(targets, packets, strict=True)
        for (link, value), branch in pairs if len(targets) <= MANY else unhurried(pairs):
            if link is None:
                branch.answer(echo(value, origin))
            else:
                self.deliver(link, branch)

    def deliver(self, port: InPort, packet: Packet) -> None:
        """Queue the packet at the port, and see that somebody runs it."""
        if len(self.open) > self._room or packet.hops > MAX_HOPS:
            packet.answer(self._refused(packet, port))
            return
        port.arrived += 1
        reader = self.readers.get(port)
        if reader is None:
            reader = self.readers[port] = Reader(self, port, packet)
        else:
            reader.add(packet)
            if reader.held:
                return
            reader.held = True
        ready = self.ready  # as `push` does
        ready.append(reader)
        if len(ready) > 1 or getcurrent() not in self._runners:
            self._arm()

    def _refused(self, packet: Packet, port: InPort) -> Fault:
        """Why a packet is not delivered."""
        origins = () if port.node is None else (port.node,)
        if self.state is not RUNNING:
            over = isinstance(self.error, Runaway)  # they may be many, with one error
            return Fault(self.error if over and self.error else self._exited(), origins)
        if packet.hops > MAX_HOPS:
            return Fault(Runaway(f"more than {MAX_HOPS:,} writes in a descent"), origins)
        if self._refusal is None:
            # From here on every write fails, and what is queued: else each level of the fan-out
            # fills up to the limit. All with one error, for they are many.
            self._runaway, self._room, budget = True, NO_ROOM, self.budget
            fan_out = f"more than {budget.open:,} packets open in a process ({budget.field}.open)"
            error = self.spending().error or Runaway(fan_out)
            self._refusal = Fault(error, origins)
            self._drop_queued(self._refusal)
            self._end_if_hurried(self.spending())
        return self._refusal

    def calm(self) -> None:
        """Its source has an error, and asks its `error` link: what was over is over."""
        self._runaway, self._refusal = False, None
        if self.state is RUNNING:
            self._room = self.budget.open

    def _drop_queued(self, fault: Fault) -> None:
        for reader in self.ready:
            reader.held = False
        self.ready.clear()
        for port, reader in tuple(self.readers.items()):
            dropped = reader.drop()
            port.leave(len(dropped))
            for packet in dropped:
                packet.answer(fault)

    def push(self, reader: Reader) -> None:
        """The reader has a packet to handle."""
        self.ready.append(reader)
        if len(self.ready) > 1 or getcurrent() not in self._runners:
            self._arm()

    # -- running them --------------------------------------------------------------------------

    def ask(self, port: OutPort, *values: Any) -> list[Any]:
        """Write, and run the process in the calling greenlet until all answers are in.

        GreenletExit, Timeout and the like that reach the caller meanwhile exit the process.
        """
        context = self._context.copy() if self._runners else self._context
        return context.run(self._ask, port, values)

    def _ask(self, port: OutPort, values: tuple[Any, ...]) -> list[Any]:
        # Not for longer: the process has this context, and would hold itself.
        before = _current.set(self)
        try:
            me = getcurrent()
            if me in self._runners:  # a handler asks its own process: a helper runs what is ready
                reply = self.write(port, values, self.hops + 1)
                self.wait_in_turn(reply)
                return reply.values
            if self._runaway:
                self.calm()
            self._runners.add(me)
            reply = self.write(port, values, self.hops + 1)
            self._drain(reply)
            if reply.missing:
                try:
                    self.wait(reply)
                except BaseException as error:
                    self._leave_with(error)
                    raise
            return reply.values
        finally:
            _current.reset(before)

    def _drain(self, reply: Reply | None = None) -> None:
        """Handle packets until there are none, or the reply is full."""
        me, ready, steps = getcurrent(), self.ready, TRIM  # me: one of the runners
        turn = TRIMS_A_TURN
        trail = self.trail = Trail([]) if self.trail is None else self.trail.follow()
        note, late = trail.passed.append, inf
        port: InPort | None = None
        try:
            while ready and self.state is RUNNING and (reply is None or reply.missing):
                reader = ready.popleft()
                if ready and not self._armed:
                    self._arm()
                port = reader.port
                packet: Any = reader.packet
                reader.packet = reader.later.popleft() if reader.later else None
                now = monotonic()
                note(port)
                note(now)
                note(packet.payload)
                if now > late:
                    trail.weigh()
                late = now + LONG
                try:
                    released = port.receive(reader, packet)
                finally:
                    port.left += 1
                    if port.emptied is not None and port.left == port.arrived:
                        port.emptied()
                if not released:
                    if reader.packet is not None:
                        self.push(reader)
                    else:
                        reader.held = False
                steps -= 1
                if not steps:
                    steps = TRIM
                    trail.trim()
                    turn -= 1
                    if not turn:
                        # Not blocked, only polite: nobody need step in.
                        turn, self._armed = TRIMS_A_TURN, True
                        let_others_run()
                        self._armed = False
                        self._count(STEPS_A_TURN, port)
        except Interrupt as interrupt:
            if interrupt.process is not self:
                raise
        except BaseException as error:
            self._leave_with(error)
            raise
        finally:
            trail.end = monotonic()
            if me in self._runners:  # as `_run_no_more` does
                self._runners.remove(me)
                if self._leaving is not None:
                    self._leaving.one_less()
            if ready:
                self._arm()
            if self._spending is not None and self._spending.cycles is not None:
                self._count(STEPS_A_TURN - turn * TRIM + TRIM - steps, port, GREENLET)

    def _count(self, packets: int, port: InPort | None, besides: int = 0) -> None:
        """So many were handled, the last of them at that port; on a cycle they count for more."""
        spending = self.spending()
        if spending.spend(packets):
            self._runaway, self._room = True, NO_ROOM
        cycles = spending.cycles
        if cycles is None or port is None or not cycles.has(port, self.generation):
            return
        if spending.go_round(packets + besides):
            self._end_if_hurried(spending)

    def go_round(self) -> None:
        """A handler begins one more round of work that need not end. Raises Runaway when the
        runtime ends and there were too many since."""
        spending = self._spending
        if spending is not None and spending.cycles is not None and spending.go_round(ROUND):
            self._end_if_hurried(spending)
            raise spending.error or self._exited()

    def _run_no_more(self, runner: Any) -> None:
        if runner in self._runners:
            self._runners.remove(runner)
            if self._leaving is not None:
                self._leaving.one_less()

    def _leave_with(self, error: BaseException) -> None:
        """Something no handler may catch left one: the process exits with it (BEHAVIOUR 5.9)."""
        if not isinstance(error, Interrupt):
            self.exit(error)

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            get_hub().loop.run_callback(self._rescue)

    def _rescue(self) -> None:
        # The hub runs, so every runner of this process is blocked: ready work needs another.
        self._armed = False
        if self.ready and self.state is RUNNING:
            if self._spending is not None and self._spending.cycles is not None:
                self._count(
                    0, self.ready[0].port, GREENLET
                )  # it may be long until it counts itself
            self._begin(self._drain, ())

    def spawn(self, function: Callable[..., object], *args: Any) -> None:
        """Run a function in a greenlet of this process; exit interrupts it."""
        get_hub().loop.run_callback(self._begin, function, args)

    def spawn_in_turn(self, function: Callable[..., object], *args: Any) -> None:
        """The same, after others that have come so: what begins a process, for there may be many at
        once, and timers, sockets and the end of the runtime shall not wait for all of them."""
        in_turn(partial(self._begin, function, args))

    def _begin(self, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self.state is RUNNING:
            helper = greenlet(partial(self._help, function, args), get_hub())
            helper.gr_context = self._context.copy()
            helper.switch()

    def _help(self, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        me = getcurrent()
        self._runners.add(me)
        _current.set(self)
        try:
            function(*args)
        except (Interrupt, GreenletExit):
            self.exit(ProcessExited())
        except BaseException as error:
            # A helper has no caller to raise to: the process fails with it, and the log says so.
            _log.error(
                "a greenlet of the process failed: %s",
                error,
                exc_info=error,
                extra={"process_id": self.id},
            )
            self.exit(error)
        finally:
            self._run_no_more(me)

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in the calling greenlet as a part of the process, with its context
        variables; exit interrupts it."""
        me = getcurrent()
        inside = me in self._runners
        self._runners.add(me)
        try:
            context = self._context.copy()
            context.run(_current.set, self)
            return context.run(function, *args)
        finally:
            if not inside:
                self._run_no_more(me)

    def within(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function with the context variables that its greenlets begin with: what it sets,
        they see. Only before the first of them runs."""
        return self._context.run(function, *args)

    def wait(self, reply: Reply) -> None:
        """Block the calling greenlet until the reply is full."""
        if reply.missing:
            reply.waiter = Waiter()
            try:
                reply.waiter.get()
            finally:
                reply.waiter = None

    def wait_in_turn(self, reply: Reply) -> None:
        """`wait`, for a handler: what is ready meanwhile is run by a helper."""
        if reply.missing:
            self.step_aside()
            self.wait(reply)

    def step_aside(self) -> None:
        """For a handler that will run something else meanwhile: what is ready is run by a
        helper."""
        if self.ready:
            self._arm()

    @contextmanager
    def shield(self) -> Iterator[None]:
        """A library call inside is never interrupted by exit, but waited for, up to the grace."""
        me = getcurrent()
        if me in _shielded:
            yield
            return
        _shielded.add(me)
        try:
            yield
        finally:
            _shielded.discard(me)
        if self._leaving is not None and me in self._leaving.outermost:
            raise Interrupt(self._leaving.outermost[me])

    # -- what it holds -------------------------------------------------------------------------

    def enter(self, resource: AbstractContextManager[T], origin: Any = None) -> T:
        """Open a resource that `settle` closes: it commits, or rolls back if the process failed.
        `origin` is the node that opens it: where an error of its end arises."""
        if self.state is not RUNNING:
            raise self._exited()
        value = resource.__enter__()
        self._hold().hold(True, resource.__exit__, origin)
        return value

    def on_exit(self, hook: Callable[[], object]) -> None:
        """Run the hook when the process exits; at once if it has (BEHAVIOUR 4.9)."""
        if self.state is EXITED:
            release_one(lambda *_: hook(), None)
        else:
            self._hold().hold(False, lambda *_: hook())

    def owe(self, error: Exception) -> None:
        """A node keeps this error for later, and has answered its packet with nothing: if nobody
        is told of it in the end (`clear`), the process fails with it (5.11)."""
        if self._owed is None:
            self._owed = []
        self._owed.append(error)

    def meet(self, error: BaseException) -> None:
        """A handler of this process failed so: what the frames of the error hold is let go when the
        process is over, or has met some more."""
        if self._met is None:
            self._met = deque()
        elif len(self._met) >= MET:
            empty(self._met.popleft())
        self._met.append(error)

    def clear(self, *errors: Exception) -> None:
        """These errors that were owed have been told."""
        if self._owed:
            self._owed = [owed for owed in self._owed if all(owed is not each for each in errors)]

    def on_settled(self, hook: Settled) -> None:
        """Call the hook when `settle`, or at the latest the exit, has closed all resources: with
        None if all of them committed, else with what the process failed with, also when there was
        nothing to close (BEHAVIOUR 4.13). What it raises then is the error of the settling, though
        the commit stands. It is called once, may block, and is not interrupted by an exit."""
        if self.state is EXITED:
            raise self._exited()
        self._hold().tell(hook)

    def _hold(self) -> Resources:
        if self._resources is None:
            self._resources = Resources()
        return self._resources

    def settle(self, error: BaseException | None = None) -> BaseException | None:
        """Close the resources, last opened first: with an error they roll back, else they commit.

        Returns what the process failed with: the error given, that of a resource that failed to
        close, or what exited the process before; None when all went well. The source calls it
        before the answer leaves (BEHAVIOUR 4.5, 4.6).
        """
        if self.state is not RUNNING:
            return self._exited()
        if error is None and self._owed:
            owed = self._owed
            error = owed[0] if len(owed) == 1 else ExceptionGroup("nobody handled", owed)
        self.failure = error
        if self._resources is None:
            return error
        me = getcurrent()
        inside = me in self._runners
        shielded = me in _shielded
        self._runners.add(me)  # an exit meanwhile waits for it
        _shielded.add(me)
        try:
            error = self.failure = self._release(self._resources, error, hooks=False)
        finally:
            if not shielded:
                _shielded.discard(me)
            if not inside:
                self._run_no_more(me)
        if self._leaving is not None and self._leaving.outermost.get(me, self) is not self:
            raise Interrupt(
                self._leaving.outermost[me]
            )  # a handler of the parent settles its child
        return error

    def _release(
        self, resources: Resources, error: BaseException | None, *, hooks: bool
    ) -> BaseException | None:
        """Release as a part of the process: what commits may use its Local, too."""
        context, whole = self._context.copy(), self.whole
        context.run(_current.set, self)
        onto = whole._hold() if whole is not None and whole.state is RUNNING else None
        return context.run(resources.release, error, hooks=hooks, onto=onto)

    # -- ending --------------------------------------------------------------------------------

    def hurry(self, cycles: Cycles) -> None:
        """The runtime ends: it may do what it is about, and so much on cycles; then it exits, with
        all that shares its budget (BEHAVIOUR 17.7)."""
        for member in self._family():
            member.spending().hurry(cycles)

    def _family(self) -> list[Process]:
        """It and all that descends from it and runs, parents before their children."""
        family: list[Process] = [self]
        for member in family:
            family.extend(child for child in member.children if child.state is RUNNING)
        return family

    def _end_if_hurried(self, spending: Spending) -> None:
        """The runtime ends, and what shares this budget is over it: from here on nobody does
        anything in its name any more."""
        if spending.cycles is None or spending.has_ended:
            return
        spending.has_ended = True
        first = self
        while first.parent is not None and first.parent._spending is spending:
            first = first.parent
        if first.state is RUNNING:
            family = first._family()
            first._see_out_aside(first._leave(family, spending.error, None), family)

    def let_go(self) -> None:
        """It was answered: unless packets of it are under way, no old graph need be kept for it."""
        if self.generation is not None and not self.open:
            self.generation.leave()
            self.generation = None

    def finish(self) -> None:
        """For a source, after its answer: wait for the children, then exit (BEHAVIOUR 4.7).

        Not for those that others begin meanwhile, as a session does: there might always be one.
        """
        if self.children:
            self.let_go()
            own = frozenset(self.children)
            if self._childless is None:
                self._childless = Event()
            while not own.isdisjoint(self.children):
                self._childless.clear()
                self._childless.wait()
        self.exit()

    def exit(self, error: BaseException | None = None) -> None:
        """End the process and its children, whatever they do; a second exit does nothing.

        Greenlets that are not out within `grace` seconds (shielded calls) are left behind, and the
        log says so.
        """
        if self.state is not RUNNING:
            return
        if error is None and self.open:
            error = ProcessExited()
        if not self.children and not self._runners:
            self.state, self.error, self._room = EXITING, error, NO_ROOM
            self._end()
            return
        family = self._family()
        self._see_out(self._leave(family, error, getcurrent()), family)

    def _leave(self, family: list[Process], error: BaseException | None, me: Any) -> _Leaving:
        """All of these end, and their greenlets will be interrupted; `me` is not waited for."""
        leaving = _Leaving()
        for member in family:
            member.state, member.error, member._leaving = EXITING, error, leaving
            member._room = NO_ROOM
            member._runners.discard(me)  # it runs no more of it; nobody need wait for it
            leaving.left += len(member._runners)
            for runner in member._runners:
                leaving.outermost.setdefault(runner, member)
        interrupt = get_hub().loop.run_callback
        for runner in leaving.outermost:
            interrupt(_interrupt, runner, leaving)
        return leaving

    def _see_out_aside(self, leaving: _Leaving, family: list[Process]) -> None:
        """In a greenlet of its own, which is of no process."""
        helper = partial(self._see_out, leaving, family)
        get_hub().loop.run_callback(lambda: greenlet(helper, get_hub()).switch())

    def _see_out(self, leaving: _Leaving, family: list[Process]) -> None:
        try:
            self._await_end(leaving, family)
        except BaseException:  # its own process exits: the family's end goes on without it
            self._see_out_aside(leaving, family)
            raise
        for member in reversed(family):
            member._end()
        if not leaving.left:  # nobody is to be interrupted any more; each refers to this and back
            leaving.outermost.clear()

    @property
    def left_behind(self) -> int:
        """Calls that did not end within the grace, once it has exited."""
        return 0 if self._leaving is None else self._leaving.left

    def _await_end(self, leaving: _Leaving, family: list[Process]) -> None:
        end = monotonic() + self.grace
        if leaving.left and not leaving.none_left.wait(self.grace):
            _log.warning(
                "%d calls did not end within the grace of %g s, and are left behind",
                leaving.left,
                self.grace,
                extra={"process_id": self.id},
            )
        for member in family:  # children that another greenlet is ending already
            while any(
                child.state is EXITING and child._leaving is not leaving
                for child in member.children
            ):
                member._childless = member._childless or Event()
                member._childless.clear()
                if not member._childless.wait(max(0.0, end - monotonic())):
                    break

    def _end(self) -> None:
        """Answer what is open, release what is held."""
        if self.open:
            exited = Fault(self._exited())
            for packet in list(self.open):
                packet.answer(exited)
            for port, reader in self.readers.items():
                if reader.packet is not None:
                    port.leave(len(reader.drop()))
            self.ready.clear()
        self.readers.clear()
        if self._resources is not None:
            error = self.error
            self.error = self._release(self._resources, error, hooks=True)
            if error is None and self.error is not None:  # after it settled: nobody else is told
                _log.error(
                    "what the process did after it settled failed: %s",
                    self.error,
                    exc_info=self.error,
                    extra={"process_id": self.id},
                )
        self.state = EXITED
        parent = self.parent
        if self.whole is None and self.recorder is not None:
            self.recorder.ended(self)
        if parent is not None and self.trail is not None:
            above = (self.whole or parent).trail
            if above is not None:
                above.keep(self)
        self.trail = self.failure = self.source = None
        while self._met:
            empty(self._met.popleft())
        generation = self.generation
        if generation is not None:
            self.generation = None
            generation.living -= 1  # as `leave` does
            if generation.is_old and not generation.living:
                generation.end()
        self._data = None  # what it kept may lead back to it
        if self._registry is not None:
            self._registry.discard(self)
        if parent is not None:
            parent.spending().children -= 1
            if isinstance(parent.children, set):
                parent.children.discard(self)
            if parent._childless is not None:
                parent._childless.set()

    def _exited(self) -> ProcessExited:
        """The error that stands for this process's end, with the reason as its cause."""
        exited = ProcessExited()
        if self.error is not None and not isinstance(self.error, ProcessExited):
            exited.__cause__ = self.error
        return exited


def _interrupt(runner: Any, leaving: _Leaving) -> None:
    # In the hub, so between the check and the throw nothing else can run.
    process = leaving.outermost.get(runner)
    if process is not None and runner in process._runners and runner not in _shielded:
        runner.throw(Interrupt(process))
