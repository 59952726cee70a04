"""A Linear for tests, over HTTP: as much of its GraphQL API as our agent uses, in the shapes of its published schema.

    async with LinearServer() as linear:
        linear.url, linear.key                       # where, and with which key
        linear.issues, linear.comments               # what there is, as Linear keeps it
        linear.fails("CreateIssue", Fault.after)     # the next request of this operation: done, and no answer comes

It reads a document as GraphQL does, field by field with aliases, so what is not asked for is not answered, and a field
that a type does not have is refused. Ids must be UUIDs of version 4, and each is taken once. It knows nothing of ours.
"""

from __future__ import annotations

import enum
import re
import uuid
from collections import defaultdict, deque
from types import TracebackType
from typing import Any, Self

from aiohttp import web

KEY = "lin_api_for-tests-only-0123456789"
Record = dict[str, Any]
_TOKEN = re.compile(r'\s*(?:#[^\n]*\n\s*)*("(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|-?\d+|[{}():!$,\[\]])')


class Fault(enum.Enum):
    before = "the connection is cut, and nothing was done"
    after = "it is done, and the connection is cut"
    rate_limited = "HTTP 400 with RATELIMITED, as https://linear.app/developers/rate-limiting says"
    internal = "HTTP 200 with an internal error"
    not_json = "a gateway answers with HTML"
    no_data = "HTTP 200 with neither data nor errors"


class Refused(Exception):
    def __init__(self, message: str, presentable: str, code: str = "INPUT_ERROR", status: int = 400) -> None:
        super().__init__(message)
        self.errors = [
            {
                "message": message,
                "extensions": {
                    "code": code,
                    "statusCode": status,
                    "userError": status == 400,
                    "userPresentableMessage": presentable,
                },
            }
        ]


def uuid_of(name: str) -> str:
    return str(uuid.UUID(bytes=uuid.uuid5(uuid.NAMESPACE_URL, name).bytes, version=4))


