"""Connections whose messages are processes (BEHAVIOUR 12): `gateway` takes them from clients,
`websocket` opens them to servers, `peer` is what the two have in common."""
