"""Which header fields are whose: of one hop, of the framing, of requests.

Lives here: sets of names in lower case, each with the section of a standard that it is from, and
the one that names a request. Who
passes messages on, or takes headers from a workflow, makes its own choice out of them: what a
server leaves out of an answer, what a client leaves out of a request, what no trailer may be.
"""

from __future__ import annotations

#: It names a request: in what a proxy sends, and in the response.
REQUEST_ID = "X-Request-Id"

# They concern two neighbours and nobody else: RFC 9110 7.6.1, 10.1.4 and 6.6.2; Keep-Alive and
# Proxy-Connection are older than it, HTTP2-Settings is RFC 7540 3.2.1.
HOP_BY_HOP = frozenset(
    (
        *("connection", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade"),
    )
)

# They say where a message ends (RFC 9112 6).
FRAMING = frozenset(("content-length", "transfer-encoding"))

# They say whether a request is carried out at all (RFC 9110 13.1).
CONDITIONS = frozenset(
    ("if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since")
)

# They say who asks (RFC 9110 11.6.2 and 11.7.2, RFC 6265 5.4).
CREDENTIALS = frozenset(("authorization", "cookie", "proxy-authorization"))

# They mean something in a request only (RFC 9110 7.2, 10.1, 12.5, 13.1 and 14.2; RFC 6454 7).
REQUEST_ONLY = (
    CONDITIONS
    | CREDENTIALS
    | frozenset(
        (
            *("accept", "accept-charset", "accept-encoding", "accept-language", "expect", "from"),
            *("host", "max-forwards", "origin", "range", "referer", "user-agent"),
        )
    )
)

# They route a request, or change what is asked for, and have to be known before its body (RFC 9110
# 6.5.1).
ROUTING = CONDITIONS | frozenset(("expect", "host", "max-forwards", "range"))
