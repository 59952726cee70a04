"""A component's repository, wherever it is: revisions, tags, and the commits between two revisions. It only looks.

The name of a revision comes from a person or a model: it must match an allow-list pattern, and is looked up as an exact
tag or branch and as a SHA. What comes back comes from anyone who may push: names, authors and subjects are cleaned and
clipped. Every failure is a ToolError with one line to act on. `git_repository` reads one on this machine,
`github/repository` one that is only at GitHub.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from pydantic import JsonValue

from agent import ToolError
from agent.roster.deploy.deployers.process import one_line

REVISION_CHARS_MAX = 200
SUBJECT_CHARS_MAX = 160
AUTHOR_CHARS_MAX = 80
LISTED_MAX = 200
"""The most tags or commits that one call returns."""
ASK = "Do not take another one instead: ask people which they mean."
"""For the model, about what it named and what is not there, or not clear."""
KNOWN_MAX = 5_000
"""How many commits a process remembers."""

FULL_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
SHORT_SHA = re.compile(r"[0-9a-f]{4,63}")
LIKE_A_SHA = re.compile(r"[0-9a-f]{7,64}")
"""Git abbreviates SHAs to seven digits or more. Shorter names (`2024`, `face`) are names, unless a commit has them."""
TAGS = "refs/tags/"
_ALLOWED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,/+@#=%-]*")
# Names that git forbids (git-check-ref-format) and the pattern above allows.
_FORBIDDEN = re.compile(r"\.\.|//|/\.|\.lock(?:/|$)|[/.]$")


@dataclass(frozen=True, slots=True)
class Revision:
    """One commit. Its texts are cleaned: one line, no control characters, limited length."""

    sha: str
    """The full SHA. Every action uses this one."""
    short: str
    author: str
    date: str
    """When it was committed, ISO 8601."""
    subject: str
    name: str = ""
    """The tag or branch that was requested or listed; empty for a SHA."""
    ref: str = ""
    """The full name of what was requested, such as `refs/tags/v1`; empty for a SHA."""


class Repository(Protocol):
    """`within`: the component's folder, if it is only a part; `commits` and `commits_between` then skip commits that do
    not touch it.
    """

    within: str

    @property
    def name(self) -> str:
        """It tells the repository from others: its path, or `acme/payments`."""
        ...

    @property
    def fresh_seconds(self) -> float:
        """For how long its `state` serves everybody: asking for it costs something."""
        ...

    async def state(self) -> str:
        """A text that changes with HEAD and with any tag. While it is the same, so are `tags` and `commits`."""
        ...

    async def resolve(self, text: str) -> Revision:
        """The commit of a tag, a branch or a SHA (at least four digits of it).

        A text that may mean several commits is refused, so that nobody can pass off one as another: a tag and a branch
        of one name, or a name that reads like an abbreviated SHA. A full name (`refs/heads/next`) means one thing only.
        """
        ...

    async def tags(self, limit: int = 20) -> list[Revision]:
        """The newest first. Tags that do not point to commits are left out."""
        ...

    async def revisions(self, shas: Iterable[str]) -> dict[str, Revision]:
        """The commits with these full SHAs; those that the repository does not have are left out."""
        ...

    async def commits(self, start: str = "", limit: int = 20) -> list[Revision]:
        """Newest first, starting at a tag, branch or SHA; at HEAD if `start` is empty."""
        ...

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` contains `older`; both are full SHAs. A commit is its own ancestor."""
        ...

    async def commits_between(self, older: str, newer: str, limit: int = 50) -> list[Revision]:
        """The commits that deploying `newer` over `older` adds, newest first; both are full SHAs."""
        ...

    async def about(self, sha: str) -> dict[str, JsonValue]:
        """For a card: what else is known of the commit there, such as its pull request and its checks."""
        ...

    async def push_tag(self, name: str, sha: str) -> bool:
        """Create the tag. False: it is there already, at this commit. Raises ToolError if it is at another one."""
        ...


def valid(text: str) -> str:
    """The text, if it may name a revision. Raises ToolError."""
    if not is_revision_text(text):
        raise ToolError(f"{_shown(text)} is not a valid revision. Give a tag, a branch or a commit's SHA.")
    return text


def meant(text: str, refs: Mapping[str, str], hashed: Collection[str]) -> str:
    """The commit that a text means; empty: none, or something that is not a commit. Raises ToolError.

    `refs`: the tags and branches of this name by their full names, each with its commit; `hashed`: the commits whose
    SHA begins so.
    """
    is_like_a_missing_sha = not hashed and LIKE_A_SHA.fullmatch(text.lower())
    if refs and (len({*refs.values(), *hashed}) > 1 or is_like_a_missing_sha):
        meanings = _meanings(refs, hashed)
        raise ToolError(f"{_shown(text)} is ambiguous: {meanings}. Give a full name (refs/…) or a full SHA.")
    if len(hashed) > 1:
        raise ToolError(
            f"{_shown(text)} is ambiguous: {len(hashed)} commits start with it. Give more of the SHA.",
            hint=ASK,
            unknown=text,
        )
    found = next(iter(refs.values()), "") or next(iter(hashed), "")
    if refs and not found:
        raise ToolError(f"{text!r} is a tag of something that is not a commit.")
    return found


def not_there(text: str, tags: Iterable[Revision]) -> ToolError:
    usable = [tag.name for tag in tags if is_revision_text(tag.name)][:3]
    hint = f"The newest tags are {', '.join(usable)}." if usable else "There are no tags: give a branch or a SHA."
    return ToolError(f"No revision {_shown(text)}. {hint}", hint=ASK, unknown=text)


def _shown(text: str) -> str:
    return repr(one_line(text, 60))


def is_revision_text(text: str) -> bool:
    """Whether the text is acceptable as a tag, a branch or a SHA: not an option, an expression or a pattern."""
    return len(text) <= REVISION_CHARS_MAX and bool(_ALLOWED.fullmatch(text)) and not _FORBIDDEN.search(text)


def _meanings(refs: Mapping[str, str], hashed: Collection[str]) -> str:
    """Each thing that an ambiguous name may mean, with its commit."""
    found = [f"{ref} is {sha[:12] or 'no commit'}" for ref, sha in refs.items()]
    found += [f"the SHA of {sha[:12]} begins with it" for sha in hashed]
    return ", ".join(found if len(found) > 1 else [*found, "and it reads like a SHA"])


def with_name(revision: Revision, name: bytes | str) -> Revision:
    return replace(revision, name=one_line(name, REVISION_CHARS_MAX))


def clamped(limit: int) -> int:
    return max(1, min(limit, LISTED_MAX))
