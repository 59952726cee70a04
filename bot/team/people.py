"""The team file's directory of people: says which member somebody is, by what they were authenticated with.

That is an API token, a login at a terminal or at GitHub, a Slack id or a mail address. Names are ignored, because
people choose them freely: display names, and also what somebody types at a terminal. It does not judge how a person was
authenticated: that is `Person.trust`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import combinations
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ConfigDict

from bot.team.tokens import Token
from channels.email.identity.senders import is_plain_address
from store.authority.terms import ANYONE, TEAM
from store.authority.words import MACHINE
from store.values import Person

LOGIN_CHARS_MAX = 300
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
"""Lower case and no @, so that a key is never a Slack id or a mail address."""
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_SLACK = re.compile(r"[UW][A-Z0-9]{2,30}")
_LOGIN = re.compile(r"[^\s@]+(@[^\s@]+)*")
_GITHUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}")


def _email(address: str) -> str:
    if not is_plain_address(address):
        raise ValueError("must be one plain address, such as kim@example.com")
    return address.lower()


def _slack_id(text: str) -> str:
    if text and not _SLACK.fullmatch(text):
        raise ValueError(f"must be a Slack member ID, such as U0123456, not {text[:40]!r}: see their Slack profile")
    return text


def _group(name: str) -> str:
    if name in (ANYONE, TEAM):
        raise ValueError(f"must not contain {name!r}: its members are fixed")
    if not _GROUP.fullmatch(name):
        raise ValueError(f"must be a name of letters, digits, . _ and -, not {name[:40]!r}")
    return name


def _login(text: str) -> str:
    if len(text) > LOGIN_CHARS_MAX or not _LOGIN.fullmatch(text):
        raise ValueError(f"must be an OS user (dex) or one on one host (dex@build-1), not {text[:40]!r}")
    user, at, host = text.rpartition("@")
    return f"{user}@{host.lower()}" if at else text


def _github(text: str) -> str:
    if text and not _GITHUB.fullmatch(text):
        raise ValueError(f"must be their login at GitHub, such as octocat, not {text[:40]!r}")
    return text


def github_address(login: str) -> str:
    """What somebody is known by whom GitHub has named. Nobody gets in by it: GitHub only says who began something."""
    return f"github:{login.lower()}"


@dataclass(frozen=True)
class Member:
    """One person of the team file."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str = ""
    """Default: the key."""
    slack: Annotated[str, AfterValidator(_slack_id)] = ""
    """The Slack user id."""
    emails: tuple[Annotated[str, AfterValidator(_email)], ...] = ()
    groups: tuple[Annotated[str, AfterValidator(_group)], ...] = ()
    logins: tuple[Annotated[str, AfterValidator(_login)], ...] | None = None
    """Who they are at a terminal: an OS user (`dex`) on any host, or on one (`dex@build-1`). Default: the key.

    Empty: they are nobody at a terminal.
    """
    github: Annotated[str, AfterValidator(_github)] = ""
    """Their login at GitHub: what they begin there, they ask for."""

    @property
    def places(self) -> tuple[str, ...]:
        """Their private places, in the notation of `channels.places`; the fastest comes first."""
        return (*([f"slack:{self.slack}"] if self.slack else []), *(f"email:{one}" for one in self.emails))


def named(members: Mapping[str, Member]) -> dict[str, Member]:
    """The table `[people]`, with default names filled in."""
    return {key: replace(member, name=member.name.strip() or key) for key, member in members.items()}


def people_problems(members: Mapping[str, Member]) -> list[str]:
    """Invalid keys, and addresses that two people claim."""
    problems = []
    claims: dict[str, list[str]] = {}
    for key, member in members.items():
        if not _KEY.fullmatch(key) or key == MACHINE:
            problems.append(
                f"people holds {key[:60]!r}, which must consist of lower-case letters, digits, . _ and -, "
                f"and not {MACHINE}."
            )
        for address in _addresses(member):
            claims.setdefault(address, []).append(key)
    twice = [f"{' and '.join(keys)} both claim {address}" for address, keys in claims.items() if len(keys) > 1]
    twice += _shared_logins(members)
    return problems + [f"people must not overlap: {text}." for text in twice]


