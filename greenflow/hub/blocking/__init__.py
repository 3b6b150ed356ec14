"""Ways of getting code that blocks off the hub, and which of them is for what.

| the code | its place |
|---|---|
| one call now and then that is soon over | `call`: a thread of the hub's own pool |
| calls side by side, which may take long or hang | `Threads`: so many native threads of one owner |
| calls of one connection, in order | `ThreadLane`, or `GreenletLane` where they wait by gevent |
| a loop that waits for something outside all its life | `Worker`: it is told, and tells |

They differ by who waits and what becomes of a call that nobody waits for any more. The hub's pool
also looks up names, so nothing that may hang belongs there. `Threads` let their caller wait until
one is free. A lane takes a job at once, runs it after those before it, and forgets one that was
abandoned before its turn. None of them interrupts what has begun: no library survives that.

Not here, for they are no calls: a thread with a hub of its own (hub/thread.py), the thread that
looks at a hub from outside (hub/guard.py), and helper OS processes (hub/child.py).

The library is not monkey-patched and its user's program may be: native threads are native in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gevent import get_hub

T = TypeVar("T")

Outcome = tuple[Any, BaseException | None]
"""What a function returned, or None and what it raised."""


def outcome(function: Callable[..., Any], *args: Any) -> Outcome:
    """Run the function. In a native thread errors are returned: gevent would print those that are
    raised, though somebody waits for them."""
    try:
        return function(*args), None
    except BaseException as error:  # who waits raises it
        return None, error


def settle(result: Outcome) -> Any:
    """The value of an outcome; raises its error."""
    value, error = result
    if error is not None:
        try:
            raise error
        finally:
            del error, result  # the traceback holds this frame
    return value


def call(function: Callable[..., T], *args: Any) -> T:
    """What the function returns or raises, run in a thread of the hub's own pool. Whoever stops
    waiting leaves it to its end."""
    result: T = settle(get_hub().threadpool.apply(outcome, (function, *args)))
    return result
