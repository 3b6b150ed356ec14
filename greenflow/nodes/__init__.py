"""The built-in kinds, by subject. Each is found through the entry points of the package, like those
of other packages; nothing here is imported before a spec names it."""
