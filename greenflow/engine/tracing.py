"""Traces: which processes are traced, and the spans of one that is (BEHAVIOUR 18).

Lives here: Tracer, one for each runtime that has the setting `tracing.to`, and Traced, what a
traced process has. Where spans go is runtime/exporting.py's; who hands a caller's trace in is the
listener and the trigger; who hands it on is `http`, `trigger` and `python`.

Whether a process is traced is settled when it begins, by its caller's word or by chance. One that
is not makes no object: it has the text that its caller sent, or nothing, and its nodes ask no more
than that. What the text is says W3C Trace Context (Recommendation of 2021-11-23).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from random import random
from secrets import token_hex
from typing import Any

from greenflow.engine.origin import name_of
from greenflow.engine.process import RUNNING, Process
from greenflow.log.secret import conceal

#: Names of the headers of W3C Trace Context (3.2, 3.3), as they are sent.
PARENT, STATE = "Traceparent", "Tracestate"

#: A trace that nobody takes down; who is called then does not begin one of its own (3.2.2.5.1).
_NOT_SAMPLED = "00-{trace}-{parent}-00"

# Version, trace, parent and flags (3.2.2); of a later version more may follow (4.3).
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_VERSION_0, _LONG = "00", 55  # characters of the whole header in version 0
_SAMPLED = 1  # the bit of the flags that says so

#: What an error is called in the span that it ended (OpenTelemetry, semantic conventions 1.30).
_ERROR_TYPE = "error.type"


class Traced:
    """What a traced process has: its span."""

    __slots__ = ("span",)

    def __init__(self, span: Any) -> None:
        self.span = span

    def answered(self, status: int) -> None:
        """The response to its request has that status."""
        self.span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self.span.set_status(_error_status())

    def routed(self, method: str, path: str) -> None:
        """The request went that way: its span is called by the route, of which there are few."""
        self.span.update_name(f"{method} {path}")
        self.span.set_attribute("http.route", path)

    def settled(self, error: BaseException | None) -> None:
        """The process has committed, or failed."""
        if error is not None:
            _fail(self.span, error)

    def end(self) -> None:
        """The process exits."""
        self.span.end()


class Tracer:
    """Decides which processes are traced, and makes their spans. `ratio` is how many of those are
    whose caller says nothing of it, from 0 to 1; `provider` is OpenTelemetry's, by default that of
    the program."""

    def __init__(self, ratio: float, provider: Any = None) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.ratio = ratio
        self._tracer = trace.get_tracer("greenflow", version("greenflow"), provider)
        self._propagator = TraceContextTextMapPropagator()

    def takes(self, process: Process, parent: str | None = None) -> bool:
        """Whether a process that begins is to be traced (`start`): if its caller's trace is taken
        down, or by chance where it has none. What the caller sent is kept in any case."""
        if parent is not None and is_parent(parent):
            if int(parent[53:55], 16) & _SAMPLED:
                return True
            process.trace = parent
            return False
        if random() < self.ratio:
            return True
        process.trace = ""
        return False

    def start(
        self,
        process: Process,
        name: str,
        kind: str,
        attributes: dict[str, Any],
        parent: str | None = None,
        state: str | None = None,
    ) -> None:
        """Trace a process that begins. `kind` is SERVER, CONSUMER or INTERNAL, `parent` and
        `state` what its caller sent."""
        from opentelemetry.context import Context

        sent = {PARENT.lower(): parent, STATE.lower(): state}
        carrier = {name: value for name, value in sent.items() if value is not None}
        context = self._propagator.extract(carrier, Context())
        self._begin(process, name, kind, attributes, context)

    def follow(self, process: Process, node: Any) -> None:
        """A child begins that goes on with the trace of its parent."""
        if type(process.trace) is Traced:
            from opentelemetry.trace import set_span_in_context

            context = set_span_in_context(process.trace.span)
            self._begin(process, name_of(node), "INTERNAL", of_node(node), context)

    def _begin(
        self, process: Process, name: str, kind: str, attributes: dict[str, Any], context: Any
    ) -> None:
        from opentelemetry.context import attach
        from opentelemetry.trace import SpanKind, set_span_in_context

        if process.state != RUNNING:
            return
        span = self._tracer.start_span(name, context, SpanKind[kind], attributes)
        process.within(attach, set_span_in_context(span))
        trace = process.trace = Traced(span)
        process.on_settled(trace.settled)
        process.on_exit(trace.end)

    @contextmanager
    def span(self, node: Any, trace: Traced) -> Iterator[None]:
        """A node that may wait handles a packet of a traced process."""
        from opentelemetry.trace import SpanKind, set_span_in_context, use_span

        name = name_of(node)
        kind = SpanKind.CLIENT if node.reaches_outside else SpanKind.INTERNAL
        context = set_span_in_context(trace.span)
        span = self._tracer.start_span(name, context, kind, of_node(node))
        with use_span(span, True, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except Exception as error:
                _fail(span, node.shown(error))
                raise

    def headers(self, process: Process | None) -> dict[str, str]:
        """What says to somebody who is called of which trace it is."""
        trace = None if process is None else process.trace
        if type(trace) is Traced:
            sent: dict[str, str] = {}
            self._propagator.inject(sent)
            return {name.capitalize(): value for name, value in sent.items()}
        if trace:
            return {PARENT: trace}
        return {PARENT: _NOT_SAMPLED.format(trace=token_hex(16), parent=token_hex(8))}


def of_node(node: Any) -> dict[str, Any]:
    """What a span says of its node."""
    return {
        "greenflow.node": name_of(node),
        "greenflow.kind": node.spec.kind,
        "greenflow.namespace": node.spec.namespace,
    }


def is_parent(text: str) -> bool:
    """Whether a text is a parent of W3C Trace Context (3.2.2)."""
    if _PARENT.match(text) is None:
        return False
    return len(text) == _LONG or (not text.startswith(_VERSION_0) and text[_LONG] == "-")


def traced(node: Any, handle: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The handler of a node that may wait: in a traced process it has a span."""
    tracer: Tracer = node.services.tracer

    def handle_in_span(ctx: Any, payload: Any) -> Any:
        trace = ctx.reader.process.trace
        if type(trace) is not Traced:
            return handle(ctx, payload)
        with tracer.span(node, trace):
            return handle(ctx, payload)

    return handle_in_span


def note(process: Process, attributes: dict[str, Any]) -> None:
    """Say something of what a node does, in its span if it has one."""
    if type(process.trace) is Traced:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(attributes)


def _fail(span: Any, error: BaseException) -> None:
    span.set_attribute(_ERROR_TYPE, type(error).__qualname__)
    span.set_status(_error_status(conceal(str(error))))


def _error_status(text: str | None = None) -> Any:
    from opentelemetry.trace import Status, StatusCode

    return Status(StatusCode.ERROR, text)
