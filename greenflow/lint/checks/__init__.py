"""What finds what the rules are about: a module for each sort of thing that is looked at.

Lives here: nothing but the modules. Each has a function `check` that yields findings.
"""
