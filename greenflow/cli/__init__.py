"""The command line: one module a command, imported when it is called.

Lives here: the group of commands, and what becomes of errors. Not here: what a command does.

Data goes to standard output, logs and errors to standard error. An error is one line for each
thing that is wrong, without a traceback unless the log level is debug. Exit codes: 0 done,
1 failure, 2 usage, 3 invalid specs or failed test, 4 store out of reach (BEHAVIOUR 17.6); every
error of ours knows its own.
"""

from __future__ import annotations

import difflib
import logging
import os
import sys
from importlib import import_module

import click

from greenflow.cli.exit_codes import in_words

#: Commands by name: the module of this package that has the function `command`.
COMMANDS = {
    "apply": "apply",
    "blame": "blame",
    "bundle": "bundle",
    "call": "call",
    "cancel": "cancel",
    "completion": "completion",
    "delete": "delete",
    "diff": "diff",
    "doctor": "doctor",
    "eval": "eval",
    "export": "export",
    "fmt": "fmt",
    "get": "get",
    "graph": "graph",
    "help": "help",
    "init": "init",
    "kinds": "kinds",
    "lint": "lint",
    "log": "log",
    "logs": "logs",
    "migrate": "migrate",
    "pause": "pause",
    "processes": "processes",
    "ps": "ps",
    "resume": "resume",
    "retry": "retry",
    "rollback": "rollback",
    "run": "run",
    "runs": "runs",
    "schema": "schema",
    "settings": "settings",
    "show": "show",
    "stacks": "stacks",
    "start": "run",
    "status": "status",
    "tap": "tap",
    "test": "test",
    "top": "top",
    "version": "version",
    "wait": "wait",
}

#: Other names of commands; help leaves them out.
_ALIASES = frozenset({"start"})

#: What a shell expects of a program that was interrupted: 128 and the number of SIGINT.
_INTERRUPTED = 130


class _Commands(click.Group):
    """Finds commands by name and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if name not in _ALIASES]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS and ctx.resilient_parsing:  # a shell asks what comes after it
            return None
        if name not in COMMANDS:
            close = difflib.get_close_matches(name, COMMANDS, 1)
            hint = f"did you mean {close[0]}?" if close else "`greenflow --help` lists them"
            ctx.fail(f"No such command {name!r}: {hint}")
        command: click.Command = import_module(f"{__name__}.{COMMANDS[name]}").command
        if ctx.resilient_parsing:
            from greenflow.cli.completing import completable

            return completable(command)
        own, words = command.epilog or "", in_words(COMMANDS[name])
        if words not in own:
            command.epilog = f"{own}\n\n{words}".strip()
        return command


@click.group(
    cls=_Commands,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="greenflow", message="%(prog)s %(version)s")
def commands() -> None:
    """Runs workflows that are data: node specifications, changed while they run."""


def main(arguments: list[str]) -> int:
    """Runs a command; returns the exit code. Raises nothing but SystemExit."""
    if instruction := os.environ.get("_GREENFLOW_COMPLETE"):
        from greenflow.cli.completing import complete

        return complete(commands, instruction)
    try:
        result = commands.main(arguments, prog_name="greenflow", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.Abort:
        return _INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        return _after_broken_pipe()
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    """Tells what went wrong, and returns the exit code that it deserves."""
    from greenflow.errors import GreenflowError, InvalidArgument, noted
    from greenflow.log import flush
    from greenflow.log.redactor import redact

    if logging.getLogger().isEnabledFor(logging.DEBUG):
        logging.getLogger("greenflow.cli").debug("the command failed", exc_info=error)
    if isinstance(error, InvalidArgument) and error.__cause__ is not None:
        lines, code = [f"{error}: {error.__cause__}"], error.exit_code
    elif isinstance(error, GreenflowError):
        lines, code = getattr(error, "lines", None) or [noted(error)], error.exit_code
    elif isinstance(error, OSError):
        what = error.strerror or str(error)
        lines, code = [f"{error.filename}: {what}" if error.filename else what], 1
    else:
        name = type(error).__name__
        lines = [f"internal error: {name}: {error}; --log-level debug shows the traceback"]
        code = 1
    if flush():  # else nobody reads, and to write would be to wait for ever
        for line in lines:
            click.echo(redact(line), err=True)
    return code


def _after_broken_pipe() -> int:
    """Nobody reads our output any more; Python must not complain of that once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 1
