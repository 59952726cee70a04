"""Where the store is: the few settings that a list of threads needs, read without importing what reads them all.

Whatever is not plain (a file of variables, a secret in a file, a value that is wrong) is left to `bot.settings`, which
reads it, or says what is wrong with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast, get_args
from urllib.parse import urlsplit

Durable = Literal["", "disk", "replica"]
SCHEMES = ("redis", "rediss", "unix")
LEASE_SECONDS_MIN, LEASE_SECONDS_MAX = 1, 600


class StoreSettings(Protocol):
    """The part of `bot.settings.Settings` that opens a store."""

    @property
    def redis_url(self) -> str: ...

    @property
    def bot_home(self) -> Path: ...

    @property
    def bot_lease_seconds(self) -> float: ...

    @property
    def durable_before_acting(self) -> Durable: ...


@dataclass(frozen=True, slots=True)
class PlainSettings:
    redis_url: str = ""
    bot_home: Path = Path(".bot")
    bot_lease_seconds: float = 15
    durable_before_acting: Durable = ""


DEFAULT = PlainSettings()


def plain_settings(environment: Mapping[str, str] = os.environ) -> PlainSettings | None:
    """None: `bot.settings` has to read them."""
    given = {name.lower(): value for name, value in environment.items() if value}
    if "redis_url_file" in given or Path(".env").is_file():
        return None
    try:
        url = given.get("redis_url", "")
        parts, durable = urlsplit(url), given.get("durable_before_acting", "")
        _ = parts.port
        seconds = float(given.get("bot_lease_seconds", DEFAULT.bot_lease_seconds))
        home = Path(given.get("bot_home", DEFAULT.bot_home)).expanduser()
    except (ValueError, RuntimeError):
        return None
    is_url = not url or parts.scheme in SCHEMES
    if not (is_url and LEASE_SECONDS_MIN <= seconds <= LEASE_SECONDS_MAX and durable in get_args(Durable)):
        return None
    return PlainSettings(url, home, seconds, cast(Durable, durable))
