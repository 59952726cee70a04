"""Checks with Slack that we can reach the channels and people in the team file. It changes nothing.

It reads each channel's history, which shows whether the channel exists and whether we are in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from channels.base import ChannelUnavailable
from channels.slack.events import Installation
from channels.slack.refusals import CALL_FAILED, code_of

CALLS_AT_ONCE = 8
CHECK_SECONDS_MAX = 20.0
"""Timeout of all checks together."""


async def unreachable(
    client: AsyncWebClient, me: Installation, named: Mapping[str, str], deciders: Collection[str]
) -> tuple[list[str], list[str]]:
    """(problems with what to do, failed checks), a line for each.

    `named`: ids of channels and people, with their place in the team file. `deciders`: the ids of people who decide.
    """
    gate = asyncio.Semaphore(CALLS_AT_ONCE)
    deadline = asyncio.get_running_loop().time() + CHECK_SECONDS_MAX
    wrong: dict[str, str] = {}
    unsaid: dict[str, str] = {}

    async def look(identifier: str) -> None:
        try:
            async with asyncio.timeout_at(deadline), gate:
                if identifier.startswith(("U", "W")):
                    problem = await _person(client, me, identifier, decides=identifier in deciders)
                else:
                    problem = await _channel(client, identifier)
            if problem:
                wrong[identifier] = problem
        except SlackApiError as error:
            unsaid[identifier] = code_of(error)
        except CALL_FAILED as error:
            unsaid[identifier] = str(error)[:200] or "no answer in time"

    await asyncio.gather(*map(look, named))
    return (
        [f"{one} ({where}) {wrong[one]}" for one, where in named.items() if one in wrong],
        [f"{one} ({where}) was not checked: {unsaid[one]}." for one, where in named.items() if one in unsaid],
    )


async def _channel(client: AsyncWebClient, channel: str) -> str:
    try:
        await client.conversations_history(channel=channel, limit=1)
    except SlackApiError as error:
        code = code_of(error)
        if code not in ("not_in_channel", "channel_not_found"):
            raise
        invite = f"say `/invite @{(await client.auth_test())['user']}` there"
        if code == "not_in_channel":
            return f"is a channel that I am not in: {invite}."
        # Slack does not distinguish these two cases.
        return f"is no channel, or a private one that I am not in: correct the id, or {invite}."
    return ""


async def _person(client: AsyncWebClient, me: Installation, user_id: str, *, decides: bool) -> str:
    try:
        answer: Any = await client.users_info(user=user_id)
    except SlackApiError as error:
        if code_of(error) not in ("user_not_found", "user_not_visible"):
            raise
        return "is not a member of this workspace: copy the member ID from their profile."
    user = answer["user"]
    if user.get("deleted"):
        return "has left this workspace: take them out."
    if user.get("is_bot"):
        return "is an app: name a person."
    guest = user.get("is_restricted") or user.get("is_ultra_restricted")
    if decides and (guest or user.get("is_stranger") or user.get("team_id") != me.team):
        what = "a guest" if guest else "of another workspace"
        return f"is {what}, and only full members decide: take them out, or have them made one."
    return ""


async def member_of(client: AsyncWebClient, email: str) -> tuple[str, str] | None:
    """The id and the name of whoever has this address in the workspace. Raises ChannelUnavailable."""
    try:
        answer: Any = await client.users_lookupByEmail(email=email)
    except SlackApiError as error:
        if code_of(error) == "users_not_found":
            return None
        raise ChannelUnavailable(f"Slack does not look up people by their address: {code_of(error)}.") from None
    except CALL_FAILED as error:
        raise ChannelUnavailable(f"Cannot reach Slack at {client.base_url}: {error}.") from None
    user = answer["user"]
    return str(user["id"]), str(user.get("real_name") or user.get("name") or "")
