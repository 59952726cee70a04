"""Translates the policies of older team files into rules, so that the refusal of the old says the new.

`[policy.TOOL.SCOPE]` became `[[rule]]`. The text is for people to read and to put into the file; nothing here is
applied. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bot.team.conditions import ANY

SCOPE = "environment"
"""The argument that selected the policy, in every tool that shipped."""


def as_rules(policy: object) -> str:
    """What to do about such a table, in several lines: the rules that say the same, the most exact ones first."""
    tables = list(_tables(policy))
    if not tables:
        return 'policy is not known any more: who decides stands in [[rule]], with tool = "*" and a group.'
    tables.sort(key=lambda found: (found[0] == ANY, found[1] == ANY))
    lines = ["policy is not known any more. These rules say the same, the first that matches a call holds:"]
    for tool, scope, terms in tables:
        lines += ["[[rule]]", f"tool = {_toml(tool)}"]
        if scope != ANY:
            lines.append(f"when = {{ {SCOPE} = {_toml(scope)} }}")
        lines += (f"{name} = {_toml(value)}" for name, value in terms.items())
    return "\n".join(lines)


def _tables(policy: object) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for tool, scopes in policy.items() if isinstance(policy, Mapping) else ():
        for scope, terms in scopes.items() if isinstance(scopes, Mapping) else ():
            if isinstance(terms, Mapping):
                yield tool, scope, terms


def _toml(value: object) -> str:
    match value:
        case Mapping():
            return f"{{ {', '.join(f'{name} = {_toml(one)}' for name, one in value.items())} }}"
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            # JSON writes texts, numbers and truth values as TOML does, but for DEL.
            return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")
