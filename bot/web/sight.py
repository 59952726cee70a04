"""Which threads a caller of the HTTP API may see. What it may not see does not exist for it: 404, in every route.

A conversation is private unless the team file names its place (`bot.team.named_places`). A token's `threads` says:

- `own`: what it, or its owner, began;
- `shared`: also what is at a place of the team, what it takes part in (wrote, decided, forked), and, with the scope
  decide, what a group of its owner is or was asked to approve;
- `all`: everything, the private conversations of others too. Nothing but this word in the team file gives that.

Whose words those are, a thread's log says by the addresses of those who wrote. A list knows the first ten of them and
the open request (`store.rows.Row`); one thread is judged by its whole log. `agents` of a token narrows all of this.
"""

from __future__ import annotations

from dataclasses import replace

from bot.team.named_places import NamedPlaces
from bot.web.callers import Caller
from store.authority.terms import ANYONE, TEAM
from store.index import groups_of, people_of, row_of
from store.rows import Row
from store.thread import Thread
from store.values import Place


def may_see(caller: Caller, row: Row, places: NamedPlaces) -> bool:
    """The one judge: of a list by the rows of the index, of one thread by `whole_row`."""
    token = caller.token
    if not token.covers(row.agent):
        return False
    people, first = [address.lower() for address in row.people], [name.lower() for name in row.requester]
    match token.threads:
        case "all":
            return True
        case "own":
            # A display name is among those who asked first, so that alone proves nothing; and a machine may have.
            return not caller.addresses.isdisjoint(people[:1]) and not caller.addresses.isdisjoint(first)
        case "shared":
            return (
                places.share(Place(channel=row.channel, address=row.address))
                or not caller.addresses.isdisjoint(people)
                or ("decide" in token.scopes and not _groups(caller).isdisjoint(row.groups))
            )


def whole_row(thread: Thread) -> Row:
    """The row of a thread with everybody who takes part, and the groups of all its requests, not only the open one."""
    asked = [step.request for step in thread.state.steps.values() if step.request]
    groups = dict.fromkeys(group for request in asked for group in groups_of(request))
    return replace(row_of(thread), people=tuple(people_of(thread)), groups=tuple(groups))


def _groups(caller: Caller) -> frozenset[str]:
    """The groups of a request that its owner may decide. A machine decides nothing."""
    return frozenset({ANYONE, TEAM, *caller.groups}) if caller.person.member else frozenset()
