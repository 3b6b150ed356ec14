"""The releases of uniflow whose meanings are known, and in what they differ from this engine.

Lives here: one Release for each, facts alone. They were found by running both beside this engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Release(NamedTuple):
    """What a release means by what this engine reads otherwise, or not at all."""

    name: str
    #: Nanoseconds that one of a whole number without a unit is.
    unit: int
    #: Whether the keys of a payload that is a map are names in CEL.
    keys_are_names: bool
    #: Whether the sub-nodes of a block without `inbounds` and `outbounds` are a chain.
    blocks_chain: bool
    #: Whether a body without Content-Type is what it looks like, and an empty one an empty text.
    bodies_are_guessed: bool
    #: Kinds by the names of the release, and ours.
    kinds: Mapping[str, str]


RELEASES: Final = {
    release.name: release
    for release in (
        Release(
            "uniflow-2024",
            unit=1,
            keys_are_names=False,
            blocks_chain=True,
            bodies_are_guessed=False,
            kinds={"native": "syscall"},
        ),
        Release(
            "uniflow-2025",
            unit=1_000_000,
            keys_are_names=True,
            blocks_chain=False,
            bodies_are_guessed=True,
            kinds={},
        ),
    )
}