def _shared_logins(members: Mapping[str, Member]) -> Iterator[str]:
    """A login is one person's: otherwise one person at a terminal could count as two."""
    claims = [(key, login) for key, member in members.items() if _KEY.fullmatch(key) for login in _logins(key, member)]
    for (one, first), (other, second) in combinations(claims, 2):
        shorter, longer = sorted((first, second), key=len)
        if one != other and (shorter == longer or longer.rpartition("@")[0] == shorter):
            yield f"{one} and {other} both claim the login {longer}"


@dataclass(frozen=True)
class People:
    members: Mapping[str, Member] = field(default_factory=dict)
    """By key, as in `[people.KEY]`."""
    tokens: Mapping[str, Token] = field(default_factory=dict)
    """By name, as in `[tokens.NAME]`."""

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {address: key for key, member in self.members.items() for address in _addresses(member)}

    def identified(self, person: Person) -> Person:
        """The person with `member` and name from the team file, if it knows their token, login or address.

        It does not judge authenticity (`Person.trust`). An unverified person keeps the name that they gave.

        The mail address in somebody's Slack profile is not theirs, and is left out, where it belongs to a member with
        another Slack id: a company may give the address of somebody who left to somebody else.
        """
        key = self._key_of(person)
        owner = self._keys.get(_normal(person.email), "")
        is_theirs = not owner or owner == key or (not key and not self.members[owner].slack)
        key = key or (owner if is_theirs else "")
        name = self.members[key].name if key and person.trust == "verified" else ""
        email = person.email if is_theirs else ""
        return person.model_copy(update={"member": key, "name": name or person.name, "email": email})

    def _key_of(self, person: Person) -> str:
        """The member whose token, login or address this is; empty: nobody's."""
        if person.token:
            token = self.tokens.get(person.token)
            return token.owner if token and token.owner in self.members else ""
        if person.login:
            # The address was typed: it says only who they claim to be.
            key = self.by_login(person.login)
            return key if key == person.address else ""
        return self._keys.get(_normal(person.address), "")

    def still(self, person: Person) -> Person | None:
        """Somebody whom a log names, as they are known now. None: what they were known by is not theirs any more."""
        now = self.identified(person)
        if person.member and now.member != person.member:
            return None
        # Before [people] named anybody, every terminal was trusted.
        is_unknown_login = person.login and self.members and not now.member
        return None if is_unknown_login and person.trust == "verified" else now

    def decider(self, person: Person, at: datetime) -> Person | None:
        """As `still`, for somebody who decided: a token has to be one that decides."""
        token = self.tokens.get(person.token)
        if person.token and (token is None or "decide" not in token.scopes or at >= token.until):
            return None
        return self.still(person)

    def groups_of(self, person: Person) -> tuple[str, ...]:
        """The groups of an identified person."""
        member = self.members.get(person.member)
        return member.groups if member else ()

    def addresses_of(self, key: str) -> frozenset[str]:
        """All addresses of a member, in lower case, and their key."""
        return frozenset({key, *(address.lower() for address in _addresses(self.members[key]))})

    def by_login(self, login: str) -> str:
        """The key of the member who is at a terminal with this login (`USER@HOST`); empty: nobody."""
        here = {login, login.rpartition("@")[0]}
        return next((key for key, member in self.members.items() if here.intersection(_logins(key, member))), "")

    def group_names(self) -> set[str]:
        """The groups that have members."""
        return {group for member in self.members.values() for group in member.groups}

    def in_group(self, group: str) -> list[str]:
        """The keys of its members, in the order of the team file. Empty for `anyone`."""
        return [key for key, member in self.members.items() if group == TEAM or group in member.groups]

    def belongs(self, person: Person, group: str) -> bool:
        """Whether an identified person is in the group."""
        return group == ANYONE or person.member in self.in_group(group)

    def person(self, key: str) -> Person:
        """The member as a person, with their Slack id, or else their mail address, or else no address."""
        member = self.members[key]
        address = member.slack or next(iter(member.emails), "")
        return Person(name=member.name or key, address=address, member=key, trust="verified")


def _logins(key: str, member: Member) -> tuple[str, ...]:
    return (key,) if member.logins is None else member.logins


def _addresses(member: Member) -> Iterable[str]:
    github = github_address(member.github) if member.github else ""
    return {each for each in (member.slack, *map(_normal, member.emails), github) if each}


def _normal(address: str) -> str:
    """Mail addresses are compared ignoring case, ids exactly."""
    return address.lower() if "@" in address else address
