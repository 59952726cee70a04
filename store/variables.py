"""Secrets by the names of their variables: from the environment, from `.env` in development, or from files.

`NAME_FILE` names a file that holds what the secret variable NAME would hold: Docker, Kubernetes and systemd hand over
secrets like this. One rule for all: the program's own, the keys of models, and what the tables of agents name. This
module never shows what a file holds, and never prefers one of two values. It stands on the lowest floor and imports
next to nothing, since every command reads its settings by it.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

SUFFIX = "_FILE"
BYTES_MAX = 64_000
ENV_FILE = Path(".env")
"""In the working directory."""


class SecretError(ValueError):
    """A secret cannot be read; the message says what to do."""


def variable(name: str) -> str:
    """The secret, from the environment, `.env`, or its file; empty: not set. Raises SecretError."""
    given = env_file()[0] | {key: text for key, text in os.environ.items() if text}
    return secret_of(name, given.get(name, ""), given.get(f"{name}{SUFFIX}", ""))


def secret_of(name: str, value: str, path: str) -> str:
    """The secret: `value`, or what the file at `path` holds, without line breaks at its end. Raises SecretError.

    `value` is that of the variable NAME, `path` that of NAME_FILE; either may be empty.
    """
    if not path:
        return value
    if value:
        raise SecretError(f"{name} and {name}{SUFFIX} are both set: leave one of them out.")
    try:
        with Path(path).expanduser().open("rb") as file:
            text = file.read(BYTES_MAX + 1).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SecretError(f"{name}{SUFFIX} names {path!r}, which cannot be read: {_why(error)}.") from None
    except (RuntimeError, ValueError):
        raise SecretError(f"{name}{SUFFIX} names {path!r}, which is no path.") from None
    if not text or len(text) > BYTES_MAX:
        wrong = "is empty" if not text else f"has more than {BYTES_MAX:,} bytes"
        raise SecretError(f"{name}{SUFFIX} names {path!r}, which {wrong}.")
    return text


def env_file() -> tuple[dict[str, str], list[str]]:
    """The variables in `.env` of the working directory, if it exists and can be read, and its problems."""
    path = ENV_FILE
    if not path.is_file():
        return {}, []
    from dotenv import dotenv_values  # not at the top: in production, there is no such file
    from dotenv.parser import parse_stream

    try:
        lines = parse_stream(io.StringIO(path.read_text(encoding="utf-8")))
        bad = [line.original.line for line in lines if line.error]
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f".env cannot be read: {_why(error)}."]
    if bad:
        # The line itself is not shown: it may hold a secret.
        return {}, [f".env: line {number} is not NAME=value." for number in bad]
    return {name: value for name, value in dotenv_values(path).items() if value}, []


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror)
