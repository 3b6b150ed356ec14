"""What a runtime hands to its nodes, so that they need not know what hands it.

Lives here: Services, one for each runtime, and Compiler, what a kind may ask of the scheme. A node
has them as `self.services`. What is shared by one kind alone is made by it (`Services.share`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec.structs import asdict

from greenflow.broker.base import Broker
from greenflow.broker.memory import MemoryBroker
from greenflow.engine.budget import Budget
from greenflow.engine.cycle import Cycles
from greenflow.engine.generation import Generation, Generations
from greenflow.engine.process import Process
from greenflow.engine.sampling import Sampler
from greenflow.engine.trail import Recorder
from greenflow.errors import Runaway
from greenflow.hub.clock import Clock
from greenflow.hub.world import World
from greenflow.spec.fields import Spec
from greenflow.spec.template import Scope
from greenflow.values.seal import Keys
from greenflow.values.values import Bindings, Values

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.engine.tracing import Tracer
    from greenflow.log.access import AccessLog

T = TypeVar("T")


class Compiler(Protocol):
    """What a kind may ask of the scheme: to check, and to make, nodes of other kinds. What a node
    is, node.py says, which builds on this."""

    def decode(
        self,
        document: Any,
        namespace: str,
        path: str = "$",
        bindings: Bindings | None = None,
        around: Scope | None = None,
    ) -> Spec: ...

    def ports(self, spec: Spec) -> tuple[tuple[str, ...], tuple[str, ...]]: ...

    def node_type(self, kind: str) -> type[Any]: ...

    def compile(self, spec: Spec, services: Services) -> Any: ...


class Services:
    """What a runtime hands to its nodes. One for each runtime.

    A node that waits, or asks what time it is, does so by `clock`: a test sets it. With `seed` the
    chance in code is the same in each run. `broker` carries events; by default those of this
    runtime alone.
    """

    def __init__(
        self,
        namespace: str,
        settings: Settings,
        compiler: Compiler,
        clock: Clock = Clock(),  # noqa: B008 - has no state
        *,
        seed: int | None = None,
        listens: bool = True,
        broker: Broker | None = None,
    ) -> None:
        self.namespace, self.settings, self.compiler = namespace, settings, compiler
        self.clock = clock
        self.world = World(clock, seed)  # of the code that asks for the time or for chance
        self.broker = MemoryBroker() if broker is None else broker
        self.listens = listens  # whether listeners open sockets
        # Whether a node of this runtime wants requests as they came (Received). Few do,
        # and keeping them costs every request something.
        self.keeps_requests = False
        self.tracer: Tracer | None = None  # of a runtime whose processes may be traced
        self.processes: set[Process] = set()  # every live process without a parent
        self.paused: set[str] = set()  # ids of sources that were told to begin nothing
        self.budget = Budget(**asdict(settings.process))
        self.cycles = Cycles()  # of the graph, looked at when the runtime ends
        # Where a person finds a spec, given its id and a path in it: `file:line:column`. None for
        # one that is known by its id and revision alone.
        self.locate: Callable[[str, str], str | None] | None = None
        self.recorder: Recorder | None = None  # who is told of processes that have ended
        self.access: AccessLog | None = None  # who gets a line for each answered request
        self.sampler = Sampler()  # how long nodes take
        self.generations = Generations()  # of the graph, which processes may still see
        self.operations: dict[str, Callable[..., Any]] = {}  # what `syscall` may call, by opcode
        self._shared: dict[object, tuple[Any, Callable[[Any], object]]] = {}

    def begin(
        self,
        parent: Process | None = None,
        hops: int = 0,
        generation: Generation | None = None,
        budget: Budget | None = None,
    ) -> Process:
        """A new process, or a child of one. It sees the newest graph, and has a budget of its own;
        with a generation it sees that, and has the budget of its parent (BEHAVIOUR 3.10, 6.7).
        Raises Runaway for one more child than the budget of the parent allows."""
        begins_anew = generation is None
        if begins_anew:
            generation = self.generations.newest
        if budget is None:
            budget = self.budget
        process = Process(
            parent, hops, self.settings.grace, self.processes, generation, budget, self.world
        )
        process.recorder = self.recorder
        if parent is not None:
            if isinstance(process.error, Runaway):
                raise process.error.with_traceback(None)  # it is raised again and again
            if begins_anew:
                process.spend_anew()
            else:
                process.spending().fork()
        return process

    @cached_property
    def values(self) -> Values:
        """The values of the namespace. Raises KeyInvalid for what is no key in the settings."""
        settings = self.settings
        return Values(self.namespace, settings.environment, Keys(settings.values.key))

    def share(self, key: object, make: Callable[[], T], close: Callable[[T], object]) -> T:
        """One thing for all nodes of the runtime, made at first use, closed when the runtime
        stops."""
        if key not in self._shared:
            self._shared[key] = (make(), close)
        shared: T = self._shared[key][0]
        return shared

    def close(self) -> None:
        """Close what is shared, last made first, and the broker."""
        self.sampler.close()
        while self._shared:
            shared, close = self._shared.popitem()[1]
            close(shared)
        self.broker.close()
