"""The syntax of classes.

Lives here: members, which of them are only types, and the two that have a meaning of their own at
run time: parameters that are properties, which become fields that the constructor stores, and
`accessor`, which JavaScript does not have yet, a private field with a getter and a setter.
"""

from __future__ import annotations

from abc import abstractmethod

from greenflow.lang.script.expressions import ExpressionParser
from greenflow.lang.script.scanner import PRIVATE, STRING, WORD, words

# Modifiers that are only types.
_TYPES = words("abstract const declare export in out override private protected public readonly")

# Modifiers with which a member is only a type.
_ONLY_TYPES = frozenset(("abstract", "declare"))

# Modifiers that may end their line.
_OVER_LINES = frozenset(("static", "get", "set"))


class ClassParser(ExpressionParser):
    """Reads classes."""

    def __init__(self, text: str) -> None:
        self.super_end = -1  # the end of the last statement that is a call of `super`
        super().__init__(text)

    @abstractmethod
    def semicolon(self) -> None:
        """Go on over the end of a statement or field."""

    @abstractmethod
    def statements(self) -> None:
        """Go on from `{` over statements to behind `}`."""

    @abstractmethod
    def constructor_body(self) -> int:
        """Go on over the body of a constructor; where it may use `this` first."""

    def class_(self) -> None:
        """Go on from `class`."""
        self.next()
        if self.is_name() and not (self.token == "implements" and self.ahead(self._is_named_type)):
            self.next()
        if self.token == "<":
            start = self.start
            self.type_parameters()
            self.erase(start)
        if self.take("extends"):
            self.left_hand_side()
            if self.token == "<":
                start = self.start
                self.type_arguments()
                self.erase(start)
        if self.token == "implements":
            start = self.start
            self.next()
            self.heritage()
            self.erase(start)
        self._members()

    def _is_named_type(self) -> bool:
        self.next()
        return self.kind == WORD and self.token != "implements"

    def _members(self) -> None:
        opening = self.end
        self.expect("{")
        self.deeper()
        is_ended = True  # whether nothing of the member before can go on in the next one
        while self.token != "}":
            if self.take(";"):
                is_ended = True
                continue
            properties, is_ended = self._class_member(is_ended)
            if properties:
                self.edits.put(opening, opening, "".join(f"{name};" for name in properties))
        self.depth -= 1
        self.next()

    def _class_member(self, is_ended: bool) -> tuple[list[str], bool]:
        """Go on over a member; the parameters that are properties, and whether the member cannot go
        on in the next one."""
        if self.token == "@":
            raise self.refuse_decorator()
        start, mark = self.start, self.edits.mark()
        if self.token == "static" and self.ahead(self._is_static_block):
            self.next()
            self.statements()
            return [], True
        modifiers = self._modifiers(is_ended)
        if self.token == "[" and self.ahead(self._is_index_signature):
            self._index_signature()
            self._erase_member(start, mark)
            return [], True
        is_plain = self.take("*")
        name_start, name_kind = self.start, self.kind
        name = self.property_name()
        name_end = self.before
        if self.token == "?" or (self.token == "!" and not self.newline):
            self.erase_token()
        if self.token not in ("(", "<"):
            if is_plain:
                raise self.unexpected()
            if "accessor" in modifiers:
                self._accessor(name_start, name_end, name_kind, "static" in modifiers)
            self.type_annotation()
            if self.take("="):
                self.assignment()
            self.semicolon()
            if modifiers & _ONLY_TYPES:
                self._erase_member(start, mark)
                return [], True
            return [], self.text[self.before - 1] == ";"
        is_constructor = name is not None and name.strip("'\"") == "constructor"
        is_constructor = is_constructor and not modifiers & {"static", "get", "set"}
        properties = self.signature("constructor" if is_constructor else "a method")
        if self.token != "{":
            self.semicolon()
            self._erase_member(start, mark)
            return [], True
        if is_constructor:
            place = self.constructor_body()
            if properties:
                stored = "".join(f"this.{each}={each};" for each in properties)
                is_behind = self.text[place - 1] not in ";{}"
                self.edits.put(place, place, ";" * is_behind + stored)
        else:
            self.body()
        return properties, True

    def _is_static_block(self) -> bool:
        self.next()
        return self.token == "{"

    def _modifiers(self, is_ended: bool) -> set[str]:
        """Go on over the modifiers of a member, and erase those that are types."""
        modifiers: set[str] = set()
        begin = self.start
        while self.kind == WORD:
            token = self.token
            if token not in _TYPES and token not in ("static", "get", "set", "async", "accessor"):
                break
            test = self.can_follow_modifier if token in _OVER_LINES else self.is_modifier_in_line
            if not self.ahead(test):
                break
            modifiers.add(token)
            if token in _TYPES:
                start = self.start
                self.next()
                # What was erased separated this member from the one before.
                self.erase(start, ";" if start == begin and not is_ended else " ")
            elif token == "accessor":
                self.erase_token()
            else:
                self.next()
        return modifiers

    def _is_index_signature(self) -> bool:
        self.next()
        if not self.is_name():
            return False
        self.next()
        return self.token == ":"

    def _index_signature(self) -> None:
        self.next()
        self.next()
        self.next()
        self.type()
        self.expect("]")
        self.type_annotation()
        if not self.take(","):
            self.semicolon()

    def _erase_member(self, start: int, mark: int) -> None:
        self.edits.back(mark)
        self.erase(start, ";")

    def _accessor(self, start: int, end: int, kind: int, is_static: bool) -> None:
        """Write what `accessor name` stands for; the field goes on behind the name."""
        if kind not in (WORD, PRIVATE, STRING):
            raise self.fault(start, "the name of an `accessor` has to be written out here")
        name = self.text[start:end]
        field = "#$" + "".join(it if it.isalnum() else "_" for it in name) + str(start)
        before = "static " if is_static else ""
        self.edits.put(
            start,
            end,
            f"get {name}(){{return this.{field}}}{before}set {name}(value){{this.{field}=value}}"
            f"{before}{field}",
        )
