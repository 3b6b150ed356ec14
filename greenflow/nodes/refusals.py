"""Requests that a node refuses: what a client is told, and the line of the log.

Lives here: `problem`, an answer as a payload, and `tell_refused`. Why something is refused is the
node's to know, and what the server refuses by itself is net/refusal.py's.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from greenflow.engine.node import Node, describe
from greenflow.engine.process import Process
from greenflow.log.secret import conceal
from greenflow.net.problem import MEDIA_TYPE, UNNAMED


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """The answer that says what is wrong with a request (RFC 9457 3.1); `more` are members of its
    own (3.2)."""
    title = HTTPStatus(status).phrase
    body = {"type": UNNAMED, "title": title, "status": status, "detail": detail, **more}
    return {"status": status, "header": {"Content-Type": [MEDIA_TYPE]}, "body": body}


def tell_refused(
    log: logging.Logger,
    node: Node[Any],
    method: str,
    path: str,
    status: int,
    reason: str,
    *,
    process: Process | None = None,
    request_id: str | None = None,
) -> None:
    """One line for a request that is refused: what is wrong with it, and nothing of what is in it.
    `process` is the one that it began, if it did."""
    extra = {**describe(node, process), "method": method, "path": path, "status": status}
    extra["request_id"] = request_id
    log.info("%s", conceal(f"{method} {path} is refused with {status}: {reason}"), extra=extra)
