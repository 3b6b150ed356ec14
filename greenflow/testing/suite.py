"""What stands in a `*.flow.yaml` file: cases for a workflow, written as data.

Lives here: the format, one map, Suite, and its strict reading. Running a case is cases.py's.

A case asks once, or in several `steps`. What a step takes from its answer with CEL, later steps of
the case have as `{{ .NAME }}`: a string that is one placeholder is the value, with its type. Where
nothing is taken, `{{` is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from greenflow import lang
from greenflow.config import Compat, Settings
from greenflow.errors import SpecFault, SpecInvalid
from greenflow.spec.batch import Faulty
from greenflow.spec.decoding import decode
from greenflow.spec.document import Document, DocumentError, read
from greenflow.spec.fields import Duration
from greenflow.spec.template import Insertions, Scope

#: What is taken, and a placeholder for it.
_NAME = re.compile(r"[\w-]+")
_PLACEHOLDER = re.compile(r"\{\{\s*\.([\w-]+)(?:\.[\w-]+)*\s*\}\}")

#: A part of a path in a document, such as `.cases[0]`.
_PART = re.compile(r"\.(\w+)(?:\[(\d+)\])?")


class Instead(Struct, frozen=True, forbid_unknown_fields=True):
    """What a replaced node does with a packet."""

    answer: Annotated[Any, Meta(description="what it sends on, or answers")] = None
    error: Annotated[str | None, Meta(description="what it raises instead")] = None


class CaseRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a listener is asked."""

    method: Annotated[str, Meta(min_length=1)] = "GET"
    path: Annotated[str, Meta(min_length=1)] = "/"
    header: dict[str, str] = {}
    body: Annotated[Any, Meta(description="text as it is, anything else as JSON")] = None
    listener: Annotated[str | None, Meta(description="its name, if there are several")] = None


class Expected(Struct, frozen=True, forbid_unknown_fields=True):
    """What a listener answers; what is left out may be anything."""

    status: int = 200
    header: Annotated[dict[str, str], Meta(description="those that must be there")] = {}
    body: Annotated[Any, Meta(description="as its Content-Type decodes")] = None


Code = Annotated[str, Meta(min_length=1, extra={"format": "code"})]


class CaseStep(Struct, frozen=True, forbid_unknown_fields=True):
    """`call` or `request`, and what comes of it."""

    name: Annotated[str | None, Meta(description="what the step does")] = None
    call: Annotated[str | None, Meta(description="the node that gets the payload")] = None
    port: Annotated[str, Meta(description="its in port")] = "in"
    payload: Any = None
    request: Annotated[CaseRequest | None, Meta(description="what the listener is asked")] = None
    answer: Annotated[Any, Meta(description="what is answered, exactly")] = None
    error: Annotated[
        str | None, Meta(description="message of the error answered, or of one of its causes")
    ] = None
    response: Annotated[Expected | None, Meta(description="what the listener answers")] = None
    take: Annotated[
        dict[str, Code],
        Meta(description="name to CEL of the answer, for `{{ .NAME }}` in later steps"),
    ] = {}


