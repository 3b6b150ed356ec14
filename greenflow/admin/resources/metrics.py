"""`/metrics`: what was counted and measured, as Prometheus reads it."""

from __future__ import annotations

from greenflow.admin.declaring import Text, get
from greenflow.admin.engine import Engine
from greenflow.admin.problem import Problem


@get("/metrics", problems=(404,))
def metrics(engine: Engine) -> Text:
    """The metrics of the engine, as Prometheus reads them."""
    if engine.metrics is None:
        raise Problem(404, "this engine keeps no metrics")
    return Text(*engine.metrics())
