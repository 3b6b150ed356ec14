"""Every exception of greenflow: whose fault it is, and what it deserves.

Lives here: exception classes and nothing else; no module of greenflow is imported. Each class
says who must act, with two class attributes: `status`, the HTTP status of an answer that must
tell the client about it, and `exit_code`, what a command ends with. A message says what is
wrong, where, and what to do; it never holds a payload or a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class GreenflowError(Exception):
    """The root of every error of ours."""

    status = 500
    exit_code = 1


class InvalidArgument(GreenflowError):
    """The caller sent something that cannot be used. The message is fixed, the reason is the cause
    (BEHAVIOUR 7.8): `raise InvalidArgument() from reason`, or `InvalidArgument("the reason")`."""

    status = 400

    def __init__(self, reason: str | BaseException | None = None) -> None:
        super().__init__("invalid argument")
        if reason is not None:
            self.__cause__ = ValueError(reason) if isinstance(reason, str) else reason


class SpecFault(NamedTuple):
    """One thing wrong in a spec: where in it (`$.routes[0].method`), and what is wrong and
    allowed. Of code that stands there, line and column in it count from 1; 0 is unknown."""

    path: str
    reason: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}: {_placed(self.reason, self.line, self.column)}"


#: Faults of a spec that the message of its error tells; nobody reads more of them in one line.
MOST_FAULTS = 100


class SpecInvalid(GreenflowError):
    """A spec does not say what its kind needs. Its author must act; `faults` says where, all of
    them, and the message the first `MOST_FAULTS`."""

    status = 400
    exit_code = 3

    def __init__(self, faults: Iterable[SpecFault]) -> None:
        self.faults = tuple(faults)
        told = "; ".join(map(str, self.faults[:MOST_FAULTS]))
        more = len(self.faults) - MOST_FAULTS
        super().__init__(told if more <= 0 else f"{told}; and {more:,} more faults")


class CompileFailed(GreenflowError):
    """The code in a spec does not compile. Lines and columns count from 1; 0 is unknown."""

    status = 400
    exit_code = 3

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        self.reason, self.line, self.column = reason, line, column
        super().__init__(_placed(reason, line, column))


class SnippetFailed(GreenflowError):
    """Code in a spec failed on a packet. Lines and columns count from 1; 0 is unknown."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        self.line, self.column = line, column
        super().__init__(_placed(reason, line, column))


