"""`*.flow.yaml`: cases for a workflow, written as data.

Lives here: the format, its strict reading, and the running of one case; pytest and the command line
do it for their users. A file is one map, Suite; a case calls a node or asks a listener, and says
what is answered and what passed which node. Each case has a flow of its own.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from http.client import HTTPException
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct

from greenflow.config import Settings
from greenflow.engine.trace import MAX_SHOWN, as_text, shown
from greenflow.errors import GreenflowError, SpecFault, SpecInvalid, WorkflowError, messages
from greenflow.scheme.registry import Scheme
from greenflow.spec.batch import Faulty
from greenflow.spec.decoding import decode
from greenflow.spec.document import Document, DocumentError, read
from greenflow.spec.fields import Duration
from greenflow.testing.clock import ManualClock
from greenflow.testing.observing import sequence
from greenflow.testing.running import GRACE, Flow, flow


class CaseStep(Struct, frozen=True, forbid_unknown_fields=True):
    """What a replaced node does with a packet."""

    answer: Annotated[Any, Meta(description="what it sends on, or answers")] = None
    error: Annotated[str | None, Meta(description="what it raises instead")] = None


class CaseRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a listener is asked."""

    method: Annotated[str, Meta(min_length=1)] = "GET"
    path: Annotated[str, Meta(pattern="^/")] = "/"
    header: dict[str, str] = {}
    body: Annotated[Any, Meta(description="text as it is, anything else as JSON")] = None
    listener: Annotated[str | None, Meta(description="its name, if there are several")] = None


class Expected(Struct, frozen=True, forbid_unknown_fields=True):
    """What a listener answers; what is left out may be anything."""

    status: int = 200
    header: Annotated[dict[str, str], Meta(description="those that must be there")] = {}
    body: Annotated[Any, Meta(description="as its Content-Type decodes")] = None


class CaseSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One case: `call` or `request`, and what comes of it."""

    name: Annotated[str, Meta(min_length=1, description="what the case shows")]
    call: Annotated[str | None, Meta(description="the node that gets the payload")] = None
    port: Annotated[str, Meta(description="its in port")] = "in"
    payload: Any = None
    request: Annotated[CaseRequest | None, Meta(description="what the listener is asked")] = None
    answer: Annotated[Any, Meta(description="what is answered, exactly")] = None
    error: Annotated[
        str | None, Meta(description="message of the error answered, or of one of its causes")
    ] = None
    response: Annotated[Expected | None, Meta(description="what the listener answers")] = None
    passed: Annotated[
        dict[str, dict[str, list[Any]]],
        Meta(description="node to port to the payloads that passed, all of them, in order"),
    ] = {}
    timeout: Annotated[Duration, Meta(description="real time that the case may take")] = 10.0


class Suite(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file."""

    specs: Annotated[
        list[Any], Meta(min_length=1, description="files, from this file's folder, or specs")
    ]
    cases: Annotated[list[CaseSpec], Meta(min_length=1)]
    replace: Annotated[
        dict[str, list[CaseStep]],
        Meta(description="node to what it does instead: with each packet the next, the last stays"),
    ] = {}
    namespace: Annotated[
        str, Meta(min_length=1, description="that of the specs, if they name one")
    ] = Settings().namespace
    values: Annotated[dict[str, Any], Meta(description="name of a value to its data")] = {}
    environment: Annotated[
        dict[str, str], Meta(description="values for {{ .KEY }} of specs that name no value")
    ] = {}
    clock: Annotated[
        Literal["real", "jump"], Meta(description="jump: what nodes sleep takes no time")
    ] = "real"


class CaseFailed(AssertionError):
    """A workflow does not do what a case says. The message begins with `file:line:column:`."""


