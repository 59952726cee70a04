"""Maps places to agents, as `[routes]` in the team file says.

It knows only names and places. Whether the agents exist is checked at startup, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from agent.roster import DEFAULT, default_of
from channels.email.identity.senders import plus_tag


@dataclass(frozen=True, slots=True)
class Routes:
    table: Mapping[str, str]
    """The id of a Slack channel, or one of our mail addresses in lower case -> the agent's name."""
    agents: Collection[str]
    """The agents that are set up."""
    is_ours: Callable[[str], bool] | None = None
    """Whether a mail address is one of ours; None: mail is not set up."""

    def of_place(self, place: str) -> str:
        return self.table.get(place, default_of(self.agents) or DEFAULT)

    def of_addresses(self, addresses: Sequence[str]) -> str:
        """The agent for mail to these addresses: by the routes, or bot+NAME@ for the agent NAME."""
        for address in addresses:
            if address.lower() in self.table:
                return self.of_place(address.lower())
            tag = plus_tag(address)
            if tag in self.agents and self.is_ours and self.is_ours(address):
                return tag
        return self.of_place("")
