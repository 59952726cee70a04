"""Formats commits, times and targets in the tools' results: the same keys in every list and every request.

It queries the repository for commits; it queries no target and starts nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from pydantic import JsonValue

from agent import Result, ToolError
from agent.roster.deploy.deployers.base import Running
from agent.roster.deploy.repository import Revision
from agent.roster.deploy.targets import TAGS_MAX, Targets

LISTED = 10
SHORT_CHARS = 7
NAME_CHARS_MAX = 50
"""Of a tag or a branch in a sentence."""
_PLAIN_NAME = re.compile(r"[\w./@+-]+")
CARRIED_OUT = ("command_runs", "carried_out_by")
"""What `Deployer.carried_out` may say."""
FOR_PEOPLE = frozenset({"link", "date", "since", "ref", "preview", *CARRIED_OUT})
"""The model gets these from the lists, with a template for links; a card shows each link in full."""
_OF_A_COMMIT = {
    "name": "version",
    "sha": "commit",
    "subject": "message",
    "author": "author",
    "date": "written",
    "ref": "found as",
    "link": "link",
}
LABELS: Mapping[str, str] = {
    "note": "careful",
    "failed_checks": "checks that FAILED",
    "new": "will run",
    **{f"new.{key}": label for key, label in _OF_A_COMMIT.items()},
    "pull_request": "by the pull request",
    "pull_request_link": "its page",
    "checks": "its checks",
    "adds": "what changes",
    "adds_more": "also",
    "takes_back": "what is taken back",
    "takes_back_more": "also",
    "running": "runs now",
    **{f"running.{key}": label for key, label in _OF_A_COMMIT.items()},
    "running.since": "since",
    "running.by": "deployed by",
    "running.url": "its run",
    "waived_by": "asked for all the same",
    "waived_by.by": "by",
    "waived_by.words": "with the words",
    "command_runs": "the command runs",
    "carried_out_by": "carried out by",
    "component": "component",
    "environment": "environment",
    "revision": "asked for as",
    "waiver": "quoted",
}
"""On a card, in this order."""


class CommitRow(Result):
    sha: str
    """Short."""
    date: str
    """To the minute."""
    author: str
    subject: str


async def described(targets: Targets, component: str, sha: str) -> dict[str, JsonValue]:
    """A commit with its details; only its SHA if the repository does not have it."""
    try:
        revision = (await targets.repository(component).revisions([sha])).get(sha)
        tags = await targets.tags(component, TAGS_MAX)
    except ToolError:
        revision, tags = None, []
    if revision is None:
        return {"sha": sha, "subject": "(not in the repository)"}
    names = [tag.name for tag in tags if tag.sha == sha]
    return {**shown(revision, targets, component), **({"name": names[0]} if names else {})}


def shown(revision: Revision, targets: Targets, component: str) -> dict[str, JsonValue]:
    fields: dict[str, JsonValue] = {"sha": revision.sha}
    if revision.name:
        fields["name"] = revision.name
    fields |= {"subject": revision.subject, "author": revision.author, "date": revision.date}
    if link := targets.link(component, revision.sha):
        fields["link"] = link
    return fields


def in_short(commit: JsonValue) -> str:
    """A commit, as `described` or `shown` made it, in a few words: `v1.3.0 (4af9ec0)`.

    A name with other characters than names usually have stands in quotes, so that it cannot continue the sentence.
    """
    assert isinstance(commit, dict)
    short, name = str(commit["sha"])[:SHORT_CHARS], str(commit.get("name", ""))
    if not name:
        return short
    clipped = name if len(name) <= NAME_CHARS_MAX else name[: NAME_CHARS_MAX - 1] + "…"
    return f"{clipped if _PLAIN_NAME.fullmatch(name) else json.dumps(clipped)} ({short})"


def row(revision: Revision) -> CommitRow:
    return CommitRow(sha=revision.short, date=revision.date[:16], author=revision.author, subject=revision.subject)


def links(targets: Targets, component: str) -> dict[str, JsonValue]:
    """The link template of a list: a link in each row would take more space than the rest of the row."""
    link = targets.link(component, "{sha}")
    return {"commit_link": link} if link else {}


def since_and_by(running: Running) -> dict[str, JsonValue]:
    return {key: value for key, value in (("since", running.since), ("by", running.by), ("url", running.url)) if value}
