"""The wire: HTTP/1.1 for listeners. Sockets, bytes and limits, and nothing of workflows.

Lives here: parsing and framing (`head`, `chunked`), answers (`answer`), one client's connection
(`wire`, `connection`), the listening socket (`server`), and sockets shared by address (`pool`).
Nothing here imports a process, a node or anything above the first layer: a listener node hands over
a handler, a plain function of a request and of the way to answer it.
"""
