"""CEL: where its grammar comes from, and the parser that is kept in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gevent
import lark
import pytest
from gevent.monkey import get_original

from greenflow.errors import CompileFailed
from greenflow.lang import cel
from greenflow.lang.cel import cache, grammar, parsing
from greenflow.lang.cel.builder import Builder
from tests.lang.cel_text import shape

thread_number = get_original("_thread", "get_ident")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No parser is built yet."""
    monkeypatch.setattr(parsing, "_built", [])


def build() -> lark.Lark:
    return grammar.build(Builder(), parsing.Gate())


def test_each_rule_has_its_method() -> None:
    rules = {rule.origin.name for rule in build().rules if not rule.origin.name.startswith("_")}
    assert rules == {name for name in dir(Builder) if not name.startswith("_")}


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PACKAGE", "there_is_no_such_package", "CEL needs cel-python: pip install cel-python"),
        ("FILE", "other.lark", "pip install --force-reinstall cel-python"),
    ],
)
def test_without_cel_python_it_says_what_to_do(
    name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar, name, value)
    with pytest.raises(CompileFailed, match=reason):
        cel.compile("1 + 1 // not compiled before")


def test_nothing_of_it_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, greenflow.lang.cel as cel\n"
        "before = {name.partition('.')[0] for name in sys.modules}\n"
        "cel.compile('1')\n"
        "after = {name.partition('.')[0] for name in sys.modules}\n"
        "print({'lark', 'celpy'} & before, {'lark', 'celpy'} & after)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set() {'lark'}\n"


@pytest.mark.usefixtures("_fresh")
def test_it_is_built_once_and_off_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    original = grammar.build

    def counted(*args: Any) -> lark.Lark:
        threads.append(thread_number())
        return original(*args)

    monkeypatch.setattr(grammar, "build", counted)
    greenlets = [gevent.spawn(parsing.parse, str(i)) for i in range(5)]
    gevent.joinall(greenlets, raise_error=True)
    assert len(threads) == 1
    assert threads[0] != thread_number()


# -- the cache ---------------------------------------------------------------------------------


def kept(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "greenflow").iterdir()
    return file


def built_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any) -> None:
        raise AssertionError("it is built again")

    monkeypatch.setattr("lark.lark.load_grammar", never)


def test_a_parser_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build()
    assert kept(tmp_path).stat().st_size < 2**20
    assert (tmp_path / "greenflow").stat().st_mode & 0o777 == 0o700

    built_no_more(monkeypatch)
    again = build()
    code = "self.?a[?0].`in`.f('x', 1u) ? -1 : {?'a': [b.c]}"
    assert shape(grammar.parse(again, code)) == shape(grammar.parse(first, code))


@pytest.mark.parametrize("content", [b"", b"x", b"0" * 64 + b"\n", b"\x80\x04]."])
def test_what_is_no_parser_is_built_anew(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    file = kept(tmp_path)
    whole = file.read_bytes()
    for spoilt in (content, whole[:100], whole[: len(whole) // 2]):
        file.write_bytes(spoilt)
        assert shape(grammar.parse(build(), "a")) == shape(parsing.parse("a"))
    built_no_more(monkeypatch)
    assert shape(grammar.parse(build(), "a")) == shape(parsing.parse("a"))


def test_a_folder_of_the_user_alone_is_trusted(tmp_path: Path) -> None:
    assert cache.place("x") == tmp_path.resolve() / "greenflow" / "x"
    assert cache.place("x") == tmp_path.resolve() / "greenflow" / "x"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707, 0o701])
def test_a_folder_that_others_can_enter_is_not_trusted(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "greenflow"
    folder.mkdir()
    folder.chmod(mode)
    assert cache.place("x") is None
    build()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("mode", "trusted"), [(0o777, False), (0o775, False), (0o1777, True)])
def test_a_folder_above_in_which_others_write(mode: int, trusted: bool, tmp_path: Path) -> None:
    tmp_path.chmod(mode)
    assert (cache.place("x") is not None) is trusted


def test_a_folder_of_another_user_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.place("x") is not None
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert cache.place("x") is None


def test_a_link_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "greenflow").symlink_to(tmp_path / "elsewhere")
    assert cache.place("x") is None


@pytest.mark.parametrize("base", ["relative", "/dev/null", "/proc/none"])
def test_where_no_folder_can_be_nothing_is_kept(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert cache.place("x") is None
    assert shape(grammar.parse(build(), "a")) == shape(parsing.parse("a"))


def test_nobody_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache.place("x") is None
