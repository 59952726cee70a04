"""A real repository in a temporary folder, asked by people, models and worse."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from agent.roster.deploy.deployers.process import one_line, run_bounded
from agent.roster.deploy.git_repository import GitRepository
from agent.roster.deploy.repository import LISTED_MAX, REVISION_CHARS_MAX, SUBJECT_CHARS_MAX
from agent.steps import ToolError
from tests.patience import PATIENCE_SECONDS

HERMETIC = {
    "PATH": os.environ["PATH"],
    "HOME": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ann Author",
    "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "Carl Committer",
    "GIT_COMMITTER_EMAIL": "carl@example.com",
}


class Made:
    """A repository that a test writes to with plain git."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = 1_750_000_000
        path.mkdir(parents=True)
        self.git("-c", "init.defaultBranch=main", "init", "--quiet")

    def git(self, *arguments: str | bytes, stdin: bytes = b"", env: dict[str, str] | None = None) -> str:
        date = f"{self.clock} +0000"
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=HERMETIC | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} | (env or {}),
            input=stdin,
            stdout=subprocess.PIPE,
            check=True,
        )
        return done.stdout.decode().strip()

    def try_git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.path, env=HERMETIC, capture_output=True, check=False)

    def commit(self, subject: str, file: str = "file") -> str:
        self.clock += 60
        (self.path / file).parent.mkdir(exist_ok=True)
        (self.path / file).write_text(f"{subject} {self.clock}")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", subject)
        return self.git("rev-parse", "HEAD")

    def raw_commit(self, author: bytes, message: bytes) -> str:
        """A commit object as no well-behaved git would write it, on top of main."""
        self.clock += 60
        tree, parent = (self.git("rev-parse", name).encode() for name in ("HEAD^{tree}", "HEAD"))
        when = str(self.clock).encode()
        body = b"tree %b\nparent %b\nauthor %b <a@b> %b +0000\ncommitter c <c@d> %b +0000\n\n%b" % (
            tree,
            parent,
            author,
            when,
            when,
            message,
        )
        sha = self.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=body)
        self.git("reset", "--quiet", "--soft", sha)
        return sha


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "repository")


@pytest.fixture
def repository(made: Made) -> GitRepository:
    return GitRepository(made.path)


async def refused(repository: GitRepository, text: str) -> str:
    with pytest.raises(ToolError) as caught:
        await repository.resolve(text)
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_a_tag_a_branch_and_a_sha_lead_to_the_same_commit(made: Made, repository: GitRepository) -> None:
    sha = made.commit("Add the login page")
    made.git("tag", "v1")
    made.git("branch", "release/2025.06")
    for text, name in [("v1", "v1"), ("release/2025.06", "release/2025.06"), (sha, ""), (sha[:7], ""), (sha[:9], "")]:
        revision = await repository.resolve(text)
        assert (revision.sha, revision.name) == (sha, name)
    assert (await repository.resolve(sha.upper())).sha == sha
    assert revision.short == sha[:7]
    assert revision.author == "Ann Author"
    assert revision.subject == "Add the login page"
    assert revision.date.startswith("2025-06-15T15:07:40")


async def test_annotated_tags_give_the_commit_behind_them(made: Made, repository: GitRepository) -> None:
    sha = made.commit("One")
    made.git("tag", "-a", "-m", "Release", "v1")
    made.git("tag", "-a", "-m", "Release of a release", "v1-signed-off", "v1")
    assert (await repository.resolve("v1")).sha == sha
    assert (await repository.resolve("v1-signed-off")).sha == sha
    assert (await repository.resolve(made.git("rev-parse", "v1"))).sha == sha
    assert [(tag.name, tag.sha) for tag in await repository.tags()] == [("v1-signed-off", sha), ("v1", sha)]


