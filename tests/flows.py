"""Runs workflows written as YAML, for tests of kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gevent.event import Event

from greenflow.config import Settings
from greenflow.engine.node import Context, Node
from greenflow.engine.process import Process
from greenflow.engine.services import Services
from greenflow.errors import InvalidArgument
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import read
from greenflow.spec.fields import Spec
from tests.waiting import until


class Probes:
    """What passed the probe nodes of one flow, and what they are told to do."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []
        self.processes: list[Process] = []
        self.gates: dict[str, Event] = {}
        self.reached: dict[str, Event] = {}

    def of(self, name: str) -> list[Any]:
        """The payloads that passed one probe."""
        return [payload for probe, payload in self.seen if probe == name]


class ProbeSpec(Spec):
    answer: Any = None
    raises: str = ""
    times: int = 1_000_000
    resource: bool = False


def probe_kind(probes: Probes) -> type[Node[Any]]:
    class Resource:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            probes.seen.append((self.name, "opened"))

        def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
            probes.seen.append((self.name, "committed" if kind is None else "rolled back"))

    class Probe(Node[ProbeSpec]):
        """Notes what passes; answers, raises or blocks as it is told."""

        kind = "probe"
        spec_type = ProbeSpec
        outputs = ("out[i]",)

        def __init__(self, spec: ProbeSpec, services: Services) -> None:
            super().__init__(spec, services)
            self.left = spec.times

        def handle(self, ctx: Context, payload: Any) -> Any:
            name = self.spec.name or self.spec.id
            probes.seen.append((name, payload))
            probes.processes.append(ctx.process)
            if self.spec.resource:
                ctx.enter(Resource(name))
            if name in probes.reached:
                probes.reached[name].set()
            if name in probes.gates:
                probes.gates[name].wait()
            if self.spec.raises and self.left:
                self.left -= 1
                raise InvalidArgument(self.spec.raises)
            return payload if self.spec.answer is None else self.spec.answer

    return Probe


class Flow:
    """A runtime with a workflow, and what passed its probes."""

    def __init__(self, runtime: Runtime, probes: Probes) -> None:
        self.runtime, self.probes = runtime, probes
        self.call: Callable[..., Any] = runtime.call

    def followed(self, revision: int) -> None:
        """Wait until the runtime has looked at that revision."""
        until(lambda: revision in self.runtime.table.revisions().values())

    def reason(self, name: str) -> str:
        return self.runtime.table.find(name).reason


@contextmanager
def flow(text: str, grace: float = 5.0, **settings: Any) -> Iterator[Flow]:
    """Run the specs of a YAML text from memory; every one must be active."""
    probes = Probes()
    scheme = Scheme.installed()
    scheme.register(probe_kind(probes))
    specs = [document.data for document in read(text, "test")]
    chosen = Settings(grace=grace, **settings)
    with Runtime("memory://", specs=specs, settings=chosen, scheme=scheme) as runtime:
        inactive = {s["name"]: s["reason"] for s in runtime.status() if not s["active"]}
        assert not inactive
        yield Flow(runtime, probes)
