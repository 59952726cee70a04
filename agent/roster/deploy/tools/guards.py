"""Refuses deployments that make no sense now, and checks the one way past: a waiver, which quotes a person.

It is asked twice: before people are, and when the deployment begins, since hours may lie between the two.

A waiver names a message and quotes it. Code checks that a verified person wrote these words in this thread; people see
who and which words, and approve the call or not. Whether the words mean it, people judge and not this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import takewhile

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from agent import Call, ToolError
from agent.roster.deploy.deployers.base import Running
from agent.roster.deploy.repository import Revision
from agent.roster.deploy.targets import TAGS_MAX, Targets
from agent.roster.deploy.tools.rows import in_short

QUOTE_CHARS_MAX = 300
_AND = ", and "


class Waiver(BaseModel):
    """Words of a person who wants it all the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: str = Field(description="the message's name, such as m7")
    words: str = Field(description="what they wrote there, quoted exactly")


@dataclass(frozen=True, slots=True)
class Danger:
    """Why a deployment is refused without a waiver."""

    what: str
    """For people and the model, after the revision."""
    instead: str
    """What would make sense, for the model."""


SAME = Danger(
    "runs there already", "If they want another revision, deploy that one. If not, there is nothing to deploy."
)
NEWER_MAX = 5
OLDER = Danger("is OLDER than what runs there", "To go back after a bad deployment, use rollback.")
OTHER_BRANCH = Danger("is on ANOTHER BRANCH than what runs there", "Ask which revision they mean.")
UNKNOWN = Danger("cannot be compared: what runs there is not in the repository", "Ask whether to replace it.")


async def dangers(
    targets: Targets, component: str, environment: str, new: str, running: Running | None
) -> list[Danger]:
    """Those of deploying the commit `new`, a full SHA, as of now."""
    found = []
    if running and (danger := await _compared(targets, component, new, running)):
        if danger is SAME:  # The rest would only distract.
            return [replace(SAME, instead=f"{await _newer(targets, component, new)}{SAME.instead}")]
        found.append(danger)
    if (before := targets.config.before(component, environment)) and not await _runs(targets, component, before, new):
        found.append(Danger(f"does NOT run on {before}, which comes before", f"Deploy it to {before} first."))
    return found


async def _newer(targets: Targets, component: str, sha: str) -> str:
    """A sentence about the commits after this one; empty: none of the newest is."""
    try:
        commits, tags = await targets.commits(component, NEWER_MAX + 1), await targets.tags(component, TAGS_MAX)
    except ToolError:
        return ""
    after = list(takewhile(lambda commit: commit.sha != sha, commits))
    if not after or len(after) == len(commits):
        return ""
    names = {tag.sha: tag.name for tag in tags}
    return f"Newer: {', '.join(in_short({'sha': one.sha, 'name': names.get(one.sha, '')}) for one in after)}. "


async def _compared(targets: Targets, component: str, new: str, running: Running) -> Danger | None:
    repository = targets.repository(component)
    if running.sha == new:
        return SAME
    try:
        if await repository.is_ancestor(running.sha, new):
            return None
        return OLDER if await repository.is_ancestor(new, running.sha) else OTHER_BRANCH
    except ToolError:
        return UNKNOWN


async def _runs(targets: Targets, component: str, environment: str, new: str) -> bool:
    """Whether it is known to run there."""
    try:
        running = await targets.deployer(component, environment).status()
    except ToolError:
        return False
    return running is not None and running.sha == new


def refusal(where: str, new: Revision, found: list[Danger]) -> ToolError:
    name = f"{new.name} ({new.short})" if new.name else new.short
    return ToolError(
        f"Not deployed to {where}: {name} {_in_words(found)}.",
        hint=f"{' '.join(danger.instead for danger in found)} Only if a person asks for exactly this in plain words, "
        "choose it again with a waiver that quotes them.",
    )


def note(found: list[Danger]) -> str:
    """For the card, where `in_sentences` says it to people."""
    return f"it {_in_words(found)}"


def in_sentences(note: str, running: str) -> str:
    """A sentence for each danger of a note. `running`: what runs there, in short; empty: it is not known.

    `It is OLDER than v1.5.0 (8da8a06), which runs there. It does NOT run on staging, which comes before.`
    """
    known = note.replace("than what runs there", f"than {running}, which runs there") if running else note
    return " ".join(f"It {danger}." for danger in known.removeprefix("it ").split(_AND))


def not_in(note: JsonValue, found: list[Danger]) -> list[Danger]:
    """Those that the card's note did not show."""
    return [danger for danger in found if danger.what not in str(note)]


def changed(component: str, environment: str, what: str) -> ToolError:
    """What was prepared does not hold any more, at the moment when it would begin."""
    return ToolError(
        f"Not started: {component} {environment} has changed since this was prepared: {what}.",
        hint="Look again before you propose it again.",
    )


def as_change(new: str, found: list[Danger]) -> str:
    return f"{new[:7]} {_in_words(found)}"


def _in_words(found: list[Danger]) -> str:
    return _AND.join(danger.what for danger in found)


def quoted(waiver: Waiver, call: Call, refused: ToolError | None) -> dict[str, JsonValue]:
    """Who wrote the words, and the words. Raises ToolError if nobody did.

    `refused`: what is said without a waiver; None: nothing speaks against it.
    """
    said = call.said(waiver.message)
    if said is None:
        why = f"The waiver names {waiver.message[:20]!r}, which is no message of a verified person."
        raise _no_waiver(why, "The names stand behind the senders, as in: Ann (verified), m7.", refused)
    words, text = _plain(waiver.words), _plain(said.text)
    if not words or len(words) > QUOTE_CHARS_MAX or not re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text):
        how = f"Quote whole words of it exactly as they stand there, {QUOTE_CHARS_MAX} characters at most."
        raise _no_waiver(f"{waiver.message[:20]} does not say {words[:80]!r}.", how, refused)
    # Who is in the team file has a name that nobody else can take; of others the address tells more than the name.
    by = said.by.member or ", ".join(dict.fromkeys(filter(None, (said.by.name, said.by.address))))
    return {"by": by, "words": words}


def _no_waiver(why: str, how: str, refused: ToolError | None) -> ToolError:
    """The model reads what it would be told without a waiver too: that is mostly what is wrong."""
    if refused is None:
        return ToolError(why, hint="Nothing speaks against it: choose it again without a waiver.")
    return ToolError(f"{refused} {why}", hint=f"{refused.hint} {how}")


def _plain(text: str) -> str:
    return " ".join(text.split())
