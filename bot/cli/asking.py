"""The person who sits at the terminal: whether there is one, the lines that they type, and a yes or no.

Questions go to stderr, because stdout holds only what the command gives out. Only a plain yes is one: the end of the
input, another word, and what was typed before the question, are a no.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
import termios
import threading
from collections.abc import AsyncIterator

from bot.cli import console
from bot.views.entry import Entry


def attended() -> bool:
    """Whether somebody sees what is asked on stderr, and can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


async def confirmed(entry: Entry, question: str) -> bool:
    """Show an entry, and ask whether to go on."""
    with contextlib.suppress(termios.error):
        termios.tcflush(0, termios.TCIFLUSH)  # What was typed before the entry came is no answer to it.
    console.say_entry(entry)
    console.log(f"{question} [y/N] ")
    async for line in typed_lines():
        return line.strip().lower() in ("y", "yes")
    return False


def typed_lines() -> AsyncIterator[str]:
    """The lines of stdin until it ends. Whoever stops waiting for one may wait for it again later."""
    return _TypedLines()


class _TypedLines(AsyncIterator[str]):
    # No generator: if a wait for a line were cancelled, that would end it.
    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] | None = None

    async def __anext__(self) -> str:
        if self._queue is None:
            self._queue = asyncio.Queue()
            read = functools.partial(_read, asyncio.get_running_loop(), self._queue)
            threading.Thread(target=read, daemon=True, name="stdin").start()
        if (line := await self._queue.get()) is None:
            self._queue.put_nowait(None)
            raise StopAsyncIteration
        return line


def _read(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[str | None]) -> None:
    def put(line: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # The event loop has ended.
            loop.call_soon_threadsafe(queue.put_nowait, line)

    # Not sys.stdin: a thread blocked in its buffer would crash the interpreter at exit.
    rest = b""
    with contextlib.suppress(OSError):  # The terminal is gone.
        while data := os.read(0, 65536):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                put(line.decode(errors="replace"))
    if rest:
        put(rest.decode(errors="replace"))
    put(None)
