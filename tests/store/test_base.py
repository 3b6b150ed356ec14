"""How a URL becomes a store, and what it shows of itself."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from greenflow.errors import StoreUnavailable
from greenflow.store import open_store
from greenflow.store.memory import MemoryStore
from tests.store.tools import run


@pytest.mark.parametrize("url", ["redis://host", "redis", "", "://", "/tmp/file.db"])
def test_an_unknown_scheme_names_the_known_ones(url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"memory://.*sqlite://"):
        open_store(url)


def test_stores_are_found_through_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    def offered(group: str) -> EntryPoints:
        assert group == "greenflow.stores"
        value = "greenflow.store.memory:MemoryStore"
        return EntryPoints([EntryPoint("memory", value, group)])

    monkeypatch.setattr("greenflow.store.base.offered", offered)
    with open_store("memory://") as store:
        assert isinstance(store, MemoryStore)
    with pytest.raises(StoreUnavailable, match=r"installed are: memory://$"):
        open_store("sqlite:///x.db")


def test_a_store_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "greenflow.store.base.offered",
        lambda group: EntryPoints([EntryPoint("far", "greenflow_far_away:Store", group)]),
    )
    with pytest.raises(StoreUnavailable, match="greenflow_far_away") as caught:
        open_store("far://user:secret@host")
    assert "secret" not in str(caught.value)


def test_an_error_does_not_show_the_secrets_of_the_url() -> None:
    for url in ("redis://me:hidden@host/db", "sqlite://me:hidden@host/db", "memory://me:hidden@x"):
        with pytest.raises(StoreUnavailable) as caught:
            open_store(url)
        assert "hidden" not in str(caught.value)


def test_importing_the_contract_imports_no_store() -> None:
    assert run("import sys, greenflow.store; print('sqlite3' in sys.modules)") == "False\n"
