"""A Python function that a spec names: found, looked at, and called with a payload.

Lives here: PythonFunction. Both the engine and the workers use it, so nothing here needs gevent.

Hints are honoured as far as msgspec knows their types (int, list[str], Optional, dataclasses,
TypedDict, datetime ...); a parameter with another type takes what comes. A mismatch is an invalid
argument, not an error of the function.

An edited module is read into a module of its own, which takes the old one's place only once its
code ran to the end: so a module that fails leaves the old one whole.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import linecache
import os
import sys
import traceback
import typing
from collections.abc import Callable
from importlib.abc import SourceLoader
from importlib.machinery import ModuleSpec
from types import CoroutineType, GeneratorType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from greenflow.errors import CompileFailed, InvalidArgument

CONTEXT = "ctx"  # the name of a first parameter that takes the Context

State = tuple[int, int, int]  # of a file: inode, size, nanoseconds of its last change

# In which state of its file a module was read, as far as `Function.refresh` read it.
_read: WeakKeyDictionary[ModuleType, State | None] = WeakKeyDictionary()


class Several(list[Any]):
    """What a generator gave, all of it."""


class PythonFunction:
    """`package.module:function`, and how its parameters are bound.

    `arguments` is `whole`, `position`, `name`, or None for what the function and the payload
    suggest. `context` says whether a first parameter `ctx` may be had, `text` that payloads were
    JSON, in which bytes are Base64; with `as_written` the module is compiled of its source,
    whatever was compiled of it before. Raises CompileFailed.
    """

    def __init__(
        self,
        reference: str,
        arguments: str | None = None,
        *,
        context: bool,
        text: bool = False,
        as_written: bool = False,
    ) -> None:
        self.reference, self._arguments = reference, arguments
        self._context = context
        # Else a string would be taken for the Base64 of bytes.
        self._native = () if text else (bytes, bytearray)
        self.module = _import(reference.partition(":")[0], as_written)
        self.file: str | None = (
            inspect.getsourcefile(self.module) if _has_file(self.module) else None
        )
        self.state = state_of(self.file)
        self._use()

    def refresh(self) -> None:
        """Use the module as its file is now. Raises CompileFailed, once for each edit, and goes on
        with the old one."""
        state = state_of(self.file)
        if state == self.state or state is None:
            return
        self.state = state
        old, known = self.module, sys.modules.get(self.module.__name__)
        if known is not None and known is not old and _read.get(known) == state:
            self.module = known  # another function of the module was quicker
        else:
            self.module = _read_again(old)
            _read[self.module] = state
        try:
            self._use()
        except CompileFailed:
            self.module = old
            raise

    def _use(self) -> None:
        """Look at the function. Nothing is changed if that raises."""
        function = self._found()
        name = self.reference
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise CompileFailed(
                f"{name} is a coroutine function, and no event loop runs here; write it with `def`"
            )
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some built-in functions say nothing of themselves
            signature = inspect.Signature([inspect.Parameter("payload", _POSITIONAL_ONLY)])
        parameters = list(signature.parameters.values())
        takes_context = bool(parameters) and parameters[0].name == CONTEXT
        if takes_context:
            if not self._context:
                raise CompileFailed(
                    f"{name} takes a `{CONTEXT}`, which only isolation greenlet can give it"
                )
            parameters = parameters[1:]
        rest = signature.replace(parameters=parameters)
        single = None
        if self._arguments == "whole" or (self._arguments is None and _is_single(parameters)):
            single = _single(name, parameters)
        self._types = _types(function, parameters)
        self._signature, self._single = rest, single
        self._takes_context, self._is_empty = takes_context, not parameters
        self._function = function

    def _found(self) -> Callable[..., Any]:
        name = self.reference.partition(":")[2]
        found: Any = self.module
        for part in name.split("."):
            try:
                found = getattr(found, part)
            except AttributeError:
                where = self.file or "which has no file"
                raise CompileFailed(
                    f"module {self.module.__name__!r} ({where}) has no {name!r}"
                ) from None
        if not callable(found):
            raise CompileFailed(f"{self.reference} is no function: {type(found).__qualname__}")
        return typing.cast(Callable[..., Any], found)

    def bind(self, payload: Any, ctx: object = None) -> Callable[[], Any]:
        """The call that a payload means. Raises InvalidArgument that names the parameter."""
        function = self._function
        first = (ctx,) if self._takes_context else ()
        single = self._single
        if single is not None:
            value = self._converted(single.name, payload)
            if single.kind is _KEYWORD_ONLY:
                return functools.partial(function, *first, **{single.name: value})
            return functools.partial(function, *first, value)
        if self._is_empty and self._arguments is None:
            return functools.partial(function, *first)
        try:
            bound = self._bound(payload)
        except TypeError as error:
            raise InvalidArgument() from ValueError(f"{self.reference}: {error}")
        for name, value in bound.arguments.items():
            kind = self._signature.parameters[name].kind
            if kind is _VAR_POSITIONAL:
                bound.arguments[name] = tuple(self._converted(name, item) for item in value)
            elif kind is _VAR_KEYWORD:
                bound.arguments[name] = {k: self._converted(name, v) for k, v in value.items()}
            else:
                bound.arguments[name] = self._converted(name, value)
        return functools.partial(function, *first, *bound.args, **bound.kwargs)

    def _bound(self, payload: Any) -> inspect.BoundArguments:
        if isinstance(payload, list) and self._arguments != "name":
            return self._signature.bind(*payload)
        if isinstance(payload, dict) and self._arguments != "position":
            return self._signature.bind(**payload)
        wanted = {"name": "a map by name", "position": "a list by position"}.get(
            self._arguments or "", "a list by position or a map by name"
        )
        raise TypeError(f"takes its arguments as {wanted}: {self._signature}")

    def _converted(self, name: str, value: Any) -> Any:
        kind = self._types.get(name)
        if kind is None:
            return value
        try:
            return msgspec.convert(value, kind, builtin_types=self._native)
        except msgspec.ValidationError as error:
            reason = f"{self.reference}: parameter {name!r}: {error}"
            raise InvalidArgument() from ValueError(reason)


def run(call: Callable[[], Any]) -> Any:
    """The result of a call; of a generator Several."""
    result = call()
    kind = type(result)
    if kind is GeneratorType:
        return Several(result)
    if kind is CoroutineType:
        result.close()
        raise TypeError("the function returned a coroutine, and no event loop runs here")
    return result


def state_of(file: str | None) -> State | None:
    """In which state a file is; None if there is none."""
    try:
        found = os.stat(file) if file is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)


_POSITIONAL_ONLY = inspect.Parameter.POSITIONAL_ONLY
_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_VAR_POSITIONAL = inspect.Parameter.VAR_POSITIONAL
_VAR_KEYWORD = inspect.Parameter.VAR_KEYWORD


def _has_file(module: ModuleType) -> bool:
    return getattr(module, "__file__", None) is not None


def _import(name: str, as_written: bool) -> ModuleType:
    importlib.invalidate_caches()  # the module may have been written a moment ago
    try:
        spec = importlib.util.find_spec(name) if as_written and name not in sys.modules else None
        if spec is not None and isinstance(spec.loader, SourceLoader) and spec.origin is not None:
            return _from_source(spec, spec.loader, spec.origin)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise _failed(name, error) from error
        raise CompileFailed(
            f"no module {missing!r}; it must be installed, on PYTHONPATH, or, for `greenflow run "
            "FILE`, beside the file"
        ) from None
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _read_again(old: ModuleType) -> ModuleType:
    """The module as its file is now. The old one stays in its place if that fails."""
    name, spec = old.__name__, old.__spec__
    if spec is None or not isinstance(spec.loader, SourceLoader) or spec.origin is None:
        raise CompileFailed(f"module {name!r} has no source that could be read again")
    linecache.checkcache(spec.origin)
    try:
        return _from_source(spec, spec.loader, spec.origin)
    except (Exception, SystemExit) as error:
        sys.modules[name] = old
        raise _failed(name, error) from error


def _from_source(spec: ModuleSpec, loader: SourceLoader, origin: str) -> ModuleType:
    """A module of its source, and not of the compiled file beside it, which is told apart by whole
    seconds. Raises what the code does; the module is gone then."""
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        exec(loader.source_to_code(loader.get_data(origin), origin), module.__dict__)
    except BaseException:
        del sys.modules[spec.name]
        raise
    parent, _, child = spec.name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


def _failed(name: str, error: BaseException) -> CompileFailed:
    """The error of a module that cannot be imported, with the place at which it failed."""
    if isinstance(error, SyntaxError):
        file, line, reason = error.filename, error.lineno, f"SyntaxError: {error.msg}"
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith("<frozen") and frame.filename != __file__
        ]
        file, line = (frames[-1].filename, frames[-1].lineno) if frames else (None, None)
        reason = f"{type(error).__name__}: {error}"
    place = f" ({file}, line {line})" if file else ""
    return CompileFailed(f"module {name!r} cannot be imported: {reason}{place}")


def _is_single(parameters: list[inspect.Parameter]) -> bool:
    return len(parameters) == 1 and parameters[0].kind not in (_VAR_POSITIONAL, _VAR_KEYWORD)


def _single(name: str, parameters: list[inspect.Parameter]) -> inspect.Parameter:
    """The parameter that takes the whole payload."""
    if not parameters or parameters[0].kind is _VAR_KEYWORD:
        raise CompileFailed(f"{name} has no parameter that could take the payload whole")
    for other in parameters[1:]:
        if other.default is other.empty and other.kind not in (_VAR_POSITIONAL, _VAR_KEYWORD):
            raise CompileFailed(
                f"{name} cannot take the payload whole: its parameter {other.name!r} has no default"
            )
    return parameters[0]


def _types(function: Any, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """The types of the parameters that msgspec can check."""
    try:
        hints = typing.get_type_hints(inspect.unwrap(function))
    except (TypeError, NameError, AttributeError):
        return {}  # no hints, or such as only a type checker can read
    names = {parameter.name for parameter in parameters}
    return {name: kind for name, kind in hints.items() if name in names and _is_plain(kind)}


def _is_plain(kind: Any) -> bool:
    if kind is Any or kind is object:
        return False
    try:
        pending: list[Any] = [msgspec.inspect.type_info(kind)]
    except (TypeError, NameError):
        return False
    seen: set[int] = set()
    while pending:
        part = pending.pop()
        if isinstance(part, msgspec.inspect.CustomType):
            return False
        if isinstance(part, tuple | list):
            pending.extend(part)
        elif isinstance(part, msgspec.Struct) and id(part) not in seen:
            seen.add(id(part))
            pending.extend(getattr(part, name) for name in part.__struct_fields__)
    return True
