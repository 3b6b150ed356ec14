"""`python`: calls a function of the user's own code, unchanged (BEHAVIOUR 14.python).

Lives here: the node, and what the three isolations are to a process of a workflow. How a function
is found and bound, and the workers, are `greenflow.python`'s.

- greenlet: in the engine's own greenlets. The function blocks nobody as long as it waits in sockets
  that gevent patched; an exit of the process interrupts it.
- thread: in a native thread of the node's own. A thread cannot be stopped: one whose time is over
  goes on, is counted in the log, and has its place of `concurrency` until it ends. An exit of the
  process waits for the function, up to the grace (BEHAVIOUR 4.11).
- process: in an OS process of the node's own. Whatever the function does, it can be killed, and is,
  when its time is over or the process of the workflow exits.
"""

from __future__ import annotations

import contextvars
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Annotated, Any, Literal

import gevent
import msgspec
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node, describe
from greenflow.engine.services import Compiler
from greenflow.engine.tracing import Traced
from greenflow.errors import CompileFailed, FunctionTimedOut, InvalidArgument, SpecFault
from greenflow.hub.blocking.threads import Threads
from greenflow.hub.turns import Turns
from greenflow.log.secret import conceal
from greenflow.nodes.retry import BackoffSpec
from greenflow.payload.value import copy
from greenflow.python import crossing, wire
from greenflow.python.function import PythonFunction, Several, run
from greenflow.python.pool import Order, PythonPool
from greenflow.spec.fields import Duration, Spec

# Threads of a node that says no `concurrency`: as many as gevent's own pool has. Each takes some
# 100 KiB, and they take turns at one lock.
THREADS = 10

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


_log = logging.getLogger("greenflow.nodes.python")


class PythonSpec(Spec):
    call: Annotated[str, Meta(description="the function, as `package.module:function`")]
    arguments: Annotated[
        Literal["whole", "position", "name"] | None,
        Meta(
            description="how the payload is passed; default: whole to a function of one parameter"
        ),
    ] = None
    isolation: Annotated[
        Literal["greenlet", "thread", "process"], Meta(description="where the function runs")
    ] = "greenlet"
    timeout: Annotated[Duration | None, Meta(description="how long a call may take")] = None
    concurrency: Annotated[
        int | None,
        Meta(
            ge=1,
            description="calls at once, also of one process; default: one of each process, and "
            "of all any number of greenlets, 10 threads, an OS process for each core",
        ),
    ] = None
    retry: Annotated[int, Meta(ge=0, description="how many retries of a call that fails")] = 0
    backoff: Annotated[BackoffSpec, Meta(description="the time between tries")] = BackoffSpec()
    reload: Annotated[bool, Meta(description="take edits of the module's file up")] = False
    serialize: Annotated[
        Literal["pickle", "json"], Meta(description="how values reach an OS process and return")
    ] = "pickle"


