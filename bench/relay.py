#!/usr/bin/env python3
"""Puts a host far away: passes TCP connections on, every byte late by the same time.

    bench/relay.py PORT HOST HOST_PORT SECONDS

Listens on 127.0.0.1. What goes there and what comes back are each late by SECONDS, whatever their
size, as on a long line with room for all. Ends with whoever started it.
"""

import asyncio
import sys


async def pass_on(reader, writer, late):
    """Writes what is read, in order, each piece `late` seconds after it came."""
    loop = asyncio.get_running_loop()
    while piece := await reader.read(1 << 16):
        loop.call_later(late, writer.write, piece)
    loop.call_later(late, writer.close)


async def main():
    port, host, host_port, late = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])

    async def connected(reader, writer):
        # Setting up a connection takes a way there and back.
        await asyncio.sleep(2 * late)
        there_reader, there_writer = await asyncio.open_connection(host, host_port)
        await asyncio.gather(
            pass_on(reader, there_writer, late),
            pass_on(there_reader, writer, late),
            return_exceptions=True,
        )

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if len(sys.argv) != 5:
    sys.exit(__doc__)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
