"""Steps of a case: asking a flow, and comparing what came with what was expected.

Lives here: `do`, which does one step, and `compare`. What stands in a step is suite.py's; where it
stands in the file, who runs the case knows.
"""

from __future__ import annotations

import difflib
import json
from typing import Any

from greenflow import lang
from greenflow.engine.trace import MAX_SHOWN, as_text, shown
from greenflow.errors import GreenflowError, messages
from greenflow.net.message import canonical_name
from greenflow.testing.running import Flow, Response
from greenflow.testing.suite import CaseRequest, CaseStep, Expected


class StepFailed(AssertionError):
    """Something is not as a step says; `at` is the field of the step that says so."""

    def __init__(self, at: str, reason: str) -> None:
        super().__init__(reason)
        self.at = at


def do(running: Flow, step: CaseStep, written: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Do a step, which stands in the file as `written`, and return what it takes.

    Raises StepFailed, and for a listener what `Flow.request` does.
    """
    if step.request is not None:
        found = _ask(running, step, step.request, written, timeout)
    else:
        found = _call(running, step, written, timeout)
    taken = {}
    for name, code in step.take.items():
        try:
            taken[name] = lang.compile("cel", code)(found)
        except GreenflowError as error:
            reason = f"{error}, of the answer {shown(found)}"
            raise StepFailed(f"take.{name}", reason) from error
    return taken


def _call(running: Flow, step: CaseStep, written: dict[str, Any], timeout: float) -> Any:
    try:
        answer = running.call(step.call or "", step.payload, port=step.port, timeout=timeout)
    except Exception as error:
        if step.error is None:
            raise StepFailed("call", f"it raised {type(error).__name__}: {error}") from error
        told = list(messages(error))
        if step.error not in told:
            found = ", because of ".join(map(repr, told))
            raise StepFailed("error", f"the error is {found}") from error
        return None
    if step.error is not None:
        raise StepFailed("error", f"no error, but the answer {shown(answer)}")
    if "answer" in written:
        compare("answer", step.answer, answer, "the answer")
    return answer


def _ask(
    running: Flow, step: CaseStep, request: CaseRequest, written: dict[str, Any], timeout: float
) -> dict[str, Any]:
    wanted = step.response or Expected()
    response = running.request(
        request.method,
        request.path,
        request.body,
        request.header,
        listener=request.listener,
        timeout=timeout,
    )
    if response.status != wanted.status:
        reason = f"status {response.status}, and the body {shown(response.body)}"
        raise StepFailed("response.status" if step.response else "request", reason)
    for name, value in wanted.header.items():
        compare(f"response.header.{name}", value, response.header.get(name), name)
    if "body" in (written.get("response") or {}):
        compare("response.body", wanted.body, response.body, "the body")
    return _as_payload(response)


def _as_payload(response: Response) -> dict[str, Any]:
    """A response as an `http` node would answer it."""
    header: dict[str, list[str]] = {}
    for name, value in response.header.items():
        header.setdefault(canonical_name(name), []).append(value)
    return {"status": response.status, "header": header, "body": response.body}


def compare(at: str, wanted: Any, found: Any, what: str) -> None:
    """Raises StepFailed, with what differs, unless they are equal as values of a workflow."""
    if not _equal(wanted, found):
        lines = difflib.ndiff(_lines(wanted), _lines(found))
        diff = "\n".join(line for line in lines if not line.startswith("?"))
        raise StepFailed(at, f"{what} is not as expected (- expected, + found)\n{diff}")


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
