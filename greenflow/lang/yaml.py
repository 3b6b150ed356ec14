"""The language `yaml`: the code is parsed once, as YAML 1.2, and its value is the result.

Nobody changes a payload in place, so every packet may be given the same value.
"""

from __future__ import annotations

from greenflow.lang import Program, constant, remembered
from greenflow.spec.syntax.yaml import parts_of_yaml


@remembered
def compile(code: str) -> Program:
    """A program that gives the value of the YAML text. Raises CompileFailed."""
    return constant(parts_of_yaml, code)
