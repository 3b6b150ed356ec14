"""How long a record of the log may be, and how one that is longer is cut (BEHAVIOUR 17.12).

Lives here: RECORD, and what shortens texts to it. Every text is redacted before it is cut for good,
so that half of a secret is never left over; what is far too long is shortened before that, by more
than a secret is long, for redaction takes its time. A text keeps its beginning: there stands the
key that says of the rest whether it is a secret. A traceback also keeps its end, frame by frame.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping

from greenflow.log.redactor import redact
from greenflow.log.secret import LONGEST, conceal

#: Bytes of a record. Collectors of logs take 16 KiB in a piece (Docker's does), some only 8.
RECORD = 8 * 1024

#: Characters of a traceback in a record that is too long, and of each of its parts.
TRACE, PART = RECORD * 3 // 4, RECORD // 8

#: What stands at the end of a text that was longer.
CUT = " ... [cut]"


def shown(text: str) -> str:
    """The text redacted, and not much longer than a record may be: `fit` cuts it to what it may."""
    if len(text) > 2 * RECORD:
        # Whole secrets are known by then, so what is cut at the second place is none of them.
        kept = conceal(text[: RECORD + LONGEST])[: 2 * RECORD]
        return redact(kept)[: 2 * RECORD] + CUT
    return redact(text)


def shown_trace(parts: list[str]) -> str:
    """The parts of a traceback, as `traceback` has them, redacted, in one text."""
    text = "".join(parts).rstrip()
    if len(text) <= TRACE:
        return redact(text)
    # Each by itself, and no more than can be shown: an error may have a thousand notes.
    most = TRACE // 2
    first, last = _as_many(parts, most), _as_many(parts[::-1], most)[::-1]
    left = len(parts) - len(first) - len(last)
    if left <= 0:
        return "".join(map(_part, parts)).rstrip()
    return f"{''.join(first)}  ... [{left} parts cut]\n{''.join(last)}".rstrip()


def fit(texts: Mapping[str, str], limit: int, size: Callable[[str], int]) -> dict[str, str]:
    """The texts, of which the longest are cut so that all together have no more than `limit` bytes
    by `size`, which grows with the text."""
    level = _level(sorted(map(size, texts.values())), limit)

    def fitted(text: str) -> str:
        if size(text) <= level:
            return text
        room = max(level - len(CUT), 0)
        # The most characters that have no more bytes than there is room for.
        lengths = range(1, min(len(text), room) + 1)
        return text[: bisect_right(lengths, room, key=lambda length: size(text[:length]))] + CUT

    return {name: fitted(text) for name, text in texts.items()}


def _level(sizes: list[int], limit: int) -> int:
    """How large the largest may be, so that the sum is within the limit."""
    left = limit
    for number, size in enumerate(sizes):
        share = left // (len(sizes) - number)
        if size > share:
            return share
        left -= size
    return limit


def _as_many(parts: list[str], most: int) -> list[str]:
    """So many of the parts, shortened, as have no more than `most` characters together."""
    taken: list[str] = []
    for part in parts:
        text = _part(part)
        most -= len(text)
        if most < 0:
            break
        taken.append(text)
    return taken


def _part(text: str) -> str:
    if len(text) <= PART:
        return redact(text)
    return f"{shown(text)[:PART]}{CUT}\n"
