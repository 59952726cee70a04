"""Writes a person into the text of the team file: what people wrote there stays, comments and order included.

It gives the new text and writes no file. Whether the program takes it, `bot.team.file` and `bot.team.check` say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from bot.team.file import Team
from bot.team.problems import SettingsError
from store.authority.terms import TEAM

Fields = Mapping[str, str | list[str]]
"""Of `bot.team.people.Member`."""


def enrolled(text: str, key: str, fields: Fields, *, group: str = "") -> str:
    """The text with these fields in `[people.KEY]`. `group`: also of the rule that `only_rule` means.

    Raises SettingsError.
    """
    try:
        document = tomlkit.parse(text)
        if group:
            rules = document["rule"]
            assert isinstance(rules, AoT)
            rules[0]["group"] = group
        if key in document.get("people", {}):
            for name, value in fields.items():
                document["people"][key][name] = value
            return _without_examples(document.as_string(), key, fields)
        added = f"{document.as_string().rstrip()}\n\n{tomlkit.dumps({'people': {key: dict(fields)}})}"
        tomlkit.parse(added)
    except (TOMLKitError, TypeError) as error:
        raise SettingsError([f"the team file cannot be changed ({error}): add [people.{key}] yourself."]) from None
    return added


def only_rule(team: Team) -> bool:
    """Whether one rule stands for everything, and whoever is in `[people]` may approve by it."""
    return len(team.rule) == 1 and team.rule[0].group == TEAM


def _without_examples(text: str, key: str, fields: Fields) -> str:
    """Without the commented lines that show how to write what now stands there."""
    return "".join(_kept(text.splitlines(keepends=True), f"[people.{key}]", fields))


def _kept(lines: list[str], header: str, fields: Fields) -> Iterator[str]:
    inside = False
    for line in lines:
        if line.startswith("["):
            inside = line.strip() == header
        example = re.match(r"# (\w+) = ", line)
        if not (inside and example and example[1] in fields):
            yield line