class Case(NamedTuple):
    """One case of a file; `run` runs it."""

    suite: Suite
    spec: CaseSpec
    document: Document
    path: str  # in the document, such as $.cases[0]
    folder: str  # of the file

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
        clock = ManualClock(jump=True) if self.suite.clock == "jump" else None
        replace = {node: sequence(*map(_act, steps)) for node, steps in self.suite.replace.items()}
        specs = self._specs()
        suite = self.suite
        settings = Settings(namespace=suite.namespace, grace=GRACE, environment=suite.environment)
        try:
            with flow(
                specs, replace, settings=settings, clock=clock, values=suite.values
            ) as running:
                self._look_at(running)
        except (CaseFailed, Faulty):
            raise
        except (AssertionError, GreenflowError, LookupError, OSError, HTTPException) as error:
            raise self._failed("name", str(error)) from error

    def _specs(self) -> list[Any]:
        """The specs under test. Raises Faulty for those in this file, with their place in it."""
        scheme = Scheme.installed()
        specs: list[Any] = []
        lines: list[str] = []
        for i, one in enumerate(self.suite.specs):
            if isinstance(one, str):
                specs.append(os.path.join(self.folder, one))
                continue
            try:
                specs.append(scheme.validate(one, self.suite.namespace))
            except SpecInvalid as error:
                faults = [
                    fault._replace(path=f"$.specs[{i}]{fault.path[1:]}") for fault in error.faults
                ]
                lines += _placed(self.document, faults)
        if lines:
            raise Faulty(lines)
        return specs

    def _look_at(self, running: Flow) -> None:
        case = self.spec
        if case.request is not None:
            self._ask(running, case.request)
        else:
            self._call(running)
        running.settle(case.timeout)
        for node, ports in case.passed.items():
            for port, wanted in ports.items():
                at = f"passed.{node}.{port}"
                try:
                    found = running.passed(node, port)
                except (LookupError, ValueError) as error:
                    raise self._failed(at, str(error)) from None
                self._same(at, wanted, found, f"what passed {node!r} by {port!r}")

    def _call(self, running: Flow) -> None:
        case = self.spec
        try:
            answer = running.call(
                case.call or "", case.payload, port=case.port, timeout=case.timeout
            )
        except Exception as error:
            if case.error is None:
                raise self._failed("call", f"it raised {type(error).__name__}: {error}") from error
            told = list(messages(error))
            if case.error not in told:
                found = ", because of ".join(map(repr, told))
                raise self._failed("error", f"the error is {found}") from error
            return
        if case.error is not None:
            raise self._failed("error", f"no error, but the answer {shown(answer)}")
        if "answer" in self._written:
            self._same("answer", case.answer, answer, "the answer")

    def _ask(self, running: Flow, request: CaseRequest) -> None:
        case, wanted = self.spec, self.spec.response or Expected()
        response = running.request(
            request.method,
            request.path,
            request.body,
            request.header,
            listener=request.listener,
            timeout=case.timeout,
        )
        if response.status != wanted.status:
            reason = f"status {response.status}, and the body {shown(response.body)}"
            raise self._failed("response.status" if case.response else "request", reason)
        for name, value in wanted.header.items():
            self._same(f"response.header.{name}", value, response.header.get(name), name)
        if "body" in (self._written.get("response") or {}):
            self._same("response.body", wanted.body, response.body, "the body")

    @property
    def _written(self) -> dict[str, Any]:
        """The case as it stands in the file: an expected null is not the same as nothing said."""
        cases = self.document.data["cases"]
        number = int(self.path.removeprefix("$.cases[").removesuffix("]"))
        written: dict[str, Any] = cases[number] if isinstance(cases, list) else cases
        return written

    def _same(self, at: str, wanted: Any, found: Any, what: str) -> None:
        if not _equal(wanted, found):
            lines = difflib.ndiff(_lines(wanted), _lines(found))
            diff = "\n".join(line for line in lines if not line.startswith("?"))
            raise self._failed(at, f"{what} is not as expected (- expected, + found)\n{diff}")

    def _failed(self, at: str, reason: str) -> CaseFailed:
        line, column = self.document.position(f"{self.path}.{at}")
        return CaseFailed(f"{self.document.source}:{line}:{column}: {self.name}: {reason}")


def read_cases(path: str, source: str | None = None) -> list[Case]:
    """The cases of a file, which people call `source`. Raises Faulty with every fault as
    `file:line:column: path: reason`, and OSError."""
    source = source or path
    try:
        with open(path, "rb") as file:
            documents = read(file.read(), source)
    except DocumentError as error:
        raise Faulty([str(error)]) from None
    if len(documents) != 1:
        raise Faulty([f"{source}: one map is wanted, with `specs` and `cases`"])
    (document,) = documents
    try:
        suite = decode(Suite, document.data, "$", _no_specs)
        faults = list(_faults(suite))
    except SpecInvalid as error:
        faults = list(error.faults)
    if faults:
        raise Faulty(_placed(document, faults))
    folder = os.path.dirname(os.path.abspath(path))
    return [
        Case(suite, case, document, f"$.cases[{i}]", folder) for i, case in enumerate(suite.cases)
    ]


def _placed(document: Document, faults: list[SpecFault]) -> list[str]:
    """A line for each fault, `file:line:column: path: reason`."""
    places = [document.position(fault.path) for fault in faults]
    return [
        f"{document.source}:{line}:{column}: {fault}"
        for (line, column), fault in zip(places, faults, strict=True)
    ]


def _no_specs(document: Any, path: str) -> Any:
    raise SpecInvalid([SpecFault(path, "no spec is expected here")])


def _faults(suite: Suite) -> Iterator[SpecFault]:
    """What types do not say."""
    names: set[str] = set()
    for i, one in enumerate(suite.specs):
        if not isinstance(one, str | dict):
            yield SpecFault(f"$.specs[{i}]", "the name of a file, or a spec")
    for i, case in enumerate(suite.cases):
        path = f"$.cases[{i}]"
        if case.name in names:
            yield SpecFault(f"{path}.name", "there is a case of this name already")
        names.add(case.name)
        if (case.call is None) == (case.request is None):
            yield SpecFault(path, "a case has either `call` or `request`")
        if case.call is None and (case.error is not None or case.answer is not None):
            yield SpecFault(path, "`answer` and `error` are for `call`; a request has `response`")
        if case.request is None and case.response is not None:
            yield SpecFault(f"{path}.response", "for `request`; a call has `answer` or `error`")
        if case.error is not None and case.answer is not None:
            yield SpecFault(f"{path}.error", "either `answer` or `error`")
    for node, steps in suite.replace.items():
        if not steps:
            yield SpecFault(f"$.replace.{node}", "at least one step")
        for i, step in enumerate(steps):
            if step.error is not None and step.answer is not None:
                yield SpecFault(f"$.replace.{node}[{i}]", "either `answer` or `error`")


def _act(step: CaseStep) -> Any:
    return step.answer if step.error is None else WorkflowError(step.error)


def _equal(wanted: Any, found: Any) -> bool:
    """Equal as values of a workflow: true is not 1, an error is its message, bytes their text."""
    if isinstance(found, Exception):
        return isinstance(wanted, str) and wanted in messages(found)
    if isinstance(found, bytes) and isinstance(wanted, str):
        return found == wanted.encode()
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(_equal(wanted[k], found[k]) for k in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_equal, wanted, found))
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    return bool(wanted == found)


def _lines(value: Any) -> list[str]:
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=as_text)
    return [line[:MAX_SHOWN] for line in text.splitlines()]
