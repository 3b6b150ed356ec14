"""Cases of `*.flow.yaml` files: running one.

Lives here: Case; pytest and the command line run cases for their users. What stands in a file is
suite.py's, how a step is done and its answer compared steps.py's. Each case has a flow of its own,
in which no source begins by itself and no node reaches outside unless the file says so.
"""

from __future__ import annotations

import os
from functools import partial
from http.client import HTTPException
from typing import Any, NamedTuple

from greenflow.config import Compat, Settings
from greenflow.errors import GreenflowError, SpecFault, SpecInvalid, WorkflowError
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Faulty
from greenflow.spec.document import Document
from greenflow.spec.reference import Beside
from greenflow.spec.translated import Translated
from greenflow.testing.clock import ManualClock
from greenflow.testing.observing import sequence
from greenflow.testing.running import GRACE, Flow, flow
from greenflow.testing.steps import StepFailed, compare, do
from greenflow.testing.suite import (
    CaseSpec,
    Instead,
    Placed,
    Suite,
    read_suite,
    rendered,
    setup_of,
    steps_of,
    takes,
    written,
)

#: What a case may meet; anything else is a fault of ours.
FAILURES = (AssertionError, GreenflowError, LookupError, OSError, HTTPException)


class CaseFailed(AssertionError):
    """A workflow does not do what a case says. The message begins with `file:line:column:`."""


class Case(NamedTuple):
    """One case of a file; `run` runs it."""

    suite: Suite
    number: int  # of the case in the file, from 0
    document: Document
    folder: str  # of the file
    allowed: frozenset[str] = frozenset()  # nodes that may reach outside, beside the file's
    compat: Compat = "none"  # what the specs mean, unless the file says it

    @property
    def spec(self) -> CaseSpec:
        """What the file says of it."""
        return self.suite.cases[self.number]

    @property
    def path(self) -> str:
        """Its place in the document."""
        return f"$.cases[{self.number}]"

    @property
    def name(self) -> str:
        """What it is called."""
        return self.spec.name

    @property
    def source(self) -> str:
        """The file it is in."""
        return self.document.source

    @property
    def line(self) -> int:
        """Where it begins, from 1."""
        return self.document.position(self.path)[0]

    def run(self) -> None:
        """Run it in a flow of its own.

        Raises CaseFailed, and Faulty for faults of the specs.
        """
        suite, case = self.suite, self.spec
        clock = ManualClock(jump=True) if suite.clock == "jump" else None
        replace = {node: sequence(*map(_act, steps)) for node, steps in suite.replace.items()}
        settings = Settings(
            namespace=suite.namespace,
            grace=GRACE,
            environment=suite.environment,
            compat=suite.compat or self.compat,
        )
        specs = self._specs(Scheme.installed(compat=settings.compat))
        try:
            with flow(
                specs,
                replace,
                settings=settings,
                clock=clock,
                seed=suite.seed,
                values=suite.values,
                allow={*suite.allow, *case.allow, *self.allowed},
                sources={*suite.sources, *case.sources},
            ) as running:
                self._look_at(running)
        except (CaseFailed, Faulty):
            raise
        except FAILURES as error:
            raise self._failed(f"{self.path}.name", str(error)) from error

    def _specs(self, scheme: Scheme) -> list[Any]:
        """The specs under test. Raises Faulty for those in this file, with their place in it."""
        specs: list[Any] = []
        lines: list[str] = []
        inline = {
            i: scheme.translated(one)
            for i, one in enumerate(self.suite.specs)
            if isinstance(one, dict)
        }
        beside = Beside(
            ((one.data, partial(self._located, i)) for i, one in inline.items()),
            self.suite.namespace,
        )
        for i, one in enumerate(self.suite.specs):
            if isinstance(one, str):
                specs.append(os.path.join(self.folder, one))
                continue
            meaning = inline[i] if i in inline else Translated(one)
            try:
                specs.append(scheme.validate(meaning.data, self.suite.namespace, beside))
            except SpecInvalid as error:
                told = (self._located(i, meaning.located(fault)) for fault in error.faults)
                lines += (f"{place}: {fault}" for place, fault in told)
        if lines:
            raise Faulty(lines)
        return specs

    def _located(self, number: int, fault: SpecFault) -> tuple[str, SpecFault]:
        """Where a fault of the spec of that number stands in this file."""
        path = f"$.specs[{number}]{fault.path[1:]}"
        return self.document.located(fault._replace(path=path))

    def _look_at(self, running: Flow) -> None:
        case, taken = self.spec, dict[str, Any]()
        setup, steps = setup_of(self.suite, self.number), steps_of(self.suite, self.number)
        takes_any = takes(setup + steps)
        for one in setup:
            self._do(running, one, taken if takes_any else None, "the setup failed: ")
        if setup:
            running.settle(case.timeout)
            running.forget()
        for one in steps:
            self._do(running, one, taken if takes_any else None)
        running.settle(case.timeout)
        self._look_outside(running, self.path)
        for node, ports in case.passed.items():
            for port, wanted in ports.items():
                at = f"{self.path}.passed.{node}.{port}"
                try:
                    compare(
                        "", wanted, running.passed(node, port), f"what passed {node!r} by {port!r}"
                    )
                except (LookupError, ValueError, StepFailed) as error:
                    raise self._failed(at, str(error)) from None

    def _do(
        self, running: Flow, one: Placed, taken: dict[str, Any] | None, during: str = ""
    ) -> None:
        """Do a step; what it takes is added to what was taken, if placeholders are looked for."""
        path, step = one
        if step.name is not None and step is not self.spec:
            during += f"{step.name}: "
        try:
            whole = step if taken is None else rendered(step, taken)
            found = do(running, whole, written(self.document, path), self.spec.timeout)
            if taken is not None:
                taken |= found
        except Exception as error:
            self._look_outside(running, path, during)  # the reason of whatever else went wrong
            if isinstance(error, StepFailed):
                raise self._failed(f"{path}.{error.at}", f"{during}{error}") from error.__cause__
            if isinstance(error, FAILURES):
                raise self._failed(f"{path}.name", f"{during}{error}") from error
            raise
        self._look_outside(running, path, during)

    def _look_outside(self, running: Flow, at: str, during: str = "") -> None:
        if running.reached:
            reasons = "\n".join(map(str, running.reached))
            raise self._failed(f"{at}.name", during + reasons) from running.reached[0]

    def _failed(self, at: str, reason: str) -> CaseFailed:
        line, column = self.document.position(at)
        return CaseFailed(f"{self.document.source}:{line}:{column}: {self.name}: {reason}")


def read_cases(path: str, source: str | None = None, compat: Compat = "none") -> list[Case]:
    """The cases of a file, which people call `source`; `compat` as the setting.

    Raises Faulty with every fault as `file:line:column: path: reason`, and OSError."""
    suite, document = read_suite(path, source or path)
    folder = os.path.dirname(os.path.abspath(path))
    return [
        Case(suite, number, document, folder, compat=compat) for number in range(len(suite.cases))
    ]


def _act(instead: Instead) -> Any:
    return instead.answer if instead.error is None else WorkflowError(instead.error)
