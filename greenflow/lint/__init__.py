"""Advice on spec files as a whole: what is wrong, what will not work, and what is hardly meant.

Lives here: the rules, each declared with its id, level and reason (rules.py), the checks that
find what they are about (checks/), comments that say otherwise (ignores.py), mending
(mending.py) and the forms of a report (report.py, sarif.py). What a spec may be is the scheme's,
and what will be active the table's: they are asked.
"""
