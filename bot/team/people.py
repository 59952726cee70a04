"""Who people are: the team file's directory, which knows one person under all their addresses.

It never looks at a display name: people can call themselves what they like. How sure we are of somebody is not judged
here either: that is `Person.trust`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict

from channels.email.identity.senders import is_plain_address
from store.authority.terms import ANYONE, TEAM
from store.values import Person

MACHINE = "api"
"""Who calls the HTTP API with the installation's own token."""
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
"""Lower case and no @: so a key is nobody's Slack id and nobody's mail address."""
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_SLACK = re.compile(r"[UW][A-Z0-9]{2,30}")
_SHA256 = re.compile(r"([0-9a-f]{64})( +\*?-)?")
"""sha256sum names its input behind the digest: `-`."""


def _email(address: str) -> str:
    if not is_plain_address(address):
        raise ValueError("must be one plain address, such as dex@example.com")
    return address.lower()


def _slack_id(text: str) -> str:
    if text and not _SLACK.fullmatch(text):
        raise ValueError(f"must be a Slack member ID, such as U0123456, not {text[:40]!r}: it stands in their profile")
    return text


def _group(name: str) -> str:
    if name in (ANYONE, TEAM):
        raise ValueError(f"must not name {name!r}: its members are fixed")
    if not _GROUP.fullmatch(name):
        raise ValueError(f"must be a name of letters, digits, . _ and -, not {name[:40]!r}")
    return name


def _hash(text: str) -> str:
    found = _SHA256.fullmatch(text.strip().lower())
    if text and not found:
        # It is not shown: it may be the token itself.
        raise ValueError("must be 64 hex digits, as `printf %s TOKEN | sha256sum` gives")
    return found[1] if found else ""


@dataclass(frozen=True)
class Member:
    """One person of the team file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str = ""
    """In the team file: default is the key."""
    slack: Annotated[str, AfterValidator(_slack_id)] = ""
    """The Slack user id."""
    emails: tuple[Annotated[str, AfterValidator(_email)], ...] = ()
    groups: tuple[Annotated[str, AfterValidator(_group)], ...] = ()
    api_token_sha256: Annotated[str, AfterValidator(_hash)] = field(default="", repr=False)
    """In hex, of their token for the HTTP API."""

    @property
    def places(self) -> tuple[str, ...]:
        """Where they are reached alone, in the notation of `channels.places`; the first is what they see soonest."""
        return (*([f"slack:{self.slack}"] if self.slack else []), *(f"email:{one}" for one in self.emails))


def named(members: Mapping[str, Member]) -> dict[str, Member]:
    """The table `[people]`, each with a name."""
    return {key: replace(member, name=member.name.strip() or key) for key, member in members.items()}


def people_problems(members: Mapping[str, Member]) -> list[str]:
    """Every bad key, and every address that two claim."""
    problems = []
    claims: dict[str, list[str]] = {}
    for key, member in members.items():
        if not _KEY.fullmatch(key) or key == MACHINE:
            problems.append(
                f"people holds {key[:60]!r}, which must consist of lower-case letters, digits, . _ and -, "
                f"and not {MACHINE}."
            )
        # A hash is not shown either: people compare it with others.
        token = "an api_token_sha256" if member.api_token_sha256 else ""
        for address, shown in {
            **{address: address for address in _addresses(member)},
            **({member.api_token_sha256: token} if token else {}),
        }.items():
            claims.setdefault(address, [shown]).append(key)
    twice = [f"{' and '.join(keys)} both claim {shown}" for shown, *keys in claims.values() if len(keys) > 1]
    return problems + [f"people must not overlap: {text}." for text in twice]


@dataclass(frozen=True)
class People:
    members: Mapping[str, Member] = field(default_factory=dict)
    """By their key in the team file, `[people.KEY]`, which is also their name at a terminal."""

    @cached_property
    def _keys(self) -> dict[str, str]:
        found = {address: key for key, member in self.members.items() for address in _addresses(member)}
        return found | {key: key for key in self.members}

    def identified(self, person: Person) -> Person:
        """The person with `member` filled in, where the team file knows them, and by their name there.

        Whether they are who they say is not judged here: that is `Person.trust`. Who is not sure keeps the name that
        they gave.
        """
        address, email = _normal(person.address), _normal(person.email)
        key = self._keys.get(address) or self._keys.get(email) or ""
        name = self.members[key].name if key and person.trust == "verified" else ""
        return person.model_copy(update={"member": key, "name": name or person.name})

    def groups_of(self, person: Person) -> tuple[str, ...]:
        """Of an identified person."""
        member = self.members.get(person.member)
        return member.groups if member else ()

    def by_token(self, token: str) -> str:
        """The key of the member whose token for the HTTP API it is; empty: nobody's.

        It takes as long for any token, so that nobody can guess one by the time.
        """
        given = hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
        found = ""
        for key, member in self.members.items():
            if token and hmac.compare_digest(given, member.api_token_sha256.lower()):
                found = key
        return found

    def group_names(self) -> set[str]:
        """Those that somebody is in."""
        return {group for member in self.members.values() for group in member.groups}

    def in_group(self, group: str) -> list[str]:
        """Keys of its members, in the order of the team file. Of `anyone` nobody is known."""
        return [key for key, member in self.members.items() if group == TEAM or group in member.groups]

    def belongs(self, person: Person, group: str) -> bool:
        """Whether an identified person is in the group."""
        return group == ANYONE or person.member in self.in_group(group)

    def person(self, key: str) -> Person:
        """The member as whom a channel calls: by Slack id, or else by mail, or else by the name at a terminal."""
        member = self.members[key]
        address = member.slack or next(iter(member.emails), key)
        return Person(name=member.name or key, address=address, member=key, trust="verified")


def _addresses(member: Member) -> Iterable[str]:
    return {each for each in (member.slack, *map(_normal, member.emails)) if each}


def _normal(address: str) -> str:
    """Mail addresses are told apart by their letters, not by their case; ids as they are."""
    return address.lower() if "@" in address else address
