"""Python functions of others, called with payloads: in this OS process, and in workers of it.

Lives here: function.py finds a function and binds its arguments, pool.py has the workers that run
one elsewhere, wire.py what is said to them; worker.py is what runs in a worker. No node and no
process of a workflow is known here.
"""
