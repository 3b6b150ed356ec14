"""Enums, which become the objects that TypeScript makes of them.

Lives here: what is written around names and values of members. Comments, line ends and the values
themselves, less their types, stay where they are. A member may use those before it by their names
alone, which are constants around it; and the enum by its name, since that is the object's name
inside, too.
"""

from __future__ import annotations

from greenflow.lang.script.classes import ClassParser
from greenflow.lang.script.scanner import RESERVED, STRING, TEMPLATE, WORD, words

# Names of members that cannot be names of constants.
_NO_CONSTANTS = RESERVED | words("""
    arguments enum eval implements interface let package private protected public static
    """)


class EnumParser(ClassParser):
    """Reads enums."""

    def __init__(self, text: str) -> None:
        # The enums of each block around, and the members of each that are constants.
        self.scopes: list[dict[str, list[str]]] = [{}]
        self._value = next(it for i in range(1000) if (it := f"$v{i}") not in text)
        super().__init__(text)

    def enum(self) -> None:
        """Go on from `enum`, whose modifiers are erased already."""
        known, is_top = self.scopes[-1], len(self.scopes) == 1
        word, value = self.start, self._value
        self.next()
        name = self.name()
        members = known.get(name)
        declares = members is None or is_top
        keyword = ("var " if is_top else "let ") if declares else "    "
        self.edits.put(word, word + 4, keyword)
        before = "{}" if members is None and not is_top else f"{name}||{{}}"
        if members is None:
            members = known[name] = []
        opening = self.start
        self.expect("{")
        constants = "".join(f"const {each}={name}.{each};" for each in members)
        self.edits.put(opening, opening + 1, f"=(({name})=>{{let {value}=-1;{constants}")
        own: list[str] = []
        if members:
            # Those of the enum's other part may be named anew.
            self.edits.put(self.before, self.before, "{")
        while self.token != "}":
            self._enum_member(name, own)
        closing = self.start
        self.next()
        inner = "}" if members else ""
        self.edits.put(closing, closing + 1, f"{inner}return {name}}})({before});")
        members += [each for each in own if each not in members]

    def _enum_member(self, enum: str, constants: list[str]) -> None:
        """Go on over a member and its comma."""
        value, constant = self._value, ""
        start, kind = self.start, self.kind
        if self.take("["):
            start, kind = self.start, self.kind
            if kind not in (STRING, TEMPLATE) or self.token == "`${":
                place = self.text.rfind("[", 0, start)
                raise self.fault(place, "a computed name of an enum's member is not supported")
            bracket = self.text.rfind("[", 0, start)
            self.next()
            key = self.text[start : self.before]
            self.expect("]")
            start = bracket
        elif kind in (WORD, STRING):
            self.next()
            key = self.text[start : self.before]
        else:
            raise self.unexpected(", where the name of a member is expected")
        if kind == WORD:
            constant, key = key, f'"{key}"'
        end = self.before
        has_value = self.token == "="
        back = f'if(typeof {value}==="number"){enum}[{value}]={key};'
        if constant and constant not in _NO_CONSTANTS and constant != enum:
            back += f"const {constant}={value};"
            if constant not in constants:
                constants.append(constant)
        if has_value:
            self.edits.put(start, end, f"{value}={enum}[{key}]")
            equals = self.start
            self.next()
            self.edits.put(equals, equals + 1, "=(")
            self.assignment()
            self.edits.put(self.before, self.before, f");{back}")
        else:
            self.edits.put(start, end, f"{value}={enum}[{key}]={value}+1;{back}")
        if self.token == ",":
            self.edits.blank(self.start, self.end)
            self.next()
        elif self.token != "}":
            raise self.unexpected(", where `,` or `}` is expected")
