"""The secrets of the hooks: `BOT_HOOK_NAME_SECRET` in the environment, one or several, so that they can be changed.

A hook without a secret is not served: whoever knows its address could have anything deployed. Secrets are never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bot.settings import DIFFERENT_CHARS_MIN, SECRET_CHARS_MIN, Settings
from bot.setup import Setup
from bot.team.hooks import HookTable, kind_of, secret_variable
from bot.team.problems import SettingsError

SECRETS_MAX = 5


class Secrets(NamedTuple):
    of: Mapping[str, tuple[str, ...]]
    """By the hook's name; without those of which something is wrong."""
    problems: list[str]


def hook_secrets(settings: Settings, hooks: Mapping[str, HookTable]) -> Secrets:
    found: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for name, table in hooks.items():
        variable, kind = secret_variable(name), kind_of(name, table)
        try:
            secrets = tuple(settings.variable(variable).split())
        except SettingsError as error:
            problems += error.problems
            continue
        if not secrets and kind:
            why = f"so nobody could tell who posts to hooks.{name}: {kind.signed_with}"
            problems.append(f"{variable} is not set, {why}.")
        elif wrong := _wrong_with(secrets):
            problems.append(f"{variable} {wrong}")
        else:
            found[name] = secrets
    return Secrets(found, problems + _shared(found))


def secrets_missing(setup: Setup) -> list[str]:
    """What keeps the hooks from being served, and mail from coming in by one."""
    problems = hook_secrets(setup.settings, setup.team.hooks).problems
    kinds = [kind_of(name, table) for name, table in setup.team.hooks.items()]
    if setup.settings.email_inbound == "hook" and not any(kind and kind.is_mail for kind in kinds):
        problems.append("EMAIL_INBOUND is hook, and bot.toml has no hook of the kind email, so no mail could come in.")
    return problems


def variables_of(hooks: Iterable[str]) -> set[str]:
    return {secret_variable(name) for name in hooks}


def _wrong_with(secrets: tuple[str, ...]) -> str:
    """In words that follow the variable's name."""
    if len(secrets) > SECRETS_MAX:
        return f"holds {len(secrets)} secrets, divided by spaces; {SECRETS_MAX} are the most."
    if any(len(one) < SECRET_CHARS_MIN or len(set(one)) < DIFFERENT_CHARS_MIN for one in secrets):
        what = f"{SECRET_CHARS_MIN} characters or more, {DIFFERENT_CHARS_MIN} of them different"
        return f"must be {what}, such as `openssl rand -hex 32` prints."
    return ""


def _shared(found: Mapping[str, tuple[str, ...]]) -> list[str]:
    """What one service may say must not count as another's words."""
    names: dict[str, list[str]] = {}
    for name, secrets in found.items():
        for secret in dict.fromkeys(secrets):
            names.setdefault(secret, []).append(secret_variable(name))
    same = sorted({" and ".join(several) for several in names.values() if len(several) > 1})
    return [f"{each} hold the same secret: make one for each." for each in same]
