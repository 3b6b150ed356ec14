"""`/metrics`: what was counted and measured, as Prometheus reads it."""

from __future__ import annotations

from greenflow.admin.declaring import Text, get
from greenflow.admin.engine import Engine
from greenflow.admin.problem import Problem


@get("/metrics", problems=(409,))
def metrics(engine: Engine) -> Text:
    """The metrics of the engine, as Prometheus reads them."""
    metrics_of = engine.metrics
    if metrics_of is None:
        raise Problem(409, "the engine does not run: it starts, or has stopped")
    return Text(*metrics_of())
