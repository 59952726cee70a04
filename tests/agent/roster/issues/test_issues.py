"""The agent for issues, against a Linear over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent import Agent, Call, Facts, OutcomeUnknown, Tool, ToolError, Wait
from agent.roster import issues
from agent.roster.issues import CommentOnIssue, CreateIssue, FindIssues, LookUp, UpdateIssue
from agent.roster.issues.linear import ATTEMPTS_MAX, Linear
from tests.fakes.linear import Fault, LinearServer

VARIABLE = "TEAM_LINEAR_KEY"
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[LinearServer]:
    monkeypatch.chdir(tmp_path)
    async with LinearServer() as server:
        monkeypatch.setenv(VARIABLE, server.key)
        yield server


@pytest.fixture
def agent(server: LinearServer, tmp_path: Path) -> Agent:
    return issues.build({"url": server.url, "api_key_env": VARIABLE, "team": "ENG"}, tmp_path)


@pytest.fixture
def call(agent: Agent) -> Call:
    return Call("t1", "t1/s4", 1, NOW, "Ada", resources=agent.resources)


async def prepared(tool: Tool, call: Call) -> tuple[Facts, Call]:
    facts = await tool.prepare(call)
    return facts, replace(call, facts=facts)


async def ran(tool: Tool, call: Call) -> Any:
    return await tool.run((await prepared(tool, call))[1])


# Looking


async def test_names_are_looked_up_once_for_all_threads_and_from_all_pages(call: Call, server: LinearServer) -> None:
    server.page = 2
    assert await LookUp().run(call) == {
        "team": "Engineering (ENG), Design (DES)",
        "state": "Todo (ENG), In Progress (ENG), Done (ENG), Todo (DES), In Progress (DES), Done (DES)",
        "assignee": "Ada Okafor (ada@example.com), Lin Berg (lin@example.com)",
        "label": "Bug, Mobile (DES)",
        "project": "New checkout",
    }
    asked = len(server.asked)
    await LookUp().run(call)
    assert len(server.asked) == asked


async def test_issues_are_found_by_words_and_by_their_name(call: Call, server: LinearServer) -> None:
    row = {
        "issue": "ENG-12",
        "subject": "Login fails",
        "priority": "No priority",
        "url": "https://linear.app/acme/issue/ENG-12",
        "state": "Todo (ENG)",
        "assignee": "Lin Berg (lin@example.com)",
        "project": "none",
        "labels": "",
    }
    assert await FindIssues(words="login").run(call) == {"issues": [row], "count": 1}
    found = await FindIssues(words="ENG-12").run(call)
    assert found == {**row, "description": "Since Tuesday.", "comments": []}
    with pytest.raises(ToolError, match="Linear refused it: Could not find referenced Issue"):
        await FindIssues(words="ENG-99").run(call)


# Acting


async def test_people_see_names_and_exactly_the_ids_behind_them_are_used(call: Call, server: LinearServer) -> None:
    tool = CreateIssue(
        subject="The export is empty",
        description="On Safari.",
        state="in progress",
        assignee="LIN@example.com",
        project="New checkout",
        priority="High",
        labels=("bug",),
    )
    facts, approved = await prepared(tool, call)
    assert tool.needs_approval()
    assert CreateIssue(subject="Only this").arguments == {"subject": "Only this"}
    assert tool.title(facts) == "Create issue for Engineering (ENG): The export is empty"
    assert facts["means"] == {
        "state": "In Progress (ENG)",
        "assignee": "Lin Berg (lin@example.com)",
        "project": "New checkout",
        "labels": "Bug",
    }
    # Until people decide, somebody else gets that name.
    server.users[0]["name"], server.users[1]["name"] = "Lin Berg", "Somebody Else"
    made = await tool.run(approved)
    assert made == {"issue": "ENG-13", "url": "https://linear.app/acme/issue/ENG-13"}
    issue = list(server.issues.values())[-1]
    assert (issue["title"], issue["description"], issue["priority"]) == ("The export is empty", "On Safari.", 2)
    assert issue["assignee"] is server.users[1]
    assert (issue["state"]["name"], issue["labels"]) == ("In Progress", [server.labels[0]])


async def test_what_is_left_out_is_not_sent(call: Call, server: LinearServer) -> None:
    facts, approved = await prepared(CreateIssue(subject="Only this"), call)
    assert facts["means"] == {}
    await CreateIssue(subject="Only this").run(approved)
    issue = list(server.issues.values())[-1]
    assert (issue["assignee"], issue["description"], issue["priority"]) == (None, None, 0)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"team": "Marketing"}, "Which team is 'Marketing'\\? There are: Engineering \\(ENG\\), Design \\(DES\\)"),
        ({"assignee": "Old Hand"}, "Which assignee is 'Old Hand'"),  # who has left
        ({"labels": ("Mobile",)}, "Which label is 'Mobile'\\? There are: Bug\\."),  # of another team
        ({"state": "Shipped"}, "Which state is 'Shipped'\\? There are: Todo \\(ENG\\)"),
    ],
)
async def test_no_name_is_guessed(call: Call, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ToolError, match=told):
        await CreateIssue(subject="Something", **fields).prepare(call)


async def test_two_people_of_one_name_are_told_apart(call: Call, server: LinearServer) -> None:
    server.users[0]["name"] = "Lin Berg"
    with pytest.raises(ToolError, match=r"Which assignee is 'lin berg'.*ada@example.com.*lin@example.com"):
        await CreateIssue(subject="Something", assignee="lin berg").prepare(call)
    facts = await CreateIssue(subject="Something", assignee="lin@example.com").prepare(call)
    assert facts["means"] == {"assignee": "Lin Berg (lin@example.com)"}


async def test_an_issue_is_changed_as_it_was_shown(call: Call, server: LinearServer) -> None:
    tool = UpdateIssue(issue="ENG-12", state="Done", labels=("Bug",), priority="Urgent")
    facts, approved = await prepared(tool, call)
    assert tool.title(facts) == "Update issue ENG-12 Login fails"
    assert facts["now"]["state"] == "Todo (ENG)"  # type: ignore[index, call-overload]
    await tool.run(approved)
    issue = next(iter(server.issues.values()))
    assert (issue["state"]["name"], issue["labels"], issue["priority"]) == ("Done", [server.labels[0]], 1)
    assert (issue["title"], issue["assignee"]) == ("Login fails", server.users[1])
    # After a crash, the same call sets the same once more.
    await tool.run(replace(approved, attempt=2))


async def test_what_somebody_has_changed_meanwhile_stays(call: Call, server: LinearServer) -> None:
    _, approved = await prepared(UpdateIssue(issue="ENG-12", state="Done"), call)
    next(iter(server.issues.values()))["assignee"] = None
    with pytest.raises(ToolError, match="Somebody has changed it meanwhile"):
        await UpdateIssue(issue="ENG-12", state="Done").run(approved)
    with pytest.raises(ToolError, match="Nothing would change"):
        await UpdateIssue(issue="ENG-12").prepare(call)


# Once


@pytest.mark.parametrize("fault", [*Fault])
async def test_an_issue_is_created_once_whatever_comes_of_the_answer(
    call: Call, server: LinearServer, fault: Fault
) -> None:
    tool = CreateIssue(subject="The export is empty")
    _, approved = await prepared(tool, call)
    server.fails("CreateIssue", fault)
    waits = await tool.run(approved)
    assert isinstance(waits, Wait)
    assert server.key not in waits.note
    made = await tool.run(replace(approved, attempt=2))
    assert made == {"issue": "ENG-13", "url": "https://linear.app/acme/issue/ENG-13"}
    # As after a crash before anybody noted it.
    assert await tool.run(replace(approved, attempt=3)) == made
    assert len(server.issues) == 2


async def test_a_comment_is_written_once(call: Call, server: LinearServer) -> None:
    tool = CommentOnIssue(issue="ENG-12", text="On iOS as well.")
    facts, approved = await prepared(tool, call)
    assert tool.title(facts) == "Comment on issue ENG-12 Login fails"
    server.fails("CreateComment", Fault.after)
    assert isinstance(await tool.run(approved), Wait)
    made = await tool.run(replace(approved, attempt=2))
    ((comment),) = server.comments.values()
    assert made == {"url": comment["url"]}
    assert (await FindIssues(words="ENG-12").run(call))["comments"][0]["body"] == "On iOS as well."  # type: ignore


@pytest.mark.parametrize("fault", [*Fault])
async def test_a_change_without_an_answer_is_made_again(call: Call, server: LinearServer, fault: Fault) -> None:
    tool = UpdateIssue(issue="ENG-12", state="Done")
    _, approved = await prepared(tool, call)
    server.fails("UpdateIssue", fault)
    assert isinstance(await tool.run(approved), Wait)
    assert await tool.run(replace(approved, attempt=2)) == {
        "issue": "ENG-12",
        "url": "https://linear.app/acme/issue/ENG-12",
    }
    assert next(iter(server.issues.values()))["state"]["name"] == "Done"


@pytest.mark.parametrize(
    "tool",
    [
        CreateIssue(subject="The export is empty"),
        CommentOnIssue(issue="ENG-12", text="On iOS as well."),
        UpdateIssue(issue="ENG-12", state="Done"),
    ],
    ids=lambda tool: tool.intent,
)
async def test_in_the_end_people_hear_that_it_may_have_been_done(call: Call, server: LinearServer, tool: Tool) -> None:
    _, approved = await prepared(tool, call)
    server.fails(
        {"create_issue": "CreateIssue", "update_issue": "UpdateIssue"}.get(tool.intent, "CreateComment"), Fault.after
    )
    with pytest.raises(OutcomeUnknown, match=r"cannot be reached.* It may be done all the same"):
        await tool.run(replace(approved, attempt=ATTEMPTS_MAX))


# Errors in words


async def test_a_key_that_is_not_accepted_is_told_by_its_variable(
    agent: Agent, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "lin_api_hunter2")
    with pytest.raises(ToolError, match=f"does not accept the key in {VARIABLE}") as said:
        await FindIssues(words="login").run(call)
    assert "hunter2" not in str(said.value)
    monkeypatch.delenv(VARIABLE)
    assert agent.check
    assert await agent.check() == [f"[agents.issues]: {VARIABLE} is not set: somebody has to put the key there."]


async def test_doctor_asks_linear_for_real(agent: Agent, server: LinearServer, tmp_path: Path) -> None:
    assert agent.check
    assert await agent.check() == []
    assert "Teams" in server.asked
    other = issues.build({"url": server.url, "api_key_env": VARIABLE, "team": "OPS"}, tmp_path)
    assert other.check
    (told,) = await other.check()
    assert told.startswith("[agents.issues]: Which team is 'OPS'?")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault.rate_limited, "takes no more requests"),
        (Fault.internal, r"Linear failed: Something failed for \(key\)"),
        (Fault.not_json, "its answer cannot be read"),
        (Fault.no_data, "Linear failed: status 200"),
        (Fault.before, "cannot be reached"),
    ],
)
async def test_what_goes_wrong_is_said_in_words(call: Call, server: LinearServer, fault: Fault, told: str) -> None:
    server.fails("SearchIssues", fault)
    with pytest.raises(ToolError, match=told):
        await FindIssues(words="login").run(call)


# Set up


def test_it_is_there_only_with_a_table_and_sends_no_other_secret() -> None:
    for wrong in ({"api_key_env": "OPENAI_API_KEY"}, {"url": "http://linear.example/graphql"}, {"colour": "red"}):
        with pytest.raises(ValidationError):
            issues.build(wrong, Path())


def test_what_it_looks_up_of_issues_is_third_partys_words() -> None:
    agent = issues.build({}, Path())
    doubtful = {tool.intent_name() for tool in agent.tools if tool.third_party}
    assert doubtful == {"find_issues", "create_issue", "comment_on_issue", "update_issue"}
    assert {tool.intent_name() for tool in agent.tools if tool.acts} == doubtful - {"find_issues"}
    assert isinstance(agent.resources[Linear], Linear)
