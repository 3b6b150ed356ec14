"""What is said between the engine and a worker, and how an exception of others becomes an error.

Lives here: frames, payloads as pickle or JSON, and errors as text. Not here: who sends what when.

A frame is one byte of kind, eight bytes of length, and so many bytes. To a worker goes one `SETUP`
(JSON), answered by `READY` or `REFUSED`; then `CALL`s (a payload), before each perhaps a `TRACE`
(JSON, the headers of the trace that it is in), and each answered by `VALUE`,
`SEVERAL` (a list, what a generator gave), `INVALID` (the reason why the argument cannot be used) or
`ERROR` (as `tell` has it). A worker runs code of the same user, so what it pickles is as trusted as
it is; still only plain payloads are pickled, so that the engine imports nothing of the function's.
"""

from __future__ import annotations

import io
import pickle
import struct
import traceback
from typing import Any, NoReturn, Protocol

import msgspec

from greenflow.errors import GreenflowError, InvalidArgument, PythonError, messages
from greenflow.hub.collector import put_off
from greenflow.payload.origin import Origin, mark, origin_of
from greenflow.payload.value import pause

SETUP, TRACE, CALL = b"S", b"T", b"C"
READY, REFUSED, VALUE, SEVERAL, INVALID, ERROR = b"R", b"X", b"V", b"G", b"I", b"E"

_HEAD = struct.Struct("!cQ")
_MOST = 1 << 20  # bytes asked of the kernel at once
_FRAME = 1 << 16  # bytes that pickle writes and reads at a time

# A cause of a cause and so on, this deep. Chains of real errors are short; a cycle ends here.
_MAX_CAUSES = 10


class Socket(Protocol):
    def sendall(self, data: bytes, /) -> object: ...

    def recv(self, size: int, /) -> bytes: ...


def send(wire: Socket, kind: bytes, body: bytes) -> None:
    """Write one frame. Raises OSError."""
    wire.sendall(_HEAD.pack(kind, len(body)) + body)


def receive(wire: Socket) -> tuple[bytes, bytes]:
    """Read one frame. Raises EOFError when the other side is gone."""
    try:
        kind, size = _HEAD.unpack(_exactly(wire, _HEAD.size))
        return kind, _exactly(wire, size)
    except ConnectionError:
        raise EOFError from None  # it went with something of ours unread


def _exactly(wire: Socket, size: int) -> bytes:
    pieces: list[bytes] = []
    while size:
        piece = wire.recv(min(size, _MOST))
        if not piece:
            raise EOFError
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


class _Written:
    """A file that pickle writes to: 64 KiB at a time, with pauses."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: Any) -> None:
        self._pieces.append(bytes(piece))
        pause()

    def whole(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


class _Read(io.BytesIO):
    """A file that pickle reads from: 64 KiB at a time, with pauses."""

    def read(self, size: int | None = -1, /) -> bytes:
        pause()
        return super().read(size)


class _Pickler(pickle.Pickler):
    """Errors travel as text: their classes may not be there on the other side."""

    def reducer_override(self, item: Any) -> Any:
        if isinstance(item, BaseException):
            return told, (tell_all(item),)
        return NotImplemented


class _Plain(pickle.Pickler):
    """For what a node was given, in which errors leave out what theirs were."""

    def reducer_override(self, item: Any) -> Any:
        if isinstance(item, BaseException):
            return told, (tell(item),)
        return NotImplemented


def encode(payload: Any, serialize: str) -> bytes:
    """A payload as bytes. Raises InvalidArgument for what cannot travel so."""
    try:
        if serialize == "json":
            return msgspec.json.encode(payload)
        file = _Written()
        _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(payload)
        return file.whole()
    except Exception as error:
        raise InvalidArgument() from ValueError(f"it cannot be sent as {serialize}: {error}")


def decode(data: bytes, serialize: str) -> Any:
    """The payload that was encoded. Raises InvalidArgument."""
    try:
        return msgspec.json.decode(data) if serialize == "json" else _unpickled(data)
    except Exception as error:
        raise InvalidArgument() from ValueError(f"it is no {serialize}: {error}")


def _unpickled(data: bytes) -> Any:
    if len(data) <= _FRAME:
        return pickle.loads(data)
    put_off()
    return pickle.load(_Read(data))


def fail(error: BaseException) -> NoReturn:
    """Raise the error of a workflow that stands for what a function raised, with its traceback;
    ours are left as they are."""
    if isinstance(error, GreenflowError):
        raise error
    # In one expression: a variable here would make a cycle of the error and its traceback.
    raise _chain(_message(error), type(error).__qualname__, error.__cause__).with_traceback(
        error.__traceback__
    )


def _chain(message: str, kind: str, cause: BaseException | None) -> PythonError:
    made = PythonError(message)
    made.__cause__ = PythonError(kind)
    made.__cause__.__cause__ = cause
    return made


def _message(error: BaseException) -> str:
    try:
        return str(error) or type(error).__qualname__
    except Exception as broken:
        return f"{type(error).__qualname__}, whose text cannot be had: {type(broken).__qualname__}"


def tell(error: BaseException, frames: int = 0) -> dict[str, Any]:
    """An exception as a plain map, with its traceback less the first `frames`."""
    first, *others = _messages(error)
    trace = error.__traceback__
    for _ in range(frames):
        trace = trace.tb_next if trace is not None else None
    trace_text = "".join(traceback.format_tb(trace)).rstrip() if frames else ""
    return {
        "message": first,
        "kind": "" if isinstance(error, GreenflowError) else type(error).__qualname__,
        "causes": others,
        "trace": _writable(trace_text),
    }


def tell_all(error: BaseException) -> dict[str, Any]:
    """As `tell` does, with where it arose in a workflow, and what that node was given as far as it
    can be sent."""
    item, origin = tell(error), origin_of(error)
    if origin is not None:
        item["origin"] = [origin.node, origin.kind, origin.at]
        try:
            buffer = io.BytesIO()
            _Plain(buffer, pickle.HIGHEST_PROTOCOL).dump(origin.input)
            item["input"] = buffer.getvalue()
        except Exception:  # a stream, or whatever else stays where it is
            item["input"] = None
    return item


def _messages(error: BaseException) -> list[str]:
    try:
        found = list(messages(error))[: _MAX_CAUSES + 1]
    except Exception:
        found = [_message(error)]
    return list(map(_writable, [found[0] or type(error).__qualname__, *found[1:]]))


def _writable(text: str) -> str:
    """The text with halves of surrogate pairs, which no UTF-8 can write, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def told(item: dict[str, Any]) -> Exception:
    """The error that was told of."""
    cause: Exception | None = None
    for text in reversed(item["causes"]):
        outer = PythonError(text)
        outer.__cause__ = cause
        cause = outer
    if item["kind"]:
        made = _chain(item["message"], item["kind"], cause)
    else:
        made = PythonError(item["message"])
        made.__cause__ = cause
    if item["trace"]:
        made.add_note(f"in the worker:\n{item['trace']}")
    if "origin" in item:
        (node, kind, at), data = item["origin"], item["input"]
        mark(made, Origin(node, kind, at, None if data is None else pickle.loads(data)))
    return made


class Setup(msgspec.Struct):
    """What a worker is told first."""

    path: list[str]
    reference: str
    arguments: str | None
    serialize: str


class Ready(msgspec.Struct):
    """What a worker says of the function it found: the file of its module."""

    file: str | None
    state: tuple[int, int, int] | None
