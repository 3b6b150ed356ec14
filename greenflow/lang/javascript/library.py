"""The C library of mini-racer, without the Python package around it.

Lives here: the way to import one module of that package. The package imports asyncio and ssl for an
interface that nobody here uses: a third of the time that a worker takes to start.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any

PACKAGE = "py_mini_racer"


def load() -> Any:
    """The module of mini-racer that has the library. Raises ImportError."""
    if PACKAGE not in sys.modules:
        spec = find_spec(PACKAGE)
        if spec is None:
            raise ImportError("JavaScript needs mini-racer: pip install mini-racer", name=PACKAGE)
        sys.modules[PACKAGE] = module_from_spec(spec)  # there, with its files, and never run
    return import_module(f"{PACKAGE}._dll")
