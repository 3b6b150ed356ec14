"""The syntax of types of objects, and of interfaces. Nothing here is edited.

Lives here: members, index signatures and mapped types.
"""

from __future__ import annotations

from greenflow.lang.script.types import TypeParser

# What may stand before the name of a member of an interface.
_MODIFIERS = frozenset(("get", "set", "readonly", "static", "public", "private", "protected"))


class ObjectTypeParser(TypeParser):
    """Reads types of objects."""

    def object_type(self) -> None:
        """Go on from `{` over the type of an object to behind `}`."""
        if self.ahead(self._is_mapped):
            self._mapped_type()
        else:
            self.members_of_type()

    def _is_mapped(self) -> bool:
        self.next()
        if self.token in ("+", "-"):
            return self.next_is("readonly")
        if self.token == "readonly":
            self.next()
        if not self.take("[") or not self.is_name():
            return False
        return self.next_is("in")

    def _mapped_type(self) -> None:
        self.next()
        if self.token in ("+", "-"):
            self.next()
        self.take("readonly")
        self.expect("[")
        self.name()
        self.expect("in")
        self._plain_type()
        if self.take("as"):
            self._plain_type()
        self.expect("]")
        if self.token in ("+", "-"):
            self.next()
        self.take("?")
        if self.take(":"):
            self._plain_type()
        if not self.take(";"):
            self.take(",")
        while self.token != "}":
            self._member_of_type()
        self.next()

    def members_of_type(self) -> None:
        """Go on from `{` over the members of an interface to behind `}`."""
        self.expect("{")
        while self.token != "}":
            self._member_of_type()
        self.next()

    def _member_of_type(self) -> None:
        self.deeper()
        if self.token == "new" and self.ahead(lambda: self.next_is("(", "<")):
            self.next()
        while self.token in _MODIFIERS and self.ahead(self._is_member_name):
            self.next()
        if self.token not in ("(", "<"):
            self._member_name()
            self.take("?")
        if self.token in ("(", "<"):
            self.type_parameters()
            self.parameters()
            if self.take(":"):
                self._in_condition(False, self.return_type)
        elif self.take(":"):
            self._plain_type()
        self.depth -= 1
        if not self.take(";") and not self.take(",") and self.token != "}" and not self.newline:
            raise self.unexpected()

    def _is_member_name(self) -> bool:
        self.next()
        return self.is_property_name() or self.token == "["

    def _member_name(self) -> None:
        """A name of a property, computed, or the `[key: type]` of an index signature."""
        if self.take("["):
            if self.is_name() and self.ahead(lambda: self.next_is(":")):
                self.next()
                self.next()
                self._plain_type()
            else:
                self.assignment()
            self.expect("]")
        elif self.is_property_name():
            self.next()
        else:
            raise self.unexpected()
