"""Living with gevent: threads, child OS processes, clocks, turns, back-off, the guard of the hub,
monkey-patching, and watching files. Nothing here knows what runs on the hub.
"""
