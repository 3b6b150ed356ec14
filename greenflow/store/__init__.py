"""Stores: where specs and values are kept, and how their changes are followed.

Lives here: the public names. The contract is base.py's; each store is a module found through the
entry points `greenflow.stores` and imported when a URL asks for it.
"""

from greenflow.store.base import Batch, Collection, Feed, Record, Store, open_store

__all__ = ["Batch", "Collection", "Feed", "Record", "Store", "open_store"]
