"""What reading, checking and planning specs costs grows with their size, and not faster.

Costs are counted, in calls of functions; times are measured in tests/soak/test_growth.py.
"""

from __future__ import annotations

import json
import sys
from types import FrameType

import pytest

from greenflow.lang import cel, typescript
from greenflow.lang import json as json_text
from greenflow.lang import yaml as yaml_text
from greenflow.lang.javascript import module
from greenflow.scheme.registry import Scheme
from tests.grown import GROWN, whole_way

SCHEME = Scheme.installed()
COUNT = 120
TIMES = 4


def calls(text: str) -> int:
    """How many functions were called on the way of a text."""
    count = 0
    for remembered in (
        *(cel.compile, json_text.compile, yaml_text.compile),
        *(module.function, typescript.erase),
    ):
        remembered.cache_clear()

    def noted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(noted)
    try:
        whole_way(text, SCHEME)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("name", GROWN)
def test_what_a_spec_costs_grows_as_it_does(name: str) -> None:
    warm, small, large = (json.dumps(GROWN[name](count)) for count in (1, COUNT, COUNT * TIMES))
    calls(warm)  # imports
    assert calls(large) <= 1.15 * TIMES * calls(small)
