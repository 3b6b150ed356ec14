"""Public names that are imported when they are first asked for.

Lives here: what a package's `__getattr__` is (PEP 562). Nothing of greenflow is imported.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing says it: every import of greenflow begins here
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names are in these modules of it."""

    def get(name: str) -> Any:
        from importlib import import_module

        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get
