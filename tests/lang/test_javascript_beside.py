"""Large code is parsed beside: with the same result, the same faults, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from greenflow.errors import CompileFailed
from greenflow.lang import typescript
from greenflow.lang.javascript import beside, module

FILLING = "// " + "ä" * beside.LONG + "\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that helpers were asked for."""
    names: list[str] = []
    ask = beside._ask

    def noted(name: str, code: str) -> str:
        names.append(name)
        return ask(name, code)

    monkeypatch.setattr(beside, "_ask", noted)
    return names


def in_greenlet(work: Callable[[str], str], code: str) -> str:
    greenlet = gevent.spawn(work, code)
    greenlet.join()
    if greenlet.exception is not None:
        raise greenlet.exception
    result: str = greenlet.value
    return result


def test_long_code_has_the_same_result(asked: list[str]) -> None:
    code = FILLING + "export default x => x + 1;\n"
    expected = module.function.__wrapped__.__wrapped__(code)
    assert in_greenlet(module.function.__wrapped__, code) == expected
    typed = FILLING + "export default (x: number) => x + 1;\n"
    expected = typescript.erase.__wrapped__.__wrapped__(typed)
    assert in_greenlet(typescript.erase.__wrapped__, typed) == expected
    assert asked == ["greenflow.lang.javascript.module:function", "greenflow.lang.typescript:erase"]


def test_long_code_has_the_same_faults(asked: list[str]) -> None:
    code = FILLING + "export default x => (x + 1;\n"
    with pytest.raises(CompileFailed, match="line 2, column") as told:
        in_greenlet(module.function.__wrapped__, code)
    with pytest.raises(CompileFailed) as expected:
        module.function.__wrapped__.__wrapped__(code)
    assert str(told.value) == str(expected.value)
    assert (told.value.line, told.value.column) == (expected.value.line, expected.value.column)
    with pytest.raises(CompileFailed, match="no default export"):
        in_greenlet(module.function.__wrapped__, FILLING)
    assert len(asked) == 2


def test_code_that_people_write_is_parsed_here(asked: list[str]) -> None:
    in_greenlet(module.function.__wrapped__, "export default x => x;\n")
    assert not asked


def test_code_that_takes_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "SECONDS", 1)
    with pytest.raises(CompileFailed, match="more than 1 s of processor time"):
        in_greenlet(typescript.erase.__wrapped__, "a<" * 500_000)


def test_a_helper_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "__name__", "greenflow.nothing")
    with pytest.raises(CompileFailed, match="the helper that parses it died"):
        in_greenlet(module.function.__wrapped__, FILLING + "export default x => x;\n")


def test_who_waits_may_be_interrupted() -> None:
    greenlet = gevent.spawn(module.function.__wrapped__, FILLING * 20 + "a = (1;" * 20_000)
    gevent.sleep(0)
    greenlet.kill()
    assert isinstance(greenlet.value, gevent.GreenletExit)
