"""Values: named pieces of data that specs refer to by `env` (BEHAVIOUR 16).

Lives here: what a value is, its check, how it is stored with its data encrypted, the values that a
runtime knows, and Bindings: what the KEYs of specs stand for. How placeholders are read and
rendered is spec/template.py's.

A stored value has `data`, or in its place `encrypted`: the same as a text that only keys open
(seal.py). Both sorts live side by side. Data is decrypted when a spec that is bound to it is
loaded, and not before; a key that is wrong or missing is that spec's fault and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from msgspec import Meta, Struct

from greenflow.errors import SpecFault, SpecInvalid
from greenflow.log.secret import MASK, strings
from greenflow.spec.decoding import decode
from greenflow.spec.fields import EnvValue
from greenflow.spec.reference import Find, nothing_known
from greenflow.spec.template import PENDING, Deferred, Insertions, Scope
from greenflow.spec.translated import Translated
from greenflow.values.seal import Keys, Sealed

if TYPE_CHECKING:
    from collections.abc import Callable

Key = tuple[str, str]  # ("id", ...) or ("name", ...): what a spec calls a value

# What a spec calls another spec is ("spec", ...).

#: The field of a stored value that has its data when that is encrypted.
ENCRYPTED = "encrypted"

_HINT = "; add to it with --environment, --environment-files or --environment-inherit"


class Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named piece of data that specs refer to."""

    id: Annotated[str, Meta(min_length=1, description="unique; made when it is left out")] = ""
    namespace: Annotated[str, Meta(min_length=1, description="where it is known")] = "default"
    name: Annotated[str | None, Meta(min_length=1, description="unique in its namespace")] = None
    annotations: Annotated[dict[str, Any], Meta(description="notes, without effect")] = {}
    data: Annotated[Any, Meta(description="what templates see")] = None

    def __repr__(self) -> str:
        return f"<Value {self.namespace}/{self.name or self.id}>"


class ValueValidator:
    """Checks values as a Scheme checks specs."""

    def translated(self, document: dict[str, Any]) -> Translated:
        """Values mean the same to everybody."""
        return Translated(document)

    def validate(self, document: Any, namespace: str, beside: object = None) -> dict[str, Any]:
        """The value as it is to be stored; it refers to nothing. Raises SpecInvalid."""
        value = decode(Value, document, "$", _no_spec)
        if value.data == MASK:
            reason = f"{MASK!r} is what `get` shows in the place of data; `get --reveal` shows it"
            raise SpecInvalid([SpecFault("$.data", reason)])
        return {**document, "namespace": document.get("namespace") or namespace}


def is_encrypted(document: Mapping[str, Any]) -> bool:
    """Whether the data of a stored value is encrypted."""
    return ENCRYPTED in document


def shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """A stored value as it may be shown: its data may be a secret (BEHAVIOUR 16.6)."""
    rest = {key: item for key, item in document.items() if key != ENCRYPTED}
    return {**rest, "data": MASK} if "data" in document or is_encrypted(document) else rest


def without_clear_data(document: Mapping[str, Any]) -> dict[str, Any]:
    """A stored value as the history keeps it: with its data only if that is encrypted."""
    return {key: item for key, item in document.items() if key != "data"}


def data_of(document: Mapping[str, Any], keys: Keys) -> Any:
    """The data of a stored value. Raises Sealed."""
    sealed = document.get(ENCRYPTED)
    if sealed is None:
        return document.get("data")
    if not isinstance(sealed, str):
        raise Sealed("it is encrypted, and was damaged")
    return keys.open(sealed)


