"""Reads a git repository: revisions, tags, and the commits between two revisions. It never writes.

The name of a revision comes from a person or a model: it must match an allow-list pattern, is looked up as an exact tag
or branch and as a SHA, and never reaches git as an option or an expression. Git's output comes from anyone who may
push: names, authors and subjects are cleaned and clipped. The repository's configuration is not trusted: it cannot
start a program, and no object is fetched.

No shell, no fetch, no checkout, no diff. Every failure is a ToolError with one line to act on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent import ToolError
from agent.roster.deploy.deployers.process import Ended, one_line, run_bounded

GIT_SECONDS_MAX = 20.0
GIT_OUTPUT_BYTES_MAX = 8_000_000
REVISION_CHARS_MAX = 200
SUBJECT_CHARS_MAX = 160
AUTHOR_CHARS_MAX = 80
LISTED_MAX = 200
"""The most tags or commits that one call returns."""

FULL_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SHORT_SHA = re.compile(r"[0-9a-f]{4,63}")
_ALLOWED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,/+@#=%-]*")
# Names that git forbids (git-check-ref-format) and the pattern above allows.
_FORBIDDEN = re.compile(r"\.\.|//|/\.|\.lock(?:/|$)|[/.]$")

# Everything that a repository's configuration could use to start a program or to falsify what is read.
_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.askPass=",
    "core.sshCommand=false",
    "core.abbrev=7",
    "credential.helper=",
    "protocol.allow=never",
    "log.showSignature=false",
    "gpg.program=false",
    "gpg.ssh.program=false",
    "gpg.x509.program=false",
    "diff.external=",
    "color.ui=false",
    "i18n.logOutputEncoding=UTF-8",
    "safe.directory=*",
)
_GIT = (
    *("git", "--no-pager", "--no-replace-objects", "--literal-pathspecs"),
    *(part for setting in _SETTINGS for part in ("-c", setting)),
)
_GIT_ENVIRONMENT = {
    "LC_ALL": "C",
    "HOME": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_GRAFT_FILE": "/dev/null",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # Else a partial clone would fetch missing objects, by any command.
}
_FORMAT = "--format=%H%x00%h%x00%cI%x00%an%x00%s"


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


class Repository:
    """`path` is the top of a working tree or a bare repository; parent directories are not searched.

    If the component is only a folder of the repository, `within` names it: `commits` and `commits_between` then skip
    commits that do not touch it.
    """

    def __init__(self, path: Path, *, within: str = "", timeout_seconds: float = GIT_SECONDS_MAX) -> None:
        self.path = path
        self.within = within
        self.timeout_seconds = timeout_seconds

    async def resolve(self, text: str) -> Revision:
        """The commit of a tag, a branch or a SHA (abbreviated to at least four digits).

        A tag wins over a branch of the same name, a branch over a remote branch (`origin/main`). A name that is also a
        prefix of another commit's SHA is refused, so that nobody can disguise one as the other.
        """
        shown = repr(one_line(text, 60))
        if not is_revision_text(text):
            raise ToolError(f"{shown} is not a valid revision. Give a tag, a branch or a commit's SHA.")
        named = await self._named(text)
        hashed = await self._hashed(text.lower())
        if named and hashed - {named}:
            raise ToolError(f"{shown} is ambiguous: a tag or branch, and the SHA of another commit. Give another name.")
        if len(hashed) > 1:
            raise ToolError(f"{shown} is ambiguous: {len(hashed)} commits start with it. Give more of the SHA.")
        if found := named or next(iter(hashed), ""):
            revision = (await self._commits([found], "--no-walk"))[0]
            return _with_name(revision, text) if named else revision
        usable = [tag.name for tag in await self.tags(10) if is_revision_text(tag.name)][:3]
        hint = f"The newest tags are {', '.join(usable)}." if usable else "There are no tags: give a branch or a SHA."
        raise ToolError(f"No revision {shown}. {hint}")

    async def tags(self, limit: int = 20) -> list[Revision]:
        """Newest first: by creation date, then by version. Tags that do not point to commits are left out."""
        listed = await self._git(
            "for-each-ref",
            "--sort=-version:refname",
            "--sort=-creatordate",
            "--format=%(objecttype)%00%(*objecttype)%00%(refname)",
            "refs/tags/",
        )
        records = [line.split(b"\0") for line in listed.split(b"\n") if line.count(b"\0") == 2]
        refs = [ref for kind, target, ref in records if (target or kind) in (b"commit", b"tag")][: _clamped(limit)]
        pairs = [(ref, sha) for ref, sha in zip(refs, await self._peeled(refs), strict=True) if sha]
        if not pairs:
            return []
        by_sha = {revision.sha: revision for revision in await self._commits({sha for _, sha in pairs}, "--no-walk")}
        return [_with_name(by_sha[sha], ref.removeprefix(b"refs/tags/")) for ref, sha in pairs if sha in by_sha]

    async def commits(self, start: str = "", limit: int = 20) -> list[Revision]:
        """Newest first, starting at a tag, branch or SHA; at HEAD if `start` is empty."""
        first = (await self.resolve(start)).sha if start else (await self._peeled([b"HEAD"]))[0]
        if not first:
            raise ToolError("The repository has no commits yet.")
        return await self._commits([first], f"--max-count={_clamped(limit)}", within=self.within)

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` contains `older`; both are full SHAs. A commit is its own ancestor."""
        await self._require(older, newer)
        missing = await self._git("rev-list", "--max-count=1", "--end-of-options", older, f"^{newer}", "--")
        return not missing

    async def commits_between(self, older: str, newer: str, limit: int = 50) -> list[Revision]:
        """The commits that deploying `newer` over `older` adds, newest first; both are full SHAs."""
        await self._require(older, newer)
        return await self._commits([newer, f"^{older}"], f"--max-count={_clamped(limit)}", within=self.within)

    async def _named(self, text: str) -> str:
        refs = [f"refs/{space}/{text}".encode() for space in ("tags", "heads", "remotes")]
        # List the refs: a lookup would also find `refs/heads/refs/tags/x`, and on some file systems `V1` for `v1`.
        listed = await self._git("for-each-ref", "--format=%(refname)", *(os.fsdecode(ref) for ref in refs))
        existing = [ref for ref in refs if ref in listed.split(b"\n")]
        if not existing:
            return ""
        sha = (await self._peeled(existing[:1]))[0]
        if not sha:
            raise ToolError(f"{text!r} is a tag of something that is not a commit.")
        return sha

    async def _hashed(self, text: str) -> set[str]:
        if FULL_SHA.fullmatch(text):
            objects = [text]
        elif _SHORT_SHA.fullmatch(text):
            objects = (await self._git("rev-parse", f"--disambiguate={text}")).decode("ascii", "replace").split()
        else:
            return set()
        return {sha for sha in await self._peeled([sha.encode() for sha in objects]) if sha}

    async def _peeled(self, names: Sequence[bytes]) -> list[str]:
        """The commit of each exact ref or full SHA; empty if it has none."""
        if not names:
            return []
        asked = b"".join(name + b"^{commit}\n" for name in names)
        lines = (await self._git("cat-file", "--batch-check=%(objectname)", stdin=asked)).split(b"\n")
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
        listed = await self._git(
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

    async def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        ended = await self._run(*arguments, stdin=stdin)
        if ended.exit_code != 0:
            problem = one_line(ended.errors.strip().split(b"\n")[0].removeprefix(b"fatal: "), 200)
            if problem.lower().startswith("not a git repository"):
                raise ToolError(f"There is no git repository at {str(self.path)!r}.")
            raise ToolError(f"git {arguments[0]} failed: {problem or f'exit code {ended.exit_code}'}")
        return ended.output

    async def _run(self, *arguments: str, stdin: bytes = b"") -> Ended:
        top = self._top()
        # Name the git directory, so that git neither searches parent directories nor checks the owner.
        where = ["-C", str(top), f"--git-dir={top / '.git' if (top / '.git').exists() else top}"]
        env = {"PATH": os.environ.get("PATH", os.defpath)} | _GIT_ENVIRONMENT
        try:
            ended = await run_bounded(
                [*_GIT, *where, *arguments],
                cwd="/",
                env=env,
                seconds=self.timeout_seconds,
                bytes_max=GIT_OUTPUT_BYTES_MAX,
                stdin=stdin,
            )
        except OSError as error:
            raise ToolError(f"git cannot be started on the bot's machine: {error.strerror}.") from None
        if ended.timed_out:
            raise ToolError(
                f"git {arguments[0]} took longer than {self.timeout_seconds:g} seconds in {str(self.path)!r}."
            )
        if ended.overflowed:
            raise ToolError(f"git {arguments[0]} printed more than {GIT_OUTPUT_BYTES_MAX:,} bytes. Ask for less.")
        return ended

    def _top(self) -> Path:
        top = self.path.expanduser().absolute()
        if not top.is_dir():
            raise ToolError(f"There is no git repository at {str(self.path)!r}.")
        return top


def is_revision_text(text: str) -> bool:
    """Whether the text is acceptable as a tag, a branch or a SHA: not an option, an expression or a pattern."""
    return len(text) <= REVISION_CHARS_MAX and bool(_ALLOWED.fullmatch(text)) and not _FORBIDDEN.search(text)


def _with_name(revision: Revision, name: bytes | str) -> Revision:
    shown = one_line(name, REVISION_CHARS_MAX)
    return Revision(revision.sha, revision.short, revision.author, revision.date, revision.subject, shown)


def _clamped(limit: int) -> int:
    return max(1, min(limit, LISTED_MAX))