async def test_a_tag_and_a_branch_of_one_name_are_told_apart_by_their_full_names(
    made: Made, repository: GitRepository
) -> None:
    one, two = made.commit("One"), made.commit("Two")
    made.git("tag", "v1", one)
    made.git("branch", "v1", two)
    assert await refused(repository, "v1") == (
        f"'v1' is ambiguous: refs/tags/v1 is {one[:12]}, refs/heads/v1 is {two[:12]}. "
        "Give a full name (refs/…) or a full SHA."
    )
    for name, sha in (("refs/tags/v1", one), ("refs/heads/v1", two)):
        found = await repository.resolve(name)
        assert (found.sha, found.name) == (sha, name)
    made.git("branch", "--force", "v1", one)
    assert (await repository.resolve("v1")).sha == one


async def test_a_branch_and_a_remote_branch_of_one_name_are_told_apart(made: Made, repository: GitRepository) -> None:
    one, two = made.commit("One"), made.commit("Two")
    made.git("update-ref", "refs/remotes/origin/next", one)
    assert (await repository.resolve("origin/next")).sha == one
    made.git("branch", "origin/next", two)
    assert "refs/remotes/origin/next" in await refused(repository, "origin/next")
    assert (await repository.resolve("refs/remotes/origin/next")).sha == one


async def test_a_full_name_is_never_the_name_of_another_branch(made: Made, repository: GitRepository) -> None:
    one, two = made.commit("One"), made.commit("Two")
    made.git("update-ref", "refs/heads/refs/tags/v1", two)
    assert "No revision" in await refused(repository, "refs/tags/v1")
    assert (await repository.resolve("refs/heads/refs/tags/v1")).sha == two
    made.git("tag", "v1", one)
    assert (await repository.resolve("refs/tags/v1")).sha == one


async def test_a_tag_of_no_commit_hides_no_branch(made: Made, repository: GitRepository) -> None:
    sha = made.commit("One")
    made.git("tag", "v1", made.git("rev-parse", "HEAD:file"))
    made.git("branch", "v1", sha)
    assert "refs/tags/v1 is no commit" in await refused(repository, "v1")


async def test_a_name_that_looks_like_another_commit_is_refused(made: Made, repository: GitRepository) -> None:
    one, two = made.commit("One"), made.commit("Two")
    made.git("tag", one[:8], two)
    made.git("update-ref", f"refs/heads/{one}", two)
    assert f"the SHA of {one[:12]} begins with it" in await refused(repository, one[:8])
    assert "ambiguous" in await refused(repository, one)
    assert (await repository.resolve(f"refs/tags/{one[:8]}")).sha == two
    made.git("tag", two[:8], two)
    assert (await repository.resolve(two[:8])).sha == two


async def test_a_name_that_reads_like_a_commit_that_is_not_here_is_none(made: Made, repository: GitRepository) -> None:
    sha = made.commit("One")
    for name in ("deadbeef", "0123456789abcdef", "DEADBEE"):
        made.git("branch", name, sha)
        assert f"refs/heads/{name} is {sha[:12]}, and it reads like a SHA" in await refused(repository, name)
        assert (await repository.resolve(f"refs/heads/{name}")).sha == sha
    for name in ("2024", "face", "decade"):
        made.git("tag", name, sha)
        assert (await repository.resolve(name)).sha == sha


async def test_an_abbreviation_of_two_commits_is_refused(made: Made, repository: GitRepository) -> None:
    stream = "".join(
        f"commit refs/heads/many\ncommitter C <c@d> {n} +0000\ndata 1\nx\n" for n in range(1_000_000_000, 1_000_002_000)
    )
    made.git("fast-import", "--quiet", stdin=stream.encode())
    shas = made.git("rev-list", "many").split()
    beginnings = [sha[:4] for sha in shas]
    twice = next(text for text in beginnings if beginnings.count(text) == 2)
    assert "2 commits start with it" in await refused(repository, twice)
    one = next(sha for sha in shas if sha.startswith(twice))
    assert (await repository.resolve(one[:12])).sha == one


