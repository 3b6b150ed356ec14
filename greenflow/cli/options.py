"""What the commands have in common: the options that are settings, and the words for collections.

Lives here: how flags become settings (`with_settings`), and which collection a word means. The
help of an option is the description of its setting.
"""

from __future__ import annotations

import difflib
import functools
import os
import signal
from collections.abc import Callable
from typing import Any

import click

from greenflow import log
from greenflow.config import Settings, fields, secrets
from greenflow.config.loading import load_with_origins
from greenflow.log import secret
from greenflow.spec.duration import format_duration

#: Words for the collections, and their other names (BEHAVIOUR 1.6).
COLLECTIONS = {"specs": "specs", "nodes": "specs", "values": "values"}

#: Where the settings of a command came from, in the `meta` of its context (config/loading.py).
ORIGINS = "greenflow.origins"

#: The flag of commands that read specs, for `with_settings`.
COMPAT = ("compat", "--compat")

#: Flags of settings: the setting, and the letters of the option. Every command has them.
_COMMON = {
    "database": ("--database",),
    "namespace": ("--namespace", "-n"),
    "output": ("--output", "-o"),
    "log.level": ("--log-level",),
    "log.format": ("--log-format",),
}


def with_settings(
    *more: tuple[str, ...], without: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command the common options, and its function the Settings they lead to. `more` are
    further settings that are flags of this command: (setting, option, ...); those `without` which
    it is are no flags of it."""
    common = {name: letters for name, letters in _COMMON.items() if name not in without}
    flags = {**common, **{name: letters for name, *letters in more}}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(config: str | None, **arguments: Any) -> Any:
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on it unwinds
            given = {name: arguments.pop(_parameter(name)) for name in flags}
            return function(settings=_set_up(given, config), **arguments)

        known = {field.name: field for field in fields()}
        decorated: Callable[..., Any] = click.option(
            "--config", metavar="FILE", help="Settings file (default: greenflow.toml if there)."
        )(command)
        for name, letters in reversed(flags.items()):
            field = known[name]
            is_map = isinstance(field.default, dict)
            help = field.description[0].upper() + field.description[1:]
            if field.default not in (None, {}, []):
                default = format_duration(field.default) if field.is_duration else field.default
                help += f" (default: {default})"
            decorated = click.option(
                *letters,
                _parameter(name),
                help=help + ".",
                type=click.Choice(field.choices) if field.choices else str,
                multiple=is_map,
                callback=_map_of if is_map else None,
                metavar=None if field.choices else "KEY=VALUE" if is_map else "TEXT",
            )(decorated)
        return decorated

    return decorate


def _parameter(name: str) -> str:
    return name.replace(".", "_")


def _map_of(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str] | None:
    for text in texts:
        if "=" not in text[1:]:  # a KEY has a character at least
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", context, parameter)
    return dict(text.split("=", 1) for text in texts) or None


def _set_up(flags: dict[str, Any], config: str | None) -> Settings:
    """Loads the settings and sets up the logs by them."""
    # What loading itself has to say is said as far as we know how: before the file is read.
    early = flags["log.format"] or os.environ.get("GREENFLOW_LOG_FORMAT")
    log.configure(format=early if early in log.FORMATS else "auto")
    settings, origins = load_with_origins(flags, os.environ, config)
    click.get_current_context().meta[ORIGINS] = origins
    log.configure(settings.log.level, settings.log.format)
    secret.hold(secrets(settings))  # as long as the command runs
    return settings


#: Where the context of click keeps how much is told of what was done: "quiet" or "verbose".
MANNER = "greenflow.manner"


def _keep_manner(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given and context.meta.setdefault(MANNER, parameter.name) != parameter.name:
        raise click.UsageError("--quiet or --verbose, not both", context)


def manner_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command that does the same to many --quiet and --verbose (output.py)."""
    for letters, help in (
        (("--verbose", "-v"), "Print a line for each, however many they are."),
        (("--quiet", "-q"), "Print nothing but errors."),
    ):
        command = click.option(
            *letters, is_flag=True, help=help, expose_value=False, callback=_keep_manner
        )(command)
    return command


files_option = click.option(
    "--file",
    "-f",
    "files",
    multiple=True,
    metavar="FILE",
    help="File, folder, or - for standard input; may be repeated.",
)


def take_files(words: tuple[str, ...], files: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The collection and the files of a command line: those of --file, and words. A word for a
    collection is a file where it is the only one, and there is such a file.

    Raises UsageError for a word that is neither, and where there are no files.
    """
    collection = "specs"
    if (
        words
        and words[0] in COLLECTIONS
        and not (words[1:] == files == () and os.path.exists(words[0]))
    ):
        collection, words = COLLECTIONS[words[0]], words[1:]
    for word in words:
        if word != "-" and not os.path.exists(word):
            close = difflib.get_close_matches(word, COLLECTIONS, 1) if word == words[0] else []
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"{word}: no such file or folder{hint}")
    if not words and not files:
        raise click.UsageError("say which FILEs or folders, or - for standard input")
    return collection, (*words, *files)


def split_files(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words of a command line that may be something else or files, taken apart. A file or folder is
    there, and ends as spec files do or has a slash in it."""
    from greenflow.spec.document import SUFFIXES

    files = tuple(
        word
        for word in words
        if (word.endswith(SUFFIXES) or os.sep in word) and os.path.exists(word)
    )
    return tuple(word for word in words if word not in files), files


def take_collection(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The collection that the first word means, `specs` if it means none, and the other words."""
    if words and words[0] in COLLECTIONS:
        return COLLECTIONS[words[0]], words[1:]
    return "specs", words
