"""The admin interface: what runs, what is wrong with it, and hands to touch it, over HTTP.

Lives here: the interface of one runtime (interface.py), how its resources are declared
(declaring.py) and which there are (resources/), who may ask (guarding.py), the sockets of running
engines (sockets.py), the server of
one (door.py), and the client that commands use (client.py).
It is handed what it looks at (engine.py), and opens nothing of a workflow's.
"""
