"""What can be asked of an engine: one module for each resource, or few that belong together.

Lives here: the list of the modules. A resource is a function declared by declaring.py's `get` or
`post`; that is all there is to add one.
"""

from __future__ import annotations

from importlib import import_module

from greenflow.admin.declaring import Resource

#: The modules, in the order of the OpenAPI document.
MODULES = (
    "health",
    "status",
    "nodes",
    "processes",
    "runs",
    "taps",
    "sources",
    "drain",
    "loggers",
    "stacks",
    "logs",
    "bundle",
    "metrics",
    "openapi",
)


def all_resources() -> tuple[Resource, ...]:
    """Every resource of every module."""
    modules = [import_module(f"{__name__}.{name}") for name in MODULES]
    return tuple(
        value for module in modules for value in vars(module).values() if type(value) is Resource
    )
