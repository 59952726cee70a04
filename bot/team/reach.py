"""Checks whether a place can be reached: its channel must be set up, and its name too if the channel lists its places.

It checks places as people write them. The caller says which channels there are; only a channel parses its addresses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bot.team.names import unknown
from channels import places

Reach = Mapping[str, Collection[str] | None]
"""The channels that are set up, each with the names of its places; None: any valid place."""


def out_of_reach(place: str, reach: Reach) -> str:
    """Why the place cannot be reached, as text that follows its name; empty: it can."""
    channel, name = places.split(place)
    if channel not in reach:
        return f"{channel} is not set up."
    names = reach[channel]
    return "" if names is None or name in names else unknown(name, f"{channel} that is set up", names)
