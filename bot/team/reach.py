"""Where something can be said: the channels that are set up, and their places where those are set up one by one.

It judges places as people write them. Which channels there are, its callers say; what follows the name of a place, only
its channel knows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bot.team.names import unknown
from channels import places

Reach = Mapping[str, Collection[str] | None]
"""The channels that are set up, each with the names of its places; None: any that its grammar takes."""


def out_of_reach(place: str, reach: Reach) -> str:
    """Why nothing can be said at this place, to be read after it; empty: something can."""
    channel, name = places.split(place)
    if channel not in reach:
        return f"{channel} is not set up."
    names = reach[channel]
    return "" if names is None or name in names else unknown(name, f"{channel} that is set up", names)
