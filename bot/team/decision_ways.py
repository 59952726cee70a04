"""Checks the ways by which a rule lets decisions count (`decide_by`): whether they exist, and enough people have them.

It knows what the team file and the names of the channels say, and judges no decision. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.speech.requests import ways_in_words
from bot.team.people import People
from bot.team.reach import Reach
from bot.team.rules import Deciders
from bot.team.tokens import Token
from store.authority.terms import ANYONE, Way


def ways_problems(deciders: Deciders, people: People, tokens: Mapping[str, Token], reach: Reach) -> Iterator[str]:
    ways = deciders.decide_by or ()
    for number, way in enumerate(ways):
        if way in ways[:number]:
            yield f"decide_by names {way!r} twice."
        elif why := _never_comes(way, tokens, reach):
            yield f"decide_by names {way!r}, and {why}"
    groups = [group for group in (deciders.group, deciders.then) if group]
    if not ways or ANYONE in groups:
        return
    theirs = {key for group in groups for key in people.in_group(group)}
    can = [key for key in theirs if any(_can_decide(key, way, people, tokens) for way in ways)]
    if len(can) < deciders.quorum <= len(theirs):
        are = "1 person" if len(can) == 1 else f"{len(can)} people"
        yield f"quorum is {deciders.quorum}, but {are} in {' or '.join(groups)} can decide by {ways_in_words(ways)}."


def _never_comes(way: Way, tokens: Mapping[str, Token], reach: Reach) -> str:
    """Why no decision comes by this way; empty: some may."""
    match way:
        case "slack":
            return "" if "slack" in reach else "slack is not set up."
        case "mail" | "link":
            return "" if "email" in reach else "email is not set up."
        case "api":
            decides = any(token.owner and "decide" in token.scopes for token in tokens.values())
            return "" if decides else "no token in [tokens] has an owner and the scope decide."
        case "page":
            return "no page has a login yet; the page behind a link is link."
        case "terminal":
            return ""


def _can_decide(key: str, way: Way, people: People, tokens: Mapping[str, Token]) -> bool:
    member = people.members[key]
    match way:
        case "slack":
            return bool(member.slack or member.emails)
        case "mail" | "link":
            return bool(member.emails)
        case "api":
            return any(token.owner == key and "decide" in token.scopes for token in tokens.values())
        case "page":
            return False
        case "terminal":
            return True
