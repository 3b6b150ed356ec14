"""The syntax that functions, methods and types of functions share.

Lives here: parameters, patterns and names of properties, and what a constructor stores of its
parameters. Not here: bodies (statements.py) and arrows (expressions.py).
"""

from __future__ import annotations

from abc import abstractmethod

from greenflow.errors import CompileFailed
from greenflow.lang.script.members import ObjectTypeParser
from greenflow.lang.script.scanner import WORD

# Modifiers that make a property of a parameter.
PROPERTY_MODIFIERS = frozenset(("public", "private", "protected", "readonly", "override"))


class FunctionParser(ObjectTypeParser):
    """Reads parameters and what names things."""

    @abstractmethod
    def body(self) -> None:
        """Go on from `{` over the body of a function to behind `}`."""

    @abstractmethod
    def expression(self, *, allow_in: bool = True) -> None:
        """Go on over an expression, with commas."""

    def refuse_decorator(self) -> CompileFailed:
        """The error for a decorator, to be raised."""
        return self.fault(self.start, "decorators are not supported: call the function yourself")

    def can_follow_modifier(self) -> bool:
        """Go on from a word; whether it is a modifier of what comes."""
        self.next()
        return self.is_property_name() or self.token in ("[", "{", "*", "...")

    def is_modifier_in_line(self) -> bool:
        """As `can_follow_modifier`, for words that end with their line."""
        return self.can_follow_modifier() and not self.newline

    def property_name(self) -> str | None:
        """Go on over the name of a property; its text, or None if it is computed."""
        if self.take("["):
            self.expression()
            self.expect("]")
            return None
        if not self.is_property_name():
            raise self.unexpected(", where a name is expected")
        text = self.text[self.start : self.end]
        self.next()
        return text

    def binding(self) -> None:
        """Go on over a name or pattern."""
        self.deeper()
        if self.token == "{":
            self.next()
            while self.token != "}":
                if self.take("..."):
                    self.binding()
                elif self.is_name() and self.ahead(self._is_short):
                    self.next()
                else:
                    self.property_name()
                    self.expect(":")
                    self.binding()
                self._default()
                if not self.take(","):
                    break
            self.expect("}")
        elif self.token == "[":
            self.next()
            while self.token != "]":
                if self.take(","):
                    continue
                self.take("...")
                self.binding()
                self._default()
                if self.token != "]":
                    self.expect(",")
            self.next()
        else:
            self.name()
        self.depth -= 1

    def _is_short(self) -> bool:
        self.next()
        return self.token != ":"

    def _default(self) -> None:
        if self.take("="):
            self.assignment()

    def parameters(self, owner: str = "") -> list[str]:
        """Go on from `(` over parameters to behind `)`; the names of those that are properties.
        Only an owner called `constructor` may have such."""
        properties: list[str] = []
        self.expect("(")
        while self.token != ")":
            if self.token == "@":
                raise self.refuse_decorator()
            start, is_property = self.start, False
            while self.token in PROPERTY_MODIFIERS and self.ahead(self.is_modifier_in_line):
                self.erase_token()
                is_property = True
            if is_property:
                if owner != "constructor" or not self.is_name():
                    raise self.fault(start, "a property here has to be a name in a constructor")
                properties.append(self.text[self.start : self.end])
            self._parameter()
            if not self.take(","):
                break
        self.expect(")")
        return properties

    def _parameter(self) -> None:
        start = self.start
        if self.token == "this" and self.kind == WORD:
            self.next()
            if self.take(":"):
                self.type()
            if self.token == ",":
                self.next()
                self.erase(start)
                # The caller looks for this comma in vain, and goes on all the same.
                if self.token != ")":
                    self._parameter()
            else:
                self.erase(start)
            return
        self.take("...")
        self.binding()
        if self.token == "?":
            self.erase_token()
        self.type_annotation()
        self._default()

    def signature(self, owner: str = "") -> list[str]:
        """Go on over type parameters, parameters and the type of the result; the parameters that
        are properties."""
        start = self.start
        if self.token == "<":
            self.type_parameters()
            self.erase(start)
        properties = self.parameters(owner)
        self.result_type()
        return properties

    def result_type(self) -> None:
        """Erase `: type` behind parameters, if it is there."""
        if self.token == ":":
            start = self.start
            self.next()
            self._in_condition(False, self.return_type)
            self.erase(start)
