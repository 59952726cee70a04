"""A way to a server whose TIME is off by some seconds, as the client sees it. Everything else passes as it is."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

_TIME = re.compile(rb"^\*2\r\n\$10\r\n(\d{10})\r\n\$(?=\d\r\n\d+\r\n$)")
"""The reply to TIME; it is so short that it comes in one piece."""


@contextlib.asynccontextmanager
async def off_by(seconds: int, url: str, socket: Path) -> AsyncIterator[str]:
    """The URL of the way to the server at `url`, which has a Unix socket as well."""

    def shifted(reply: bytes) -> bytes:
        return _TIME.sub(lambda found: b"*2\r\n$10\r\n%d\r\n$" % (int(found[1]) + seconds), reply)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(url.removeprefix("unix://"))

        async def up() -> None:
            while data := await reader.read(65_536):
                ours.write(data)
            ours.close()

        async def down() -> None:
            while data := await theirs.read(65_536):
                writer.write(shifted(data))
            writer.close()

        with contextlib.suppress(OSError):
            await asyncio.gather(up(), down())

    async with await asyncio.start_unix_server(relay, socket):
        yield f"unix://{socket}"
