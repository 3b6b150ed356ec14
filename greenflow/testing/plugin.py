"""The pytest plugin: `*.flow.yaml` files are tests.

Lives here: what pytest asks for. pytest imports this at its start in every project in whose
environment greenflow is, so all else is imported when the first such file is found, and nothing is
patched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from greenflow.testing.cases import Case

SUFFIX = ".flow.yaml"  # document.CASES_SUFFIX, whose module is not imported yet


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take the files that are ours."""
    if file_path.name.endswith(SUFFIX):
        return FlowFile.from_parent(parent, path=file_path)
    return None


class FlowFile(pytest.File):
    """One `*.flow.yaml`."""

    def collect(self) -> Iterator[pytest.Item]:
        from greenflow.spec.batch import Faulty
        from greenflow.testing.cases import read_cases

        try:
            shown = os.path.relpath(self.path, self.config.invocation_params.dir)
            cases = read_cases(str(self.path), shown)
        except Faulty as error:
            raise self.CollectError(str(error)) from None
        for case in cases:
            yield FlowItem.from_parent(self, name=case.name, case=case)


class FlowItem(pytest.Item):
    """One case."""

    def __init__(self, *, case: Case, **options: Any) -> None:
        super().__init__(**options)
        self.case = case

    def runtest(self) -> None:
        self.case.run()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What a workflow did wrong needs no traceback of ours."""
        from greenflow.spec.batch import Faulty
        from greenflow.testing.cases import CaseFailed

        if isinstance(excinfo.value, CaseFailed | Faulty):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style="short")

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.case.line - 1, self.name
