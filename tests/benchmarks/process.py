"""Other processes of the benchmarks: each is a module of this package, speaks in lines, and ends with its stdin."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

from tests import ROOT


def environment_of(checkout: Path) -> dict[str, str]:
    """In which a Python with `-P` imports the modules of this checkout."""
    paths = [str(checkout), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@contextlib.asynccontextmanager
async def spoken(module: str, *arguments: str, checkout: Path = ROOT) -> AsyncIterator[AsyncIterator[str]]:
    """Run the module of a checkout, and give the lines that it says. It is ended when the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments), env=environment_of(checkout), stdin=PIPE, stdout=PIPE
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin
    assert stdout

    async def lines() -> AsyncIterator[str]:
        while line := await stdout.readline():
            yield line.decode().rstrip()
        raise RuntimeError(f"{module} ended by itself; what it said stands above.")

    try:
        yield lines()
    finally:
        stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


async def until_stdin_ends() -> None:
    """Whoever started us has ended us, or is gone."""
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    await stdin.read()
