"""Specs that were written for uniflow, the Go engine of the same design, in the meanings of one of
its releases.

Lives here: what a release means (`releases`), how a document becomes one that means the same here
(`walking`, `translation`, `keys`), and what is asked without a release (`unclear`). Not here: the
engine, which has one meaning for all; names that everybody may use (spec/fields.py, `alias`); and
texts of files (scheme/migration.py).
"""
