"""The text of a first team file: what was answered, and beside it what each part means. It writes no file.

Everything in it is as strict as can be: each deployment waits for an approval, by somebody whom the file names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from bot.team.schema import LINE
from store.authority.words import MACHINE

KEY_CHARS_MAX = 60


class FirstSite(NamedTuple):
    component: str
    environments: tuple[str, ...]
    """In their order."""
    repository: str
    deploy: tuple[str, ...]
    status: tuple[str, ...]


def team_file(site: FirstSite, login: str) -> str:
    """`login`: of whom it is for, `USER@HOST`."""
    return "\n".join([*_head(), *_environments(site), *_component(site), *_people(login), *_rules(), ""])


def agent_file(table: str, login: str) -> str:
    """A first file for an agent of the team's own. `table`: what stands in it for this agent."""
    return "\n".join([*_head_of_agents(), table, *_people(login), *_rules(), ""])


def _head_of_agents() -> Iterable[str]:
    yield LINE
    yield "# The agents of the team, and who approves what they do. `bot doctor` checks this file; docs/agents.md and"
    yield "# docs/policies.md have all that may stand here."
    yield ""


def _head() -> Iterable[str]:
    yield LINE
    yield "# What deploybot deploys, and who approves it. `bot doctor` checks this file; docs/site.md and"
    yield "# docs/policies.md have all that may stand here."
    yield ""


def _environments(site: FirstSite) -> Iterable[str]:
    yield "[agents.deploy.environments]"
    yield "# `after`: what is deployed here runs there first. Each deployment waits for an approval, but those to"
    yield '# an environment with approval = "none". Tests after it: test = ["/srv/bin/e2e", "{environment}"].'
    before = ""
    for name in site.environments:
        yield f"{_key(name)} = {{ after = {_toml(before)} }}" if before else f"{_key(name)} = {{}}"
        before = name
    yield ""


def _component(site: FirstSite) -> Iterable[str]:
    table = f"agents.deploy.components.{_key(site.component)}"
    yield f"[{table}]"
    yield f"repository = {_toml(site.repository)}"
    yield '# path = "folder"                      # where several components share the repository'
    for number, name in enumerate(site.environments):
        yield ""
        yield f"[{table}.targets.{_key(name)}]"
        if not number:
            yield "# Lists of arguments, never a shell line. {sha} is the full commit that was approved."
        yield f"deploy = {_toml(site.deploy)}"
        if not number:
            yield "# Prints what runs there: a full SHA, or JSON with sha, since and by."
        yield f"status = {_toml(site.status)}"
    yield ""


def key_of(login: str) -> str:
    """Of the person in `[people]` whose login this is."""
    key = re.sub(r"[^a-z0-9._-]+", "-", login.rpartition("@")[0].lower()).strip(".-_")[:KEY_CHARS_MAX]
    return key if key and key != MACHINE else "me"


def _people(login: str) -> Iterable[str]:
    user = login.rpartition("@")[0]
    yield f"[people.{_key(key_of(login))}]"
    yield "# Everybody who may decide has such a table: where they are found, and their groups."
    yield f"logins = {_toml([user])}"
    yield '# slack = "U0123456789"'
    yield '# emails = ["dex@example.com"]'
    yield '# groups = ["release"]'
    yield ""


def _rules() -> Iterable[str]:
    yield "[[rule]]"
    yield "# Who approves what: the first rule that matches a call holds, and this one matches each."
    yield 'tool = "*"'
    yield 'group = "team"                         # everybody in [people]; or one of their groups'
    yield "# quorum = 2                           # so many different people"
    yield "# requester_may = false                # nobody who asked for it may approve it"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: str | Iterable[str]) -> str:
    """JSON strings are TOML strings, except that TOML requires DEL to be escaped."""
    whole = value if isinstance(value, str) else [*value]
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")
