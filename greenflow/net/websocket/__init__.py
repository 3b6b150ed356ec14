"""WebSocket (RFC 6455) with permessage-deflate (RFC 7692), for both ends of a connection.

`handshake` agrees with a client on how to speak, `client` opens connections to servers, `frames`
turns bytes into messages and back, `deflate` compresses them, `channel` is the connection itself:
what its greenlets and the hub do with the socket. No node and no process is known here.
"""