def revealed(document: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """A stored value as it was applied. Raises Sealed, which names it."""
    rest = {key: item for key, item in document.items() if key != ENCRYPTED}
    try:
        return {**rest, "data": data_of(document, keys)}
    except Sealed as error:
        raise Sealed(f"the value {document.get('name') or document['id']!r}: {error}") from None


def sealed(
    documents: Iterable[dict[str, Any]], stored: Iterable[Mapping[str, Any]], keys: Keys
) -> list[dict[str, Any]]:
    """Values with their data encrypted, if there is a key. What is `stored` with the same data, and
    encrypted with the first key, stays as it is: so applying it again changes nothing."""
    if not keys:
        return list(documents)
    by_id = {each["id"]: each for each in stored}
    by_name = {(each["namespace"], each.get("name")): each for each in by_id.values()}
    result = []
    for document in documents:
        rest = {key: item for key, item in document.items() if key != "data"}
        named = (document["namespace"], document["name"]) if document.get("name") else None
        before = by_id.get(document["id"]) if document.get("id") else by_name.get(named)  # type: ignore[arg-type]
        text = before.get(ENCRYPTED) if before else None
        if not isinstance(text, str) or not keys.holds(text, document.get("data")):
            text = keys.seal(document.get("data"))
        result.append({**rest, ENCRYPTED: text})
    return result


class Bindings(Insertions):
    """What the KEYs of one spec stand for. Here nobody knows yet: the spec is only checked."""

    def __init__(self, find: Find = nothing_known) -> None:
        super().__init__()
        # The values that the spec is bound to, and the specs ("spec", ...), found or not.
        self.keys: set[Key] = set()
        self.find = find  # the specs that it may refer to
        # The templates that are being put in, outermost first, and how many specs of them were.
        self.inside: list[tuple[str, str]] = []
        self.put_in = 0
        self.depth = 0  # of the spec that is decoded, with those around it
        self.endless = False  # it was too much

    def value(self, called: str) -> Any:
        """The data of a value, by name or id. Raises LookupError if there is none, Sealed, and
        Deferred if it is not known."""
        self.deferred = True
        raise Deferred

    def scope(self, env: Mapping[str, EnvValue], path: str, around: Scope | None) -> Scope:
        """What placeholders stand for under an `env`, which is at `path`, and the one around it.

        Raises SpecInvalid for what it asks for and is not there.
        """
        root, public = self._bound(env, path)
        if around is not None:
            root = {**around.root, **root}
            public |= {key for key in around.root if key in around.public and key not in env}
            literals = {key for key in around.root if key in around.literals and key not in env}
            return Scope(root, around.what, self, public=public, literals=literals)
        return Scope(root, "env", self, public=public)

    def _bound(self, env: Mapping[str, EnvValue], path: str) -> tuple[dict[str, Any], set[str]]:
        """What each KEY stands for, and which of them are written in the spec itself."""
        return dict.fromkeys(env, PENDING), set()


class Values:
    """The values of a namespace, as the runtime knows them, and its environment."""

    def __init__(self, namespace: str, environment: Mapping[str, str], keys: Keys) -> None:
        self.namespace, self.environment, self.keys = namespace, environment, keys
        self.changed: Callable[[set[Key]], object] = lambda keys: None
        self._known: dict[str, tuple[Mapping[str, Any], int]] = {}
        self._ids: dict[str, str] = {}

    def find(self, key: Key) -> Mapping[str, Any] | None:
        """The stored value that a spec calls so."""
        what, called = key
        id = self._ids.get(called, "") if what == "name" else called
        return self._known[id][0] if id in self._known else None

    def names(self) -> Mapping[str, str]:
        """The ids of those that have a name, by name."""
        return self._ids

    def bindings(self, find: Find = nothing_known, *, is_running: bool = True) -> Bindings:
        """For the decoding of one spec, which may refer to those that `find` finds: by a runtime,
        or by who wants to know what one would say, and may have another environment and fewer
        keys."""
        return _Known(self, find) if is_running else _Foreseen(self, find)

    # What a Loader wants of what it keeps equal to a collection.

    def revisions(self) -> dict[str, int]:
        """The revision of every value, by id."""
        return {id: revision for id, (_, revision) in self._known.items()}

    def failed(self) -> list[str]:
        """None: a value cannot fail."""
        return []

    def known(self, id: str) -> tuple[Mapping[str, Any], int] | None:
        """The value with an id, and its revision."""
        return self._known.get(id)

    def change(
        self, documents: Mapping[str, tuple[Mapping[str, Any], int] | None], retry: bool = False
    ) -> None:
        """These are the values now, by id, with their revisions; None removes one. Tells `changed`
        what they were called, and are called."""
        keys: set[Key] = set()
        for id, entry in documents.items():
            old = self._known.pop(id, None)
            if old is None and entry is None:
                continue
            keys.add(("id", id))
            if old is not None and (name := old[0].get("name")):
                keys.add(("name", name))
                if self._ids.get(name) == id:
                    del self._ids[name]
            if entry is not None:
                self._known[id] = entry
                if name := entry[0].get("name"):
                    keys.add(("name", name))
                    self._ids[name] = id
        if keys:
            self.changed(keys)


class _Known(Bindings):
    """What the KEYs of a spec stand for in a runtime, now."""

    def __init__(self, values: Values, find: Find) -> None:
        super().__init__(find)
        self._values = values

    def _bound(self, env: Mapping[str, EnvValue], path: str) -> tuple[dict[str, Any], set[str]]:
        root: dict[str, Any] = {}
        public: set[str] = set()
        faults: list[SpecFault] = []
        for key, each in env.items():
            try:
                root[key], is_public = self._value(each)
            except (LookupError, Sealed) as error:
                faults.append(SpecFault(f"{path}.{key}", str(error)))
            else:
                if is_public:
                    public.add(key)
        if faults:
            raise SpecInvalid(faults)
        return root, public

    def value(self, called: str) -> Any:
        try:
            data, _ = self._value(EnvValue(name=called))
        except LookupError:
            data, _ = self._value(EnvValue(id=called))
        if data is PENDING:
            return super().value(called)
        self.inserted.update(strings(data))
        return data

    def _value(self, each: EnvValue) -> tuple[Any, bool]:
        """What a KEY stands for, and whether that is written in the spec itself."""
        values, called = self._values, each.id or each.name
        data: Any = dict(values.environment)
        what = "the environment"
        if called is not None:
            key = ("id", each.id) if each.id else ("name", each.name or "")
            self.keys.add(key)
            found, what = values.find(key), f"the value {called!r}"
            if found is None:
                raise LookupError(f"no value {called!r} in namespace {values.namespace!r}")
            try:
                data = data_of(found, values.keys)
            except Sealed as error:
                raise Sealed(f"{what}: {error}") from None
        if each.data is None:
            return data, False
        template = Scope(data, what, before := Insertions(), has_root=True)
        try:
            rendered = template.render(each.data)
        except LookupError as error:
            raise LookupError(f"{error}{_HINT if called is None else ''}") from None
        self.inserted |= before.inserted
        return rendered, not before.inserted


class _Foreseen(_Known):
    """What the KEYs will stand for in a runtime: that of the environment, and of values for which
    there is no key here, nobody knows."""

    def _value(self, each: EnvValue) -> tuple[Any, bool]:
        in_environment = not each.id and not each.name
        if in_environment and each.data is None:
            return PENDING, False
        try:
            return super()._value(each)
        except Sealed:
            return PENDING, False
        except LookupError:
            if in_environment:
                return PENDING, False
            raise


def _no_spec(document: Any, path: str) -> NoReturn:
    raise SpecInvalid([SpecFault(path, "a value holds no specs")])
