"""What a shell is answered that asks how a word may go on.

Lives here: what stands for the words of a metavar: FILE and DIR, KIND, NAME and NODE, specs|values.
Click knows the commands, the options and their choices, and what each shell wants to hear. So an
argument is completed as its help says that it is called, and nothing need be said twice.

Who presses a key waits, and has no use for an error: a store that is away, or does not answer in
time, completes nothing, and nothing is said of it.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from threading import Timer
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, shell_complete
from click.types import StringParamType

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a completion script puts into the environment: the shell, and what it asks.
VARIABLE = "_GREENFLOW_COMPLETE"

#: Seconds until who waits for names waits no longer: a store over a network answers in less.
_PATIENCE = 2.0

#: What bash takes as something else than itself.
_SPECIAL = re.compile(r"([^\w@%+=:,./-])")


def complete(commands: click.Group, instruction: str) -> int:
    """Answers a shell; returns the exit code."""
    logging.disable()
    patience = Timer(_PATIENCE, os._exit, (0,))
    patience.daemon = True
    patience.start()
    with suppress(Exception):
        return shell_complete(commands, {}, "greenflow", VARIABLE, instruction)
    return 1


def completable(command: click.Command) -> click.Command:
    """The command, whose arguments know what may stand for them."""
    for parameter in command.params:
        words = set(re.findall(r"\w+", parameter.metavar or (parameter.name or "").upper()))
        if parameter.type is not click.STRING:
            continue
        if isinstance(parameter, click.Argument) and words & {"NAME", "NODE", "KIND", "values"}:
            parameter.type = _Words(words)
        elif words & {"FILE", "DIR"}:
            parameter.type = click.Path(file_okay="FILE" in words)
    return command


class _Words(StringParamType):
    """What may stand for the words of a metavar."""

    def __init__(self, words: set[str]) -> None:
        self._words = words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        collection = self._collection(ctx.params.get(param.name or ""))
        offered = [word for word in self._offered(ctx, collection) if word.startswith(incomplete)]
        items: list[CompletionItem[Any]] = [CompletionItem(_quoted(word)) for word in offered]
        if not items and "FILE" in self._words:
            items = [CompletionItem(incomplete, type="file")]
        return items

    def _collection(self, given: Any) -> str | None:
        """The collection that is meant; None where its word may still come."""
        from greenflow.cli.options import COLLECTIONS

        if "values" not in self._words:
            return "specs"
        return COLLECTIONS.get(given[0], "specs") if given else None

    def _offered(self, ctx: click.Context, collection: str | None) -> Iterator[str]:
        if collection is None:
            yield from ("specs", "values")
        if "KIND" in self._words:
            from greenflow.scheme.registry import Scheme

            yield from Scheme.installed().kinds()
        elif self._words & {"NAME", "NODE"}:
            yield from _stored(ctx.params, collection or "specs")


def _stored(options: dict[str, Any], collection: str) -> list[str]:
    """The names of what is stored, in the namespace and the store that the options so far, the
    environment and the settings file say."""
    from greenflow.cli.collections import collection_of
    from greenflow.config.loading import load
    from greenflow.errors import GreenflowError
    from greenflow.store.base import open_store

    flags = {name: options.get(name) for name in ("database", "namespace")}
    try:
        settings = load(flags, os.environ, options.get("config"))
        with open_store(settings.database, create=False) as store:
            records = collection_of(store, collection).find({"namespace": settings.namespace})
    except GreenflowError:
        return []
    names = {record.document.get("name") for record in records}
    return sorted(name for name in names if name and name.isprintable())


def _quoted(word: str) -> str:
    """As the shell that asks has to put it into its line; others than bash quote by themselves."""
    return _SPECIAL.sub(r"\\\1", word) if os.environ[VARIABLE].startswith("bash") else word
