"""The syntax of a whole module, and with it the whole parser.

Lives here: imports and exports. An import of types is erased, any other refused; an export stays as
it is, less its types (javascript/module.py takes it). `export = f` becomes `module.exports = f` and
so a module of CommonJS (javascript/commonjs.py), strict as every module of TypeScript.
"""

from __future__ import annotations

from greenflow.lang.script.scanner import END, NUMBER, STRING, WORD
from greenflow.lang.script.statements import StatementParser

_IMPORT = "a snippet cannot import: it has nothing but its own code"
_IMPORT_EQUALS = "`import ... =` is not supported: a snippet has nothing but its own code"
_EQUALS_VALUE = "`export =` is of a function: write `export = function (args) { ... }`"
_EQUALS_BESIDE = "`export =` stands for all that is exported: leave out the other exports"


class ModuleParser(StatementParser):
    """Reads a module."""

    _equals: int | None = None  # where `export =` stands
    _exports: int | None = None  # where another export stands

    def module(self) -> None:
        """Go on over the whole text."""
        first = self.start
        while self.kind != END:
            self.statement()
        if self._equals is not None:
            if self._exports is not None:
                raise self.fault(max(self._equals, self._exports), _EQUALS_BESIDE)
            self.edits.put(first, first, '"use strict";')

    def import_statement(self) -> bool:
        """Go on from `import`; whether it is only of types."""
        if self.ahead(lambda: self.next_is("(", ".")):
            self.expression()
            self.semicolon()
            return False
        start, mark = self.start, self.edits.mark()
        self.next()
        is_type = self.token == "type" and self.ahead(self._is_type_import)
        if not is_type and not self.ambient:
            is_equals = self.is_name() and self.ahead(lambda: self.next_is("="))
            raise self.fault(start, _IMPORT_EQUALS if is_equals else _IMPORT)
        while self.kind != STRING and self.token != "=":
            if self.token == "{":
                self._names()
            elif self.kind == WORD or self.token in ("*", ","):
                self.next()
            else:
                raise self.unexpected()
        if self.take("="):
            self.expression()
        else:
            self._source()
        self.semicolon()
        return self.erase_all(start, mark)

    def _is_type_import(self) -> bool:
        self.next()
        if self.token == "from":
            return self.next_is("from", "=")
        return self.is_name() or self.token in ("{", "*")

    def _names(self) -> None:
        """Names in braces, those of types erased."""
        self.expect("{")
        while self.token != "}":
            start = self.start
            is_type = self.token == "type" and self.ahead(self._is_type_specifier)
            if is_type:
                self.next()
            self.property_name()
            if self.take("as"):
                self.property_name()
            is_last = not self.take(",")
            if is_type:
                self.erase(start)
            if is_last:
                break
        self.expect("}")

    def _is_type_specifier(self) -> bool:
        """From `type`: whether it says that a name is one of a type, and is no name itself."""
        self.next()
        if self.token != "as":
            return self.is_property_name()
        self.next()
        return self.token in (",", "}") or (self.take("as") and self.is_property_name())

    def _source(self) -> None:
        """The text that names a module, and its attributes."""
        if self.kind != STRING:
            raise self.unexpected(", where the name of a module is expected")
        self.next()
        if self.take("with"):
            self.assignment()

    def export_statement(self) -> bool:
        """Go on from `export`; whether it is only of types."""
        start, mark = self.start, self.edits.mark()
        self.next()
        token = self.token
        if token == "=":
            self.next()
            if not self.ambient:
                self._export_equals(start)
            self.expression()
            self.semicolon()
            return False
        if token == "import" and self.ambient:
            return self.import_statement() and self.erase_all(start, mark)
        elif token == "import":
            raise self.fault(start, _IMPORT_EQUALS)
        elif token == "as":
            self.next()
            self.expect("namespace")
            self.name()
            self.semicolon()
            return self.erase_all(start, mark)
        elif token == "type" and self.ahead(lambda: self.next_is("{", "*")):
            self.next()
            self._what_is_exported()
            return self.erase_all(start, mark)
        elif token in ("{", "*"):
            self._what_is_exported()
        elif token == "default":
            self.next()
            if self._default_export():
                return self.erase_all(start, mark)
        elif self.statement():
            return self.erase_all(start, mark)
        if not self.ambient:
            self._exports = start
        return False

    def _export_equals(self, start: int) -> None:
        """From what `export =` is of."""
        if self.kind in (NUMBER, STRING):
            raise self.fault(start, _EQUALS_VALUE)
        if self._equals is not None:
            raise self.fault(start, _EQUALS_BESIDE)
        self._equals = start
        self.edits.put(start, start + len("export"), "module.exports")

    def _what_is_exported(self) -> None:
        if self.take("*"):
            if self.take("as"):
                self.property_name()
        else:
            self._names()
        if self.take("from"):
            self._source()
        self.semicolon()

    def _default_export(self) -> bool:
        token = self.token
        if token == "abstract" and self.ahead(lambda: self.is_declaration("abstract")):
            self.erase_token()
            self.class_()
        elif token == "class":
            self.class_()
        elif token == "interface" and self.ahead(lambda: self.is_declaration("interface")):
            return self.interface()
        elif token == "function" or (
            token == "async" and self.ahead(lambda: self.is_declaration("async"))
        ):
            return not self.function(is_statement=True)
        else:
            self.assignment()
            self.semicolon()
        return False
