"""The reviews of deployments at GitHub: what a run is, whether it still waits, and giving it our answer.

Our app answers for its own protection rule. GitHub takes one answer for each time that it asks: to a second one, and to
one that is no longer waited for, it says 422 and changes nothing. So whoever does not know whether an answer arrived
looks at the review history for it, and may else give it again.
https://docs.github.com/rest/actions/workflow-runs#review-custom-deployment-protection-rules-for-a-workflow-run
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from agent.roster.deploy.github.access import access
from agent.roster.deploy.github.api import GitHubApi, api_of

COMMENT_CHARS_MAX = 1_000
Answer = Literal["approved", "rejected"]
Text = Annotated[str, BeforeValidator(lambda given: given or "")]


class _Read(BaseModel):
    """What we read of an answer of GitHub, and nothing else of it."""

    model_config = ConfigDict(frozen=True)


class Who(_Read):
    login: str = ""
    name: Text = ""


class HeadCommit(_Read):
    message: Text = ""
    author: Who | None = None


class WorkflowRun(_Read):
    """Its texts come from anybody who may push or open a pull request."""

    name: Text = ""
    event: Text = ""
    head_sha: str
    head_branch: Text = ""
    status: Text = ""
    conclusion: Text = ""
    html_url: str
    run_attempt: int = 1
    actor: Who | None = None
    triggering_actor: Who | None = None
    head_commit: HeadCommit | None = None


class Environment(_Read):
    name: Text = ""


class Pending(_Read):
    environment: Environment


class Review(_Read):
    state: Text = ""
    comment: Text = ""
    user: Who | None = None
    environments: Sequence[Environment] = ()


class RuleApp(_Read):
    slug: Text = ""
    integration_url: Text = ""


class ProtectionRule(_Read):
    enabled: bool = False
    app: RuleApp


class ProtectionRules(_Read):
    custom: Sequence[ProtectionRule] = Field(default=(), alias="custom_deployment_protection_rules")


class Installation(_Read):
    permissions: dict[str, str] = {}
    events: Sequence[str] = ()
    app_slug: Text = ""


class Reviews:
    """A resource of the tools. It holds nothing: who we are at GitHub is read when it is used."""

    @property
    def _api(self) -> GitHubApi:
        """Raises ToolError."""
        return api_of(access())

    @property
    def where(self) -> str:
        """As whom and where we answer, for an approval to be bound to. Raises ToolError."""
        mine = access()
        return f"{mine.url} as {mine.app_id or 'a token'}"

    async def run(self, repository: str, run_id: int) -> WorkflowRun:
        """Raises Refusal, ToolError, NoAnswer. So do all others."""
        return await self._api.get(WorkflowRun, f"/repos/{repository}/actions/runs/{run_id}")

    async def waits(self, repository: str, run_id: int, environment: str) -> bool:
        """Whether the run waits for this environment: for us, or for another of its rules."""
        path = f"/repos/{repository}/actions/runs/{run_id}/pending_deployments"
        pending = await self._api.get(list[Pending], path)
        return any(_is(one.environment, environment) for one in pending)

    async def history(self, repository: str, run_id: int, environment: str) -> list[Review]:
        """What has been answered for this environment of the run, by anybody."""
        found = await self._api.get(list[Review], f"/repos/{repository}/actions/runs/{run_id}/approvals")
        return [one for one in found if any(_is(each, environment) for each in one.environments)]

    async def give(self, repository: str, run_id: int, environment: str, answer: Answer, comment: str) -> None:
        path = f"/repos/{repository}/actions/runs/{run_id}/deployment_protection_rule"
        body = {"environment_name": environment, "state": answer, "comment": comment[:COMMENT_CHARS_MAX]}
        await self._api.post(path, dict(body), repeats=False)

    async def installation(self) -> Installation | None:
        """None: a token answers, not an app."""
        mine = access()
        if not mine.app_id:
            return None
        return await self._api.get(Installation, f"/app/installations/{mine.installation}")

    async def rules(self, repository: str, environment: str) -> ProtectionRules | None:
        """Whose rules protect the environment. None: there is no such environment, or we may not see it."""
        path = f"/repos/{repository}/environments/{quote(environment, safe='')}/deployment_protection_rules"
        return await self._api.find(ProtectionRules, path)


def run_in(callback_url: str, repository: str) -> int:
    """The run that the callback names; 0: it is none of this repository. Only this much of the URL is ever used."""
    *_, repos, owner, name, actions, runs, number, last = [
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        *urlsplit(callback_url).path.split("/"),
    ]
    fits = (repos, actions, runs, last) == ("repos", "actions", "runs", "deployment_protection_rule")
    is_same = f"{owner}/{name}".lower() == repository.lower()
    return int(number) if fits and is_same and number.isascii() and number.isdigit() and len(number) < 16 else 0


def _is(environment: Environment, name: str) -> bool:
    """Names of environments are compared so at GitHub."""
    return environment.name.lower() == name.lower()
