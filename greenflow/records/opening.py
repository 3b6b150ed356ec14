"""Which archive a URL names: `open_archive`. What one does is archive.py's.

The two are imported here, and only when one is asked for: pymongo takes 100 ms.
"""

from __future__ import annotations

from greenflow.errors import StoreMisconfigured
from greenflow.log.redactor import redact_url
from greenflow.records.archive import Archive


def open_archive(url: str, namespace: str) -> Archive:
    """The archive of a URL: `sqlite:///PATH` or `mongodb://HOST/NAME`. Raises StoreMisconfigured,
    StoreUnavailable."""
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        from greenflow.records.sqlite import SQLiteArchive

        return SQLiteArchive(url, namespace)
    if scheme in ("mongodb", "mongodb+srv"):
        from greenflow.records.mongo import MongoArchive

        return MongoArchive(url, namespace)
    raise StoreMisconfigured(
        f"{redact_url(url)}: records are kept in sqlite:///PATH or mongodb://HOST/NAME"
    )
