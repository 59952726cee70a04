"""Environments whose deployments wait for our app: the rule asks by a delivery, and takes one answer.

A second answer is refused with 422 and changes nothing, like one to a run that waits for nothing any more. People can
answer at GitHub, too.
https://docs.github.com/rest/actions/workflow-runs#review-custom-deployment-protection-rules-for-a-workflow-run
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from githubkit_schemas.v2026_03_10 import models as m

from tests.fakes.github import answers
from tests.fakes.github.hooks import Delivery, delivery
from tests.fakes.github.refusal import Refusal
from tests.fakes.github.repository import Deployed, Repository
from tests.fakes.github.runs import Run
from tests.fakes.github.shapes import Record, checked, shaped

if TYPE_CHECKING:
    from tests.fakes.github.server import GitHubServer

APP = "deploybot[bot]"
Operations = list[tuple[str, str, str, Callable[[Mapping[str, Any]], tuple[int, Any]]]]
REVIEW = "actions/review-custom-gates-for-run"


@dataclass
class Gate:
    """One time that our rule has asked."""

    repository: Repository
    run: Run
    deployment: Deployed
    delivery: Delivery
    state: str = "pending"
    comment: str = ""
    by: str = ""
    times: int = 0
    """How many answers were taken."""

    @property
    def environment(self) -> str:
        return self.deployment.environment

    @property
    def run_url(self) -> str:
        return f"{answers.WEB}/{self.repository.name}/actions/runs/{self.run.id}"

    @property
    def callback(self) -> str:
        return str(self.delivery.document["deployment_callback_url"])

    def is_answered(self, state: str, *, by: str, comment: str = "") -> None:
        """Somebody answers at GitHub, or we do."""
        self.state, self.by, self.comment, self.times = state, by, comment, self.times + 1
        self.run.goes("queued" if state == "approved" else "failure")


class Gates:
    def __init__(self, server: GitHubServer) -> None:
        self._server = server
        self.all: list[Gate] = []
        self.protected: dict[str, set[str]] = {}
        """Environments with our rule, by repository. What asks has it anyway."""

    def asks(self, repository: Repository, run: Run, environment: str) -> Gate:
        """Its delivery is not sent by itself."""
        deployment = Deployed(4_000 + len(self.all) + 1, run.head, environment, datetime.now(UTC), run.by)
        shape = m.WebhookDeploymentProtectionRuleRequested
        url = self._server.url
        document = shaped(
            shape,
            action="requested",
            environment=environment,
            event=run.event,
            sha=run.head,
            ref="refs/heads/main",
            deployment_callback_url=f"{url}/repos/{repository.name}/actions/runs/{run.id}/deployment_protection_rule",
            deployment=answers.deployment(deployment),
            pull_requests=[],
            repository=answers.repository_of_hooks(repository),
            installation={"id": 42, "node_id": "MDEw"},
            sender=answers.user(run.by),
        )
        made = delivery("deployment_protection_rule", checked(shape, document), self._server.hooks.secret)
        gate = Gate(repository, run, deployment, made)
        self.all.append(gate)
        return gate

    def operations(self, repo: str) -> Operations:
        run = f"{repo}/actions/runs/{{run_id}}"
        rules = f"{repo}/environments/{{environment}}/deployment_protection_rules"
        return [
            ("POST", f"{run}/deployment_protection_rule", REVIEW, self._review),
            ("GET", f"{run}/pending_deployments", "actions/get-pending-deployments-for-run", self._pending),
            ("GET", f"{run}/approvals", "actions/get-reviews-for-run", self._history),
            ("GET", rules, "repos/get-all-deployment-protection-rules", self._rules),
        ]

    def _of(self, given: Mapping[str, Any]) -> list[Gate]:
        found = [gate for gate in self.all if str(gate.run.id) == given["run_id"]]
        if not found:
            raise Refusal(404, "Not Found")
        return found

    def _review(self, given: Mapping[str, Any]) -> tuple[int, Any]:
        named = given["environment_name"].lower()
        waiting = [one for one in self._of(given) if one.environment.lower() == named and _waits(one)]
        if not waiting:
            raise Refusal(422, f"Nothing waits for this rule in workflow run `{given['run_id']}`")
        assert given["state"] in ("approved", "rejected")
        for gate in waiting:
            gate.is_answered(given["state"], by=APP, comment=given.get("comment", ""))
        return 204, None

    def _pending(self, given: Mapping[str, Any]) -> tuple[int, Any]:
        rows = [
            shaped(
                m.PendingDeployment,
                environment={"name": one.environment, "id": 1, "node_id": "MDEw"},
                wait_timer=0,
                reviewers=[],
            )
            for one in self._of(given)
            if _waits(one)
        ]
        return 200, checked(list[m.PendingDeployment], rows)

    def _history(self, given: Mapping[str, Any]) -> tuple[int, Any]:
        rows: list[Record] = [
            shaped(
                m.EnvironmentApprovals,
                environments=[{"name": one.environment, "id": 1}],
                state=one.state,
                user=answers.user(one.by),
                comment=one.comment,
            )
            for one in self._of(given)
            if one.state != "pending"
        ]
        return 200, checked(list[m.EnvironmentApprovals], rows)

    def _rules(self, given: Mapping[str, Any]) -> tuple[int, Any]:
        name = f"{given['owner']}/{given['repo']}".lower()
        if name not in self._server.repositories:
            raise Refusal(404, "Not Found")
        ours = given["environment"] in self.protected.get(name, set())
        app = {"id": 1, "slug": "deploybot", "integration_url": "https://github.test/apps/deploybot", "node_id": "A_"}
        rules = [{"id": 1, "node_id": "B_", "enabled": True, "app": app}] if ours else []
        shape = m.ReposOwnerRepoEnvironmentsEnvironmentNameDeploymentProtectionRulesGetResponse200
        return 200, checked(shape, {"total_count": len(rules), "custom_deployment_protection_rules": rules})


def _waits(gate: Gate) -> bool:
    return gate.state == "pending" and gate.run.status == "waiting"
