"""The syntax of expressions.

Lives here: operators, calls and literals, and what in them is only a type. Type arguments look like
comparisons at first: they are tried (types.py says how often).
"""

from __future__ import annotations

import re
from abc import abstractmethod

from greenflow.errors import CompileFailed
from greenflow.lang.script.arrows import ArrowParser
from greenflow.lang.script.scanner import (
    LINE_END,
    NUMBER,
    PRIVATE,
    REGEX,
    STRING,
    TEMPLATE,
    WORD,
    words,
)

_PREFIXES = frozenset(("+", "-", "~", "!", "++", "--", "typeof", "void", "delete", "await"))

_OPERATORS = words("""
    ?? || && | ^ & == != === !== < > <= >= << >> >>> + - * / % ** instanceof in as satisfies
    """)

_ASSIGNMENTS = words("= += -= *= /= %= **= <<= >>= >>>= &= |= ^= &&= ||= ??=")

_REFERENCE = re.compile(r"\s*+[\w$]++(?:\.[\w$]++)*+\s*+")

# Words that no expression begins with, though they are words.
_NO_OPERANDS = words("""
    break case catch const continue debugger default do else enum export extends finally for if in
    instanceof return switch throw try var while with
    """)


class ExpressionParser(ArrowParser):
    """Reads expressions."""

    def __init__(self, text: str) -> None:
        self.closed = -1  # where the parser itself put a `)` last
        super().__init__(text)

    @abstractmethod
    def function(self, *, is_statement: bool) -> bool:
        """Go on from `function`, or `async` before it; whether there is a body."""

    @abstractmethod
    def class_(self) -> None:
        """Go on from `class`."""

    def expression(self, *, allow_in: bool = True) -> None:
        """Go on over an expression, with commas."""
        self.assignment(allow_in)
        while self.take(","):
            self.assignment(allow_in)

    def assignment(self, allow_in: bool = True, is_middle: bool = False) -> None:
        """Go on over an expression without commas. `is_middle`: between `?` and `:`."""
        self.deeper()
        while True:
            if self.token == "yield" and self.kind == WORD:
                self._yield(allow_in)
                break
            if self.arrow(allow_in, is_middle):
                break
            is_name = self.is_name()
            end = self.end
            self._binary(allow_in)
            if is_name and self.before == end and self.token == "=>" and not self.newline:
                self.next()
                self.arrow_body(allow_in, is_middle)
            elif self.scan_greater() in _ASSIGNMENTS:
                self.next()
                continue
            elif self.token == "?":
                self.next()
                self.assignment(True, True)
                self.expect(":")
                continue
            break
        self.depth -= 1

    def operand(self, parse_commas: bool) -> None:
        """Go on over what has to begin in the line of the word before it. If it begins with a type
        that has line ends, `(` and `)` around it let it go over them."""
        outer = self.lead
        start = self.lead = self.start
        if parse_commas:
            self.expression()
        else:
            self.assignment()
        lead, self.lead = self.lead, outer
        if lead > start and LINE_END.search(self.text, start, lead):
            self.edits.first(start, "(")
            self.edits.put(self.before, self.before, ")")
            self.closed = self.before

    def _yield(self, allow_in: bool) -> None:
        self.next()
        if self.newline:
            return
        if self.take("*"):
            self.assignment(allow_in)
        elif self._is_operand_start():
            self.operand(False)

    def _is_operand_start(self) -> bool:
        if self.kind == WORD:
            return self.token not in _NO_OPERANDS
        return self.kind in (NUMBER, STRING, TEMPLATE, PRIVATE) or self.token in (
            *("(", "[", "{", "+", "-", "~", "!", "++", "--", "/", "/=", "<", "@"),
        )

    # Operators

    def _binary(self, allow_in: bool) -> None:
        """A row of operands and operators. What binds closer is of no matter here."""
        self._unary()
        while True:
            token = self.scan_greater()
            if token not in _OPERATORS or (token == "in" and not allow_in):
                return
            if token in ("as", "satisfies"):
                if self.newline:
                    return
                start = self.start
                self._const_or_type()
                self.erase(start)
                continue
            if token == "<" and self.text.startswith("<!--", self.start):
                # A module has no HTML-like comments, but V8 reads a snippet as a script.
                self.edits.put(self.start + 1, self.start + 1, " ")
            self.next()
            self._unary()

    def _const_or_type(self) -> None:
        """What an assertion says, behind the token that begins it."""
        self.next()
        if self.token == "const":
            self.next()
        else:
            self.type()

    def _unary(self) -> None:
        while True:
            if self.token in _PREFIXES:
                self.next()
            elif self.scan_less():
                start = self.start
                self._const_or_type()
                self.expect(">")
                self.erase(start)
            else:
                break
        self.left_hand_side()
        if self.token in ("++", "--") and not self.newline:
            if self.text.startswith("-->", self.start):
                self.edits.put(self.end, self.end, " ")
            self.next()

    def left_hand_side(self, is_new: bool = False) -> None:
        """Go on over an operand with its members and calls; calls are not of what `new` makes."""
        self._primary_expression()
        while True:
            token = self.token
            if token == ".":
                self.next()
                self._member_after_dot()
            elif token == "?." and not is_new:
                self.next()
                if self.scan_less():
                    start = self.start
                    self.type_arguments()
                    self.erase(start)
                if self.token == "(":
                    self._arguments()
                elif self.token == "[":
                    self._index()
                elif self.kind != TEMPLATE:
                    self._member_after_dot()
            elif token == "!" and not self.newline:
                self.erase_token()
            elif token == "[":
                self._index()
            elif self.kind == TEMPLATE:
                self._template()
            elif token == "(" and not is_new:
                self._arguments()
            elif token in ("<", "<<") and self._has_type_arguments():
                pass
            else:
                return

    def _member_after_dot(self) -> None:
        if self.kind not in (WORD, PRIVATE):
            raise self.unexpected(", where a name is expected")
        self.next()

    def _index(self) -> None:
        self.next()
        self.expression()
        self.expect("]")

    def _has_type_arguments(self) -> bool:
        """Erase type arguments, if what stands there are some; whether it was."""
        place = self.place()
        try:
            self.type_arguments()
        except CompileFailed:
            self.back(place)
            return False
        # `type_arguments` went on from a `>` alone: a longer operator is none of theirs.
        is_followed = self.text[self.before - 1 : self.before + 1] not in (">=", ">>")
        if not is_followed or not self._can_follow_type_arguments():
            self.back(place)
            return False
        self.erase(place.start)
        return True

    def _can_follow_type_arguments(self) -> bool:
        if self.token == "(" or self.kind == TEMPLATE:
            return True
        if self.token in ("<", ">", "<<", "+", "-"):
            return False
        is_operator = self.token in _OPERATORS and self.token not in ("+", "-")
        return self.newline or is_operator or not self._is_operand_start()

    def _arguments(self) -> None:
        self.next()
        while self.token != ")":
            self.take("...")
            self.assignment()
            if not self.take(","):
                break
        self.expect(")")

    def _template(self) -> None:
        while self.token == "`${":
            self.next()
            self.expression()
            if self.token != "}":
                raise self.unexpected(", where `}` is expected")
            self.scan_template()
        self.next()

    # Operands

    def _primary_expression(self) -> None:
        token = self.token
        if self.kind == WORD:
            if token == "function" or (token == "async" and self.ahead(self._is_async_function)):
                self.function(is_statement=False)
            elif token == "class":
                self.class_()
            elif token == "new":
                self._new()
            elif token == "import":
                self.next()
            elif token in _NO_OPERANDS:
                raise self.unexpected()
            else:
                self.next()
        elif self.kind in (NUMBER, STRING, PRIVATE, REGEX):
            self.next()
        elif self.kind == TEMPLATE:
            self._template()
        elif token in ("/", "/="):
            self.scan_regex()
            self.next()
        elif token == "(":
            self._parenthesized()
        elif token == "[":
            self._array()
        elif token == "{":
            self._object()
        elif token == "@":
            raise self.refuse_decorator()
        else:
            raise self.unexpected()

    def _parenthesized(self) -> None:
        opening, place = self.start, self.before - 1
        self.next()
        self.expression()
        is_cast = self.is_tail_erased()
        self.expect(")")
        # A cast that is assigned to in a pattern, `[(a.b as T)] = ...`, which not every reader of
        # JavaScript takes in parentheses.
        if (
            is_cast
            and self.text[place] in "[,:."
            and _REFERENCE.fullmatch(self.text, opening + 1, self.tail[0])
        ):
            self.edits.blank(opening, opening + 1)
            self.edits.blank(self.before - 1, self.before)

    def _is_async_function(self) -> bool:
        self.next()
        return self.token == "function" and not self.newline

    def _new(self) -> None:
        self.next()
        if self.take("."):
            self._member_after_dot()
            return
        self.deeper()
        self.left_hand_side(is_new=True)
        self.depth -= 1
        if self.token == "(":
            self._arguments()

    def _array(self) -> None:
        self.next()
        while self.token != "]":
            if self.take(","):
                continue
            self.take("...")
            self.assignment()
            if self.token != "]":
                self.expect(",")
        self.next()

    def _object(self) -> None:
        self.next()
        while self.token != "}":
            if self.take("..."):
                self.assignment()
            else:
                self._member_of_object()
            if not self.take(","):
                break
        self.expect("}")

    def _member_of_object(self) -> None:
        if self.token in ("get", "set", "async"):
            is_async = self.token == "async"
            if self.ahead(self.is_modifier_in_line if is_async else self.can_follow_modifier):
                self.next()
        self.take("*")
        self.property_name()
        if self.token in ("(", "<"):
            self.signature()
            self.body()
        elif self.take(":") or self.take("="):
            self.assignment()