class JavaScriptError(SnippetFailed):
    """What JavaScript code threw. `name` is what JavaScript calls the error (`TypeError`).

    The message is the thrown one and nothing else, so that workflows can compare it; the place is a
    note, which logs and tracebacks show."""

    def __init__(self, message: str, name: str = "Error", line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.name, self.line, self.column = name, line, column
        if line:
            self.add_note(f"line {line}, column {column}")


class PythonError(GreenflowError):
    """What a Python function of a workflow raised.

    The message is the exception's own, and the message of its first cause is the exception's type
    (`ValueError`), so that a workflow can compare it with either (BEHAVIOUR 5.8); the causes of the
    exception follow. A traceback from another OS process is a note, which logs show."""


class FunctionTimedOut(GreenflowError):
    """A Python function of a workflow did not end within its time."""

    status = 504


class WorkerDied(GreenflowError):
    """The OS process that ran a Python function of a workflow ended in mid-call."""


class DuplicateSpec(GreenflowError):
    """An id or a (namespace, name) that is taken."""

    status = 400
    exit_code = 3


class UnknownSpec(GreenflowError):
    """No spec has the id or the (namespace, name) that was asked for."""

    status = 404


class UnknownChange(GreenflowError):
    """The history has no such change, or no longer has it."""

    status = 404


class ChangedMeanwhile(GreenflowError):
    """Somebody else changed what is stored after the writer had looked, who must look again."""

    status = 409


class WorkflowError(GreenflowError):
    """An error that a workflow raised on purpose."""


class AssertFailed(GreenflowError):
    """An `assert` of a workflow does not hold. The message is fixed, the cause says what was
    expected where, and in a test also what came."""

    def __init__(self, reason: str) -> None:
        super().__init__("assert failed")
        self.__cause__ = ValueError(reason)


class TimedOut(GreenflowError):
    """A part of a workflow was not over in its time."""

    status = 504

    def __init__(self, seconds: float) -> None:
        super().__init__(f"timed out after {seconds:g}s")


class Cancelled(GreenflowError):
    """Somebody ended the process (`Runtime.cancel`)."""

    status = 503

    def __init__(self) -> None:
        super().__init__("cancelled")


class RunTimedOut(GreenflowError):
    """A run of a workflow, or what it began, was not over in its time."""

    status = 504


class CircuitOpen(GreenflowError):
    """A `retry` tries nothing for a while, because what it encloses has failed so often. The cause
    is the last error."""

    status = 503

    def __init__(self, failures: int, seconds: float) -> None:
        text = f"in {seconds:.3g} s" if seconds > 0 else "and is under way"
        super().__init__(
            f"the circuit is open: {failures} tries in a row have failed; the next comes {text}"
        )


class Inactive(GreenflowError):
    """A node that was asked for is not there, or not active; the message says why."""

    status = 503


class StoreUnavailable(GreenflowError):
    """The store cannot be reached or opened: the operator must act. Never shows a secret of its
    URL."""

    status = 503
    exit_code = 4


class StoreMisconfigured(StoreUnavailable):
    """The URL of a store is wrong, or the package behind it is missing: waiting does not help."""


class NoDatabase(StoreMisconfigured):
    """There is no database where somebody wants to read one, and none is made."""


class BrokerUnavailable(GreenflowError):
    """The broker cannot be reached, or does not take a message: the operator must act. Never shows
    a secret of its URL."""

    status = 503
    exit_code = 4


class BrokerMisconfigured(BrokerUnavailable):
    """The URL of a broker is wrong, or the package behind it is missing: waiting does not help."""


class NotPublished(BrokerUnavailable):
    """What a process did was committed, and some of what it published then did not go out: the
    operator must act. The message names the nodes, the cause is the broker's first reason."""

    status = 500


class EventsFull(GreenflowError):
    """A process publishes more than is held until it settles: its author must act."""


class AddressInUse(GreenflowError):
    """A listener's address is taken, by another listener or another OS process."""


class NoResponse(GreenflowError):
    """A workflow answered something else than a response to a listener that takes nothing else:
    its author must act."""


class EncodeError(GreenflowError):
    """A value that a format cannot hold, such as NaN in JSON: who chose the format must act."""


class UnsupportedCoding(GreenflowError):
    """A body in a Content-Encoding that is not known (BEHAVIOUR 8.8)."""

    status = 415


class BodyTooLarge(GreenflowError):
    """A body over its limit, as sent or once decompressed (BEHAVIOUR 8.8)."""

    status = 413


class NotConnected(GreenflowError):
    """A workflow sends on a WebSocket connection that is closed, or that it never opened."""

    status = 503


class RequestFailed(GreenflowError):
    """A request that a workflow sent got no answer that can be used (BEHAVIOUR 11.5). The message
    names method, scheme, host and port, and never more of the URL."""

    status = 502


class RequestTimedOut(RequestFailed):
    """A request that a workflow sent was not answered whole within its time."""

    status = 504


class SqlFailed(GreenflowError):
    """A database refused a statement or a commit.

    The message is the database's, without arguments. The first cause says the sort of failure in
    words that are the same for every database (`unique violation`), so that a workflow can ask for
    it (BEHAVIOUR 5.8); the next is the database's own code."""


class SqlUnavailable(GreenflowError):
    """A database cannot be opened or reached, or all connections to it are in use: the operator
    must act. Never shows a secret of its source."""

    status = 503


class AddressForbidden(GreenflowError):
    """A host that came from a payload or a redirect, and is not public (BEHAVIOUR 11.6). Who
    sent the payload must act, or the operator, who may allow it."""

    status = 403


class FileFailed(GreenflowError):
    """A file that a workflow reads or writes: it is not there, or the system refuses. The message
    names it, the reason is the cause."""


class EndOfFile(FileFailed):
    """A workflow reads on where a file has ended."""


class ProcessExited(GreenflowError):
    """The answer of whatever was under way when its process exited (BEHAVIOUR 4.8)."""

    status = 503

    def __init__(self) -> None:
        super().__init__("process exited")


class Runaway(GreenflowError):
    """A workflow wrote too deep, is over its budget (BEHAVIOUR 3.10), or runs a body for ever."""

    is_told = False  # the log has it: all that goes on over a budget has one error


class Interrupt(BaseException):
    """Thrown into a greenlet that runs a process told to exit. Never caught as a handler's
    error."""

    def __init__(self, process: object) -> None:
        super().__init__()
        self.process = process


def _placed(reason: str, line: int, column: int) -> str:
    """What is wrong, behind the place in the code, if that is known."""
    return f"line {line}, column {column}: {reason}" if line else reason


def messages(error: BaseException) -> Iterator[str]:
    """The message of an error, then those of its causes, through groups, each error once
    (BEHAVIOUR 5.8)."""
    pending, seen = [error], set()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, BaseExceptionGroup):
            yield current.message
            pending.extend(reversed(current.exceptions))
        else:
            yield str(current)
        if current.__cause__ is not None:
            pending.append(current.__cause__)


def noted(error: BaseException) -> str:
    """The message of an error with its notes (PEP 678) behind it."""
    notes = getattr(error, "__notes__", ())
    return f"{error} ({'; '.join(notes)})" if notes else str(error)
