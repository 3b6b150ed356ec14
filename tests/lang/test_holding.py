"""Languages with workers: who holds them hears of it where, and when (greenflow.lang)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from greenflow import Runtime, lang
from greenflow.config import Settings
from greenflow.lang import javascript, typescript


class Workers:
    """A language of another package: it only writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def compile(self, code: str) -> Callable[..., Any]:
        return lambda payload, *, timeout=None, log=None: code

    def hold(self, settings: lang.Settings) -> None:
        self.heard.append((gevent.get_hub(), settings.get("workers")))

    def release(self) -> None:
        self.heard.append("release")


def bare(code: str) -> Callable[..., Any]:
    return lambda payload, *, timeout=None, log=None: code


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    language, installed = Workers(), lang.offered

    def offered(group: str) -> Any:
        return (
            SimpleNamespace(name="workers", load=lambda: language),
            SimpleNamespace(name="bare", load=lambda: bare),
            *installed(group),
        )

    monkeypatch.setattr(lang, "offered", offered)
    monkeypatch.setattr(lang, "_loaded", {})
    return language


def test_a_language_hears_of_its_holders_when_it_is_used(workers: Workers) -> None:
    told: dict[str, Any] = {"workers": {"count": 3}}
    lang.hold(told)
    assert workers.heard == [], "it is not even imported"
    assert lang.compile("workers", "code")(None) == "code"
    lang.compile("workers", "more")
    assert workers.heard == [(gevent.get_hub(), {"count": 3})]
    lang.release(told)
    assert workers.heard[1:] == ["release"]


def test_each_holder_is_told_and_released_in_any_order(workers: Workers) -> None:
    hub, first, second, third = gevent.get_hub(), {"workers": 1}, {"workers": 2}, {"workers": 3}
    lang.hold(first)
    lang.hold(second)
    lang.compile("workers", "")
    lang.hold(third)
    assert workers.heard == [(hub, 1), (hub, 2), (hub, 3)]
    lang.release(first)
    lang.release(third)
    lang.release(second)
    assert workers.heard[3:] == ["release"] * 3
    lang.compile("workers", "")
    assert len(workers.heard) == 6, "nobody holds it any more"


def test_one_that_was_used_before_is_held_at_once(workers: Workers) -> None:
    lang.compile("workers", "")
    assert workers.heard == []
    told: dict[str, Any] = {}
    lang.hold(told)
    assert workers.heard == [(gevent.get_hub(), None)]
    lang.release(told)


def test_other_threads_have_holders_of_their_own(workers: Workers) -> None:
    told: dict[str, Any] = {}
    lang.hold(told)
    thread = threading.Thread(target=lang.compile, args=("workers", ""))
    thread.start()
    thread.join()
    assert workers.heard == []
    lang.release(told)


def test_a_bare_function_is_a_language(workers: Workers) -> None:
    told: dict[str, Any] = {}
    lang.hold(told)
    assert lang.compile("bare", "code")(None) == "code"
    lang.release(told)


@pytest.mark.parametrize("own_thread", [False, True])
def test_a_runtime_holds_every_language_with_its_settings(
    workers: Workers, own_thread: bool
) -> None:
    specs = [{"kind": "snippet", "name": "a", "language": "workers", "code": "done"}]
    settings = Settings(languages={"workers": {"count": 5}})
    with Runtime("memory://", specs=specs, settings=settings, own_thread=own_thread) as runtime:
        assert runtime.call("a", 1) == "done"
        [(hub, told)] = workers.heard
        assert told == {"count": 5}
        assert (hub is gevent.get_hub()) is not own_thread
    assert workers.heard[1:] == ["release"]


def test_typescript_has_the_workers_of_javascript() -> None:
    told = {"javascript": javascript.WorkerLimits(workers=1)}
    lang.hold(told)
    try:
        program = lang.compile("typescript", "export default (n: number) => n + 1")
        assert program(1) == 2
        assert len(javascript.running().processes()) == 1
        lang.compile("javascript", "export default () => 1")
    finally:
        lang.release(told)
    assert typescript.hold is javascript.hold
    assert javascript._use().pool is None


def test_every_language_of_ours_names_what_has_compile() -> None:
    entries: Any = lang.offered(lang.GROUP)
    ours = [entry for entry in entries if entry.value.startswith("greenflow.")]
    assert {entry.name for entry in ours} >= {"cel", "javascript", "json", "text", "yaml"}
    assert all(isinstance(entry, EntryPoint) and callable(entry.load().compile) for entry in ours)
