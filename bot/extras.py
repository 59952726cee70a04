"""The libraries that only some channels and agents need, by the extra of the package that installs them.

The program starts without them: a channel's modules are imported where the channel is set up. A channel that is set up
without its libraries is told by the name of the extra, not by a traceback; an agent looks for its own when it is built.
This module imports none of them.
"""

from __future__ import annotations

import functools
import importlib.util

from bot.team.problems import SettingsError

LIBRARIES = {
    "slack": ("slack_bolt", "slack_sdk", "markdown_it"),
    "email": ("aioimaplib", "aiosmtplib", "dkim", "dns", "lxml", "markdown_it"),
    "payments": ("stripe",),
    "github": ("githubkit", "hishel", "jwt"),
}
"""The modules that are imported, as in the optional dependencies of pyproject.toml."""


@functools.cache
def missing(extra: str) -> tuple[str, ...]:
    """What is missing, as one problem; empty: nothing."""
    absent = [name for name in LIBRARIES.get(extra, ()) if importlib.util.find_spec(name) is None]
    if not absent:
        return ()
    return (
        f"{extra.capitalize()} is set up, but its libraries are not installed ({', '.join(absent)}): "
        f"run pip install '.[{extra}]' in the folder of the program, or leave its settings out.",
    )


def require(extra: str) -> None:
    """Raises SettingsError."""
    if problems := missing(extra):
        raise SettingsError([*problems])
