"""Who may decide a request, and until when: the terms that stand in it, and the one place that judges by them.

Terms are written when a request is made, from what the team file says then, and are bound by its digest. Times are
instants, and whoever decides is recorded with the groups they were in; so what a log means does not change with the
team file. The fold, the inbox and every channel ask here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from store.values import Person

ANYONE = "anyone"
"""A group that everybody is in of whom a channel says for sure who they are."""
TEAM = "team"
"""A group that everybody is in whom the team file knows."""

Judgement = Literal["valid", "not_entitled", "expired"]


class Terms(BaseModel):
    """`ApprovalRequested.policy`. The field's defaults are those of a log from before there were policies."""

    # A newer version's stricter rule must not be overlooked.
    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str = ANYONE
    quorum: int = 1
    """Approvals that it takes, of different people. One rejection is enough."""
    requester_may: bool = True
    """Who asked for it may approve it too."""
    requesters: tuple[str, ...] = ()
    """`names_of` everybody whose words led to it."""
    remind_at: AwareDatetime | None = None
    widen_at: AwareDatetime | None = None
    """From then on the group `then` may decide as well."""
    then: str = ""
    expires_at: AwareDatetime | None = None
    """From then on nothing is decided or begun by it."""
    standing: str = ""
    """The standing approval that it is approved by."""


NOBODY = Terms(group="", quorum=1_000_000)
"""Of a request whose policy this version cannot read."""


def terms_of(policy: Mapping[str, Any]) -> Terms:
    """Never raises: what cannot be read lets nobody decide."""
    try:
        return Terms.model_validate(policy)
    except ValidationError:
        return NOBODY


def names_of(person: Person) -> frozenset[str]:
    """Everything that a person is known by; two who share one of these are one person.

    A person may be met before the team file, or their channel, tells who else they are. What people call themselves
    says nothing.
    """
    return frozenset(filter(None, (person.member, person.address.lower(), person.email.lower())))


def judge(
    terms: Terms,
    by: Person,
    groups: Iterable[str],
    at: datetime,
    *,
    approved: bool,
    widened: bool,
    standing: str = "",
) -> Judgement:
    """Whether a decision counts by these terms: in time, by somebody who may.

    `groups` are those that the person was in then; `standing` names the standing approval that decides.
    """
    if not _entitled(terms, by, frozenset(groups), approved=approved, widened=widened, standing=standing):
        return "not_entitled"
    return "expired" if has_expired(terms, at) else "valid"


def has_expired(terms: Terms, at: datetime) -> bool:
    return terms.expires_at is not None and at >= terms.expires_at


def led_to_it(terms: Terms, person: Person) -> bool:
    """The person's words are among those that led to the request."""
    return not names_of(person).isdisjoint(terms.requesters)


def _entitled(
    terms: Terms, by: Person, groups: frozenset[str], *, approved: bool, widened: bool, standing: str
) -> bool:
    if by.trust != "verified" or not terms.group:
        return False
    if approved and not terms.requester_may and led_to_it(terms, by):
        return False
    if terms.standing or standing:
        return standing == terms.standing
    may = {terms.group, terms.then} if widened and terms.then else {terms.group}
    return ANYONE in may or (TEAM in may and bool(by.member)) or not may.isdisjoint(groups)
