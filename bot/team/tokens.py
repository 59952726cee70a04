"""`[tokens.NAME]` of the team file: whose token for the HTTP API it is, what it may do, what it sees, until when.

    [tokens.ana-laptop]
    sha256 = "…"                          # of the token: `printf %s TOKEN | sha256sum`
    owner = "ana"                         # a key of [people]; without one it is a machine, which never decides
    scopes = ["read", "write", "decide"]
    agents = ["deploy"]                   # default: all
    threads = "shared"                    # or "own", "all": `bot.web.sight` says what these are
    until = 2027-01-31                    # a date, counted in UTC, or an instant

The token itself stands nowhere. `BOT_API_TOKEN` is the machine `api`, which needs no table. This module judges no
request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bot.team.names import unknown, unknown_agent
from store.authority.words import MACHINE
from store.text import instant

Scope = Literal["read", "write", "decide"]
Threads = Literal["own", "shared", "all"]

FOREVER = datetime.max.replace(tzinfo=UTC)
ENDS_SOON = timedelta(days=7)
"""So long before its end, a token is reported."""
DIGITS_MIN = 8
"""A hash with fewer different digits was typed, not computed."""
WORDS = (
    *("", "0", "1", "123456", "12345678", "123456789", "1234567890", "abc", "abc123", "admin", "api", "api-token"),
    *("bot", "changeme", "change-me", "default", "demo", "deploy", "deploybot", "dev", "example", "foo", "hello"),
    *("key", "letmein", "my-own-token", "mysecret", "mytoken", "pass", "password", "production", "qwerty", "root"),
    *("secret", "slack", "staging", "test", "test-token", "test123", "testing", "token", "user", "x", "xxx"),
)
"""Tokens that anybody guesses; "test" was once an example in our own pages."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
_SHA256 = re.compile(r"([0-9a-f]{64})( +\*?-)?")
"""sha256sum prints the name of its input (`-`) after the digest."""


def _hash(text: str) -> str:
    found = _SHA256.fullmatch(text.strip().lower())
    if not found:
        # Do not show the value: it may be the token itself.
        raise ValueError("must be 64 hex digits, as `printf %s TOKEN | sha256sum` prints")
    return found[1]


def _until(value: object) -> datetime:
    match value:
        case datetime(tzinfo=None):
            raise ValueError("needs an offset, such as 2027-01-31T18:00:00Z")
        case datetime():
            return value
        case date() if value == date.max:
            return FOREVER
        case date():
            return datetime.combine(value + timedelta(days=1), time.min, UTC)
        case _:
            raise ValueError("must be a date, such as 2027-01-31, without quotes")


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("must name at least one")
    return values


class Token(BaseModel):
    """One `[tokens.NAME]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Annotated[str, AfterValidator(_hash)] = Field(repr=False)
    owner: str = ""
    """A key of [people]. Empty: a machine."""
    scopes: Annotated[tuple[Scope, ...], AfterValidator(_some)]
    agents: Annotated[tuple[str, ...], AfterValidator(_some)] | None = None
    """It sees and opens only threads of these; None: of all."""
    threads: Threads = "shared"
    until: Annotated[datetime, BeforeValidator(_until)]
    """From then on it is refused."""

    def covers(self, agent: str) -> bool:
        return self.agents is None or agent in self.agents


def sha256_of(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def with_machine(tokens: Mapping[str, Token], machine_token: str) -> dict[str, Token]:
    """The team's tokens, and the machine's own (`BOT_API_TOKEN`) if there is one."""
    if not machine_token:
        return dict(tokens)
    machine = Token(sha256=sha256_of(machine_token), scopes=("read", "write"), until=FOREVER.date())
    return {MACHINE: machine, **tokens}


@dataclass(frozen=True)
class Tokens:
    by_name: Mapping[str, Token] = field(default_factory=dict)

    def name_of(self, token: str) -> str:
        """The name of this token; empty: it is none of ours.

        Takes the same time for every token, so that timing reveals nothing.
        """
        given, found = sha256_of(token), ""
        for name, one in self.by_name.items():
            if token and hmac.compare_digest(given, one.sha256):
                found = name
        return found


def token_problems(tokens: Mapping[str, Token], people: Collection[str]) -> list[str]:
    """Problems of the tables, without the agents that they name. `people`: the keys of [people]."""
    problems = []
    weak = {sha256_of(word + ending) for word in WORDS for ending in ("", "\n")}
    for name, token in tokens.items():
        if not _NAME.fullmatch(name) or name == MACHINE:
            problems.append(
                f"tokens holds {name[:60]!r}, which must consist of lower-case letters, digits, . _ and -, "
                f"and not be {MACHINE}, which is BOT_API_TOKEN."
            )
        if len(set(token.sha256)) < DIGITS_MIN:
            problems.append(f"tokens.{name}.sha256 was typed, not computed: `printf %s TOKEN | sha256sum` prints it.")
        elif token.sha256 in weak:
            problems.append(
                f"tokens.{name}.sha256 is of a token that anybody guesses: make one with `openssl rand -hex 32`."
            )
        if token.owner and token.owner not in people:
            problems.append(f"tokens.{name}.owner: {unknown(token.owner, 'key of [people]', people)}")
        if "decide" in token.scopes and not token.owner:
            problems.append(f"tokens.{name} needs an owner, or no scope decide: machines do not decide.")
    names: dict[str, list[str]] = {}
    for name, token in tokens.items():
        names.setdefault(token.sha256, []).append(f"tokens.{name}")
    same = [found for found in names.values() if len(found) > 1]
    return problems + [f"{' and '.join(found)} are the same token: make one for each." for found in same]


def same_as_machine(tokens: Mapping[str, Token], machine_token: str) -> list[str]:
    """A token that is BOT_API_TOKEN too, so that nobody could say which one called."""
    found = [name for name, token in tokens.items() if machine_token and token.sha256 == sha256_of(machine_token)]
    return [
        f"tokens.{name} in the team file and BOT_API_TOKEN are the same token: make one for each." for name in found
    ]


def unknown_agents(tokens: Mapping[str, Token], agents: Collection[str]) -> Iterator[str]:
    for name, token in tokens.items():
        for agent in token.agents or ():
            if agent not in agents:
                yield f"tokens.{name}.agents in the team file: {unknown_agent(agent, agents)}"


def token_warnings(tokens: Mapping[str, Token], now: datetime) -> list[str]:
    """Tokens that have ended, or soon will."""
    return [
        f"tokens.{name} in the team file {'ended' if token.until <= now else 'ends'} at {instant(token.until)}: "
        "make a new one, or take it out."
        for name, token in tokens.items()
        if token.until <= now + ENDS_SOON
    ]
