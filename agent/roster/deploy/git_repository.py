"""Reads a git repository on this machine: revisions, tags, and the commits between two revisions. It never writes.

A name never reaches git as an option or an expression. The repository's configuration is not trusted: it cannot start a
program, and no object is fetched (see `git`). Each command is a process, so what one can answer is asked of one, and a
commit is read once.

No shell, no fetch, no checkout, no diff.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from agent import ToolError
from agent.roster.deploy.deployers.process import one_line
from agent.roster.deploy.git import GIT_SECONDS_MAX, Git
from agent.roster.deploy.repository import (
    AUTHOR_CHARS_MAX,
    FULL_SHA,
    KNOWN_MAX,
    SHORT_SHA,
    SUBJECT_CHARS_MAX,
    Revision,
    clamped,
    meant,
    not_there,
    valid,
    with_name,
)

FRESH_SECONDS = 2.0
_SPACES = ("refs/tags", "refs/heads", "refs/remotes")
_FORMAT = "--format=%H%x00%h%x00%cI%x00%an%x00%s"


class GitRepository:
    """`path` is the top of a working tree or a bare repository; parent directories are not searched.

    If the component is only a folder of the repository, `within` names it: `commits` and `commits_between` then skip
    commits that do not touch it.
    """

    def __init__(
        self,
        path: Path,
        *,
        within: str = "",
        timeout_seconds: float = GIT_SECONDS_MAX,
        known: dict[str, Revision] | None = None,
    ) -> None:
        """`known`: the commits of this repository that were read before, by SHA; it grows."""
        self.path = path
        self.within = within
        self._git = Git(path, timeout_seconds)
        self._known = {} if known is None else known

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def fresh_seconds(self) -> float:
        return FRESH_SECONDS

    async def state(self) -> str:
        # Exit code 1: there is neither.
        return hashlib.sha256(await self._git.run("show-ref", "--head", "--tags", fails=1)).hexdigest()

    async def resolve(self, text: str) -> Revision:
        """Also a remote branch (`origin/main`)."""
        refs = await self._refs(valid(text))
        if found := meant(text, refs, await self._hashed(text.lower())):
            revision = (await self.revisions([found]))[found]
            return replace(with_name(revision, text), ref=next(iter(refs))) if refs else revision
        raise not_there(text, await self.tags(10))

    async def about(self, sha: str) -> dict[str, JsonValue]:
        return {}

    async def push_tag(self, name: str, sha: str) -> bool:
        raise ToolError("Tags are pushed to repositories at GitHub: this one is on the bot's machine.")

    async def tags(self, limit: int = 20) -> list[Revision]:
        """Newest first: by creation date, then by version. Tags that do not point to commits are left out."""
        listed = await self._git.run(
            "for-each-ref",
            "--sort=-version:refname",
            "--sort=-creatordate",
            "--format=%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)%00%(refname)",
            "refs/tags/",
        )
        records = (line.split(b"\0") for line in listed.split(b"\n") if line.count(b"\0") == 4)
        found = [
            (ref, target if of_tag else sha, of_tag == b"tag")
            for kind, sha, of_tag, target, ref in records
            if (of_tag or kind) in (b"commit", b"tag")
        ][: clamped(limit)]
        nested = [ref for ref, _, is_nested in found if is_nested]
        peeled = dict(zip(nested, await self._peeled(nested), strict=True))
        shas = {ref: peeled.get(ref, sha.decode("ascii", "replace")) for ref, sha, _ in found}
        by_sha = await self.revisions(shas.values())
        return [with_name(by_sha[sha], ref.removeprefix(b"refs/tags/")) for ref, sha in shas.items() if sha in by_sha]

    async def revisions(self, shas: Iterable[str]) -> dict[str, Revision]:
        """The commits with these full SHAs; those that the repository does not have are left out."""
        wanted = dict.fromkeys(sha for sha in shas if FULL_SHA.fullmatch(sha))
        found = {sha: self._known[sha] for sha in wanted if sha in self._known}
        if new := [sha for sha in wanted if sha not in found]:
            read = {one.sha: one for one in await self._commits(new, "--no-walk", "--ignore-missing")}
            if len(self._known) + len(read) > KNOWN_MAX:
                self._known.clear()
            self._known |= read
            found |= read
        return found

    async def commits(self, start: str = "", limit: int = 20) -> list[Revision]:
        """Newest first, starting at a tag, branch or SHA; at HEAD if `start` is empty."""
        first = (await self.resolve(start)).sha if start else "HEAD"
        try:
            return await self._commits([first], f"--max-count={clamped(limit)}", within=self.within)
        except ToolError:
            if start or (await self._peeled([b"HEAD"]))[0]:
                raise
            raise ToolError("The repository has no commits yet.") from None

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` contains `older`; both are full SHAs. A commit is its own ancestor."""
        await self._require(older, newer)
        missing = await self._git.run("rev-list", "--max-count=1", "--end-of-options", older, f"^{newer}", "--")
        return not missing

    async def commits_between(self, older: str, newer: str, limit: int = 50) -> list[Revision]:
        """The commits that deploying `newer` over `older` adds, newest first; both are full SHAs."""
        await self._require(older, newer)
        return await self._commits([newer, f"^{older}"], f"--max-count={clamped(limit)}", within=self.within)

    async def _refs(self, text: str) -> dict[str, str]:
        """The tags and branches with this name by their full names, each with its commit; empty: it has none."""
        is_full = text.startswith(tuple(f"{space}/" for space in _SPACES))
        names = [text] if is_full else [f"{space}/{text}" for space in _SPACES]
        # List the refs: a lookup would also find `refs/heads/refs/tags/x`, and on some file systems `V1` for `v1`.
        listed = (await self._git.run("for-each-ref", "--format=%(refname)", *names)).split(b"\n")
        existing = [name for name in names if name.encode() in listed]
        return dict(zip(existing, await self._peeled([name.encode() for name in existing]), strict=True))

    async def _hashed(self, text: str) -> set[str]:
        if FULL_SHA.fullmatch(text):
            objects = [text]
        elif SHORT_SHA.fullmatch(text):
            objects = (await self._git.run("rev-parse", f"--disambiguate={text}")).decode("ascii", "replace").split()
        else:
            return set()
        return {sha for sha in await self._peeled([sha.encode() for sha in objects]) if sha}

    async def _peeled(self, names: Sequence[bytes]) -> list[str]:
        """The commit of each exact ref or full SHA; empty if it has none."""
        if not names:
            return []
        asked = b"".join(name + b"^{commit}\n" for name in names)
        lines = (await self._git.run("cat-file", "--batch-check=%(objectname)", stdin=asked)).split(b"\n")
        found = (line.decode("ascii", "replace") for line in lines[: len(names)])
        return [line if FULL_SHA.fullmatch(line) else "" for line in found]

    async def _require(self, *shas: str) -> None:
        for sha in shas:
            if not FULL_SHA.fullmatch(sha):
                raise ToolError(f"{one_line(sha, 60)!r} is not a full SHA.")
        for sha, found in zip(shas, await self._peeled([sha.encode() for sha in shas]), strict=True):
            if not found:
                raise ToolError(f"The repository does not have the commit {sha}; it may have to be fetched.")

    async def _commits(self, revisions: Iterable[str], *options: str, within: str = "") -> list[Revision]:
        # rev-list is plumbing: it ignores the settings for `git log`. No field contains a line break, so each record is
        # a line; the lines without NUL are headers.
        listed = await self._git.run(
            "rev-list", _FORMAT, *options, "--end-of-options", *revisions, "--", *([within] if within else [])
        )
        records = (line.split(b"\0", 4) for line in listed.split(b"\n"))
        return [
            Revision(
                sha=sha.decode("ascii", "replace"),
                short=short.decode("ascii", "replace"),
                author=one_line(author, AUTHOR_CHARS_MAX),
                date=one_line(date, 40),
                subject=one_line(subject, SUBJECT_CHARS_MAX),
            )
            for sha, short, date, author, subject in (record for record in records if len(record) == 5)
        ]
