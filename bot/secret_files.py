"""Secrets from files: `NAME_FILE` names a file that holds what the secret variable NAME would hold.

Docker, Kubernetes and systemd hand over secrets like this. One rule for all secrets: the program's own, and the keys of
models that the team file names. It never shows what a file holds, and never prefers one of two values.
"""

from __future__ import annotations

from pathlib import Path

from bot.team.problems import SettingsError, why

SUFFIX = "_FILE"
BYTES_MAX = 64_000


def secret_of(name: str, value: str, path: str) -> str:
    """The secret: `value`, or what the file at `path` holds, without line breaks at its end. Raises SettingsError.

    `value` is that of the variable NAME, `path` that of NAME_FILE; either may be empty.
    """
    if not path:
        return value
    if value:
        raise SettingsError([f"{name} and {name}{SUFFIX} are both set: leave one of them out."])
    try:
        with Path(path).expanduser().open("rb") as file:
            text = file.read(BYTES_MAX + 1).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{name}{SUFFIX} names {path!r}, which cannot be read: {why(error)}."]) from None
    except (RuntimeError, ValueError):
        raise SettingsError([f"{name}{SUFFIX} names {path!r}, which is no path."]) from None
    if not text or len(text) > BYTES_MAX:
        wrong = "is empty" if not text else f"has more than {BYTES_MAX:,} bytes"
        raise SettingsError([f"{name}{SUFFIX} names {path!r}, which {wrong}."])
    return text
