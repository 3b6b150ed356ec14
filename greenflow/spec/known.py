"""What a person is told of a name that is none of those known.

Lives here: the closest of them, and a list of them, each in so little time and space that a
document may hold thousands of such names among thousands of others.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from itertools import islice

#: Characters of a name for which a close one is looked for: longer ones are not mistyped, and
#: comparing two takes the product of their lengths.
_MOST_CHARACTERS = 64

#: Known names that one is compared with, and that are listed.
_MOST_COMPARED, _MOST_LISTED = 200, 20


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like it, if one is. Of many, those are compared that begin as it
    does."""
    if len(word) > _MOST_CHARACTERS:
        return None
    names = list(known)
    if len(names) > _MOST_COMPARED:
        names = [name for name in names if name[:1] == word[:1]][:_MOST_COMPARED]
    names = [name for name in names if len(name) <= _MOST_CHARACTERS]
    return next(iter(difflib.get_close_matches(word, names, 1)), None)


def listed(names: Collection[str]) -> str:
    """The names with commas between them; of many the first ones, and how many more there are."""
    first = ", ".join(map(_short, islice(names, _MOST_LISTED)))
    more = len(names) - _MOST_LISTED
    return first if more <= 0 else f"{first} and {more:,} more"


def listed_in_order(names: Collection[str]) -> str:
    """The same, of names that are in no order; few are sorted."""
    return listed(sorted(names) if len(names) <= _MOST_LISTED else names)


def _short(name: str) -> str:
    return name if len(name) <= _MOST_CHARACTERS else f"{name[:_MOST_CHARACTERS]}..."
