"""The syntax of arrow functions.

Lives here: how an arrow is told from what looks like it at first. It is tried, and what failed at a
place is not tried there again, so that the time is linear.
"""

from __future__ import annotations

from greenflow.errors import CompileFailed
from greenflow.lang.script.functions import FunctionParser
from greenflow.lang.script.scanner import LINE_END, WORD


class ArrowParser(FunctionParser):
    """Reads arrow functions."""

    def __init__(self, text: str) -> None:
        self._no_arrows: set[int] = set()  # places of `(` or `<` that begin no arrow
        super().__init__(text)

    def arrow(self, allow_in: bool, is_middle: bool) -> bool:
        """Go on over an arrow function, if one is next; whether it was."""
        token = self.token
        if token not in ("(", "<", "async") or self.start in self._no_arrows:
            return False
        if token == "async" and self.ahead(self._is_simple_async):
            self.next()
            self.name()
            self.next()
            self.arrow_body(allow_in, is_middle)
            return True
        certainty: list[bool] = []
        if not self.ahead(lambda: self._may_be_arrow(certainty)):
            return False
        if certainty:
            self._parenthesized_arrow(allow_in, is_middle=False, is_certain=True)
            return True
        place = self.place()
        try:
            if self._parenthesized_arrow(allow_in, is_middle=is_middle, is_certain=False):
                return True
        except CompileFailed:
            pass
        self.back(place)
        self._no_arrows.add(self.start)
        return False

    def _is_simple_async(self) -> bool:
        self.next()
        if self.newline or not self.is_name():
            return False
        self.next()
        return self.token == "=>"

    def _may_be_arrow(self, certainty: list[bool]) -> bool:
        """Whether an arrow may be next; a certain one adds to `certainty`."""
        if self.take("async") and (self.newline or self.token not in ("(", "<")):
            return False
        if self.take("<"):
            return self.is_name() or self.token == "const"
        self.next()
        if self.token == ")":
            self.next()
            is_arrow = self.token in ("=>", ":", "{")
            certainty += [True] * is_arrow
            return is_arrow
        if self.token in ("[", "{"):
            return True
        if self.token == "...":
            certainty.append(True)
            return True
        if self.kind != WORD or not (self.is_name() or self.token == "this"):
            return False
        self.next()
        if self.token == ":":
            certainty.append(True)
            return True
        if self.token == "?":
            self.next()
            is_arrow = self.token in (":", ",", "=", ")")
            certainty += [True] * is_arrow
            return is_arrow
        return self.token in (",", "=", ")")

    def _parenthesized_arrow(self, allow_in: bool, *, is_middle: bool, is_certain: bool) -> bool:
        """Go on over an arrow whose parameters stand in parentheses; whether it is one."""
        is_async = self.take("async")
        after_async, start = self.before, self.start
        if self.token == "<":
            self.type_parameters()
            if is_async and LINE_END.search(self.text, after_async, self.start):
                self.erase(start, "(")
                opening = self.start
                self.edits.blank(opening, opening + 1)
            else:
                self.erase(start)
        self.parameters()
        closing = self.before
        has_type = self.token == ":"
        if has_type:
            colon = self.start
            self.next()
            self._in_condition(False, self.return_type)
            if LINE_END.search(self.text, closing, self.before):
                # JavaScript has no line end before the arrow: the `)` goes behind the type.
                self.edits.blank(closing - 1, closing)
                self.erase(colon, last=")")
            else:
                self.erase(colon)
        if self.token != "=>":
            if is_certain:
                raise self.unexpected(", where `=>` is expected")
            return False
        self.next()
        self.arrow_body(allow_in, is_middle)
        return not (is_middle and has_type and self.token != ":")

    def arrow_body(self, allow_in: bool, is_middle: bool) -> None:
        """Go on over what an arrow gives."""
        if self.token == "{":
            self.body()
        else:
            self.assignment(allow_in, is_middle)