async def test_an_unknown_revision_is_answered_with_the_newest_tags(made: Made, repository: GitRepository) -> None:
    made.commit("Zero")
    assert await refused(repository, "v9") == "No revision 'v9'. There are no tags: give a branch or a SHA."
    for name in ("v1", "v2", "v3"):
        made.commit(name)
        made.git("tag", name)
    assert await refused(repository, "v9") == "No revision 'v9'. The newest tags are v3, v2, v1."
    assert await refused(repository, "V1") == "No revision 'V1'. The newest tags are v3, v2, v1."
    assert "No revision" in await refused(repository, "dead" * 10)
    assert "No revision" in await refused(repository, "HEAD")


async def test_only_the_exact_name_counts(made: Made, repository: GitRepository) -> None:
    sha = made.commit("One")
    made.git("tag", "v1/rc1")
    made.git("update-ref", "refs/heads/refs/tags/v2", sha)
    await refused(repository, "v1")
    await refused(repository, "v2")


async def test_what_is_no_commit_is_no_revision(made: Made, repository: GitRepository) -> None:
    made.commit("One")
    blob, tree = made.git("rev-parse", "HEAD:file"), made.git("rev-parse", "HEAD^{tree}")
    made.git("tag", "a-file", blob)
    made.git("tag", "-a", "-m", "x", "a-tree", tree)
    for text in ("a-file", "a-tree", blob, tree, blob[:10]):
        await refused(repository, text)
    assert await repository.tags() == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-h",
        "--help",
        "--upload-pack=touch canary",
        "--output=canary",
        "--exec=touch canary",
        "v1;touch canary",
        "$(touch canary)",
        "`touch canary`",
        "v1 v2",
        " v1",
        "v1\n",
        "v1\nrefs/tags/v2",
        "v1\0",
        "v1\x1b[2J",
        "v1\u202e",
        "v\u0661",
        "HEAD@{1}",
        "@",
        "@{u}",
        "v1..v2",
        "v1...v2",
        "^v1",
        "v1^",
        "v1~1",
        "v1^{tree}",
        "v1:file",
        ":/One",
        "v*",
        "v?",
        "v[1]",
        "refs/../x",
        "../x",
        "/etc/passwd",
        "a//b",
        "a/.b",
        "a/",
        "v1.",
        "v1.lock",
        "v\\1",
        "v" * (REVISION_CHARS_MAX + 1),
        "a" * 10_000,
        "\ud800",
    ],
)
async def test_a_hostile_revision_is_refused_before_git_sees_it(made: Made, text: str) -> None:
    made.commit("One")
    made.git("tag", "v1")
    made.git("tag", "v2")
    assert "is not a valid revision" in await refused(GitRepository(made.path), text)
    assert "is not a valid revision" in await refused(GitRepository(made.path / "nowhere"), text)
    assert not list(made.path.parent.rglob("canary"))


async def test_tags_come_newest_first_and_by_version_within_a_second(made: Made, repository: GitRepository) -> None:
    made.commit("One")
    for name in ("v1.9", "v1.10", "v1.2"):
        made.git("tag", name)
    made.commit("Two")
    made.git("tag", "older-name-newer-tag")
    assert [tag.name for tag in await repository.tags()] == ["older-name-newer-tag", "v1.10", "v1.9", "v1.2"]
    assert [tag.name for tag in await repository.tags(2)] == ["older-name-newer-tag", "v1.10"]
    assert len(await repository.tags(0)) == 1
    assert len(await repository.tags(LISTED_MAX * 1000)) == 4


async def test_commits_come_newest_first_from_head_or_a_branch(made: Made, repository: GitRepository) -> None:
    made.commit("One")
    made.git("branch", "old")
    made.commit("Two")
    made.commit("Three")
    assert [commit.subject for commit in await repository.commits()] == ["Three", "Two", "One"]
    assert [commit.subject for commit in await repository.commits(limit=2)] == ["Three", "Two"]
    assert [commit.subject for commit in await repository.commits("old")] == ["One"]
    with pytest.raises(ToolError, match="is not a valid revision"):
        await repository.commits("--all")


