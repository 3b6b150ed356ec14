"""What becomes of a save, on a store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gevent.event import Event
from gevent.monkey import get_original

from greenflow.cli import following
from greenflow.cli.following import Followed
from greenflow.config import Settings
from greenflow.errors import DuplicateSpec, SpecFault
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Entry, Faulty
from greenflow.spec.document import Document, read_file
from greenflow.store.base import Collection, open_store


@pytest.fixture
def collection() -> Iterator[Collection]:
    with open_store("memory://") as store:
        yield store.specs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.yaml"


@pytest.fixture
def followed(collection: Collection, file: Path) -> Followed:
    return Followed([str(file)], collection, Scheme.installed(), Settings())


def ids(collection: Collection) -> dict[str, str]:
    """The ids of all specs by name, or by note where there is no name."""
    documents = [record.document for record in collection.find(None)]
    return {
        document.get("name") or document["annotations"]["is"]: document["id"]
        for document in documents
    }


def test_ids_stay_with_the_name_or_else_with_the_content(
    collection: Collection, file: Path, followed: Followed
) -> None:
    file.write_text(
        "- {kind: nop, name: a}\n- {kind: nop, annotations: {is: x}}\n- {kind: nop, id: c, name: c}"
    )
    followed.load()
    before = ids(collection)
    assert before["c"] == "c"
    file.write_text("- {kind: nop, annotations: {is: x}}\n- {kind: sleep, interval: 1, name: a}\n")
    followed.load()
    assert ids(collection) == {"a": before["a"], "x": before["x"]}
    file.write_text("- {kind: nop, annotations: {is: y}}\n")
    followed.load()
    assert ids(collection)["y"] != before["x"]


def test_equal_specs_without_name_are_as_many(
    collection: Collection, file: Path, followed: Followed
) -> None:
    file.write_text("- {kind: nop}\n- {kind: nop}\n")
    followed.load()
    assert len(collection.find(None)) == 2


def test_what_did_not_change_keeps_its_revision(
    collection: Collection, file: Path, followed: Followed
) -> None:
    file.write_text("- {kind: nop, name: a}\n- {kind: nop, name: b}\n")
    followed.load()
    before = {record.document["name"]: record.revision for record in collection.find(None)}
    file.write_text("- {kind: nop, name: a}\n- {kind: nop, name: b, annotations: {new: 1}}\n")
    followed.load()
    after = {record.document["name"]: record.revision for record in collection.find(None)}
    assert after["a"] == before["a"]
    assert after["b"] > before["b"]


def test_only_what_came_from_the_files_is_deleted(
    collection: Collection, file: Path, followed: Followed
) -> None:
    file.write_text("- {kind: nop, name: a}\n- {kind: nop, name: b}\n")
    followed.load()
    collection.insert([{"kind": "nop", "name": "created", "namespace": "default"}])
    file.write_text("- {kind: nop, name: b}\n")
    followed.load()
    assert sorted(ids(collection)) == ["b", "created"]
    file.write_text("[]")
    followed.load()
    assert sorted(ids(collection)) == ["created"]


def test_a_name_may_move_to_another_id(
    collection: Collection, file: Path, followed: Followed
) -> None:
    file.write_text("- {kind: nop, name: a, id: one}\n- {kind: nop, name: b, id: two}")
    followed.load()
    file.write_text("- {kind: nop, name: a, id: three}\n- {kind: nop, name: c, id: two}")
    followed.load()
    assert ids(collection) == {"a": "three", "c": "two"}


def test_what_the_store_refuses_changes_nothing(
    collection: Collection, file: Path, followed: Followed
) -> None:
    file.write_text("- {kind: nop, name: a}\n- {kind: nop, name: b}\n")
    followed.load()
    collection.insert([{"kind": "nop", "name": "taken", "namespace": "default"}])
    before = ids(collection)
    file.write_text("- {kind: nop, name: taken}\n- {kind: nop, name: c}\n")
    with pytest.raises(DuplicateSpec):
        followed.load()
    assert ids(collection) == before
    file.write_text("- {kind: nop, name: a}\n")
    followed.load()
    assert sorted(ids(collection)) == ["a", "taken"]


def test_a_faulty_save_changes_nothing(
    collection: Collection, file: Path, followed: Followed
) -> None:
    file.write_text("- {kind: nop, name: a}\n")
    followed.load()
    for text in ("- {kind: nop, name: b}\n- {kind: nope}\n", "", "a: *b", "- {kind: nop, id: 5.5}"):
        file.write_text(text)
        with pytest.raises(Faulty):
            followed.load()
        assert list(ids(collection)) == ["a"]


def test_a_file_that_did_not_change_is_not_read_again(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: str) -> list[Document]:
        read.append(path)
        return read_file(path)

    monkeypatch.setattr(following, "read_file", counted)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"{{kind: nop, name: {name}}}")
    followed = Followed([str(tmp_path)], collection, Scheme.installed(), Settings())
    followed.load()
    followed.load()
    (tmp_path / "b.yaml").write_text("{kind: nop, name: changed}")
    followed.load()
    assert [Path(path).name for path in read] == ["a.yaml", "b.yaml", "b.yaml"]
    assert sorted(ids(collection)) == ["a", "changed"]


def test_a_save_that_is_under_way_does_not_hold_up_the_end(
    file: Path, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, never = Event(), Event()

    def check_for_ever(documents: list[Document]) -> list[Entry]:
        began.set()
        never.wait()
        return []

    monkeypatch.setattr(following, "CLOSE", 0.0)
    monkeypatch.setattr(followed, "_checked", check_for_ever)
    with followed:
        followed.start()
        file.write_text("{kind: nop, name: changed}")
        began.wait()


def test_the_places_of_faults_are_found_beside_the_hub(
    file: Path, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = get_original("_thread", "get_ident")
    threads: list[int] = []
    told = Document.told

    def noted(document: Document, fault: SpecFault) -> str:
        threads.append(thread())
        return told(document, fault)

    monkeypatch.setattr(Document, "told", noted)
    file.write_text("kind: if\nname: a\nwhen: |\n  self.a &&\n  slef.b\n")
    with pytest.raises(Faulty) as caught:
        followed.load()
    reason = "'slef' is not declared; did you mean self?"
    assert caught.value.lines == [f"{file}:5:3: $.when: {reason}"]
    assert len(threads) == 1
    assert threads[0] != thread()
