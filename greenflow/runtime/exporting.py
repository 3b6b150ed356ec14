"""Where the traces of a runtime go.

Lives here: what the setting `tracing.to` means, and what of OpenTelemetry's SDK it takes. What is
traced is engine/tracing.py's.

Spans are sent by a thread of the SDK, in batches; what finds no room is dropped, and the service
never waits for a collector. The SDK comes with the extra `tracing`.
"""

from __future__ import annotations

import logging
from threading import Timer
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from greenflow.config import TracingSettings
from greenflow.engine.tracing import Tracer
from greenflow.errors import GreenflowError
from greenflow.extras import reason
from greenflow.hub import blocking, patching

# The path of traces at a collector, where a URL names none (OTLP 1.5, "OTLP/HTTP Request").
PATH = "/v1/traces"

# Spans that are sent together. All of them are encoded in one go, 20 us each, beside the service.
BATCH = 128

# Spans that wait for a collector that is slow or away; the next ones are dropped.
WAITING = 8192

# Milliseconds between two batches that are not full.
PAUSE_MS = 1000

# Seconds that a collector has to take one.
SECONDS = 5.0

# Seconds that a runtime that stops waits for a collector to take what is left. The SDK would wait
# for 30, and try again and again: longer than a stop may take.
CLOSING = 2.0

# Seconds between two lines of the log that say the same: the SDK has one for each batch that it
# cannot send, and for each span that it drops.
TOLD_SECONDS = 10.0

# Who writes those.
_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)


class Exporting:
    """A runtime's tracer, and what is to be closed with it."""

    def __init__(self, settings: TracingSettings) -> None:
        """Raises GreenflowError without the extra."""
        self._provider: Any = None
        self._exporter: Any = None
        self._sparing = _Sparing()
        if settings.to != "program":
            self._open(settings)
        self.tracer = Tracer(settings.sampled, self._provider)

    def _open(self, settings: TracingSettings) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        except ImportError as error:
            raise GreenflowError(f"tracing.to: {reason(error, 'tracing')}") from None
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._sparing)
        to = settings.to
        endpoint = to if urlsplit(to).path.strip("/") else to.rstrip("/") + PATH
        resource = Resource.create({"service.name": settings.service})
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=SECONDS)
        # Which processes are traced was settled when they began.
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=WAITING,
                schedule_delay_millis=PAUSE_MS,
                max_export_batch_size=BATCH,
            )
        )

    def close(self) -> None:
        """Send what waits, as far as the collector takes it soon, and end."""
        if self._provider is None:
            return
        if patching.is_patched():  # the SDK's thread is a greenlet
            self._shut_down()
        else:
            blocking.call(self._shut_down)
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._sparing)

    def _shut_down(self) -> None:
        giving_up = Timer(CLOSING, self._exporter.shutdown)
        giving_up.start()
        try:
            self._provider.shutdown()
        finally:
            giving_up.cancel()
            giving_up.join()


class _Sparing(logging.Filter):
    """Lets one of several lines pass that say the same."""

    def __init__(self) -> None:
        super().__init__()
        self._again: dict[object, float] = {}  # by the text without arguments, on monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        now = monotonic()
        if now < self._again.get(record.msg, 0.0):
            return False
        self._again[record.msg] = now + TOLD_SECONDS
        return True
