"""A function of a workflow whose process fails to commit at first."""

from __future__ import annotations

from typing import Any

import greenflow

commits: list[str] = []


class Resource:
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        commits.append("done" if commits else "failed")
        if len(commits) == 1:
            raise OSError("the disk is full")


def hold(payload: Any) -> Any:
    greenflow.enter(Resource())
    return payload
