"""A document of a release of uniflow as one that means the same here.

Lives here: `translated`, for whoever is handed documents, and `as_meant` for code alone. The words
of the author stay, so that the places of faults are those of his file: only what is meant otherwise
is said in our way.
"""

from __future__ import annotations

from typing import Any

from greenflow.scheme.compat.releases import RELEASES, Release
from greenflow.scheme.compat.walking import Kinds, Walk
from greenflow.spec.path import written
from greenflow.spec.translated import Translated, with_insertions


def translated(document: dict[str, Any], release: Release, scheme: Kinds) -> Translated:
    """The document in our meanings. What is wrong with it stays, for the scheme to say. To
    translate what is translated changes nothing."""
    walk = Walk(scheme, release, words=False)
    data = walk.document(document)
    insertions = {written(edit.path): edit.after for edit in walk.edits if edit.what == "code"}
    return Translated(data, tuple(walk.notes), insertions)


def as_meant(code: str, language: str, compat: str) -> str:
    """A piece of code that stands alone, as it is meant by what the setting `compat` says."""
    release = RELEASES.get(compat)
    if release is None or not release.keys_are_names or language != "cel":
        return code
    from greenflow.scheme.compat.keys import keys_as_fields  # imports all of CEL

    return with_insertions(code, keys_as_fields(code))
