"""The syntax of types. Nothing here is edited: who meets a type erases it whole.

Lives here: every form of a type but those of objects (members.py). Parameters and names of
properties are those of functions (functions.py), since types hold them too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from greenflow.errors import CompileFailed
from greenflow.lang.script.scanner import (
    NUMBER,
    STRING,
    WORD,
    Scanner,
    words,
)

# Types that are words and take no arguments.
_KEYWORDS = words(
    """
    any bigint boolean false never null number object string symbol true undefined unknown void
    """
)


class TypeParser(Scanner, ABC):
    """Reads types."""

    def __init__(self, text: str) -> None:
        self._no_arguments: set[tuple[int, bool]] = set()
        self._no_constraints: set[int] = set()  # places of `infer` without one
        self._is_condition = False  # in what follows `extends` of a conditional type
        super().__init__(text)

    @abstractmethod
    def parameters(self, owner: str = "") -> list[str]:
        """Go on from `(` over parameters to behind `)`."""

    @abstractmethod
    def binding(self) -> None:
        """Go on over a name or pattern."""

    @abstractmethod
    def object_type(self) -> None:
        """Go on from `{` over the type of an object to behind `}`."""

    @abstractmethod
    def assignment(self, allow_in: bool = True, is_middle: bool = False) -> None:
        """Go on over an expression without commas."""

    def type(self) -> None:
        """Go on over a type."""
        self.deeper()
        if self._is_function_type():
            self._function_type()
        else:
            self._union()
            if not self._is_condition and not self.newline and self.take("extends"):
                self._in_condition(True, self.type)
                self.expect("?")
                self.type()
                self.expect(":")
                self.type()
        self.depth -= 1

    def _in_condition(self, is_condition: bool, parse: Callable[[], None]) -> None:
        was, self._is_condition = self._is_condition, is_condition
        try:
            parse()
        finally:
            self._is_condition = was

    def _plain_type(self) -> None:
        """A type in brackets of any sort, where conditions may stand again."""
        self._in_condition(False, self.type)

    def return_type(self) -> None:
        """Go on over the type of a result, which may be a predicate."""
        self.type()

    def type_annotation(self) -> bool:
        """Erase `: type` if it is next; whether it was."""
        if self.token != ":":
            return False
        start = self.start
        self.next()
        self._plain_type()
        self.erase(start)
        return True

    def type_arguments(self) -> None:
        """Go on from `<` over type arguments to behind `>`. What failed once fails again at once,
        so that a row of comparisons takes linear time."""
        start = self.start
        if (start, self._is_condition) in self._no_arguments:
            raise self.unexpected()
        try:
            self.scan_less()
            self.expect("<")
            self._plain_type()
            while self.take(","):
                if self.token == ">":
                    break
                self._plain_type()
            self.expect(">")
        except CompileFailed:
            self._no_arguments.add((start, self._is_condition))
            raise

    def heritage(self) -> None:
        """Go on over the types behind `implements`, or `extends` of an interface, whose arguments
        may stand in the next line."""
        while True:
            self.type()
            if self.scan_less():
                self.type_arguments()
            if not self.take(","):
                break

    def type_parameters(self) -> None:
        """Go on from `<` over type parameters, if there are any."""
        if self.token != "<":
            return
        self.next()
        while self.token != ">":
            while self.token in ("in", "out", "const") and self.ahead(self._is_modified):
                self.next()
            self.name()
            if self.take("extends"):
                self._plain_type()
            if self.take("="):
                self._plain_type()
            if not self.take(","):
                break
        self.expect(">")

    def _is_modified(self) -> bool:
        self.next()
        return self.kind == WORD and self.token != "extends"

    def _is_function_type(self) -> bool:
        if self.token == "<" or (self.token == "new" and self.kind == WORD):
            return True
        if self.token == "abstract":
            return self.ahead(lambda: self.next_is("new"))
        return self.token == "(" and self.ahead(self._is_function_start)

    def next_is(self, *tokens: str) -> bool:
        self.next()
        return self.token in tokens

    def _is_function_start(self) -> bool:
        """From `(`: whether parameters stand in it, and not a type."""
        self.next()
        if self.token in (")", "..."):
            return True
        if self.kind == WORD and (self.is_name() or self.token == "this"):
            self.next()
        elif self.token in ("[", "{"):
            try:
                self.binding()
            except CompileFailed:
                return False
        else:
            return False
        if self.token in (":", ",", "?", "="):
            return True
        return self.token == ")" and self.next_is("=>")

    def _function_type(self) -> None:
        self.take("abstract")
        self.take("new")
        self.type_parameters()
        self.parameters()
        self.expect("=>")
        self.return_type()

    def _union(self) -> None:
        self.take("|")
        self._intersection()
        while self.take("|"):
            self._intersection()

    def _intersection(self) -> None:
        self.take("&")
        self._operator()
        while self.take("&"):
            self._operator()

    def _operator(self) -> None:
        self.deeper()
        if self._is_function_type():
            self._function_type()
        elif self.token in ("keyof", "unique", "readonly") and self.ahead(self._is_operand):
            self.next()
            self._operator()
        elif self.token == "infer" and self.ahead(self._is_operand):
            start = self.start
            self.next()
            self.name()
            if self.token == "extends" and start not in self._no_constraints:
                place = self.place()
                try:
                    self.next()
                    self._in_condition(True, self.type)
                    is_constraint = self._is_condition or self.token != "?"
                except CompileFailed:
                    is_constraint = False
                if not is_constraint:
                    self.back(place)
                    self._no_constraints.add(start)
        else:
            self._postfix()
        self.depth -= 1

    def _is_operand(self) -> bool:
        self.next()
        return self.kind in (WORD, STRING, NUMBER) or self.token in "([{`<-"

    def _postfix(self) -> None:
        self._primary()
        while not self.newline:
            if self.token == "[":
                self.next()
                if self.token != "]":
                    self._plain_type()
                self.expect("]")
            elif self.token == "!":
                self.next()
            else:
                break

    def _primary(self) -> None:
        token = self.token
        if self.kind in (STRING, NUMBER) or token == "`":
            self.next()
        elif token == "-":
            self.next()
            if self.kind != NUMBER:
                raise self.unexpected()
            self.next()
        elif token == "`${":
            self._template_type()
        elif token == "{":
            self.object_type()
        elif token == "[":
            self._tuple()
        elif token == "(":
            self.next()
            self._plain_type()
            self.expect(")")
        elif token == "typeof":
            self.next()
            self._reference()
        elif self.kind == WORD:
            if token in _KEYWORDS and not self.ahead(lambda: self.next_is(".")):
                self.next()
            elif token == "asserts" and self.ahead(self._is_asserted):
                self.next()
                self.next()
                if self.take("is"):
                    self.type()
            else:
                self._reference()
                if self.token == "is" and not self.newline:
                    self.next()
                    self.type()
        else:
            raise self.unexpected(", where a type is expected")

    def _is_asserted(self) -> bool:
        self.next()
        return not self.newline and self.kind == WORD and (self.is_name() or self.token == "this")

    def _template_type(self) -> None:
        while self.token == "`${":
            self.next()
            self._plain_type()
            if self.token != "}":
                raise self.unexpected()
            self.scan_template()
        self.next()

    def _reference(self) -> None:
        """A name with those behind dots, or an import, and type arguments."""
        if self.token == "import":
            self.next()
            self.expect("(")
            self._plain_type()
            if self.take(","):
                if self.token == "{":
                    self.assignment()
                self.take(",")
            self.expect(")")
        elif self.is_name() or self.token == "this":
            self.next()
        else:
            raise self.unexpected(", where a type is expected")
        while self.token == ".":
            self.next()
            if not self.is_property_name():
                raise self.unexpected()
            self.next()
        if not self.newline and self.scan_less():
            self.type_arguments()

    def _tuple(self) -> None:
        self.next()
        while self.token != "]":
            self.take("...")
            if self.kind == WORD and self.ahead(self._is_named):
                self.next()
                self.take("?")
                self.expect(":")
                self.take("...")
            self._plain_type()
            self.take("?")
            if not self.take(","):
                break
        self.expect("]")

    def _is_named(self) -> bool:
        self.next()
        return self.token == ":" or (self.take("?") and self.token == ":")
