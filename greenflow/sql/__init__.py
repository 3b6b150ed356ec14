"""SQL databases: sources, statements, values, and connections that block no one.

Lives here: what the kind `sql` does its work with. No node, and nothing of processes: a transaction
is a context manager, which the node has its process hold.

A connection is worked on by one `Lane` alone: a native thread for SQLite and for drivers that block
in C, a greenlet of the connection's own for drivers that wait in Python's patched sockets. So
whoever waits for a statement may be interrupted at any time, and no driver is ever left in the
middle of a call.
"""
