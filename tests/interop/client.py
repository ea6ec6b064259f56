"""Python's `websockets` against the server of tests/interop.rs: python client.py ws://127.0.0.1:PORT AGREED"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

SIZES = [0, 1, 125, 126, 65_535, 65_536, 1_048_575]
UNICODE = "é读🦀"
# What is agreed on for the routes that compress.
AGREED = json.loads(sys.argv[2])


async def talk(base, path, compression):
    protocols = ["chat.v1", "chat.v2"]
    options = {"compression": compression, "max_size": None, "ping_interval": None}
    async with connect(f"{base}/{path}/python", subprotocols=protocols, **options) as socket:
        assert socket.subprotocol == "chat.v2", socket.subprotocol
        extensions = socket.response.headers.get("Sec-WebSocket-Extensions")
        assert extensions == (AGREED.get(path) if compression else None), extensions

        for size in SIZES:
            # Bytes that repeat themselves within the narrowest window: deflated they must fit into a frame, too.
            for message in ["x" * size, (UNICODE * size)[: size // 4], bytes(n % 241 for n in range(size))]:
                await socket.send(message)
                assert await socket.recv() == message, f"{size} come back otherwise"

        await socket.send([UNICODE, "", "and ", "more"])
        assert await socket.recv() == UNICODE + "and more"
        await socket.send([b"\xff" * 70_000, b"\x00"])
        assert await socket.recv() == b"\xff" * 70_000 + b"\x00"

        for payload in [b"", b"\xff\x00", b"x" * 125]:
            await asyncio.wait_for(await socket.ping(payload), 10)

        await socket.close(4001, "再见")
        assert (socket.close_code, socket.close_reason) == (4001, ""), (socket.close_code, socket.close_reason)

    async with connect(f"{base}/{path}/python?close=4007", **options) as socket:
        try:
            await socket.recv()
            raise AssertionError("not closed")
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4007, "no such room"), closed


async def pinged(base):
    """The server pings each second, and closes when it is not answered."""
    async with connect(f"{base}/pinged/python", ping_interval=None) as socket:
        for n in range(30):
            await asyncio.sleep(0.1)
            await socket.send(str(n))
            assert await socket.recv() == str(n)


async def main(base):
    plain = [talk(base, path, None) for path in ["plain", "deflate"]]
    deflated = [talk(base, path, "deflate") for path in ["plain", *AGREED]]
    await asyncio.gather(*plain, *deflated)
    # By itself: while others compress, this thread answers no ping.
    await pinged(base)


asyncio.run(main(sys.argv[1]))