class LinearServer:
    def __init__(self, *, page: int = 100) -> None:
        self.url, self.key, self.page = "", KEY, page
        self.teams = [self._team("ENG", "Engineering"), self._team("DES", "Design")]
        self.states = [self._of(team, name) for team in self.teams for name in ("Todo", "In Progress", "Done")]
        self.users = [self._user("Ada Okafor", "ada"), self._user("Lin Berg", "lin"), self._user("Old Hand", "old")]
        self.users[-1]["active"] = False
        self.labels: list[Record] = [{"id": uuid_of("bug"), "name": "Bug", "team": None, "isGroup": False}]
        self.labels.append({"id": uuid_of("mobile"), "name": "Mobile", "team": self.teams[1], "isGroup": False})
        self.projects: list[Record] = [{"id": uuid_of("checkout"), "name": "New checkout"}]
        self.issues: dict[str, Record] = {}
        self.comments: dict[str, Record] = {}
        self.asked: list[str] = []
        """The operations, in order."""
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.add_issue("Login fails", description="Since Tuesday.", assignee=self.users[1])

    def fails(self, operation: str, *faults: Fault) -> None:
        self._faults[operation].extend(faults)

    def add_issue(self, title: str, **fields: Any) -> Record:
        number, team = len(self.issues) + 12, self.teams[0]
        fields = {"id": uuid_of(f"{title}{number}"), "description": None, "priority": 0, **fields}
        issue = {
            "assignee": None,
            "project": None,
            "labels": [],
            "state": self.states[0],
            "team": team,
            **fields,
            "title": title,
            "identifier": f"ENG-{number}",
            "url": f"https://linear.app/acme/issue/ENG-{number}",
        }
        self.issues[issue["id"]] = issue
        return issue

    # What is answered

    async def _graphql(self, request: web.Request) -> web.Response:
        body = await request.json()
        document = Document(body["query"], body.get("variables") or {})
        self.asked.append(document.name)
        fault = self._faults[document.name].popleft() if self._faults[document.name] else None
        if request.headers.get("Authorization") != self.key:
            text = "Authentication required, not authenticated"
            shown = "You need to authenticate to access this operation."
            return web.json_response({"errors": Refused(text, shown, "AUTHENTICATION_ERROR", 401).errors}, status=401)
        match fault:
            case Fault.rate_limited:
                refused = Refused("Rate limit exceeded.", "Rate limit exceeded.", "RATELIMITED", 429)
                return web.json_response({"errors": refused.errors}, status=400)
            case Fault.internal:
                refused = Refused("Internal", f"Something failed for {self.key}", "INTERNAL_SERVER_ERROR", 500)
                return web.json_response({"errors": refused.errors, "data": None})
            case Fault.not_json:
                return web.Response(text="<html>bad gateway</html>", status=502)
            case Fault.no_data:
                return web.json_response({"data": None})
            case Fault.before:
                assert request.transport
                request.transport.abort()
        if fault is not Fault.before:
            try:
                data = {name: select(self._value(field, given), inner) for name, field, given, inner in document.fields}
            except Refused as refused:
                return web.json_response({"errors": refused.errors, "data": None}, status=400)
            if fault is Fault.after:
                assert request.transport
                request.transport.abort()
            return web.json_response({"data": data})
        return web.Response()

    def _value(self, field: str, given: Record) -> Any:
        match field:
            case "teams":
                return self._page(self.teams, given)
            case "workflowStates":
                return self._page(self.states, given)
            case "users":
                assert given["filter"] == {"active": {"eq": True}}
                return self._page([one for one in self.users if one["active"]], given)
            case "issueLabels":
                assert given["filter"] == {"isGroup": {"eq": False}}
                return self._page([one for one in self.labels if not one["isGroup"]], given)
            case "projects":
                assert given["filter"] == {"completedAt": {"null": True}, "canceledAt": {"null": True}}
                return self._page(self.projects, given)
            case "searchIssues":
                found = [
                    self._shown(one) for one in self.issues.values() if given["term"].lower() in one["title"].lower()
                ]
                return {"nodes": found[: given["first"]], "totalCount": len(found)}
            case "issue":
                return self._shown(self._issue(given["id"]))
            case "comment":
                return self._kept(self.comments, given["id"], "Comment")
            case "issueCreate":
                return {"success": True, "issue": self._shown(self._created_issue(given["input"]))}
            case "commentCreate":
                return {"success": True, "comment": self._created_comment(given["input"])}
            case "issueUpdate":
                issue = self._issue(given["id"])
                issue |= self._fields(given["input"])
                return {"success": True, "issue": self._shown(issue)}
            case _:
                raise Refused(f'Cannot query field "{field}" on type "Query".', "", "GRAPHQL_VALIDATION_FAILED")

    def _page(self, records: list[Record], given: Record) -> Record:
        begins = int(given.get("after") or 0)
        ends = begins + min(self.page, given["first"])
        more = {"hasNextPage": ends < len(records), "endCursor": str(ends)}
        return {"nodes": records[begins:ends], "pageInfo": more}

    def _issue(self, named: str) -> Record:
        by_name = {one["identifier"]: one for one in self.issues.values()}
        return by_name.get(named) or self._kept(self.issues, named, "Issue")

    def _kept(self, records: dict[str, Record], named: str, what: str) -> Record:
        if named not in records:
            raise Refused(f"Entity not found: {what}", f"Could not find referenced {what}.")
        return records[named]

    def _new_id(self, given: Record, records: dict[str, Record], what: str) -> str:
        if uuid.UUID(given["id"]).version != 4:
            raise Refused("Argument Validation Error", "id must be a UUID v4.")
        if given["id"] in records:
            raise Refused(f"conflict on insert of {what}", f"Entity {what} with id {given['id']} already exists.")
        return str(given["id"])

    def _created_issue(self, given: Record) -> Record:
        new = self._new_id(given, self.issues, "Issue")
        fields = self._fields(given)
        return self.add_issue(fields.pop("title"), **{**fields, "id": new})

    def _created_comment(self, given: Record) -> Record:
        new, issue = self._new_id(given, self.comments, "Comment"), self._issue(given["issueId"])
        url = f"{issue['url']}#comment-{new[:8]}"
        user = {"name": "Ada Okafor"}
        comment = {"id": new, "url": url, "body": given["body"], "issue": issue, "user": user}
        self.comments[new] = {**comment, "createdAt": "2026-11-27T10:00:00.000Z"}
        return self.comments[new]

    def _fields(self, given: Record) -> Record:
        lists = {"teamId": self.teams, "stateId": self.states, "assigneeId": self.users, "projectId": self.projects}
        found: Record = {}
        for name, value in given.items():
            if name in lists:
                found[name.removesuffix("Id")] = self._kept({one["id"]: one for one in lists[name]}, value, name)
            elif name == "labelIds":
                found["labels"] = [self._kept({one["id"]: one for one in self.labels}, one, name) for one in value]
            elif name in ("title", "description", "priority"):
                found[name] = value
            elif name != "id":
                raise Refused(
                    f'Field "{name}" is not defined by type "IssueCreateInput".', "", "GRAPHQL_VALIDATION_FAILED"
                )
        return found

    def _shown(self, issue: Record) -> Record:
        said = [one for one in self.comments.values() if one["issue"] is issue]
        label = ("No priority", "Urgent", "High", "Medium", "Low")[issue["priority"]]
        return {**issue, "priorityLabel": label, "labels": {"nodes": issue["labels"]}, "comments": {"nodes": said}}

    # What there is

    def _team(self, key: str, name: str) -> Record:
        return {"id": uuid_of(key), "key": key, "name": name}

    def _of(self, team: Record, name: str) -> Record:
        return {"id": uuid_of(f"{team['key']} {name}"), "name": name, "team": team}

    def _user(self, name: str, short: str) -> Record:
        mail = f"{short}@example.com"
        return {"id": uuid_of(short), "name": name, "displayName": short, "email": mail, "active": True}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/graphql", self._graphql)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/graphql"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._runner.cleanup()


