"""The append-only file of the embedded server: reads its format exactly, and finds where its sound part ends.

The data are several files in one folder: a base (a snapshot), one or more files of commands after it, and a manifest
that names them in order. This module reads bytes and changes nothing; `store.embedded.check` mends.

The server's own `valkey-check-aof` is not used: version 9.1 does not know the base that the server itself writes, and
with `--fix` it would empty it.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = "appendonlydir"
"""In the server's directory."""
MANIFEST = "appendonly.aof.manifest"

_NAME = re.compile(r"appendonly\.aof\.(\d+)\.(base|incr)\.(rdb|aof)")
_LINE = re.compile(r"file (\S+) seq (\d+) type ([bih])(?: \w+ \d+)*")
_COMMAND, _WORD = re.compile(rb"\*(\d{1,9})\r\n"), re.compile(rb"\$(\d{1,10})\r\n")
_BEGUN = re.compile(rb"[*$]\d{0,10}\r?")
"""What a header begins with, when the file ends inside it."""
_APPEND = re.compile(rb"\*(\d{1,6})\r\n\$5\r\nRPUSH\r\n\$\d{1,6}\r\n[^\r\n]*:log:")
"""An append to a thread's log; each argument after the key is an event."""

_TRANSACTION = frozenset({b"MULTI", b"EXEC"})
_KNOWN = _TRANSACTION | frozenset(
    b"""
    SELECT APPEND BITFIELD BITOP BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN COPY DECR DECRBY DEL
    DELIFEQ EXPIRE EXPIREAT FLUSHALL FLUSHDB FUNCTION GEOADD GEORADIUS GEORADIUSBYMEMBER GEOSEARCHSTORE GETDEL GETEX
    GETSET HDEL HEXPIRE HEXPIREAT HGETDEL HGETEX HINCRBY HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HPEXPIREAT HSET HSETEX
    HSETNX INCR INCRBY INCRBYFLOAT LINSERT LMOVE LMPOP LPOP LPUSH LPUSHX LREM LSET LTRIM MIGRATE MOVE MSET MSETEX MSETNX
    PERSIST PEXPIRE PEXPIREAT PFADD PFDEBUG PFMERGE PSETEX RENAME RENAMENX RESTORE RESTORE-ASKING RPOP RPOPLPUSH RPUSH
    RPUSHX SADD SDIFFSTORE SET SETBIT SETEX SETNX SETRANGE SINTERSTORE SMOVE SORT SPOP SREM SUNIONSTORE SWAPDB UNLINK
    XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XREADGROUP XSETID XTRIM ZADD ZDIFFSTORE ZINCRBY ZINTERSTORE ZMPOP ZPOPMAX
    ZPOPMIN ZRANGESTORE ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZUNIONSTORE
    """.split()
)
"""What the server writes down: the commands with the flag `write` in `COMMAND`. It does not start on any other."""

Damage = Literal["", "cut off", "garbage"]
"""Of the end of a file of commands. `cut off`: it ends inside a command or a transaction, as after a crash in the
middle of a write. Nobody was told that this was stored. `garbage`: anything else, which may hide what was stored."""


