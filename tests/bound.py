"""Servers that end when this process does, however it ends: one worker of a test run may be killed,
and none is to leave its servers behind."""

from __future__ import annotations

import sys

# 1 is PR_SET_PDEATHSIG (Linux, prctl(2)), 9 SIGKILL; what comes by `exec` keeps it.
PROGRAM = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def bound(*command: str) -> list[str]:
    """The command that runs this one so. It is to be started in the main thread, whose end
    counts."""
    return [sys.executable, "-I", "-S", "-c", PROGRAM, *command]
