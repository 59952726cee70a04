"""How commits, times and targets look in what the tools answer: the same keys in every list and every request.

It asks the repository what a commit is called; it asks no target and starts nothing.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue

from agent import Result, ToolError
from agent.roster.deploy.deployers.base import Running
from agent.roster.deploy.repository import Revision
from agent.roster.deploy.targets import Targets

LISTED = 10
FOR_PEOPLE = frozenset({"link", "date", "since"})
"""The lists tell the model these already, and how to link to a commit; a card has each link in full."""


class CommitRow(Result):
    sha: str
    """Short."""
    date: str
    """To the minute."""
    author: str
    subject: str


async def described(targets: Targets, component: str, sha: str) -> dict[str, JsonValue]:
    """A commit in full; its SHA alone where the repository does not have it."""
    repository = targets.repository(component)
    try:
        revision = await repository.resolve(sha)
    except ToolError:
        return {"sha": sha, "subject": "(not in the repository)"}
    names = [tag.name for tag in await repository.tags(50) if tag.sha == sha]
    return {**shown(revision, targets, component), **({"name": names[0]} if names else {})}


def shown(revision: Revision, targets: Targets, component: str) -> dict[str, JsonValue]:
    told: dict[str, JsonValue] = {"sha": revision.sha}
    if revision.name:
        told["name"] = revision.name
    told |= {"subject": revision.subject, "author": revision.author, "date": revision.date}
    if link := targets.link(component, revision.sha):
        told["link"] = link
    return told


def row(revision: Revision) -> CommitRow:
    return CommitRow(sha=revision.short, date=revision.date[:16], author=revision.author, subject=revision.subject)


def links(targets: Targets, component: str) -> dict[str, JsonValue]:
    """Told once for a whole list: a link in each row would take more room than the rest of it."""
    link = targets.link(component, "{sha}")
    return {"commit_link": link} if link else {}


def since_and_by(running: Running) -> dict[str, JsonValue]:
    return {key: value for key, value in (("since", running.since), ("by", running.by), ("url", running.url)) if value}


def minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
