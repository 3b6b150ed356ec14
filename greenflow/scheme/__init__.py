"""Which kinds there are, and what follows from it: the check of a whole spec, its JSON Schema, and
the migration of specs written for other engines.
"""