async def test_a_part_of_a_repository_lists_what_touches_it(made: Made) -> None:
    old = made.commit("Both")
    made.commit("Backend", "backend/app")
    new = made.commit("Frontend", "frontend/app")
    repository = GitRepository(made.path, within="backend")
    assert [commit.subject for commit in await repository.commits()] == ["Backend"]
    assert [commit.subject for commit in await repository.commits_between(old, new)] == ["Backend"]
    assert await GitRepository(made.path, within="--all").commits() == []


async def test_what_a_deployment_would_add(made: Made, repository: GitRepository) -> None:
    one, two, three = made.commit("One"), made.commit("Two"), made.commit("Three")
    assert [commit.subject for commit in await repository.commits_between(one, three)] == ["Three", "Two"]
    assert [commit.subject for commit in await repository.commits_between(one, three, 1)] == ["Three"]
    assert await repository.commits_between(three, one) == []
    assert await repository.is_ancestor(one, three)
    assert await repository.is_ancestor(two, two)
    assert not await repository.is_ancestor(three, two)


async def test_comparing_takes_full_shas_of_commits_it_has(made: Made, repository: GitRepository) -> None:
    sha = made.commit("One")
    for bad in ("main", sha[:7], "--all", f"{sha}^", f"^{sha}", f"{sha}\n"):
        with pytest.raises(ToolError, match="not a full SHA"):
            await repository.is_ancestor(bad, sha)
        with pytest.raises(ToolError, match="not a full SHA"):
            await repository.commits_between(sha, bad)
    with pytest.raises(ToolError, match="does not have the commit dead"):
        await repository.is_ancestor("dead" * 10, sha)


async def test_hostile_names_subjects_and_authors_come_out_as_one_clean_line(
    made: Made, repository: GitRepository
) -> None:
    made.commit("One")
    sha = made.raw_commit(b"Eve\x1b[2J\x07\xff\xe2\x80\xae", b"Fix\x1b]0;x\x07 </tag>\r\x00 \xe9\xff" + b"x" * 5_000)
    for name in ("$(touch${IFS}canary)", "v1\u202e", "v1\u0085", "</tags>", "v1"):
        made.git("update-ref", f"refs/tags/{name}", sha)
    with (made.path / ".git/packed-refs").open("ab") as packed:
        packed.write(f"{sha} refs/tags/caf".encode() + b"\xe9\n")
    revision = await repository.resolve("v1")
    assert revision.author == "Eve\ufffd[2J\ufffd\ufffd\ufffd"
    assert revision.subject.startswith("Fix\ufffd]0;x\ufffd </tag>")
    assert len(revision.subject) <= SUBJECT_CHARS_MAX
    names = [tag.name for tag in await repository.tags()]
    assert sorted(names) == ["$(touch${IFS}canary)", "</tags>", "caf\ufffd", "v1", "v1\ufffd", "v1\ufffd"]
    for tag in await repository.tags():
        assert tag.sha == sha
        assert all(text.isprintable() for text in (tag.name, tag.author, tag.subject, tag.date, tag.short))
    assert await refused(repository, "v8") == "No revision 'v8'. The newest tags are v1."


async def test_subjects_of_megabytes_are_refused_and_not_kept(made: Made, repository: GitRepository) -> None:
    made.commit("One")
    made.raw_commit(b"Eve", b"x" * 9_000_000)
    with pytest.raises(ToolError, match="Ask for less"):
        await repository.commits()


