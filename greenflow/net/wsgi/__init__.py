"""WSGI, both ways (PEP 3333): `serving` offers a handler of requests as a WSGI application,
`calling` has a request answered by one. Nothing here knows a node or a process."""
