"""The configuration: reads the environment and the team file, and reports all problems of them together.

It builds no agent and no channel (`bot.app` does), so whoever imports it imports no library of a channel or a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.settings import Settings, environment
from bot.team.file import Team, inspect_team, team_path
from bot.team.problems import SettingsError
from channels import places, terminal
from channels.email import place as email_place
from channels.slack import place as slack_place
from channels.webhook import place as webhook_place

# Every channel registers the grammar of its places here.
places.register(slack_place.GRAMMAR, email_place.GRAMMAR, webhook_place.GRAMMAR, terminal.GRAMMAR)


@dataclass(frozen=True)
class Setup:
    """The configuration: of the machine (`settings`), and of the team."""

    settings: Settings
    team: Team = field(default_factory=Team)

    @property
    def team_folder(self) -> Path:
        """The folder of the team file, which may hold `agents/`."""
        return team_path(self.settings.bot_config).parent


Check = Callable[[Setup], list[str]]
"""Returns problems."""


def load(*checks: Check, if_wrong: Sequence[Check] = (), draft: Mapping[str, str] | None = None) -> Setup:
    """The setup. Raises SettingsError with all problems at once, including those that `checks` find.

    `if_wrong`: further checks, only for the case that something is wrong anyway. `draft`: variables that are not set
    yet.
    """
    settings, problems, wrong = environment(draft)
    team = Team()
    try:
        if "bot_config" not in wrong:
            team, found = inspect_team(settings.bot_config)
            problems += found
    except SettingsError as error:
        problems += error.problems
    setup = Setup(settings, team)
    for check in checks:
        problems += check(setup)
    for check in if_wrong if problems else ():
        problems += check(setup)
    if problems:
        raise SettingsError(problems)
    return setup
