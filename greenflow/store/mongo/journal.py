"""The journal of a single server: a capped collection that readers follow the end of.

Lives here: how it is made, and how changes are noted in it. It is never dropped: a collection of
its name that is not capped is made so if nothing of it is lost by that, and else is left alone, and
changes are followed by comparing. One that is called `journal` is of an older release, or somebody
else's; it is neither read nor written.
"""

from __future__ import annotations

from pymongo.errors import CollectionInvalid, OperationFailure

from greenflow.store.mongo.driver import Driver
from greenflow.store.mongo.refusal import Refused, refusable

JOURNAL = "greenflow_journal"

# Bytes of the journal. About 10,000 entries of 100 bytes: a reader that is further behind compares
# everything, which is as quick.
JOURNAL_BYTES = 1 << 20

_EXISTS = 48  # the code of a collection that is there, made by another at the same moment


def make_journal(driver: Driver) -> None:
    """In the driver: see that there is a journal, and that it can be followed. Raises Refused."""
    with refusable(driver):
        try:
            driver.database.create_collection(JOURNAL, capped=True, size=JOURNAL_BYTES)
        except CollectionInvalid:
            pass  # it is there
        except OperationFailure as error:
            if error.code != _EXISTS:
                raise
    if _is_capped(driver):
        return
    # Somebody dropped it, and then a write made it again as a collection like any other.
    if driver.database.command("collStats", JOURNAL).get("size", 0) < JOURNAL_BYTES:
        with refusable(driver):
            driver.database.command("convertToCapped", JOURNAL, size=JOURNAL_BYTES)
    if not _is_capped(driver):
        raise Refused(f"the collection {JOURNAL} is not capped")


def _is_capped(driver: Driver) -> bool:
    return bool(driver.database[JOURNAL].options().get("capped"))


def note(driver: Driver, collection: str, ids: dict[str, list[str]]) -> None:
    """In the driver: put changed ids into the journal, by namespace."""
    if ids:
        driver.database[JOURNAL].insert_many(
            [{"collection": collection, "namespace": key, "ids": each} for key, each in ids.items()]
        )
