"""For `bot doctor`: what is missing at GitHub, or in the team file, for the environments that people decide on here.

It changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from agent import ToolError
from bot.door.deliveries import unnamed
from bot.door.reviews import Reviews
from bot.team.conditions import is_glob
from bot.team.github import place_for
from store.base import Store, StoreUnavailable

PERMISSIONS = {"deployments": "write", "actions": "read"}
EVENTS = ("deployment_protection_rule", "workflow_run")
SEE = "docs/github.md says how"
_STRENGTH = {"read": 1, "write": 2, "admin": 3}


async def problems_of(environments: Mapping[str, Mapping[str, str]], store: Store | None) -> list[str]:
    found = [text async for text in _not_named(environments, store)]
    try:
        return [*found, *[text async for text in _at_github(environments, Reviews())]]
    except ToolError as error:
        return [*found, f"github.environments: {error}"]


async def _at_github(environments: Mapping[str, Mapping[str, str]], reviews: Reviews) -> AsyncIterator[str]:
    app = await reviews.installation()
    if app is None:
        yield f"github.environments: GitHub takes answers from an app, and not from GITHUB_TOKEN; {SEE}."
        return
    for name, needed in PERMISSIONS.items():
        if _STRENGTH.get(app.permissions.get(name, ""), 0) < _STRENGTH[needed]:
            yield f"github.environments: the app lacks the permission {name.capitalize()} ({needed}); {SEE}."
    if missing := [event for event in EVENTS if event not in app.events]:
        yield f"github.environments: the app is not subscribed to {' and '.join(missing)}; {SEE}."
    for repository, within in environments.items():
        for environment in within:
            if is_glob(environment):
                continue
            rules = await reviews.rules(repository, environment)
            if rules is None:
                yield f"{repository} shows us no environment {environment}: is it there, and the app too?"
            elif not any(one.enabled and one.app.slug == app.app_slug for one in rules.custom):
                yield f"{environment} of {repository} lacks our app as a deployment protection rule: turn it on."


async def _not_named(environments: Mapping[str, Mapping[str, str]], store: Store | None) -> AsyncIterator[str]:
    try:
        asked = await unnamed(store) if store else []
    except StoreUnavailable:
        return  # That is said elsewhere.
    for repository, environment in asked:
        if not place_for(environments, repository, environment):
            yield (
                f"GitHub has asked for {environment} of {repository}, and nobody was asked here: name it in "
                f'[github.environments."{repository}"] with a place, or take the rule away there.'
            )
