"""The terms of a request (who may decide it, and until when), and the one judge of decisions.

Terms are written into a request when it is made, from the team file of that moment, and its digest covers them. Times
are instants, and each decision records the groups that the person was in, so the meaning of a log does not change with
the team file. The fold, the inbox and every channel ask this module.

With `requester_may = false` nobody gets their own request through alone. Some requesters cannot be told apart from the
people who may approve: a machine's token, an address that is in no entry of the team file, a name typed at a terminal,
an unverified message, whoever wrote a text without a known author. Each of these may be any approver
(`Terms.strangers`), so one approval proves nothing: it may be the requester's own. Two approvals by different people
prove enough, because at most one of them is that requester. So such a request takes two approvals where its rule asks
for one (`asked_by`), and no standing approval decides it.

It takes no more than two, however many strangers there are. Two entitled people who ask under other names and both
approve have agreed on it; and otherwise anybody could stop a request by writing under many names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from store.values import Person

ANYONE = "anyone"
"""The group of every person whom a channel has verified."""
TEAM = "team"
"""The group of every person in the team file."""

Way = Literal["slack", "link", "page", "mail", "terminal", "api"]
"""By which way a decision comes: a click in Slack, the link in a mail, a page after a login, a reply by mail, a command
at a terminal, the HTTP API."""

QUORUM_OF_STRANGERS = 2
"""How many different people must approve where a requester may be one of them."""

Judgement = Literal["valid", "not_entitled", "expired"]


class Terms(BaseModel):
    """`ApprovalRequested.policy`. The defaults match logs written before there were policies."""

    # A stricter rule of a newer version must not be ignored.
    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str = ANYONE
    quorum: int = 1
    """How many different people must approve. One rejection is enough."""
    requester_may: bool = True
    """Whether a requester may also approve."""
    requesters: tuple[str, ...] = ()
    """`names_of` all requesters (see `store.authority.words`)."""
    strangers: tuple[str, ...] = ()
    """Requesters who may be one of the approvers, in words. Empty where that does not matter."""
    remind_at: AwareDatetime | None = None
    widen_at: AwareDatetime | None = None
    """The escalation: from then on the group `then` may decide as well."""
    then: str = ""
    expires_at: AwareDatetime | None = None
    """From then on the request can neither be decided nor executed."""
    standing: str = ""
    """The id of the standing approval that decides it; empty: none."""
    decide_by: tuple[str, ...] = ()
    """The ways by which decisions count. Empty: all of them."""


NOBODY = Terms(group="", quorum=1_000_000)
"""The terms of a request whose policy this version cannot read."""


def terms_of(policy: Mapping[str, Any]) -> Terms:
    """The terms in a request. Never raises: under unreadable terms nobody may decide."""
    try:
        return Terms.model_validate(policy)
    except ValidationError:
        return NOBODY


def names_of(person: Person) -> frozenset[str]:
    """All identifiers of a person; two persons who share one are the same person.

    A log may hold a person from before the team file or the channel supplied the others. Display names do not count.
    Whoever gives several names at one terminal is one person.
    """
    # A prefix, since OS users and hosts are not given out by us: one may look like somebody's mail address.
    login = f"login:{person.login}" if person.login else ""
    return frozenset(filter(None, (person.member, person.address.lower(), person.email.lower(), login)))


def asked_by(terms: Terms, requesters: tuple[str, ...], strangers: tuple[str, ...]) -> Terms:
    """The terms for a call of these requesters: how many have to approve depends on who asked for it."""
    if terms.requester_may:
        return terms.model_copy(update={"requesters": requesters})
    quorum = max(terms.quorum, QUORUM_OF_STRANGERS) if strangers else terms.quorum
    return terms.model_copy(update={"requesters": requesters, "strangers": strangers, "quorum": quorum})


def judge(
    terms: Terms,
    by: Person,
    groups: Iterable[str],
    at: datetime,
    *,
    approved: bool,
    widened: bool,
    way: str,
    standing: str = "",
) -> Judgement:
    """Whether a decision is valid under these terms: in time, by an entitled person, and by a way that counts.

    `groups` are the person's groups at the time; `way` is empty in older logs; `standing` is the id of the standing
    approval that decides.
    """
    if not _entitled(terms, by, frozenset(groups), approved=approved, widened=widened, standing=standing):
        return "not_entitled"
    if not counts_by(terms, way):
        return "not_entitled"
    return "expired" if has_expired(terms, at) else "valid"


def counts_by(terms: Terms, way: str) -> bool:
    """Whether decisions by this way count."""
    return not terms.decide_by or way in terms.decide_by


def has_expired(terms: Terms, at: datetime) -> bool:
    return terms.expires_at is not None and at >= terms.expires_at


def is_requester(terms: Terms, person: Person) -> bool:
    """Whether the person is one of the requesters."""
    return not names_of(person).isdisjoint(terms.requesters)


def why_two(terms: Terms) -> str:
    """Why one approval is not enough, for people; empty: it is, or the rule itself asks for more."""
    if not terms.strangers:
        return ""
    names = ", ".join(terms.strangers)
    return (
        "Two different people have to approve, because the team file does not say who wrote some of the words that led "
        f"to this ({names}): it may have been one of the approvers."
    )


def may_stand(terms: Terms, by: Person) -> bool:
    """Whether a standing approval of this person may decide, as far as the requesters are concerned."""
    return terms.requester_may or not (terms.strangers or is_requester(terms, by))


def _entitled(
    terms: Terms, by: Person, groups: frozenset[str], *, approved: bool, widened: bool, standing: str
) -> bool:
    if by.trust != "verified" or not terms.group:
        return False
    if approved and not terms.requester_may and is_requester(terms, by):
        return False
    if terms.standing or standing:
        return standing == terms.standing and may_stand(terms, by)
    may = {terms.group, terms.then} if widened and terms.then else {terms.group}
    return ANYONE in may or (TEAM in may and bool(by.member)) or not may.isdisjoint(groups)
