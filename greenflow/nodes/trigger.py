"""`trigger`: publishes events on a topic, and starts a process for each event (BEHAVIOUR
14.trigger).

Lives here: the kind, and the events that a process holds until it has settled. How events travel is
the broker's (greenflow.broker).

What a process publishes goes out when all its resources have committed, in the order in which it
was published, and not at all when it rolled back (BEHAVIOUR 14.4). It is packed at once: what
cannot travel is an error of its packet, and what is done to the payload later does not show.

An event is done when its workflow has answered and settled and the children have ended; if it
failed, the broker may deliver it again.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Annotated, Any, Literal

from msgspec import Meta

from greenflow.broker.base import TRACE, Broker, Done, Parcel, Subscription
from greenflow.engine.budget import SourceSpec
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node, describe
from greenflow.engine.origin import blame, identity_of, name_of
from greenflow.engine.packet import NOTHING
from greenflow.engine.process import Process
from greenflow.engine.scope import limited_alone
from greenflow.engine.source import Run, Source, conclude
from greenflow.engine.tracing import PARENT, Tracer, of_node
from greenflow.errors import EventsFull, NotPublished, ProcessExited
from greenflow.spec.fields import TimeLimit
from greenflow.spec.ports import canonical

# Bytes that an event counts for besides its payload: its parcel and its place among the others.
EVENT_BYTES = 200

# Nodes that the error of lost events names. The first says where to look.
MOST_NAMES = 3

_log = logging.getLogger("greenflow.node")


class TriggerSpec(SourceSpec):
    topic: Annotated[
        str,
        Meta(
            min_length=1,
            description="what events are about; `load` and `unload` are of this runtime's nodes",
        ),
    ]
    when: Annotated[
        Literal["commit", "now"],
        Meta(
            description="commit: `in` publishes when its process has committed, and never what was"
            " rolled back; now: at once"
        ),
    ] = "commit"
    timeout: Annotated[
        TimeLimit | None,
        Meta(description="how long an event may take: then its process ends, rolled back"),
    ] = None


@node("trigger", inputs=("in",), reads_only=True)
class Trigger(Source[TriggerSpec]):
    """Publishes its input on a topic, and starts a process for each event of the topic.

    `in` answers nothing at once; the event goes out when the process has committed, and never if it
    rolled back. With `when: now` it goes out first, and `in` answers when the broker has it. `out`
    is written with each event, in a new process. The topics `load` and `unload` carry the spec of
    each node of this runtime as it is activated or deactivated. What happens to an event whose
    workflow fails is the broker's: `greenflow run --broker-url` names one.
    """

    can_pause = True
    _subscription: Subscription | None = None

    def handle(self, ctx: Context, payload: Any) -> Any:
        services, topic = self.services, self.spec.topic
        # A broker of another package need not know of traces.
        trace = () if services.tracer is None else (services.tracer.headers(ctx.process)[PARENT],)
        if self.spec.when == "now":
            services.broker.publish(topic, payload, *trace)
        else:
            held = _Held.of(ctx.process.owner, services.broker, services.settings.broker.held)
            held.add(self, services.broker.pack(topic, payload, *trace))
        return NOTHING

    def prepare(self) -> None:
        leads_on = any(canonical(port) == "out" for port in self.spec.links)
        if leads_on or self.output("out").links:  # else it only publishes
            self._subscription = self.services.broker.subscribe(
                self.spec.topic,
                (self.spec.name if self.within is None else None) or identity_of(self),
                partial(self._deliver, Run(self)),
                self.spec.limits.in_flight,
            )

    def abandon(self) -> None:
        self.stop()

    def start(self, run: Run) -> None:
        if self._subscription is not None:
            self._subscription.start()

    def pause(self) -> None:
        super().pause()
        if self._subscription is not None:
            self._subscription.pause()

    def resume(self) -> None:
        super().resume()
        if self._subscription is not None:
            self._subscription.resume()

    def stop(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.stop()

    def _deliver(self, run: Run, payload: Any, done: Done) -> None:
        event = _Event(done)
        process = run.begin()
        if self.services.tracer is not None:
            self._trace(self.services.tracer, process)
        process.on_exit(partial(event.end, process))
        process.on_exit(partial(run.answered, process))
        process.spawn_in_turn(self._follow, run, process, payload, event)

    def _trace(self, tracer: Tracer, process: Process) -> None:
        """The process of an event begins: trace it, if that is to be."""
        parent = TRACE.get()
        if tracer.takes(process, parent):
            topic = {"messaging.destination.name": self.spec.topic}
            said = of_node(self) | topic | {"messaging.operation.type": "process"}
            tracer.start(process, f"process {self.spec.topic}", "CONSUMER", said, parent)

    def _follow(self, run: Run, process: Process, payload: Any, event: _Event) -> None:
        try:
            limited_alone(self, process, self.spec.timeout)
            event.error = conclude(self, process, run.ask(process, self.output("out"), payload))
            event.children = descendants(process)
        finally:
            run.end(process)


class _Held:
    """What a process has published, until it has settled."""

    def __init__(self, process: Process, broker: Broker, limit: int) -> None:
        self._process, self._broker = process, broker
        self._limit, self._size = limit, 0
        self._parcels: list[Parcel] = []
        self._nodes: list[Node[Any]] = []  # which published them

    @classmethod
    def of(cls, process: Process, broker: Broker, limit: int) -> _Held:
        """What the process, and none of its parents, holds."""
        held: _Held | None = process.data.get(cls)
        if held is None or held._process is not process:
            held = cls(process, broker, limit)
            process.on_settled(held.settled)
            process.data.set(cls, held)
        return held

    def add(self, node: Node[Any], parcel: Parcel) -> None:
        """Hold one more, published by that node. Raises EventsFull."""
        size = self._size + parcel.size + EVENT_BYTES
        if size > self._limit:
            raise EventsFull(
                f"the process has published {len(self._parcels):,} events, and with one more they "
                f"would be over {self._limit:,} bytes, which are held until it commits: set "
                "broker.held, work in smaller processes, or publish with `when: now`"
            )
        self._size = size
        self._parcels.append(parcel)
        self._nodes.append(node)

    def settled(self, error: BaseException | None) -> None:
        """The process has committed, and they go out; or with an error it has not, and they are
        forgotten. Raises NotPublished."""
        self._process.data.delete(_Held)
        if error is not None:
            return
        try:
            errors = self._broker.send(self._parcels)
        except BaseException:
            text = "nobody waits any more for %d events of committed work: some may not go out"
            _log.error(text, len(self._parcels), extra=self._extra())
            raise
        failed = [place for place, reason in enumerate(errors) if reason is not None]
        if failed:
            names = list(dict.fromkeys(name_of(self._nodes[place]) for place in failed))
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            lost = NotPublished(
                f"the work is committed, but {len(failed)} of {len(errors)} events of "
                f"{', '.join(names[:MOST_NAMES])}{more} did not go out: {errors[failed[0]]}"
            )
            blame(lost, self._nodes[failed[0]], None, self._process.id)
            raise lost

    def _extra(self) -> dict[str, object]:
        return describe(self._nodes[0], self._process)


class _Event:
    """An event under way: what it failed with, if it did."""

    def __init__(self, done: Done) -> None:
        self._done = done
        self.error: BaseException | None = ProcessExited()  # until the process was settled
        self.children: list[Process] = []

    def end(self, process: Process) -> None:
        """The process exits. An event is not done if it or a child of it was ended by force; a
        child that failed by itself is its own affair."""
        errors = (each.error for each in (process, *self.children))
        self._done(self.error or next(filter(None, errors), None))


def descendants(process: Process) -> list[Process]:
    """The children of a process, and theirs."""
    found = list(process.children)
    for child in found:
        found.extend(child.children)
    return found