class CaseSpec(CaseStep, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One case: one step, or several, and what passed meanwhile."""

    name: Annotated[str, Meta(min_length=1, description="what the case shows")]
    steps: Annotated[list[CaseStep], Meta(description="instead of `call` and `request`")] = []
    setup: Annotated[
        list[CaseStep], Meta(description="steps before it, after those of the file")
    ] = []
    passed: Annotated[
        dict[str, dict[str, list[Any]]],
        Meta(description="node to port to the payloads that passed, all of them, in order"),
    ] = {}
    allow: Annotated[list[str], Meta(description="further nodes that may reach outside")] = []
    sources: Annotated[list[str], Meta(description="further sources that begin")] = []
    timeout: Annotated[Duration, Meta(description="real time that the case may take")] = 10.0


class Suite(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole file."""

    specs: Annotated[
        list[Any], Meta(min_length=1, description="files, from this file's folder, or specs")
    ]
    cases: Annotated[list[CaseSpec], Meta(min_length=1)]
    replace: Annotated[
        dict[str, list[Instead]],
        Meta(description="node to what it does instead: with each packet the next, the last stays"),
    ] = {}
    allow: Annotated[
        list[str],
        Meta(description="nodes that may reach outside: by name, without one by kind"),
    ] = []
    sources: Annotated[
        list[str], Meta(description="sources that begin by themselves, such as schedules")
    ] = []
    setup: Annotated[list[CaseStep], Meta(description="steps before each case")] = []
    namespace: Annotated[
        str, Meta(min_length=1, description="that of the specs, if they name one")
    ] = Settings().namespace
    values: Annotated[dict[str, Any], Meta(description="name of a value to its data")] = {}
    environment: Annotated[
        dict[str, str], Meta(description="values for {{ .KEY }} of specs that name no value")
    ] = {}
    compat: Annotated[
        Compat | None,
        Meta(description="which release of uniflow the specs are of; else the setting says it"),
    ] = None
    clock: Annotated[
        Literal["real", "jump"], Meta(description="jump: what nodes sleep takes no time")
    ] = "real"
    seed: Annotated[
        int | None, Meta(description="what is left to chance in code is the same in each run")
    ] = None


Placed = tuple[str, CaseStep]
"""A step, and its path in the document."""


def setup_of(suite: Suite, number: int) -> list[Placed]:
    """What is done before a case, with its place."""
    of_file = [(f"$.setup[{i}]", step) for i, step in enumerate(suite.setup)]
    of_case = enumerate(suite.cases[number].setup)
    return of_file + [(f"$.cases[{number}].setup[{i}]", step) for i, step in of_case]


def steps_of(suite: Suite, number: int) -> list[Placed]:
    """The steps of a case: itself, if it says no others."""
    case = suite.cases[number]
    if not case.steps:
        return [(f"$.cases[{number}]", case)]
    return [(f"$.cases[{number}].steps[{i}]", step) for i, step in enumerate(case.steps)]


def takes(steps: Iterable[Placed]) -> bool:
    """Whether one of the steps takes something, so that placeholders are looked for."""
    return any(step.take for _, step in steps)


def rendered(step: CaseStep, taken: dict[str, Any]) -> CaseStep:
    """The step with what was taken in the place of its placeholders. Raises LookupError for one
    that stands for nothing."""
    scope = Scope(taken, "what was taken", Insertions())
    replace, render = msgspec.structs.replace, scope.render
    request, response = step.request, step.response
    if request is not None:
        header = {name: str(render(text)) for name, text in request.header.items()}
        path, body = str(render(request.path)), render(request.body)
        request = replace(request, path=path, header=header, body=body)
    if response is not None:
        header = {name: str(render(text)) for name, text in response.header.items()}
        response = replace(response, header=header, body=render(response.body))
    return replace(
        step,
        payload=render(step.payload),
        answer=render(step.answer),
        error=None if step.error is None else str(render(step.error)),
        request=request,
        response=response,
    )


def written(document: Document, path: str) -> dict[str, Any]:
    """The map at a path as it stands in the file: an expected null is not nothing said. A single
    value may stand for a list."""
    found: Any = document.data
    for key, index in _PART.findall(path):
        found = found[key]
        if index and isinstance(found, list):
            found = found[int(index)]
    return found if isinstance(found, dict) else {}


# -- reading ---------------------------------------------------------------------------------------


def read_suite(path: str, source: str) -> tuple[Suite, Document]:
    """A file, which people call `source`. Raises Faulty with every fault as
    `file:line:column: path: reason`, and OSError."""
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
        faults = list(dict.fromkeys(_faults(suite)))
    except SpecInvalid as error:
        faults = list(error.faults)
    if faults:
        raise Faulty(map(document.told, faults))
    return suite, document


def _no_specs(document: Any, path: str) -> Any:
    raise SpecInvalid([SpecFault(path, "no spec is expected here")])


def _faults(suite: Suite) -> Iterator[SpecFault]:
    """What types do not say."""
    names: set[str] = set()
    for i, one in enumerate(suite.specs):
        if not isinstance(one, str | dict):
            yield SpecFault(f"$.specs[{i}]", "the name of a file, or a spec")
    for i, step in enumerate(suite.setup):
        yield from _of_step(f"$.setup[{i}]", step)
    for i, case in enumerate(suite.cases):
        path = f"$.cases[{i}]"
        if case.name in names:
            yield SpecFault(f"{path}.name", "there is a case of this name already")
        names.add(case.name)
        alone = (case.call, case.request, case.payload, case.answer, case.error, case.response)
        if case.steps and (case.take or any(each is not None for each in alone)):
            yield SpecFault(path, "with `steps`, what is asked and answered stands in them")
        own = [(f"{path}.setup[{j}]", step) for j, step in enumerate(case.setup)]
        for at, step in own + steps_of(suite, i):
            yield from _of_step(at, step)
        yield from _of_placeholders(setup_of(suite, i) + steps_of(suite, i))
    for node, instead in suite.replace.items():
        if not instead:
            yield SpecFault(f"$.replace.{node}", "at least one step")
        for i, one in enumerate(instead):
            if one.error is not None and one.answer is not None:
                yield SpecFault(f"$.replace.{node}[{i}]", "either `answer` or `error`")


def _of_step(path: str, step: CaseStep) -> Iterator[SpecFault]:
    what = "case" if isinstance(step, CaseSpec) else "step"
    if (step.call is None) == (step.request is None):
        either = "`call` or `request`" if what == "step" else "`call`, `request` or `steps`"
        yield SpecFault(path, f"a {what} has either {either}")
    if step.call is None and (step.error is not None or step.answer is not None):
        yield SpecFault(path, "`answer` and `error` are for `call`; a request has `response`")
    if step.request is None and step.response is not None:
        yield SpecFault(f"{path}.response", "for `request`; a call has `answer` or `error`")
    if step.error is not None and step.answer is not None:
        yield SpecFault(f"{path}.error", "either `answer` or `error`")
    if step.request is not None and not step.request.path.startswith(("/", "{{")):
        yield SpecFault(f"{path}.request.path", "a path begins with /")
    if step.error is not None and step.take:
        yield SpecFault(f"{path}.take", "from an error nothing is taken")
    for name, code in step.take.items():
        if _NAME.fullmatch(name) is None:
            yield SpecFault(f"{path}.take.{name}", "a name has letters, digits, _ and - only")
        yield from lang.faults("cel", code, f"{path}.take.{name}")


def _of_placeholders(steps: list[Placed]) -> Iterator[SpecFault]:
    """Those that nothing was taken for by then."""
    known: dict[str, None] = {}
    if not takes(steps):
        return
    for path, step in steps:
        for at, text in _texts(path, step):
            for name in _PLACEHOLDER.findall(text):
                if name not in known:
                    so_far = f"taken so far: {', '.join(known) or 'nothing'}"
                    yield SpecFault(at, f"{{{{ .{name} }}}} stands for nothing; {so_far}")
        known.update(dict.fromkeys(step.take))


def _texts(path: str, step: CaseStep) -> Iterator[tuple[str, str]]:
    """What may hold placeholders, each with its path."""
    for name in ("payload", "answer", "error"):
        yield from _strings(f"{path}.{name}", getattr(step, name))
    if step.request is not None:
        yield f"{path}.request.path", step.request.path
        yield from _strings(f"{path}.request.header", step.request.header)
        yield from _strings(f"{path}.request.body", step.request.body)
    if step.response is not None:
        yield from _strings(f"{path}.response.header", step.response.header)
        yield from _strings(f"{path}.response.body", step.response.body)


def _strings(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _strings(f"{path}.{key}", one)
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from _strings(f"{path}[{i}]", one)
