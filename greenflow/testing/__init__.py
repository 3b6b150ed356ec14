"""Tools for testing workflows: run them in memory, replace nodes, see what passed, set the clock.

Lives here: the public names, nothing else; they are imported when they are first asked for, for
pytest imports the plugin beside them in every project. Beside it: `running` runs specs, `observing`
notes what passes the nodes and replaces them, `sources` and `outside` keep them from beginning by
themselves and from reaching outside, `clock` is time that a test moves, `leaks` looks for what was
left behind, `suite` reads `*.flow.yaml` files, `cases` and `steps` run them, `nodes` runs `test`
nodes, and `plugin` has pytest collect them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenflow import lazy

if TYPE_CHECKING:
    from greenflow.testing.clock import ManualClock
    from greenflow.testing.leaks import LeftBehind
    from greenflow.testing.observing import Passed, sequence
    from greenflow.testing.outside import NotAllowed, ReachedOutside
    from greenflow.testing.running import Flow, Response, flow

__all__ = [
    "Flow",
    "LeftBehind",
    "ManualClock",
    "NotAllowed",
    "Passed",
    "ReachedOutside",
    "Response",
    "flow",
    "sequence",
]

__getattr__ = lazy.names(
    __name__,
    {
        "Flow": "running",
        "LeftBehind": "leaks",
        "ManualClock": "clock",
        "NotAllowed": "outside",
        "Passed": "observing",
        "ReachedOutside": "outside",
        "Response": "running",
        "flow": "running",
        "sequence": "observing",
    },
)
