"""Whether the program was monkey-patched whole and in time.

Lives here: the look at it, and the words of the warning. The library itself never monkey-patches.

A module that took a function such as `time.sleep` by name before the program was patched keeps the
native one, and whoever calls it blocks every workflow. That is looked for where it can be seen: in
the globals of loaded modules, those of Python itself and gevent left out. What was put away
elsewhere, in a class or a closure, is not found; what was taken on purpose is named, too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from gevent.monkey import get_original, is_module_patched

WHOLE = ("select", "ssl", "subprocess", "threading", "time")  # what a patched program patches

# What waits, or makes what waits. Locks are not looked for: many a library holds a native one that
# is for OS threads only, as this one does.
WAITING = {
    "select": ("select", "poll", "epoll"),
    "socket": ("socket", "create_connection", "getaddrinfo"),
    "ssl": ("SSLContext",),
    "subprocess": ("Popen", "run", "call", "check_call", "check_output"),
    "time": ("sleep",),
}
OTHERS = frozenset(("gevent", "greenflow"))  # these use native functions on purpose

_log = logging.getLogger("greenflow.patching")
_told: set[str] = set()


def is_patched() -> bool:
    """Whether client libraries written in Python wait by gevent here, so that greenlets will do for
    what calls them."""
    return is_module_patched("socket") and is_module_patched("threading")


def check() -> None:
    """Log a warning for what was not patched or imported too early, once for each OS process.
    Nothing is said in a program that is not monkey-patched."""
    if not is_module_patched("socket"):
        return
    for warning in (*in_part(), *too_early(dict(sys.modules))):
        if warning not in _told:
            _told.add(warning)
            _log.warning("%s", warning)


def in_part() -> Iterator[str]:
    """The modules that were left out."""
    left = [name for name in WHOLE if not is_module_patched(name)]
    if left:
        yield (
            f"the program is monkey-patched in part, without {', '.join(left)}: what waits there "
            "blocks every workflow; use gevent.monkey.patch_all()"
        )


def too_early(modules: Mapping[str, Any]) -> Iterator[str]:
    """The modules that hold native functions."""
    native = {
        id(get_original(module, name)): f"{module}.{name}"
        for module, names in WAITING.items()
        if is_module_patched(module)
        for name in names
        if get_original(module, name) is not getattr(sys.modules[module], name, None)
    }
    held = []
    for name, module in sorted(modules.items()):
        package = name.partition(".")[0]
        if package in OTHERS or (package in sys.stdlib_module_names and package != "__main__"):
            continue
        found = {
            native[id(v)] for v in list(getattr(module, "__dict__", {}).values()) if id(v) in native
        }
        held += [f"{name} ({what})" for what in sorted(found)]
    if held:
        yield (
            "imported before gevent.monkey.patch_all(), and so blocking every workflow when they "
            f"wait: {', '.join(held)}; patch before any other import"
        )
