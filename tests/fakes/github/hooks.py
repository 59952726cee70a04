"""What GitHub delivers to webhooks: signed, and sent when a test says so, or at once.

The signature is the HMAC-SHA256 of the raw body in X-Hub-Signature-256
(https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries). GitHub sends nothing again by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp
from githubkit_schemas.v2026_03_10 import models as m
from githubkit_schemas.v2026_03_10.webhooks import workflow_run

from tests.fakes.github import answers
from tests.fakes.github.repository import Deployed, Repository
from tests.fakes.github.runs import Run
from tests.fakes.github.shapes import checked, shaped

SECRET = "github-hook-secret-for-tests-only"


@dataclass(frozen=True)
class Delivery:
    """As it goes out. The same one may be sent twice, late, or never."""

    id: str
    event: str
    body: bytes
    headers: dict[str, str]

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def signature(body: bytes, secret: str = SECRET) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def delivery(event: str, document: object, secret: str = SECRET) -> Delivery:
    body = json.dumps(document).encode()
    number = str(uuid.uuid4())
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/fa1ce00",
        "X-GitHub-Delivery": number,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": "292430182",
        "X-GitHub-Hook-Installation-Target-ID": "1296269",
        "X-GitHub-Hook-Installation-Target-Type": "repository",
        "X-Hub-Signature-256": signature(body, secret),
    }
    return Delivery(number, event, body, headers)


class Hooks:
    def __init__(self) -> None:
        self.secret = SECRET
        self.waiting: list[Delivery] = []
        """Not sent yet, in the order of what happened."""
        self.statuses: list[int] = []
        """What was answered to those that were sent."""
        self._url = ""
        self._sending: set[asyncio.Task[int]] = set()

    def send_to(self, url: str) -> None:
        """From now on, each is sent as soon as it happens."""
        self._url = url

    def run_changed(self, repository: Repository, run: Run) -> None:
        action = {"queued": "requested", "completed": "completed"}.get(run.status, "in_progress")
        shape = workflow_run.action_types[action]
        inner = shape.model_fields["workflow_run"].annotation
        of = shaped(
            inner,  # type: ignore[arg-type]
            **answers.run_fields(repository, run),
            repository=_of(inner, "repository", repository),
            head_repository=_of(inner, "head_repository", repository),
            head_commit=_head(inner, run),
            pull_requests=[],
            referenced_workflows=[],
            previous_attempt_url=None,
            node_id="MDEw",
        )
        document = shaped(
            shape,
            action=action,
            repository=answers.repository_of_hooks(repository),
            sender=answers.user(run.by),
            workflow=None,
            workflow_run=of,
        )
        self.happened("workflow_run", checked(shape, document))

    def deployment_changed(self, repository: Repository, one: Deployed) -> None:
        shape = m.WebhookDeploymentStatusCreated
        state, at = one.statuses[0]
        inner = shape.model_fields["deployment_status"].annotation
        deployed = shape.model_fields["deployment"].annotation
        document = shaped(
            shape,
            action="created",
            repository=answers.repository_of_hooks(repository),
            sender=answers.user(one.by),
            deployment={**shaped(deployed), **answers.deployment(one)},  # type: ignore[arg-type]
            deployment_status={**shaped(inner), **answers.deployment_status(one, state, at)},  # type: ignore[arg-type]
        )
        self.happened("deployment_status", checked(shape, document))

    def happened(self, event: str, document: object) -> None:
        made = delivery(event, document, self.secret)
        if not self._url:
            self.waiting.append(made)
            return
        task = asyncio.get_running_loop().create_task(self.send(made, self._url))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def send(self, made: Delivery, url: str) -> int:
        """The status that was answered."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=made.body, headers=made.headers) as answer,
        ):
            self.statuses.append(answer.status)
            return answer.status

    async def close(self) -> None:
        for task in [*self._sending]:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)


def _of(shape: Any, name: str, repository: Repository) -> dict[str, Any]:
    kind = shape.model_fields[name].annotation
    return shaped(kind, **{key: value for key, value in answers.names(repository).items() if key in kind.model_fields})


def _head(shape: Any, run: Run) -> dict[str, Any]:
    kind = shape.model_fields["head_commit"].annotation
    who = {"name": "Ada", "email": "ada@example.com"}
    return shaped(
        kind, id=run.head, tree_id=run.head, message="", timestamp="2026-11-01T09:00:00Z", author=who, committer=who
    )
