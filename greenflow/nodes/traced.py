"""Requests in traces (BEHAVIOUR 18.1 to 18.3).

Lives here: what a span says of a request to a listener, and of one of a node `http`, by
OpenTelemetry's semantic conventions. Neither query nor headers are in it, and of what is asked no
path: they may be secrets. Who is traced is engine/tracing.py's.
"""

from __future__ import annotations

from typing import Any

from greenflow.engine.node import Node
from greenflow.engine.process import Process
from greenflow.engine.tracing import PARENT, STATE, Traced, Tracer, note, of_node
from greenflow.log.secret import conceal
from greenflow.net.message import Request, Respond, Response
from greenflow.net.methods import KNOWN
from greenflow.net.outgoing import ClientRequest

# What the conventions call a method that HTTP does not know: there might be any number of them.
_OTHER = "_OTHER"


def trace_request(
    tracer: Tracer, node: Node[Any], process: Process, request: Request, respond: Respond
) -> Respond:
    """The process of a request begins: trace it, if that is to be. Returns how to answer."""
    parent = request.header(PARENT.lower())
    if not tracer.takes(process, parent):
        return respond
    method = request.method if request.method in KNOWN else _OTHER
    said = {
        "http.request.method": method,
        "url.scheme": request.scheme,
        "url.path": conceal(request.path),
        "server.address": request.host,
        "client.address": request.client[0],
        "network.protocol.version": request.version,
    }
    name = "HTTP" if method == _OTHER else method
    state = request.header(STATE.lower())
    tracer.start(process, name, "SERVER", of_node(node) | said, parent, state)

    def respond_and_tell(response: Response) -> None:
        if type(process.trace) is Traced:
            process.trace.answered(response.status)
        respond(response)

    return respond_and_tell


def trace_call(tracer: Tracer, process: Process, request: ClientRequest) -> None:
    """Tell a server which trace it is called in, and the trace which server."""
    sent = tracer.headers(process)
    if process.trace:
        request.headers.update(sent)
    else:  # what the payload says stands
        for name, value in sent.items():
            request.headers.setdefault(name, value)
    server = {"server.address": request.url.host, "server.port": request.url.port}
    note(process, {"http.request.method": request.method} | server)


def tell_status(process: Process, status: int) -> None:
    """Tell the trace what a server answered."""
    note(process, {"http.response.status_code": status})
