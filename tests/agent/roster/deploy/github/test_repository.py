"""A repository that is only at GitHub reads like the same one on this machine, and trusts no fork's commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent import Call, ToolError
from agent.roster import deploy
from agent.roster.deploy.git_repository import GitRepository
from agent.roster.deploy.github.repository import GitHubRepository
from agent.roster.deploy.repository import Repository, Revision
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools import tools_of
from agent.roster.deploy.tools.tag import PushTag
from tests.agent.roster.deploy.test_repository import Made
from tests.fakes.github import Fault, GitHubServer
from tests.fakes.github import Repository as AtGitHub
from tests.fakes.github.repository import Check, Pull


@pytest.fixture
def made(tmp_path: Path) -> Made:
    made = Made(tmp_path / "repository")
    made.commit("One")
    made.git("tag", "v1.0.0")
    made.commit("Two", "web/two")
    made.git("tag", "-a", "v1.9.0", "-m", "nine")
    made.commit("Three")
    made.git("tag", "v1.10.0")
    made.git("branch", "next", "HEAD~1")
    made.git("tag", "both")
    made.git("branch", "both", "HEAD~1")
    made.git("branch", "deadbeef")
    made.git("tag", "v1.0.0-tree", "HEAD^{tree}")
    made.commit("Four", "web/four")
    return made


@pytest.fixture
def shop(github: GitHubServer, made: Made) -> AtGitHub:
    shop = github.add_repository("acme/shop")
    shop.load(made.path)
    return shop


@pytest.fixture
def both(shop: AtGitHub, made: Made) -> tuple[GitRepository, GitHubRepository]:
    return GitRepository(made.path), GitHubRepository(shop.name)


async def said(ask: Awaitable[object]) -> object:
    try:
        found = await ask
    except ToolError as error:
        return f"refused: {error}"
    return [plain(one) for one in found] if isinstance(found, list) else plain(found)


def plain(found: object) -> object:
    return (found.sha, found.name, found.ref, found.subject) if isinstance(found, Revision) else found


ASKED: dict[str, Callable[[Repository, dict[str, str]], Awaitable[object]]] = {
    "a tag": lambda r, s: r.resolve("v1.0.0"),
    "an annotated tag": lambda r, s: r.resolve("v1.9.0"),
    "a branch": lambda r, s: r.resolve("next"),
    "a full name": lambda r, s: r.resolve("refs/heads/both"),
    "an ambiguous name": lambda r, s: r.resolve("both"),
    "a branch that reads like a SHA": lambda r, s: r.resolve("deadbeef"),
    "a tag of a tree": lambda r, s: r.resolve("v1.0.0-tree"),
    "a full SHA": lambda r, s: r.resolve(s["Two"]),
    "a short SHA": lambda r, s: r.resolve(s["Two"][:8]),
    "a SHA that is not there": lambda r, s: r.resolve("f" * 40),
    "an option": lambda r, s: r.resolve("--all"),
    "an expression": lambda r, s: r.resolve("main~1"),
    "the commits": lambda r, s: r.commits(limit=3),
    "the commits of a tag": lambda r, s: r.commits("v1.9.0"),
    "what two add": lambda r, s: r.commits_between(s["One"], s["Four"]),
    "the newest of what two add": lambda r, s: r.commits_between(s["One"], s["Four"], limit=1),
    "what nothing adds": lambda r, s: r.commits_between(s["Four"], s["One"]),
    "an ancestor": lambda r, s: r.is_ancestor(s["One"], s["Four"]),
    "none": lambda r, s: r.is_ancestor(s["Four"], s["One"]),
    "itself": lambda r, s: r.is_ancestor(s["Two"], s["Two"]),
    "one that is not full": lambda r, s: r.is_ancestor("v1", s["Two"]),
}


@pytest.mark.parametrize("what", ASKED)
async def test_it_answers_as_the_same_repository_on_this_machine(
    both: tuple[GitRepository, GitHubRepository], what: str
) -> None:
    local, remote = both
    shas = {one.subject: one.sha for one in await local.commits()}
    wanted = await said(ASKED[what](local, shas))
    assert await said(ASKED[what](remote, shas)) == wanted


async def test_a_folder_of_it_has_only_the_commits_that_touch_it(made: Made, shop: AtGitHub) -> None:
    local, remote = GitRepository(made.path, within="web"), GitHubRepository(shop.name, within="web")
    first, last = (await GitRepository(made.path).resolve("v1.0.0")).sha, made.git("rev-parse", "HEAD")
    for repository in (local, remote):
        assert [one.subject for one in await repository.commits()] == ["Four", "Two"]
        assert [one.subject for one in await repository.commits_between(first, last)] == ["Four", "Two"]


async def test_tags_are_the_newest_first_and_tags_of_no_commit_are_left_out(
    both: tuple[GitRepository, GitHubRepository],
) -> None:
    names = [tag.name for tag in await both[1].tags()]
    assert {*names} == {tag.name for tag in await both[0].tags()}
    assert names.index("v1.10.0") < names.index("v1.9.0") < names.index("v1.0.0")


async def test_many_commits_come_in_pages(github: GitHubServer) -> None:
    shop = github.add_repository("acme/shop")
    shas = [shop.commit(f"Commit {number}") for number in range(250)]
    remote = GitHubRepository("acme/shop")
    found = await remote.commits_between(shas[0], shas[-1], 120)
    assert [one.subject for one in found[:2]] == ["Commit 249", "Commit 248"]
    assert len(found) == 120
    assert len(await remote.commits(limit=150)) == 150


async def test_its_state_changes_with_a_commit_and_with_a_tag(github: GitHubServer, shop: AtGitHub) -> None:
    remote = GitHubRepository(shop.name)
    states = [await remote.state(), await remote.state()]
    shop.tag("v2", shop.head)
    states.append(await remote.state())
    shop.commit("Five")
    states.append(await remote.state())
    assert len({*states}) == 3


async def test_a_commit_of_a_fork_is_not_taken_by_its_sha(shop: AtGitHub) -> None:
    evil = shop.commit("Steal the keys", parent=shop.head, in_fork=True)
    remote = GitHubRepository(shop.name)
    for text in (evil, evil[:10]):
        with pytest.raises(ToolError, match="no branch or tag is at it: it may be of a fork"):
            await remote.resolve(text)
    shop.refs["refs/heads/taken"] = evil
    assert (await remote.resolve(evil)).sha == evil
    del shop.refs["refs/heads/taken"]
    shop.tag("v3", evil, annotated=True)
    assert (await remote.resolve(evil)).sha == evil


async def test_a_commit_is_read_once(github: GitHubServer, shop: AtGitHub) -> None:
    remote = GitHubRepository(shop.name)
    shas = [*shop.commits]
    assert set(await remote.revisions([*shas, "f" * 40, "no sha"])) == set(shas)
    asked = len(github.requests)
    assert set(await remote.revisions(shas)) == set(shas)
    assert len(github.requests) == asked


async def test_an_empty_repository_says_so(github: GitHubServer) -> None:
    github.add_repository("acme/empty")
    with pytest.raises(ToolError, match="has no commits yet"):
        await GitHubRepository("acme/empty").commits()
    with pytest.raises(ToolError, match="There are no tags"):
        await GitHubRepository("acme/empty").resolve("v1")


async def test_a_card_shows_the_pull_request_and_what_its_checks_say(github: GitHubServer, shop: AtGitHub) -> None:
    shop.checks[shop.head] = [Check("unit"), Check("e2e", "completed", "failure"), Check("lint", "in_progress", None)]
    shop.statuses[shop.head] = [("ci/old", "success"), ("ci/slow", "pending")]
    shop.pulls.append(Pull(12, "Fix the basket", shop.head))
    assert await GitHubRepository(shop.name).about(shop.head) == {
        "pull_request": "#12 Fix the basket",
        "pull_request_link": "https://github.test/acme/shop/pull/12",
        "failed_checks": "e2e",
        "checks": "2 of 5 passed; not finished: lint, ci/slow",
    }
    github.forbidden["checks/list-for-ref"] = "checks=read"
    (checks,) = (await GitHubRepository(shop.name).about(shop.head)).values()
    assert "It needs the permission checks=read" in str(checks)


# The site, and the tool that pushes a tag


def site(**more: Any) -> dict[str, Any]:
    target = {"kind": "github", "workflow": "deploy.yml"}
    web = {"github": "acme/shop", "targets": {"live": target}, **more}
    return {"environments": {"live": {}}, "components": {"web": web}}


def call(targets: Targets, **more: Any) -> Call:
    given = {"thread_id": "t", "key": "t/s1", "attempt": 1, "now": datetime.now(UTC), "requested_by": "Ann"}
    return Call(resources={Targets: targets}, **{**given, **more})


async def test_a_tag_is_pushed_once_at_exactly_the_commit_that_was_approved(
    github: GitHubServer, shop: AtGitHub, tmp_path: Path
) -> None:
    targets = deploy.targets(site(), tmp_path)
    step = PushTag(component="web", name="v2.0.0", revision="next")
    assert step.needs_approval()
    facts = await step.prepare(call(targets))
    wanted = shop.refs["refs/heads/next"]
    assert step.title(facts) == f"Push the tag v2.0.0 of web at next ({wanted[:7]})"
    shop.commit("Later", branch="next")
    github.fails(Fault("git/create-ref", cut=True, after_effect=True))
    done = {"tag": "v2.0.0", "commit": wanted[:7]}
    assert await step.run(call(targets, facts=facts)) == {**done, "was_there_already": True}
    assert shop.refs["refs/tags/v2.0.0"] == wanted
    with pytest.raises(ToolError, match="There is a tag"):  # The branch has moved.
        await step.prepare(call(targets))


async def test_a_tag_that_is_somewhere_else_is_never_moved(shop: AtGitHub, tmp_path: Path) -> None:
    targets = deploy.targets(site(), tmp_path)
    step = PushTag(component="web", name="v1.9.0", revision="next")
    shop.commit("Later", branch="next")
    with pytest.raises(ToolError, match=r"There is a tag v1\.9\.0 already, at"):
        await step.prepare(call(targets))
    facts = {"new": {"sha": shop.head}}
    with pytest.raises(ToolError, match=r"There is a tag v1\.9\.0 already, at"):
        await step.run(call(targets, facts=facts))
    with pytest.raises(ToolError, match="is no name for a tag"):
        await PushTag(component="web", name="refs/heads/main", revision="next").prepare(call(targets))


def test_the_tool_is_offered_only_for_what_is_at_github(tmp_path: Path) -> None:
    def names(table: dict[str, Any]) -> set[str]:
        return {tool.intent_name() for tool in tools_of(deploy.targets(table, tmp_path).config)}

    local = site()
    local["components"]["web"] |= {"repository": "/srv/web"}
    assert names(site()) - names(local) == {"push_tag"}


def test_a_component_needs_a_repository_and_a_command_one_on_this_machine(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it needs a `repository` on this machine, or one at GitHub"):
        deploy.targets(site(github=""), tmp_path)
    command = {"deploy": ["deploy", "{sha}"], "status": ["status"]}
    with pytest.raises(ValueError, match="a command runs in the component's local repository"):
        deploy.targets(site(targets={"live": command}), tmp_path)
    with pytest.raises(ValueError, match="it needs a `repository`, such as acme/payments"):
        deploy.targets(site(github="", repository="/srv/web"), tmp_path)
    with pytest.raises(ValueError, match="OWNER/NAME"):
        deploy.targets(site(github="https://github.com/acme/shop"), tmp_path)
    found = deploy.targets(site(), tmp_path).config.components["web"]
    assert found.commit_link("abc") == "https://github.com/acme/shop/commit/abc"


async def test_the_doctor_looks_at_what_is_only_at_github(github: GitHubServer, shop: AtGitHub, tmp_path: Path) -> None:
    agent = deploy.build(site(), tmp_path)
    assert agent.check is not None
    (problem,) = await agent.check()
    assert problem.startswith("web live: acme/shop has no workflow deploy.yml")
    github.repositories.clear()
    problems = await agent.check()
    assert len(problems) == 2
    assert all("the token in GITHUB_TOKEN" in one for one in problems)
