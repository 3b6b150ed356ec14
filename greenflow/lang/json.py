"""The language `json`: the code is parsed once, and its value is the result (BEHAVIOUR 15.2).

Nobody changes a payload in place, so every packet may be given the same value.
"""

from __future__ import annotations

from greenflow.lang import Program, constant, remembered
from greenflow.spec.syntax.json import parts_of_json


@remembered
def compile(code: str) -> Program:
    """A program that gives the value of the JSON text. Raises CompileFailed."""
    return constant(parts_of_json, code)
