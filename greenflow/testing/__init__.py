"""Tools for testing workflows: run them in memory, replace nodes, see what passed, set the clock.

Lives here: the public names, nothing else; they are imported when they are first asked for, for
pytest imports the plugin beside them in every project. Beside it: `running` runs specs, `observing`
notes what passes the nodes and replaces them, `clock` is time that a test moves, `leaks` looks for
what was left behind, `cases` runs `*.flow.yaml` files, and `plugin` has pytest collect them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenflow import lazy

if TYPE_CHECKING:
    from greenflow.testing.clock import ManualClock
    from greenflow.testing.leaks import LeftBehind
    from greenflow.testing.observing import Passed, sequence
    from greenflow.testing.running import Flow, Response, flow

__all__ = ["Flow", "LeftBehind", "ManualClock", "Passed", "Response", "flow", "sequence"]

__getattr__ = lazy.names(
    __name__,
    {
        "Flow": "running",
        "LeftBehind": "leaks",
        "ManualClock": "clock",
        "Passed": "observing",
        "Response": "running",
        "flow": "running",
        "sequence": "observing",
    },
)