def select(value: Any, fields: list[Field]) -> Any:
    """What was asked for of a value, under the names that were asked for."""
    if isinstance(value, list):
        return [select(one, fields) for one in value]
    if not fields or value is None:
        return value
    if missing := [field for _, field, _, _ in fields if field not in value]:
        raise Refused(f'Cannot query field "{missing[0]}".', "", "GRAPHQL_VALIDATION_FAILED")
    return {name: select(value[field], inner) for name, field, _, inner in fields}


Field = tuple[str, str, Record, "list[Field]"]
"""The name in the answer, the field, its arguments, and what is asked of it."""


class Document:
    """One operation of GraphQL, read from its text: names, arguments with variables, aliases, nested fields."""

    def __init__(self, text: str, variables: Record) -> None:
        self._left = deque(_TOKEN.findall(text))
        self._variables = variables
        assert self._left.popleft() in ("query", "mutation")
        self.name = self._left.popleft()
        declared = set()
        while (token := self._left.popleft()) != "{":
            if token == "$":
                declared.add(self._left.popleft())
        assert set(variables) <= declared, "a variable that the operation does not declare"
        self.fields = self._fields()

    def _fields(self) -> list[Field]:
        found: list[Field] = []
        while (name := self._left.popleft()) != "}":
            field = name
            if self._left[0] == ":":
                self._left.popleft()
                field = self._left.popleft()
            given = self._object(")") if self._next_is("(") else {}
            found.append((name, field, given, self._fields() if self._next_is("{") else []))
        return found

    def _object(self, end: str) -> Record:
        found: Record = {}
        while (name := self._left.popleft()) != end:
            if name == ",":
                continue
            assert self._left.popleft() == ":"
            found[name] = self._argument()
        return found

    def _argument(self) -> Any:
        match self._left.popleft():
            case "$":
                return self._variables.get(self._left.popleft())
            case "{":
                return self._object("}")
            case "true" | "false" as truth:
                return truth == "true"
            case number:
                return int(number)

    def _next_is(self, token: str) -> bool:
        if self._left and self._left[0] == token:
            self._left.popleft()
            return True
        return False
