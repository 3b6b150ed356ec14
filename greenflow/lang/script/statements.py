"""The syntax of statements.

Lives here: which statements are only types, and where a statement ends. A
statement that is erased leaves a `;`, and so does one that ends by its line with an erased token:
without it, JavaScript might go on in the next line.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from greenflow.lang.script.enums import EnumParser
from greenflow.lang.script.scanner import END, STRING, WORD, words

_DECLARED = words("""
    abstract async class const enum function global interface let module namespace type using var
    """)

_NAMESPACES = "namespaces are not supported: use an object, or plain functions"


class StatementParser(EnumParser):
    """Reads statements."""

    def __init__(self, text: str) -> None:
        self.ambient = 0  # how many declarations of what is elsewhere are around
        super().__init__(text)

    @abstractmethod
    def import_statement(self) -> bool:
        """Go on from `import`; whether it is only of types."""

    @abstractmethod
    def export_statement(self) -> bool:
        """Go on from `export`; whether it is only of types."""

    def statements(self) -> None:
        """Go on from `{` over statements to behind `}`."""
        self.expect("{")
        self.scopes.append({})
        while self.token != "}" or self.kind == STRING:
            self.statement()
        self.scopes.pop()
        self.next()

    def body(self) -> None:
        """Go on from `{` over the body of a function to behind `}`."""
        self.statements()

    def constructor_body(self) -> int:
        """Go on over the body of a constructor; where it may use `this` first: behind a call of
        `super` or behind the directives."""
        place = self.end
        self.expect("{")
        self.scopes.append({})
        is_head = True
        has_super = False
        while self.token != "}":
            is_super = self.token == "super" and not has_super
            is_directive = is_head = is_head and self.kind == STRING
            self.statement()
            if is_super or (is_directive and not has_super):
                place, has_super = self.before, is_super
        self.scopes.pop()
        self.next()
        return place

    def semicolon(self) -> None:
        """Go on over the end of a statement or field."""
        if self.take(";"):
            return
        if self.token != "}" and self.kind != END and not self.newline:
            raise self.unexpected(", where `;` is expected")
        if not self.newline or self.kind == END:
            return
        if self.closed == self.before:
            self.edits.put(self.before, self.before, ";")
        elif self.is_tail_erased():
            self.edits.first(self.tail[0], ";")

    def statement(self) -> bool:
        """Go on over a statement; whether it is only a type."""
        self.deeper()
        try:
            return self._statement()
        finally:
            self.depth -= 1

    def _statement(self) -> bool:
        token = self.token
        if token == "@":
            raise self.refuse_decorator()
        if self.kind == WORD:
            special = _STATEMENTS.get(token)
            if special is not None:
                return special(self)
            contextual = _CONTEXTUAL.get(token)
            if contextual is not None and self.ahead(lambda: self.is_declaration(token)):
                return contextual(self)
            if self.is_name() and self.ahead(lambda: self.next_is(":")):
                self.next()
                self.next()
                return self.statement() and False
        elif token == "{":
            self.statements()
            return False
        elif token == ";":
            self.next()
            return False
        self.expression()
        self.semicolon()
        return False

    def is_declaration(self, word: str) -> bool:
        """Whether a declaration follows its word, which is no name then."""
        self.next()
        if self.newline:
            return False
        if word == "declare":
            return self.token in _DECLARED and self.kind == WORD
        if word == "abstract":
            return self.token == "class"
        if word == "async":
            return self.token == "function"
        if word == "global":
            return self.ambient > 0 and self.token == "{"
        if word == "module" and self.kind == STRING:
            return True
        if word == "await":
            return self.token == "using" and self.is_declaration("using")
        return self.is_name()

    # Declarations

    def _variables(self, allow_in: bool = True) -> None:
        self.take("await")
        self.next()
        while True:
            self.binding()
            if self.token == "!":
                self.erase_token()
            self.type_annotation()
            if self.take("="):
                self.assignment(allow_in)
            if not self.take(","):
                return

    def _variable_statement(self) -> bool:
        if self.token == "const" and self.ahead(lambda: self.next_is("enum")):
            self.erase_token()
            return self._enum_statement()
        self._variables()
        self.semicolon()
        return False

    def _enum_statement(self) -> bool:
        self.enum()
        return False

    def function(self, *, is_statement: bool) -> bool:
        """Go on from `function`, or `async` before it; whether there is a body."""
        self.take("async")
        self.next()
        self.take("*")
        if self.is_name():
            self.next()
        self.signature()
        if self.token == "{":
            self.body()
            return True
        if not is_statement:
            raise self.unexpected(", where `{` is expected")
        self.semicolon()
        return False

    def _function_statement(self) -> bool:
        start, mark = self.start, self.edits.mark()
        return not self.function(is_statement=True) and self.erase_all(start, mark)

    def erase_all(self, start: int, mark: int) -> bool:
        """Erase a statement that is only a type."""
        self.edits.back(mark)
        self.erase(start, ";")
        return True

    def _class_statement(self) -> bool:
        self.class_()
        return False

    def _abstract(self) -> bool:
        self.erase_token()
        return self._class_statement()

    def _type_alias(self) -> bool:
        start, mark = self.start, self.edits.mark()
        self.next()
        self.name()
        self.type_parameters()
        self.expect("=")
        self.type()
        self.semicolon()
        return self.erase_all(start, mark)

    def interface(self) -> bool:
        start, mark = self.start, self.edits.mark()
        self.next()
        self.name()
        self.type_parameters()
        if self.take("extends"):
            self.heritage()
        self.members_of_type()
        return self.erase_all(start, mark)

    def _declare(self) -> bool:
        start, mark = self.start, self.edits.mark()
        self.next()
        self.ambient += 1
        self.statement()
        self.ambient -= 1
        return self.erase_all(start, mark)

    def _namespace(self) -> bool:
        start, mark = self.start, self.edits.mark()
        self.next()
        if self.token != "{":
            if self.kind != STRING:
                self.name()
                while self.take("."):
                    self.name()
            else:
                self.next()
        is_types = self.token != "{"
        if not is_types:
            self.next()
            is_types = self.token != "}"
            while self.token != "}":
                is_types = self.statement() and is_types
            self.next()
        else:
            self.semicolon()
        if not is_types and not self.ambient:
            raise self.fault(start, _NAMESPACES)
        return self.erase_all(start, mark)

    # Control

    def _if(self) -> bool:
        self.next()
        self._condition()
        self.statement()
        while self.take("else"):
            if not self.take("if"):
                self.statement()
                break
            self._condition()
            self.statement()
        return False

    def _condition(self) -> None:
        self.expect("(")
        self.expression()
        self.expect(")")

    def _for(self) -> bool:
        self.next()
        self.take("await")
        self.expect("(")
        self.scopes.append({})
        if self.token in ("var", "let", "const") or (
            self.token in ("using", "await") and self.ahead(self._is_using)
        ):
            self._variables(allow_in=False)
        elif self.token != ";":
            self.expression(allow_in=False)
        if self.take("of"):
            self.assignment()
        elif self.take("in"):
            self.expression()
        else:
            self.expect(";")
            if self.token != ";":
                self.expression()
            self.expect(";")
            if self.token != ")":
                self.expression()
        self.expect(")")
        self.statement()
        self.scopes.pop()
        return False

    def _is_using(self) -> bool:
        self.take("await")
        return self.token == "using" and self.is_declaration("using") and self.token != "of"

    def _while(self) -> bool:
        self.next()
        self._condition()
        self.statement()
        return False

    def _do(self) -> bool:
        self.next()
        self.statement()
        self.expect("while")
        self._condition()
        self.take(";")
        return False

    def _return(self) -> bool:
        """`return` or `throw`."""
        self.next()
        if self.token not in (";", "}", "") and not self.newline:
            self.operand(True)
        self.semicolon()
        return False

    def _jump(self) -> bool:
        """`break`, `continue` or `debugger`."""
        self.next()
        if self.is_name() and not self.newline:
            self.next()
        self.semicolon()
        return False

    def _switch(self) -> bool:
        self.next()
        self._condition()
        self.expect("{")
        self.scopes.append({})
        while self.token != "}":
            if self.take("case"):
                self.expression()
            else:
                self.expect("default")
            self.expect(":")
            while self.token not in ("case", "default", "}"):
                self.statement()
        self.scopes.pop()
        self.next()
        return False

    def _try(self) -> bool:
        self.next()
        self.statements()
        if self.take("catch"):
            if self.take("("):
                self.binding()
                self.type_annotation()
                self.expect(")")
            self.statements()
        if self.take("finally"):
            self.statements()
        return False


_STATEMENTS: dict[str, Callable[[StatementParser], bool]] = {
    "break": StatementParser._jump,
    "class": StatementParser._class_statement,
    "const": StatementParser._variable_statement,
    "continue": StatementParser._jump,
    "debugger": StatementParser._jump,
    "do": StatementParser._do,
    "enum": StatementParser._enum_statement,
    "export": lambda parser: parser.export_statement(),
    "for": StatementParser._for,
    "function": StatementParser._function_statement,
    "if": StatementParser._if,
    "import": lambda parser: parser.import_statement(),
    "let": StatementParser._variable_statement,
    "return": StatementParser._return,
    "switch": StatementParser._switch,
    "throw": StatementParser._return,
    "try": StatementParser._try,
    "var": StatementParser._variable_statement,
    "while": StatementParser._while,
    "with": StatementParser._while,
}

# Words that begin a statement only where its declaration follows.
_CONTEXTUAL: dict[str, Callable[[StatementParser], bool]] = {
    "abstract": StatementParser._abstract,
    "async": StatementParser._function_statement,
    "await": StatementParser._variable_statement,
    "declare": StatementParser._declare,
    "global": StatementParser._namespace,
    "interface": StatementParser.interface,
    "module": StatementParser._namespace,
    "namespace": StatementParser._namespace,
    "type": StatementParser._type_alias,
    "using": StatementParser._variable_statement,
}
