"""Files: read, write, print (BEHAVIOUR 14).

Lives here: the kinds, and which process has which file open: each its own, from the first packet
until it settles, its position with it. How a file is read without making others wait is disk.py's,
what `print` makes of a format printf.py's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from gevent.event import Event
from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.process import Process
from greenflow.engine.services import Services
from greenflow.errors import EndOfFile, FileFailed, InvalidArgument
from greenflow.nodes.file.disk import Disk, OpenFile, StandardOutput
from greenflow.nodes.file.printf import printf
from greenflow.payload.json import dumps
from greenflow.spec.fields import Spec

#: Bytes of a file that `read` answers at once, if the spec does not say otherwise: a payload is in
#: memory, and somebody else may have written the file. A gigabyte would be a machine's.
LIMIT_BYTES = 256 * 1024 * 1024

S = TypeVar("S", bound=Spec)


class FileNode(Node[S]):
    """A kind whose processes each have a file open."""

    def __init__(self, spec: S, services: Services) -> None:
        super().__init__(spec, services)
        self.files: dict[Process, OpenFile | StandardOutput] = {}
        self.kept: dict[Process, bytes] = {}  # read, and not yet answered
        self.opening: dict[Process, Event] = {}  # what strands of one process wait for

    def opened(self, ctx: Context, filename: str | None, flags: int) -> Any:
        """The file as this process has it open: of its own, opened at the first packet."""
        process = ctx.process.owner
        while process in self.opening:
            self.opening[process].wait()
        file = self.files.get(process)
        if file is None:
            disk = self.services.share("disk", Disk, Disk.close)
            opened = self.opening[process] = Event()
            try:
                file = StandardOutput(disk) if filename is None else disk.open(filename, flags)
            finally:
                del self.opening[process]
                opened.set()
            self.files[process] = file
            try:
                ctx.enter(_Open(self, process, filename))
            except BaseException:
                del self.files[process]
                file.abandon()
                raise
        return file


class _Open:
    """What a process holds of a file: it is closed when the process settles."""

    def __init__(self, node: FileNode[Any], process: Process, filename: str | None) -> None:
        self.node, self.process, self.filename = node, process, filename

    def __enter__(self) -> None:
        """It is open."""

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.node.kept.pop(self.process, None)
        file = self.node.files.pop(self.process)
        if error is not None:  # nobody waits for what a process that failed has written
            file.abandon()
            return
        with told("close", self.filename):
            file.close()


@contextmanager
def told(action: str, filename: str | None) -> Iterator[None]:
    """Errors of the system say what could not be done, and with which file."""
    name = "the standard output" if filename is None else repr(filename)
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileFailed(f"cannot {action} {name}: {reason}") from error


class ReadSpec(Spec):
    filename: Annotated[str, Meta(min_length=1, description="the file")]
    limit: Annotated[int, Meta(ge=1, description="bytes; more at a time are an error")] = (
        LIMIT_BYTES
    )


@node("read", reads_only=True)
class Read(FileNode[ReadSpec]):
    """Reads on in a file: a positive integer n answers the next n bytes at most, anything else the
    rest.

    UTF-8 text is a string, other content bytes. Each process has a position of its own. At the end
    n bytes are the error `end of file`, and the rest is an empty string.
    """

    def handle(self, ctx: Context, payload: Any) -> Any:
        spec = self.spec
        count = payload if type(payload) is int and payload > 0 else None
        with told("read", spec.filename):
            if count is not None and count > spec.limit:
                raise InvalidArgument(f"{count} bytes are more than the limit of {spec.limit}")
            file = self.opened(ctx, spec.filename, os.O_RDONLY)
            kept = self.kept.pop(ctx.process.owner, b"")
            if count is None:
                return text(kept + file.read(None, spec.limit))
            data = kept[:count]
            if len(data) < count:
                data += file.read(count - len(data), spec.limit)
        if not data:
            raise EndOfFile("end of file") from EOFError("EOF")  # what Go calls it
        whole = whole_characters(data)
        left = data[whole:] + kept[count:]
        if left:
            self.kept[ctx.process.owner] = left
        return text(data[:whole])


def text(data: bytes) -> str | bytes:
    """A string if the bytes are UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def whole_characters(data: bytes) -> int:
    """How many of the bytes are whole characters, if they are UTF-8 that ends inside one and begins
    with another; else all."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.start > 0:
            return error.start
    return len(data)


class WriteSpec(Spec):
    filename: Annotated[str, Meta(min_length=1, description="the file; made if it is not there")]
    append: Annotated[
        bool, Meta(description="keep what is in the file when a process first writes to it")
    ] = False


@node("write", reads_only=True, reaches_outside=True)
class Write(FileNode[WriteSpec]):
    """Writes its input to the end of a file, whole, and answers how many bytes that were.

    Strings as UTF-8, bytes as they are, other values as a line of JSON. Without `append` the first
    write of a process empties the file.
    """

    def handle(self, ctx: Context, payload: Any) -> Any:
        spec, data = self.spec, written(payload)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if spec.append else os.O_TRUNC)
        with told("write to", spec.filename):
            return self.opened(ctx, spec.filename, flags).write(data)


def written(payload: Any) -> bytes:
    """A payload as a file holds it. Raises EncodeError for a value that has no JSON."""
    if isinstance(payload, bytes):
        return payload
    return utf8(payload) if isinstance(payload, str) else dumps(payload)


def utf8(text: str) -> bytes:
    """Raises InvalidArgument for what is only half a character, as JavaScript may make it."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument() from ValueError(f"this text has no UTF-8: {error.reason}")


class PrintSpec(Spec):
    filename: Annotated[
        str | None, Meta(min_length=1, description="the file; none: the standard output")
    ] = None


@node("print", reads_only=True, reaches_outside=True)
class Print(FileNode[PrintSpec]):
    """Writes its input to the standard output, or to the end of a file, and answers how many bytes
    that were: fewer, or 0, where nobody reads the standard output for a second.

    A list is `[format, args...]` as for Go's Printf (`%v %s %d %f %q %x %t`). A string is written
    as it is, without a new line, and another value as a line of JSON.
    """

    def __init__(self, spec: PrintSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.reaches_outside = spec.filename is not None

    def handle(self, ctx: Context, payload: Any) -> Any:
        if isinstance(payload, list):
            if not payload or not isinstance(payload[0], str):
                raise InvalidArgument("a list to print is [format, args...], the format a string")
            payload = printf(payload[0], payload[1:])
        data = written(str(payload) if isinstance(payload, Exception) else payload)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with told("write to", self.spec.filename):
            return self.opened(ctx, self.spec.filename, flags).write(data)
