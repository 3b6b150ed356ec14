"""`/api/v1/loggers`: what is logged, and how much of it, while the engine runs.

Lives here: the levels of greenflow's own loggers, and of the root. Those of libraries are not
touched: some log secrets at the level debug.
"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from greenflow.admin.declaring import get, post
from greenflow.admin.engine import Engine
from greenflow.admin.paging import PageQuery, page
from greenflow.admin.problem import Problem
from greenflow.log import LEVELS

ROOT, OURS = "root", "greenflow"

Level = Literal["debug", "info", "warning", "error"]
LoggerName = Annotated[str, Meta(min_length=1, description="such as greenflow.node, or root")]


class LoggerState(msgspec.Struct):
    """A logger: its own level, if it has one, and the one that counts."""

    name: str
    level: str | None
    effective: str


class LoggersPage(msgspec.Struct):
    """A part of the loggers, by name; `next` is the cursor of the next one, if there is one."""

    items: list[LoggerState]
    next: str | None


class LevelOrder(msgspec.Struct, forbid_unknown_fields=True):
    """The level from now on; null: that of the logger above."""

    level: Level | None


@get("/api/v1/loggers")
def loggers(engine: Engine, query: PageQuery) -> LoggersPage:
    """The loggers and their levels, by name, in pages."""
    return LoggersPage(*page(_names(), str, query, _shown))


@post("/api/v1/loggers/{name}", problems=(404, 409))
def set_level(engine: Engine, name: LoggerName, body: LevelOrder) -> LoggerState:
    """Set the level of a logger, until the engine ends."""
    if name not in _names():
        raise Problem(404, f"there is no logger {name!r}: GET /api/v1/loggers lists them")
    if body.level is None and name == ROOT:
        raise Problem(409, "the root needs a level: there is none above it")
    logging.getLogger(name).setLevel(LEVELS[body.level] if body.level else logging.NOTSET)
    return _shown(name)


def _names() -> list[str]:
    known = list(logging.root.manager.loggerDict)
    return [ROOT, OURS, *(name for name in known if name.startswith(f"{OURS}."))]


def _shown(name: str) -> LoggerState:
    logger = logging.getLogger(name)
    own = logging.getLevelName(logger.level).lower() if logger.level else None
    return LoggerState(name, own, logging.getLevelName(logger.getEffectiveLevel()).lower())
