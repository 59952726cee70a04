"""The names of a site as the stand-in reads them: only from the lines of `in_words` in the system prompt.

It finds the names in what people write, and knows what comes before what. It decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

_ENVIRONMENT = re.compile(r"^- ([a-z0-9_-]+)(?:, after ([a-z0-9_-]+))?: (?:no approval|people approve)", re.MULTILINE)
_COMPONENTS = re.compile(r"^- (\S+ \(.*\)): (.+)$", re.MULTILINE)
_COMPONENT = re.compile(r"(?:^|, )(\S+) \(")


@dataclass(frozen=True)
class Site:
    before: dict[str, str]
    """The environments in order, each with the one that comes before it."""
    targets: dict[str, tuple[str, ...]]
    """The components, each with its environments."""

    @property
    def last(self) -> str:
        return next(reversed(self.before), "")

    @property
    def help(self) -> str:
        one, first = next(iter(self.targets), "shop"), next(iter(self.before), "staging")
        return (
            f"I did not understand that. I can deploy (“deploy v1.2.0 to {self.last}”, “deploy {one} to {first}”), "
            f"roll back (“roll back {one} on {self.last}”) and tell what runs where (“status”)."
        )

    def components_in(self, words: str) -> tuple[str, ...]:
        """In the order in which the words name them."""
        return tuple(_names_in(words, self.targets))

    def environment(self, words: str, apart_from: Collection[str] = ()) -> str:
        """The first that the words name; empty: none."""
        return next((name for name in _names_in(words, self.before) if name not in apart_from), "")

    def up_to(self, environments: Iterable[str]) -> tuple[str, ...]:
        """These environments, and all that come before them."""
        found: dict[str, None] = {}
        for environment in environments:
            while environment and environment not in found:
                found[environment] = None
                environment = self.before.get(environment, "")
        return tuple(found)

    def all_before(self, component: str, environment: str) -> Iterator[str]:
        """The environments of the component that come before this one, the nearest first."""
        while environment := self.before.get(environment, ""):
            if environment in self.targets.get(component, ()):
                yield environment


def site_in(instructions: str) -> Site:
    _, _, lines = instructions.partition("\n# The site\n")
    return Site(
        dict(_ENVIRONMENT.findall(lines)),
        {
            name: tuple(environments.split(", "))
            for names, environments in _COMPONENTS.findall(lines)
            for name in _COMPONENT.findall(names)
        },
    )


def _names_in(words: str, known: Collection[str]) -> Iterator[str]:
    if known:
        names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))  # the longest that fits
        found = re.findall(rf"(?<![\w-])(?:{names})(?![\w-])", words, re.IGNORECASE)
        yield from dict.fromkeys(name.lower() for name in found)