@dataclass(frozen=True, slots=True)
class Manifest:
    base: str
    commands: tuple[str, ...]
    """The names of the files of commands, in order."""

    @property
    def names(self) -> list[str]:
        return [name for name in (self.base, *self.commands) if name]

    @property
    def text(self) -> str:
        lines = [f"file {self.base} seq {_seq(self.base)} type b"] if self.base else []
        lines += [f"file {name} seq {_seq(name)} type i" for name in self.commands]
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file of commands holds."""

    size_bytes: int
    sound_bytes: int
    """Up to the end of the last whole command, or of the last whole transaction."""
    commands: int
    events: int
    """Appended by the whole commands."""
    damage: Damage
    events_after: int = 0
    """That can still be recognised in the damaged part."""


def read_manifest(folder: Path) -> Manifest | None:
    """None: there is none, or it is not what the server writes."""
    try:
        text = (folder / MANIFEST).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    rows = [_LINE.fullmatch(line) for line in text.splitlines()]
    if not text.endswith("\n") or not all(row and _NAME.fullmatch(row[1]) for row in rows):
        return None
    named = [(row[3], row[1]) for row in rows if row]
    bases = [name for kind, name in named if kind == "b"]
    commands = tuple(name for kind, name in named if kind == "i")
    return Manifest(bases[0] if bases else "", commands) if len(bases) <= 1 and (bases or commands) else None


def has_data(folder: Path) -> bool:
    """Whether there are files that a manifest should name."""
    return bool(_data_files(folder))


def manifest_from_names(folder: Path) -> Manifest | None:
    """The only manifest that these files can have had; None: there may have been several.

    After a rewrite of the base, the folder may also hold old files for a moment. Reading those again would double
    events, so only a folder that cannot hold old ones is taken: a first base, or a single file of commands.
    """
    names = _data_files(folder)
    bases = [name for name in names if ".base." in name]
    commands = [name for name in names if ".incr." in name]
    numbers = [_seq(name) for name in commands]
    first = numbers == list(range(1, len(numbers) + 1)) and [_seq(name) for name in bases] == [1]
    if len(bases) == 1 and (first or len(commands) == 1):
        return Manifest(bases[0], tuple(commands))
    return None


def _data_files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted((path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=lambda n: (_seq(n), n))


def _seq(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else 0


def scan(path: Path) -> Scan:
    """Raises OSError."""
    size = path.stat().st_size
    if size == 0:
        return Scan(0, 0, 0, 0, "")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _scanned(data)


class _Broken(Exception):
    def __init__(self, damage: Damage) -> None:
        self.damage = damage


def _scanned(data: mmap.mmap) -> Scan:
    at = sound = commands = events = 0
    new_commands = new_events = 0  # Of a transaction that has not ended yet.
    in_transaction = False
    damage: Damage = ""
    try:
        while at < len(data):
            if data[at] == ord("#"):  # A comment of the server, such as a timestamp.
                at = _after_line(data, at)
            else:
                name, arguments, end = _command(data, at)
                if name in _TRANSACTION:
                    if in_transaction == (name == b"MULTI"):
                        raise _Broken("garbage")
                    in_transaction = name == b"MULTI"
                new_commands += 1
                new_events += max(arguments - 1, 0) if _APPEND.match(data, at) else 0
                at = end
            if not in_transaction:
                sound, commands, events = at, commands + new_commands, events + new_events
                new_commands = new_events = 0
        damage = "cut off" if in_transaction else ""
    except _Broken as broken:
        damage = broken.damage
    after = sum(int(found[1]) - 2 for found in _APPEND.finditer(data, sound)) if damage else 0
    return Scan(len(data), sound, commands, events, damage, after)


def _command(data: mmap.mmap, at: int) -> tuple[bytes, int, int]:
    """The name of the command at this offset, the number of its arguments, and where it ends. Raises _Broken."""
    count, at = _header(data, at, _COMMAND)
    if count == 0:
        raise _Broken("garbage")
    name = b""
    for number in range(count):
        length, at = _header(data, at, _WORD)
        end = at + length
        if end + 2 > len(data):
            # Past the end of a line and the end of the file: not the end is missing, the length is wrong.
            raise _Broken("cut off" if data.find(b"\r\n", at) < 0 else "garbage")
        if data[end : end + 2] != b"\r\n":
            raise _Broken("garbage")
        if number == 0:
            name = data[at:end].upper()
            if name not in _KNOWN or (name in _TRANSACTION and count > 1):
                raise _Broken("garbage")
        at = end + 2
    return name, count - 1, at


def _header(data: mmap.mmap, at: int, pattern: re.Pattern[bytes]) -> tuple[int, int]:
    found = pattern.match(data, at)
    if found:
        return int(found[1]), found.end()
    raise _Broken("cut off" if at == len(data) or _BEGUN.fullmatch(data, at) else "garbage")


def _after_line(data: mmap.mmap, at: int) -> int:
    end = data.find(b"\n", at)
    if end < 0:
        raise _Broken("cut off")
    return end + 1
