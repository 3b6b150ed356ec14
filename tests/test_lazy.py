"""Public names that are imported when they are first asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import greenflow
import greenflow.testing


@pytest.mark.parametrize("package", [greenflow, greenflow.testing])
def test_every_public_name_is_there_and_no_other(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        package.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_nothing_is_imported_before() -> None:
    code = (
        "import sys, greenflow, greenflow.testing; print([m for m in sys.modules if 'gevent' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