async def test_a_hostile_configuration_runs_nothing(made: Made, repository: GitRepository, tmp_path: Path) -> None:
    one = made.commit("One")
    made.git("tag", "-a", "-m", "Release", "v1")
    canary, script = tmp_path / "canary", tmp_path / "script"
    script.write_text(f'#!/bin/sh\necho "$0" "$@" >> "{canary}"\n')
    script.chmod(0o755)
    for name in ("post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman"):
        shutil.copy(script, made.path / ".git/hooks" / name)
    signed = made.git("cat-file", "commit", one).replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----\n\n", 1
    )
    two = made.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=f"{signed}\n".encode())
    made.git("update-ref", "refs/heads/main", two)
    with (made.path / ".git/config").open("a") as config:
        config.write(f"""
[core]
    fsmonitor = {script}
    pager = {script}
    sshCommand = {script}
    askPass = {script}
    gitProxy = {script}
    alternateRefsCommand = {script}
    repositoryFormatVersion = 1
[extensions]
    partialClone = origin
[remote "origin"]
    url = ext::{script} %S
    promisor = true
    uploadpack = {script}
[protocol]
    allow = always
[protocol "ext"]
    allow = always
[log]
    showSignature = true
[gpg]
    program = {script}
[pager]
    rev-list = {script}
    for-each-ref = {script}
    cat-file = {script}
    rev-parse = {script}
[diff]
    external = {script}
[diff "x"]
    textconv = {script}
    command = {script}
[alias]
    rev-list = !{script}
    cat-file = !{script}
[credential]
    helper = !{script}
""")
    (made.path / ".gitattributes").write_text("* diff=x filter=x\n")

    # What the traps are good for: plain git falls into them.
    for plain in (["status"], ["log", "-1", "main"], ["cat-file", "-e", "dead" * 10]):
        made.try_git(*plain)
        assert canary.exists(), plain
        canary.unlink()

    assert (await repository.resolve("v1")).sha == one
    assert (await repository.resolve("main")).sha == two
    assert (await repository.resolve(one[:8])).sha == one
    await refused(repository, "dead" * 10)
    await refused(repository, "dead")
    assert len(await repository.tags()) == 1
    assert len(await repository.commits()) == 1
    assert not await repository.is_ancestor(one, two)
    assert len(await repository.commits_between(one, two)) == 1
    with pytest.raises(ToolError):
        await repository.is_ancestor("dead" * 10, two)
    assert not canary.exists()


