"""What a payload looks like, for a log: nothing in it that may be a secret.

Lives here: `outline`. Keys, numbers and how long texts are say what a workflow was given; what
stands in the texts may be a password, and nobody can tell (BEHAVIOUR 16.6).
"""

from __future__ import annotations

from typing import Any

# Elements of each list and map, levels, and characters of a key: what a person reads of a line.
_MOST, _DEEPEST, _LONGEST_KEY = 10, 6, 40


def outline(payload: Any, levels: int = _DEEPEST) -> str:
    """A payload in one line of bounded length: `{'sku': <2 characters>, 'count': 3}`."""
    if payload is None or isinstance(payload, bool | float):
        return repr(payload)
    if isinstance(payload, int):
        return repr(payload) if abs(payload) < 10**18 else "<an integer>"
    if isinstance(payload, str):
        return f"<{len(payload)} characters>" if payload else "''"
    if isinstance(payload, bytes):
        return f"<{len(payload)} bytes>"
    if isinstance(payload, dict | list):
        inside = payload.items() if isinstance(payload, dict) else enumerate(payload)
        if levels == 0 and payload:
            return "{...}" if isinstance(payload, dict) else "[...]"
        parts = []
        for number, (key, item) in enumerate(inside):
            if number == _MOST:
                parts.append(f"<{len(payload) - _MOST} more>")
                break
            name = f"{str(key)[:_LONGEST_KEY]!r}: " if isinstance(payload, dict) else ""
            parts.append(f"{name}{outline(item, levels - 1)}")
        text = ", ".join(parts)
        return f"{{{text}}}" if isinstance(payload, dict) else f"[{text}]"
    return f"<{type(payload).__name__}>"
