"""`trigger`: publishes events on a topic, and starts a process for each event (BEHAVIOUR
14.trigger).

How events travel is the broker's (greenflow.broker). An event is done when its workflow has
answered and settled and the children have ended; if it failed, the broker may deliver it again.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from greenflow.broker.base import Done, Subscription
from greenflow.engine.declaring import node
from greenflow.engine.node import Context
from greenflow.engine.packet import NOTHING
from greenflow.engine.process import Process
from greenflow.engine.source import Run, Source, conclude
from greenflow.errors import ProcessExited
from greenflow.spec.fields import Spec
from greenflow.spec.ports import canonical


class TriggerSpec(Spec):
    topic: Annotated[
        str,
        Meta(
            min_length=1,
            description="what events are about; `load` and `unload` are of this runtime's nodes",
        ),
    ]


@node("trigger", inputs=("in",), reads_only=True)
class Trigger(Source[TriggerSpec]):
    """Publishes its input on a topic, and starts a process for each event of the topic.

    `in` answers nothing, as soon as the broker has the event. `out` is written with each event, in
    a new process. The topics `load` and `unload` carry the spec of each node of this runtime as it
    is activated or deactivated. What happens to an event whose workflow fails is the broker's:
    `greenflow run --broker-url` names one.
    """

    _subscription: Subscription | None = None

    def handle(self, ctx: Context, payload: Any) -> Any:
        self.services.broker.publish(self.spec.topic, payload)
        return NOTHING

    def prepare(self) -> None:
        if any(canonical(port) == "out" for port in self.spec.links):  # else it only publishes
            self._subscription = self.services.broker.subscribe(
                self.spec.topic, self.spec.name or self.spec.id, partial(self._deliver, Run(self))
            )

    def abandon(self) -> None:
        self.stop()

    def start(self, run: Run) -> None:
        if self._subscription is not None:
            self._subscription.start()

    def stop(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.stop()

    def _deliver(self, run: Run, payload: Any, done: Done) -> None:
        event = _Event(done)
        process = run.begin()
        process.on_exit(partial(event.end, process))
        process.on_exit(partial(run.answered, process))
        process.spawn(self._follow, run, process, payload, event)

    def _follow(self, run: Run, process: Process, payload: Any, event: _Event) -> None:
        try:
            event.error = conclude(self, process, run.ask(process, self.output("out"), payload))
            event.children = descendants(process)
        finally:
            run.end(process)


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
