"""A component's repository that is only at GitHub: see `Repository`. It is read by the API, and pushed a tag to.

A commit of a fork can be had through the repository that it was forked from, by its SHA. So a SHA alone is only taken
if the default branch has its commit, or a branch or a tag is at it. https://docs.github.com/rest/commits
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import quote

from pydantic import JsonValue

from agent import ToolError
from agent.roster.deploy.deployers.process import one_line
from agent.roster.deploy.github import shapes
from agent.roster.deploy.github.access import access
from agent.roster.deploy.github.api import GitHubApi, Refusal, api_of
from agent.roster.deploy.repository import (
    ASK,
    AUTHOR_CHARS_MAX,
    FULL_SHA,
    KNOWN_MAX,
    SHORT_SHA,
    SUBJECT_CHARS_MAX,
    TAGS,
    Revision,
    clamped,
    is_revision_text,
    meant,
    not_there,
    valid,
    with_name,
)

FRESH_SECONDS = 15.0
PAGE = 100
"""The most that GitHub lists at once."""
TAGS_READ = 30
"""Of the tags with the greatest names, so many are read with their commits."""
AT_ONCE_MAX = 6
PEELED_MAX = 5
"""How often a tag may be one of a tag."""
_BRANCHES = "refs/heads/"
_NUMBERS = re.compile(r"(\d+)")


class GitHubRepository:
    def __init__(self, name: str, *, within: str = "", known: dict[str, Revision] | None = None) -> None:
        """`known`: the commits of this repository that were read before, by SHA; it grows."""
        self._name = name
        self.within = within
        self._repo = f"/repos/{name}"
        self._known = {} if known is None else known

    @property
    def name(self) -> str:
        return self._name

    @property
    def fresh_seconds(self) -> float:
        return FRESH_SECONDS

    @property
    def _api(self) -> GitHubApi:
        return api_of(access())

    async def state(self) -> str:
        head = await self._commits("", 1)
        tags = [f"{tag.name} {tag.commit.sha}" for tag in await self._listed_tags()]
        return hashlib.sha256("\n".join([head[0].sha if head else "", *tags]).encode()).hexdigest()

    async def resolve(self, text: str) -> Revision:
        refs = await self._refs(valid(text))
        hashed = await self._hashed(text.lower())
        found = meant(text, refs, hashed)
        if not found:
            raise not_there(text, await self.tags(10))
        if not refs:
            await self._require_ours(found)
        revision = (await self.revisions([found]))[found]
        return replace(with_name(revision, text), ref=next(iter(refs))) if refs else revision

    async def tags(self, limit: int = 20) -> list[Revision]:
        listed = sorted(await self._listed_tags(), key=lambda tag: _by_version(tag.name), reverse=True)
        listed = listed[: max(clamped(limit), TAGS_READ)]
        await self._commits("", PAGE)  # Most tags are of these commits: they are read at once.
        by_sha = await self.revisions(tag.commit.sha for tag in listed)
        found = [with_name(by_sha[tag.commit.sha], tag.name) for tag in listed if tag.commit.sha in by_sha]
        return sorted(found, key=lambda tag: tag.date, reverse=True)[: clamped(limit)]

    async def revisions(self, shas: Iterable[str]) -> dict[str, Revision]:
        wanted = dict.fromkeys(sha for sha in shas if FULL_SHA.fullmatch(sha))
        new = [sha for sha in wanted if sha not in self._known]
        for several in (new[first : first + AT_ONCE_MAX] for first in range(0, len(new), AT_ONCE_MAX)):
            for found in await asyncio.gather(*map(self._commit, several), return_exceptions=True):
                if isinstance(found, BaseException):
                    raise found
        return {sha: self._known[sha] for sha in wanted if sha in self._known}

    async def commits(self, start: str = "", limit: int = 20) -> list[Revision]:
        first = (await self.resolve(start)).sha if start else ""
        found = await self._commits(first, clamped(limit), self.within)
        if not found and not self.within:
            raise ToolError("The repository has no commits yet.")
        return found

    async def is_ancestor(self, older: str, newer: str) -> bool:
        return (await self._compared(older, newer)).status in ("ahead", "identical")

    async def commits_between(self, older: str, newer: str, limit: int = 50) -> list[Revision]:
        limit = clamped(limit)
        total = (await self._compared(older, newer)).total_commits
        # GitHub lists the oldest first: the newest are on the last pages.
        last = max(1, -(-total // PAGE))
        found: list[Revision] = []
        for page in range(last, 0, -1):
            compared = await self._compared(older, newer, page=page, per_page=PAGE)
            found += [self._learn(one) for one in reversed(compared.commits)]
            if len(found) >= limit and not self.within:
                break
        if self.within:
            between = {one.sha for one in found}
            found = [one for one in await self._commits(newer, 2 * PAGE, self.within) if one.sha in between]
        return found[:limit]

    async def about(self, sha: str) -> dict[str, JsonValue]:
        facts: dict[str, JsonValue] = {}
        of = f"{self._repo}/commits/{sha}"
        try:
            pulls = await self._api.get(list[shapes.Pull], f"{of}/pulls", per_page=5)
            runs = await self._api.get(shapes.CheckRuns, f"{of}/check-runs", per_page=PAGE)
            statuses = await self._api.get(shapes.Statuses, f"{of}/status", per_page=PAGE)
        except ToolError as error:
            return {"checks": f"could not be asked: {one_line(str(error), 200)}"}
        if merged := [pull for pull in pulls if pull.merged_at]:
            facts["pull_request"] = f"#{merged[0].number} {one_line(merged[0].title, SUBJECT_CHARS_MAX)}"
            facts["pull_request_link"] = merged[0].html_url
        states = {run.name: run.conclusion or run.status for run in runs.check_runs}
        states |= {status.context: status.state for status in statuses.statuses}
        bad = [name for name, state in states.items() if state in _BAD]
        waits = [name for name, state in states.items() if state in _WAITS]
        if bad:
            facts["failed_checks"] = _names(bad)
        if states:
            parts = [f"{len(states) - len(bad) - len(waits)} of {len(states)} passed"]
            parts += [f"not finished: {_names(waits)}"] if waits else []
            facts["checks"] = "; ".join(parts)
        return facts

    async def push_tag(self, name: str, sha: str) -> bool:
        if name.startswith("refs/") or not is_revision_text(name) or not FULL_SHA.fullmatch(sha):
            raise ToolError(f"{one_line(name, 60)!r} is no name for a tag.")
        try:
            await self._api.post(f"{self._repo}/git/refs", {"ref": f"{TAGS}{name}", "sha": sha}, repeats=True)
            return True
        except Refusal as error:
            if error.status != 422:
                raise
            there = (await self._refs(f"{TAGS}{name}")).get(f"{TAGS}{name}", "")
            if there == sha:
                return False
            raise ToolError(f"There is a tag {name} already, at {there[:7]}." if there else str(error)) from None

    # Reading

    async def _refs(self, text: str) -> dict[str, str]:
        """The tag and the branch with this name by their full names, each with its commit; empty: it has none."""
        names = [text] if text.startswith((TAGS, _BRANCHES)) else [TAGS + text, _BRANCHES + text]
        found: dict[str, str] = {}
        for name in names:
            ref = await self._api.find(shapes.Ref, f"{self._repo}/git/ref/{quote(name.removeprefix('refs/'))}")
            if ref and ref.ref == name:
                found[name] = await self._peeled(ref.object_)
        return found

    async def _peeled(self, of: shapes.Object) -> str:
        for _ in range(PEELED_MAX):
            if of.type != "tag":
                break
            of = (await self._api.get(shapes.TagObject, f"{self._repo}/git/tags/{of.sha}")).object_
        return of.sha if of.type == "commit" else ""

    async def _hashed(self, text: str) -> set[str]:
        if not (FULL_SHA.fullmatch(text) or SHORT_SHA.fullmatch(text)):
            return set()
        found = await self._commit(text)
        return {found.sha} if found and found.sha.startswith(text) else set()

    async def _commit(self, ref: str) -> Revision | None:
        try:
            return self._learn(await self._api.get(shapes.Commit, f"{self._repo}/commits/{quote(ref)}"))
        except Refusal as error:
            if error.status in (404, 422):
                return None
            raise

    async def _commits(self, start: str, limit: int, within: str = "") -> list[Revision]:
        parameters = {**({"sha": start} if start else {}), **({"path": within} if within else {})}
        found: list[shapes.Commit] = []
        size = min(limit, PAGE)
        try:
            for page in range(1, -(-limit // PAGE) + 1):
                more = await self._api.get(
                    list[shapes.Commit], f"{self._repo}/commits", per_page=size, page=page, **parameters
                )
                found += more
                if len(more) < size:
                    break
        except Refusal as error:
            if error.status != 409:  # An empty repository.
                raise
        return [self._learn(one) for one in found][:limit]

    async def _listed_tags(self) -> Sequence[shapes.Tag]:
        return await self._api.get(list[shapes.Tag], f"{self._repo}/tags", per_page=PAGE)

    async def _compared(self, older: str, newer: str, **page: int) -> shapes.Comparison:
        for sha in (older, newer):
            if not FULL_SHA.fullmatch(sha):
                raise ToolError(f"{one_line(sha, 60)!r} is not a full SHA.")
        path = f"{self._repo}/compare/{older}...{newer}"
        if compared := await self._api.find(shapes.Comparison, path, **(page or {"per_page": 1})):
            return compared
        missing = [sha for sha in (older, newer) if not await self._commit(sha)] or [older]
        raise ToolError(f"The repository does not have the commit {missing[0]}.")

    async def _require_ours(self, sha: str) -> None:
        """Raises ToolError unless a branch or a tag of the repository itself has the commit."""
        repo = await self._api.get(shapes.Repo, self._repo)
        path = f"{self._repo}/compare/{quote(repo.default_branch, safe='')}...{sha}"
        compared = await self._api.find(shapes.Comparison, path, per_page=1)
        if compared and compared.status in ("behind", "identical"):
            return
        if await self._api.get(list[shapes.Branch], f"{self._repo}/commits/{sha}/branches-where-head"):
            return
        if any(tag.commit.sha == sha for tag in await self._listed_tags()):
            return
        raise ToolError(
            f"{sha[:7]} is not on {repo.default_branch} of {self._name}, and no branch or tag is at it: it may be "
            "of a fork. Give the name of its branch or tag.",
            hint=ASK,
        )

    def _learn(self, commit: shapes.Commit) -> Revision:
        text = commit.commit
        revision = Revision(
            sha=commit.sha,
            short=commit.sha[:7],
            author=one_line(text.author.name if text.author else "", AUTHOR_CHARS_MAX),
            date=one_line((text.committer or text.author or shapes.Author()).date, 40),
            subject=one_line(text.message.partition("\n")[0], SUBJECT_CHARS_MAX),
        )
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        self._known[commit.sha] = revision
        return revision


_BAD = frozenset({"failure", "error", "timed_out", "cancelled", "action_required", "startup_failure"})
_WAITS = frozenset({"queued", "in_progress", "waiting", "requested", "pending"})


def _names(names: list[str]) -> str:
    shown = ", ".join(one_line(name, 60) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _by_version(name: str) -> list[tuple[int, int | str]]:
    return [(1, int(part)) if part.isdecimal() else (0, part) for part in _NUMBERS.split(name)]
