"""Replaces what must not stand in a case: people, addresses, links, and a team's own names and revisions. Pure.

The same thing becomes the same placeholder everywhere, and where the site of the case has such a thing, its name: Ada
and Lin, the demo's components, environments, tags and commits. What looks like a secret is reported and not replaced:
nobody can be sure that all of it was seen.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PEOPLE = ("Ada", "Lin", "Kim", "Noa", "Sam", "Robin", "Uma", "Jo")
_PERSON_KEYS = frozenset({"name", "address", "trust"})
_DROPPED = frozenset(
    {"origin", "quoted", "receipt", "place", "asks", "then_asks", "approvers", "proof", "image", "host"}
)
"""Of an event: nothing of it is shown to the model."""
_NO_TEXT = frozenset(
    {"kind", "at", "until", "v", "intent", "effect", "by", "trust", "digest", "rules", "configuration"}
)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LINK = re.compile(r"https?://[^\s<>\"')\]]+")
_HANDLE = re.compile(r"\b[UWCDGTB][A-Z0-9]{8,}\b")
_IPV4 = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
_COMMIT = re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,40}\b")
_VERSION = re.compile(r"(?<![\w.])v?\d+\.\d+(?:\.\d+)?(?:-[\w.]+)?(?![\w.])")
_SECRETS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a cloud key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a token": re.compile(
        r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|sk-[\w-]{16,})"
    ),
    "a signed token": re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    "a password": re.compile(r"(?i)\b(?:password|passwd|secret|token|api[_-]?key)\b\s*[:=]\s*\S{6,}"),
    "a header that authorises": re.compile(r"(?i)\bauthorization\s*:\s*\S+|\bbearer\s+[\w.~+/-]{12,}"),
    "an address with a password": re.compile(r"\b\w+://[^\s/:@]+:[^\s/@]+@"),
}


@dataclass(frozen=True)
class Known:
    """The names of a site, in its order."""

    components: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    """Full SHAs."""


@dataclass
class Placeholders:
    """For one thread. `ours`: the names of its site, which become those of `site`."""

    ours: Known
    site: Known
    names: dict[str, str] = field(default_factory=dict)
    """Words of people, by what replaces them."""
    _given: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._sites = dict(zip(self.ours.components, self.site.components, strict=False))
        # From the end: the last environment is the one that matters most.
        last = zip(reversed(self.ours.environments), reversed(self.site.environments), strict=False)
        self._sites |= {ours: theirs for ours, theirs in last if ours not in self._sites}

    def meet(self, events: Sequence[Mapping[str, Any]]) -> None:
        """See first who takes part: their names stand in words too."""
        for event in events:
            for person in _people(event):
                self._person(person)

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The event without anything that must not stand in a case."""
        found = self._value("", {key: value for key, value in event.items() if key not in _DROPPED})
        assert isinstance(found, dict)
        return found

    def text(self, text: str) -> str:
        text = _LINK.sub(self._numbered("link", lambda n: f"https://example.com/{n}"), text)
        text = _MAIL.sub(lambda found: self.names.get(found[0].lower()) or self._mail(found), text)
        for word in sorted(self.names, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", self.names[word], text, flags=re.IGNORECASE)
        text = _HANDLE.sub(self._numbered("handle", lambda n: f"U{n:09}"), text)
        text = _IPV4.sub(self._numbered("address", lambda n: f"192.0.2.{n % 255}"), text)
        text = _COMMIT.sub(self._commit, text)
        text = _VERSION.sub(self._numbered("tag", lambda n: _nth(self.site.tags, n) or f"v0.0.{n}"), text)
        for ours in sorted(self._sites, key=len, reverse=True):
            text = re.sub(rf"(?<![\w-]){re.escape(ours)}(?![\w-])", self._sites[ours], text)
        return text

    def _mail(self, found: re.Match[str]) -> str:
        return self._numbered("mail", lambda n: f"someone{n}@example.com")(found)

    def _person(self, person: Mapping[str, Any]) -> None:
        identities = [str(person.get(key) or "") for key in ("name", "member", "address", "email", "login")]
        words = [word.lower() for word in identities if len(word) > 1]
        if not words:
            return
        known = next((self.names[word] for word in words if word in self.names), "")
        placeholder = known.partition("@")[0].capitalize() if known else self._next_person()
        for word in words:
            self.names.setdefault(word, f"{placeholder.lower()}@example.com" if "@" in word else placeholder)
        for part in re.findall(r"\w{3,}", str(person.get("name") or "").lower()):
            self.names.setdefault(part, placeholder)

    def _next_person(self) -> str:
        taken = {name.partition("@")[0].lower() for name in self.names.values()}
        left = (name for name in PEOPLE if name.lower() not in taken)
        return next(left, f"Person{len(taken)}")

    def _value(self, key: str, value: Any) -> Any:
        match value:
            case str() if key in _NO_TEXT:
                return value
            case str():
                return self.text(value)
            case {"name": str(), "trust": _} | {"name": str(), "address": _}:
                name = self.names.get(str(value["name"]).lower(), "Somebody")
                kept = {"name": name, "address": name.lower(), "trust": value.get("trust", "unverified")}
                return {one: kept[one] for one in kept if one in _PERSON_KEYS}
            case dict():
                return {self.text(name): self._value(name, one) for name, one in value.items() if name not in _DROPPED}
            case list():
                return [self._value(key, one) for one in value]
            case _:
                return value

    def _commit(self, found: re.Match[str]) -> str:
        """Of the same length; short and full names of a commit stay names of one."""

        def nth(number: int) -> str:
            return _nth(self.site.commits, number) or hashlib.sha1(str(number).encode()).hexdigest()  # noqa: S324

        given = self._given.setdefault("commit", {})
        if found[0][:7] not in given:
            given[found[0][:7]] = nth(len(given) + 1)
        return given[found[0][:7]][: len(found[0])]

    def _numbered(self, kind: str, placeholder: Callable[[int], str]) -> Callable[[re.Match[str]], str]:
        given = self._given.setdefault(kind, {})

        def replaced(found: re.Match[str]) -> str:
            if found[0] in given.values():
                return found[0]  # It is a placeholder.
            return given.setdefault(found[0], placeholder(len(given) + 1))

        return replaced


def _nth(names: Sequence[str], number: int) -> str:
    return names[number - 1] if number <= len(names) else ""


def _people(value: Any) -> Iterator[Mapping[str, Any]]:
    match value:
        case {"name": str(), "trust": _} | {"name": str(), "address": _}:
            yield value
        case dict():
            for one in value.values():
                yield from _people(one)
        case list():
            for one in value:
                yield from _people(one)


def secrets_in(text: str) -> list[str]:
    """What kinds of secrets this text seems to hold."""
    return [what for what, pattern in _SECRETS.items() if pattern.search(text)]