async def test_the_environment_does_not_lead_git_elsewhere(
    made: Made, repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = made.commit("One")
    other = Made(tmp_path / "other")
    other.commit("Other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.path / ".git/objects"))
    assert (await repository.resolve("main")).sha == sha


async def test_a_replaced_commit_is_shown_as_it_is(made: Made, repository: GitRepository) -> None:
    one, two = made.commit("One"), made.commit("Two")
    made.git("replace", two, one)
    assert (await repository.resolve(two)).subject == "Two"


async def test_bare_repositories_and_further_working_trees_are_read_too(made: Made, tmp_path: Path) -> None:
    sha = made.commit("One")
    made.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    made.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    for path in (tmp_path / "bare.git", tmp_path / "tree"):
        assert (await GitRepository(path).commits())[0].sha == sha
        assert (await GitRepository(path).resolve("main")).sha == sha


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
async def test_a_repository_of_another_user_is_read(made: Made, repository: GitRepository) -> None:
    sha = made.commit("One")
    for path in (made.path, *made.path.rglob("*")):
        os.chown(path, 12345, 12345)
    assert (await repository.resolve("main")).sha == sha


async def test_no_repository_is_one_clear_line(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="has no commits yet"):
        await GitRepository(made.path).commits()
    assert await GitRepository(made.path).tags() == []
    made.commit("One", "folder/file")
    (tmp_path / "a-file").touch()
    (tmp_path / "empty").mkdir()
    # Its parents are not searched: a folder of a repository is none.
    for path in (tmp_path / "nowhere", tmp_path / "a-file", tmp_path / "empty", made.path / "folder"):
        with pytest.raises(ToolError, match=r"^There is no git repository at '.*'\.$"):
            await GitRepository(path).resolve("main")


async def test_without_git_it_says_so(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="git cannot be started"):
        await GitRepository(made.path).tags()


async def test_a_git_that_hangs_is_stopped(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Lifeline(tmp_path / "fifo")
    (tmp_path / "git").write_text(f'#!/bin/sh\nexec 3> "{line.path}"\nsleep 600 & wait\n')
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asking = asyncio.create_task(GitRepository(made.path, timeout_seconds=2.0).tags())
    await until(line.held)
    with pytest.raises(ToolError, match=r"took longer than 2 seconds"):
        await asking
    await until(lambda: not line.held())


async def test_a_cancelled_command_leaves_nothing_behind(tmp_path: Path) -> None:
    line = Lifeline(tmp_path / "fifo")
    script = f'trap "" TERM; exec 3> "{line.path}"; while :; do sleep 600; done'
    running = asyncio.create_task(
        run_bounded(
            ["/bin/sh", "-c", script], cwd="/", env={"PATH": HERMETIC["PATH"]}, seconds=PATIENCE_SECONDS, bytes_max=100
        )
    )
    await until(line.held)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not line.held())


@pytest.mark.parametrize("turns", [2, 3, 4])
async def test_a_command_that_is_cancelled_while_it_starts_leaves_nothing_behind(tmp_path: Path, turns: int) -> None:
    line = Lifeline(tmp_path / "fifo")
    running = asyncio.create_task(
        run_bounded(
            ["/bin/sh", "-c", f'exec 3> "{line.path}"; sleep 600 & wait'],
            cwd="/",
            env={"PATH": HERMETIC["PATH"]},
            seconds=PATIENCE_SECONDS,
            bytes_max=100,
        )
    )
    for _ in range(turns):
        await asyncio.sleep(0)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not line.held():
        # The command goes on, and has a child by now; the loop stands still.
        assert time.monotonic() < deadline
        time.sleep(0.05)  # noqa: ASYNC251
    running.cancel()
    await asyncio.wait({running}, timeout=PATIENCE_SECONDS)
    assert running.cancelled()
    await until(lambda: not line.held())


async def test_of_a_long_output_the_end_is_kept() -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; echo oops >&2; exit 3"
    ended = await run_bounded(
        ["/bin/sh", "-c", script], cwd="/", env={"PATH": HERMETIC["PATH"]}, seconds=PATIENCE_SECONDS, bytes_max=1_000
    )
    assert (ended.exit_code, ended.overflowed, ended.timed_out, len(ended.output)) == (3, True, False, 1_000)
    assert ended.output.endswith(b"line 4999\n")
    assert ended.errors == b"oops\n"


def test_a_hidden_character_is_shown_and_not_dropped() -> None:
    assert one_line("v1\u200b", 20) == "v1\ufffd"
    assert one_line(b"\xff\x00a\nb", 20) == "\ufffd\ufffda b"
    assert one_line("x" * 30, 10) == "x" * 9 + "…"
    assert one_line("ж".encode() * 10, 10) == "ж" * 10


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class Lifeline:
    """A fifo that a command opens for writing: held as long as it or a child of its lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def held(self) -> bool:
        try:
            return bool(os.read(self._file, 1))
        except BlockingIOError:
            return True

    def __del__(self) -> None:
        os.close(self._file)


def test_a_program_that_has_ended_before_it_read_its_input_has_just_ended() -> None:
    async def run_many() -> set[int]:
        ended = [
            await run_bounded(
                ["/bin/true"],
                cwd="/",
                env={"PATH": HERMETIC["PATH"]},
                seconds=PATIENCE_SECONDS,
                bytes_max=100,
                stdin=b"x" * 100_000,
            )
            for _ in range(60)
        ]
        return {one.exit_code for one in ended}

    # As the program runs: this loop says at once that the pipe is closed.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run_many()) == {0}
