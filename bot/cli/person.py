"""Who is at the terminal: the person whose messages and decisions a command records."""

from __future__ import annotations

import getpass
import os

from bot.cli import exits
from store.values import Person

NAME_CHARS_MAX = 100

PROOF = "terminal"
"""How people are authenticated here: see `me`."""


def me(name: str) -> Person:
    """The person at the terminal, from `--as` or their login. Raises Misused."""
    if (name and not name.strip()) or len(name) > NAME_CHARS_MAX:
        raise exits.Misused(f"--as takes a name of 1 to {NAME_CHARS_MAX} characters.")
    login = name.strip()
    if not login:
        try:
            login = getpass.getuser()
        except (KeyError, OSError):
            login = f"uid-{os.getuid()}"
    # Verified, because everybody who can run commands here can read and write the store anyway.
    return Person(name=login, address=login, trust="verified")
