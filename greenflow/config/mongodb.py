"""What a MongoDB URL says, as far as we have to know it: which options of the driver it sets.

Lives here: what the store and the broker have in common. The driver reads the rest.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

#: The database when the URL names none.
DEFAULT_DATABASE = "greenflow"

#: What the driver shows of a URL that it cannot read may be a part of the password; we say this.
UNREADABLE = (
    "the URL cannot be read; a user name and a password in it have /, @, : and % written as"
    " %2F, %40, %3A and %25"
)


def options(url: str) -> dict[str, str]:
    """The options in the query of a URL, by their names in lower case; the driver does not tell
    capital letters from small ones, and takes `;` for `&`. Nothing else of the URL is looked at: a
    password may be `w=0`, and a database `view=x`."""
    pairs = (pair.partition("=") for pair in re.split("[&;]", url.partition("?")[2]) if pair)
    return {unquote_plus(name).lower(): unquote_plus(value) for name, _, value in pairs}
