"""issues: finds, creates, comments on and changes issues in Linear. People approve each change, with the ids in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, JsonValue

from agent import Agent, Call, Facts, MessageReceived, Step, Thread, Tool, ToolError, TriggerReceived, Wait, calls
from agent.roster.issues.linear import Linear, Record, Table, called

NAME, STALE_SECONDS = "issues", 600
Priority = Literal["No priority", "Urgent", "High", "Medium", "Low"]  # in the order of Linear's numbers


class _Looks(Tool):
    needs: ClassVar[tuple[type, ...]] = (Linear,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at Linear"


class LookUp(_Looks):
    """The teams, states, people, labels and projects. Chosen by code."""

    by_code: ClassVar[bool] = True

    async def run(self, call: Call) -> JsonValue:
        return {kind: called(*records) for kind, records in (await call.need(Linear).names()).items()}


class FindIssues(_Looks):
    """Issues with these words in them, the best matches first; or all about one, by its name, such as ENG-12."""

    words: str = Field(min_length=2, max_length=200)
    third_party: ClassVar[bool] = True  # Words of customers and of other services become issues, too.

    async def run(self, call: Call) -> JsonValue:
        if " " not in self.words and self.words.partition("-")[2].isdecimal():
            one = await call.need(Linear).ask("Issue", id=self.words)
            return {**_row(one), "description": one["description"] or "", "comments": one["comments"]["nodes"]}
        found = await call.need(Linear).ask("SearchIssues", term=self.words)
        return {"issues": [_row(one) for one in found["nodes"]], "count": found["totalCount"]}


class _Acts(Tool):
    needs: ClassVar[tuple[type, ...]] = (Linear,)
    repeatable: ClassVar[bool] = True  # What it creates has an id of its own; what it sets, it sets once more.
    third_party: ClassVar[bool] = True
    for_people: ClassVar[frozenset[str]] = frozenset({"ids"})
    on_cards: ClassVar[Mapping[str, str]] = {"subject": "title", "on": "concerns", "means": "in full", "now": "now"}

    def needs_approval(self) -> bool:
        return True

    def title(self, facts: Facts) -> str:
        return f"{self.intent.replace('_', ' ').capitalize()} {facts['on']}"


class _Fields(_Acts):
    subject: str = Field(default="", max_length=200, description="its title")
    description: str = Field(default="", max_length=10_000, description="the whole of it, in Markdown")
    state: str = ""
    assignee: str = ""
    project: str = ""
    priority: Priority | None = None
    labels: tuple[str, ...] = Field(default=(), description="all that it shall have")

    async def meant(self, call: Call, team: str, **ids: JsonValue) -> Facts:
        """What the names stand for: in full for people, and as ids by Linear's names for them."""
        means = Facts()
        for kind in ("state", "assignee", "project"):
            if words := getattr(self, kind):
                one = await call.need(Linear).find(kind, words, team)
                means[kind], ids[f"{kind}Id"] = called(one), one["id"]
        if self.labels:
            labels = [await call.need(Linear).find("label", name, team) for name in self.labels]
            means["labels"], ids["labelIds"] = called(*labels), [one["id"] for one in labels]
        return {"means": means, "ids": ids}

    @property
    def arguments(self) -> dict[str, JsonValue]:
        return {name: value for name, value in super().arguments.items() if value}  # The rest would be noise on a card.

    def written(self) -> dict[str, JsonValue]:
        priority = self.priority and get_args(Priority).index(self.priority)
        given = (("title", self.subject), ("description", self.description), ("priority", priority))
        return {name: value for name, value in given if value not in ("", None)}


class CreateIssue(_Fields):
    """Create an issue. Leave out what nobody has said. Code asks people for their approval."""

    subject: str = Field(min_length=3, max_length=200, description="its title")
    team: str = Field(default="", description="empty: the usual one")

    async def prepare(self, call: Call) -> Facts:
        linear = call.need(Linear)
        team = await linear.find("team", self.team or linear.table.team)
        return {"on": f"for {called(team)}: {self.subject}", **await self.meant(call, team["id"], teamId=team["id"])}

    async def run(self, call: Call) -> JsonValue | Wait:
        return await call.need(Linear).create("Issue", call, **self.written())


class CommentOnIssue(_Acts):
    """Add a comment to an issue. Code asks people for their approval."""

    issue: str = Field(description="such as ENG-12")
    text: str = Field(min_length=1, max_length=10_000, description="in Markdown")

    async def prepare(self, call: Call) -> Facts:
        one = await call.need(Linear).ask("Issue", id=self.issue)
        return {"on": f"{one['issue']} {one['subject']}", "url": one["url"], "ids": {"issueId": one["id"]}}

    async def run(self, call: Call) -> JsonValue | Wait:
        return await call.need(Linear).create("Comment", call, body=self.text)


class UpdateIssue(_Fields):
    """Change an issue. What is left out stays as it is. Code asks people for their approval."""

    issue: str = Field(description="such as ENG-12")

    async def prepare(self, call: Call) -> Facts:
        one = await call.need(Linear).ask("Issue", id=self.issue)
        found = await self.meant(call, one["team"]["id"], id=one["id"])
        if not (found["means"] or self.written()):
            raise ToolError("Nothing would change.", hint="Say what is to change, or ask.")
        return {"on": f"{one['issue']} {one['subject']}", "now": _row(one), **found}

    async def run(self, call: Call) -> JsonValue | Wait:
        linear, ids = call.need(Linear), dict[str, Any](call.facts["ids"])  # type: ignore[arg-type]
        if call.attempt == 1 and _row(await linear.ask("Issue", id=ids["id"])) != call.facts["now"]:
            raise ToolError("Somebody has changed it meanwhile, so nothing was changed.", hint="Look at it again.")
        return await linear.change("UpdateIssue", call, id=ids.pop("id"), input={**ids, **self.written()})


def _row(one: Record) -> dict[str, JsonValue]:
    return {
        **{name: one[name] for name in ("issue", "subject", "priority", "url")},
        **{kind: called(one[kind]) if one[kind] else "none" for kind in ("state", "assignee", "project")},
        "labels": ", ".join(label["name"] for label in one["labels"]["nodes"]),
    }


def plan(thread: Thread) -> Step | None:
    """The names are looked up before the model is asked, and again when they are stale."""
    spoken = [event.at for event in thread.events if isinstance(event, MessageReceived | TriggerReceived)]
    looked = [look.at for look in calls(thread, LookUp)]
    is_known = not spoken or (looked and (max(spoken) - looked[-1]).total_seconds() <= STALE_SECONDS)
    return LookUp() if (thread.state.news or thread.state.unread) and not is_known else None


def agent_over(linear: Linear) -> Agent:
    async def problems() -> list[str]:
        try:
            await (linear.find("team", linear.table.team) if linear.table.team else linear.names())
        except ToolError as error:
            return [f"[agents.{NAME}]: {error}"]
        return []

    prompt = Path(__file__).with_name("prompt.md").read_text(encoding="utf-8")
    tools = (LookUp, FindIssues, CreateIssue, CommentOnIssue, UpdateIssue)
    return Agent(NAME, prompt, tools, plan, resources={Linear: linear}, check=problems)


def build(table: Mapping[str, Any], home: Path) -> Agent:
    return agent_over(Linear(Table.model_validate(table)))


def build_for_evals(home: Path) -> Agent:
    from agent.roster.issues.evals.in_memory import InMemory

    return agent_over(InMemory())
