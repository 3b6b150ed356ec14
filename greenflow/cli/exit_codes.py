"""With what each command ends (BEHAVIOUR 17.6), in words.

Lives here: the codes of each command, for its help and the page of all commands. Not here: the
codes themselves; an error knows its own (errors.py).
"""

from __future__ import annotations

from collections.abc import Mapping

_ANY = {0: "done", 1: "failure", 2: "usage"}
_SPECS = {3: "invalid specs"}
_STORE = {4: "store out of reach"}
_INTERRUPTED = {130: "interrupted"}
_ENGINE = {**_ANY, 4: "no engine that is meant answers"}

#: What the codes mean for most commands.
COMMON: Mapping[int, str] = {**_ANY, **_SPECS, **_STORE}

#: Commands that end with other codes, or whose codes say more.
_OWN: Mapping[str, Mapping[int, str]] = {
    "apply": {
        **COMMON,
        3: "invalid specs, nothing is stored",
        5: "stored, and not all of it will run as meant (with --strict or --dry-run: nothing is"
        " stored)",
    },
    "bundle": _ENGINE,
    "call": {
        **COMMON,
        0: "answered",
        1: "the answer is an error",
        4: "store or engine out of reach",
        **_INTERRUPTED,
    },
    "cancel": {**_ENGINE, 1: "a process was given up, or not there"},
    "completion": _ANY,
    "diff": {**COMMON, 1: "failure, or with --exit-code: there are differences"},
    "doctor": {**_ANY, 0: "nothing is wrong", 1: "something is wrong"},
    "eval": {**_ANY, 1: "the code failed", 3: "the code does not compile"},
    "fmt": {**_ANY, 1: "a file cannot be written, or with --check would be", **_SPECS},
    "get": {**_ANY, **_STORE},
    "help": _ANY,
    "init": _ANY,
    "kinds": _ANY,
    "lint": {**_ANY, 0: "no error was found", 3: "an error was found"},
    "logs": {**_ENGINE, 1: "the engine has ended", **_INTERRUPTED},
    "migrate": {**_ANY, 3: "a file is invalid, or has what is not known"},
    "pause": _ENGINE,
    "processes": {**_ENGINE, **_INTERRUPTED},
    "ps": {**_ANY, **_INTERRUPTED},
    "resume": _ENGINE,
    "retry": {**_ENGINE, 0: "answered", 1: "failure, or the answer is an error"},
    "rollback": {
        **_ANY,
        1: "failure, or the answer was no",
        **_STORE,
        5: "taken back, and not all of it will run as meant",
    },
    "run": {
        **COMMON,
        0: "it was told to end, and drained",
        1: "no source could start, or with --strict a spec is inactive",
    },
    "runs": {**_ENGINE, **_INTERRUPTED},
    "schema": _ANY,
    "settings": _ANY,
    "show": {**COMMON, 4: "store or engine out of reach"},
    "stacks": _ENGINE,
    "status": {**_ENGINE, **_INTERRUPTED},
    "test": {
        **COMMON,
        0: "all passed",
        1: "there was no test",
        3: "a test failed, or invalid specs",
        **_INTERRUPTED,
    },
    "top": {**_ENGINE, **_INTERRUPTED},
    "version": _ANY,
    "wait": {**_ANY, 0: "it is so", 1: "it was not so in time", **_INTERRUPTED},
}


def in_words(command: str) -> str:
    """The codes of a command, as its help tells them."""
    codes = _OWN.get(command, COMMON)
    return f"Exit codes: {'; '.join(f'{code} {words}' for code, words in codes.items())}."
