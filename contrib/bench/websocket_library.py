"""An echo by the `websockets` library, on asyncio: what ours is measured against.

Usage, from the root of the project: python -m contrib.bench.websocket_library PORT
"""

from __future__ import annotations

import asyncio
import logging
import sys

from websockets.asyncio.server import ServerConnection, serve


async def echo(connection: ServerConnection) -> None:
    """Sends every message back."""
    async for message in connection:
        await connection.send(message)


async def main(port: int) -> None:
    logging.disable()  # a traceback for each connection that the load breaks off
    async with serve(echo, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
