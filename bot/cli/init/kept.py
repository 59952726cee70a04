"""Writes what `bot init` was told into `.env`, which only its owner may read, and keeps it out of git.

A file is replaced as a whole or not at all, so that no interruption leaves a half of it. The lines of others stay as
they are. No value is ever printed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from channels.inbound import Refused
from store.variables import ENV_FILE

GIT_SECONDS_MAX = 10.0
PRIVATE = 0o600
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./*-]+")

Git = Literal["ignored", "not ignored", "tracked", "no git"]


def differing(values: Mapping[str, str]) -> list[str]:
    """The variables that `.env` sets to something else. Raises Refused."""
    before = _meaning(_read())
    return [name for name, value in values.items() if before.get(name) and before[name] != value]


def keep(values: Mapping[str, str]) -> None:
    """Set them in `.env`. Raises Refused: the file cannot be written, or cannot hold them."""
    from dotenv.parser import parse_stream

    before = _read()
    left = dict(values)
    parts = []
    for line in parse_stream(io.StringIO(before)):
        name, was = line.key or "", line.original.string
        if name in values:
            empty = was[: len(was) - len(was.lstrip())]  # Empty lines before it are part of it.
            exported = "export " if was.lstrip().startswith("export ") else ""
            parts.append(f"{empty}{exported}{_line(name, values[name])}")
            left.pop(name, None)
        else:
            parts.append(was)
    text = "".join(parts)
    text += "\n" if text and not text.endswith("\n") else ""
    text += "".join(_line(name, value) for name, value in left.items())
    wrong = [name for name, value in values.items() if _meaning(text).get(name) != value]
    if wrong:
        # In `.env`, ${NAME} stands for another variable, in quotes too.
        names = ", ".join(wrong)
        raise Refused(f"{ENV_FILE} cannot hold {names}: set it in the environment, or put it into a file of its own.")
    replace(ENV_FILE, text, mode=PRIVATE)


def replace(path: Path, text: str, *, mode: int | None = None) -> None:
    """As a whole. `mode` None: as it is. Raises Refused."""
    target = path.resolve()  # A link stays one.
    try:
        with _draft(target, text) as draft:
            draft.chmod(mode if mode is not None else target.stat().st_mode & 0o777)
            draft.replace(target)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}.") from None


def create(path: Path, text: str) -> None:
    """As a whole, if it does not exist. Raises Refused."""
    try:
        with _draft(path, text) as draft:
            umask = os.umask(0)
            os.umask(umask)
            draft.chmod(0o666 & ~umask)
            os.link(draft, path)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}.") from None


def git_of(path: Path = ENV_FILE) -> Git:
    """Whether git would take the file into a commit."""
    if _git("ls-files", "--error-unmatch", str(path)) == 0:
        return "tracked"
    match _git("check-ignore", "--quiet", str(path)):
        case 0:
            return "ignored"
        case 1:
            return "not ignored"
        case _:
            return "no git"


def ignore(path: Path = ENV_FILE) -> None:
    """Add it to `.gitignore` beside it. Raises Refused."""
    file = path.with_name(".gitignore")
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError):
        raise Refused(f"{file} cannot be read.") from None
    text += "\n" if text and not text.endswith("\n") else ""
    if file.exists():
        replace(file, f"{text}{path.name}\n")
    else:
        create(file, f"{path.name}\n")


def _git(*arguments: str) -> int:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, timeout=GIT_SECONDS_MAX)
    except (OSError, subprocess.SubprocessError):
        return -1
    return done.returncode


@contextlib.contextmanager
def _draft(target: Path, text: str) -> Iterator[Path]:
    """A file beside the target, on the disk. It is gone at the end, unless it was moved. Raises OSError."""
    number, name = tempfile.mkstemp(prefix=f"{target.name}.", dir=target.parent)  # Nobody else may read it.
    draft = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _read() -> str:
    """Raises Refused."""
    try:
        with ENV_FILE.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise Refused(f"{ENV_FILE} cannot be read, so nothing was written to it.") from None


def _meaning(text: str) -> dict[str, str | None]:
    """As `store.variables` reads it."""
    from dotenv import dotenv_values

    return dict(dotenv_values(stream=io.StringIO(text)))


def _line(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return f"{name}={value}\n"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'\n"