@node("python", reaches_outside=True)
class Python(Node[PythonSpec]):
    """Calls a Python function with its input; what it returns leaves by `out`.

    A function of one parameter takes the input whole; one of several takes a list by position or a
    map by name. A generator sends several packets. What it raises goes to `error`: an error with
    the exception's message, and its type (`ValueError`) as the message of the cause.
    """

    waits = True

    _function: PythonFunction | None = None
    _pool: PythonPool | None = None
    _threads: Threads | None = None

    @classmethod
    def check(cls, spec: PythonSpec, compiler: Compiler) -> list[SpecFault]:
        # The module itself is looked for by who runs it: a spec is often applied from elsewhere.
        if _REFERENCE.fullmatch(spec.call):
            return []
        reason = f"{spec.call!r} is not of the form `package.module:function`"
        return [SpecFault("$.call", reason)]

    def open(self) -> None:
        spec = self.spec
        at_once = spec.concurrency or 1
        self._in_hand = Turns(at_once) if at_once > 1 else None  # packets, of any process
        self._late = 0  # threads that go on after their time
        self._turns: Turns | nullcontext[None] = nullcontext()
        if spec.isolation == "process":
            size = spec.concurrency or len(os.sched_getaffinity(0))
            named = frozenset(self.services.settings.environment)
            order = Order(spec.call, spec.arguments, spec.serialize, named)
            pool = PythonPool(
                order, size, reload=spec.reload, log=self._printed, refused=self._refused
            )
            try:
                pool.open()
            except BaseException:
                pool.close()
                raise
            self._pool, self._call = pool, self._in_worker
            return
        self._function = PythonFunction(
            spec.call, spec.arguments, context=spec.isolation == "greenlet"
        )
        if spec.isolation == "thread":
            self._threads = Threads(spec.concurrency or THREADS)
            self._call = self._in_thread
            return
        if spec.concurrency is not None:
            self._turns = Turns(spec.concurrency)
        self._call = self._in_greenlet

    def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        threads, self._threads = self._threads, None
        if threads is None:
            return
        if self._late:
            _log.warning(
                "%d calls of %s go on in their threads, and are left behind",
                self._late,
                self.spec.call,
                extra=describe(self),
            )
            threads.abandon()
        else:
            threads.close()

    def handle(self, ctx: Context, payload: Any) -> Any:
        if self._in_hand is None:
            return self._handled(ctx, payload)
        with self._in_hand:  # only then the next packet of the process, which may wait here
            ctx.step_aside()
            ctx.process.step_aside()
            return self._handled(ctx, payload)

    def _handled(self, ctx: Context, payload: Any) -> Any:
        spec = self.spec
        if not spec.retry:
            result = self._call(ctx, payload)
        else:
            result = self._tried(ctx, payload, spec.backoff.waits(spec.retry))
        return _each(result) if type(result) is Several else result

    def _tried(self, ctx: Context, payload: Any, waits: Iterator[float]) -> Any:
        while True:
            try:
                # The function may change what it is given.
                return self._call(ctx, copy(payload))
            except InvalidArgument:
                raise  # it will not be better
            except Exception:
                seconds = next(waits, None)
                if seconds is None:
                    raise
            self.services.clock.sleep(seconds)

    # -- the three isolations ------------------------------------------------------------------

    def _in_greenlet(self, ctx: Context, payload: Any) -> Any:
        call = self._bound(ctx, payload)
        seconds = self.spec.timeout
        with self._turns:
            if seconds is None:
                return _run(call)
            try:
                with self.services.clock.timeout(seconds) as limit:
                    return _run(call)
            except gevent.Timeout as expired:
                if expired is not limit:
                    raise
                raise self._timed_out() from None

    def _in_thread(self, ctx: Context, payload: Any) -> Any:
        assert self._threads is not None
        call = self._bound(ctx, payload)
        context = contextvars.copy_context()
        task = self._threads.begin(context.run, run, call)
        with ctx.shield():
            if not task.wait(self.spec.timeout):
                self._late += 1
                task.then(self._ended_late)
                _log.warning(
                    "a call of %s goes on in its thread after %g s; there are %d such",
                    self.spec.call,
                    self.spec.timeout,
                    self._late,
                    extra=describe(self, ctx.process),
                )
                raise self._timed_out()
        try:
            return task.outcome()
        except BaseException as error:  # the call has ended, so it is what the function raised
            wire.fail(error)

    def _ended_late(self) -> None:
        self._late -= 1

    def _in_worker(self, ctx: Context, payload: Any) -> Any:
        assert self._pool is not None
        serialize, tracer = self.spec.serialize, self.services.tracer
        trace = None
        if tracer is not None and type(ctx.process.trace) is Traced:
            trace = tracer.headers(ctx.process)
        encoded = crossing.encode(payload, serialize)
        kind, body = self._pool.run(encoded, self.spec.timeout, trace)
        if kind == wire.INVALID:
            raise InvalidArgument(body.decode())
        if kind == wire.ERROR:
            raise wire.told(msgspec.json.decode(body))
        result = crossing.decode(body, serialize)
        return Several(result) if kind == wire.SEVERAL else result

    # -- what they share -----------------------------------------------------------------------

    def _bound(self, ctx: Context, payload: Any) -> Callable[[], Any]:
        function = self._function
        assert function is not None
        if self.spec.reload:
            try:
                function.refresh()
            except CompileFailed as error:
                self._refused(error)
        return function.bind(payload, ctx)

    def _timed_out(self) -> FunctionTimedOut:
        return FunctionTimedOut(f"{self.spec.call} did not end within {self.spec.timeout:g} s")

    def _refused(self, error: CompileFailed) -> None:
        _log.error("an edit is not taken, the old code goes on: %s", error, extra=describe(self))

    def _printed(self, line: str) -> None:
        _log.info("%s", conceal(line), extra=describe(self))


def _run(call: Callable[[], Any]) -> Any:
    try:
        return run(call)
    except (Exception, SystemExit) as error:  # scripts of ten years call sys.exit
        wire.fail(error)


def _each(results: Several) -> Iterator[Any]:
    yield from results
