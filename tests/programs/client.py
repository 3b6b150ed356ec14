"""Has a template fork a command with the streams of this process, and ends as the command ends.

Runs as `python -I -S client.py FOLDER QUICK ARGUMENT...`, where QUICK are the commands that do
without the patches of gevent. It imports next to nothing: a line of a shell is to cost little.
"""

from __future__ import annotations

import _signal
import _socket
import os
import sys

_GONE = 70  # EX_SOFTWARE of sysexits.h: nobody is left who could say how the command ended


def main(folder: str, quick: str, *arguments: str) -> int:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    is_plain = not arguments or arguments[0] in quick.split(",") or "--help" in options
    line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    line.connect(f"{folder}/{'plain' if is_plain else 'patched'}")
    request = {
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
    descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    data = repr(request).encode() + b"\0"
    sent = line.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    line.sendall(data[sent:])
    answers = _more(line, b"", 1)
    child = int(answers.partition(b"\n")[0])
    for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, lambda number, _: os.kill(child, number))
    answers = _more(line, answers, 2)
    code = os.waitstatus_to_exitcode(int(answers.split(b"\n")[1]))
    if code < 0:
        _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _more(line: _socket.socket, answers: bytes, lines: int) -> bytes:
    """What the template has said, once it is so many lines. Ends this process when it is gone."""
    while answers.count(b"\n") < lines:
        more = line.recv(64)
        if not more:
            os._exit(_GONE)
        answers += more
    return answers


os._exit(main(*sys.argv[1:]))
