"""GitHub's webhooks, of a repository, an organization or an app. Pure.

https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries and the payloads of
https://docs.github.com/webhooks/webhook-events-and-payloads. A delivery that is sent again has the same id. Titles,
names of branches of pull requests and of workflows are words of whoever wrote them, of a stranger's fork too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import JsonValue

from channels.hooks.kind import Delivery, Kind, Occurrence, Options, Posted, Proof, Ready, Signature, Unreadable
from channels.hooks.payload import json_of, number_at, text_at, value_at
from channels.hooks.proofs import Hmac
from store import awaited

PULL_REQUEST_MERGED = "pull_request_merged"

_EVENT, _DELIVERY = "x-github-event", "x-github-delivery"
_ID = re.compile(r"[A-Za-z0-9-]{8,80}")
_NAME = re.compile(r"[a-z_]{2,60}")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_PROOF = Hmac(Signature(header="X-Hub-Signature-256", prefix="sha256="))


def _proof(_: Options) -> Proof:
    return _PROOF


def _read(posted: Posted, _: Options) -> Delivery:
    event, delivery_id = posted.headers.get(_EVENT, ""), posted.headers.get(_DELIVERY, "")
    if not _NAME.fullmatch(event) or not _ID.fullmatch(delivery_id):
        raise Unreadable("X-GitHub-Event and X-GitHub-Delivery must be there.")
    body = json_of(posted)
    action = text_at(body, "action")
    return Delivery(
        id=delivery_id,
        event=f"{event}.{action}" if action else event,
        body=body,
        ready=_ready(event, action, body),
        awaited=tuple(dict.fromkeys(_awaited(event, body))),
        test=event == "ping",
    )


def _ready(event: str, action: str, body: Mapping[str, JsonValue]) -> Occurrence | None:
    match event, action:
        case "pull_request", "closed" if value_at(body, "pull_request.merged") is True:
            return _merged(body)
        case "workflow_run", "completed":
            return _of(body, "workflow_completed", "workflow_run", _WORKFLOW)
        case "deployment_status", _:
            return _of(body, "deployment_status", "", _DEPLOYMENT)
        case ("check_run" | "check_suite") as check, "completed":
            return _of(body, "check_completed", check, _CHECK)
        case "release", "published":
            return _of(body, "release_published", "release", _RELEASE)
        case "push", _ if text_at(body, "ref").startswith("refs/heads/") and _sha_at(body, "after"):
            return _pushed(body)
        case _:
            return None


def _merged(body: Mapping[str, JsonValue]) -> Occurrence | None:
    # What was merged is what the base has now: a merge, a squash or a rebase have each a commit of their own.
    sha = _sha_at(body, "pull_request.merge_commit_sha")
    return _of(body, PULL_REQUEST_MERGED, "pull_request", _PULL_REQUEST, sha=sha) if sha else None


def _pushed(body: Mapping[str, JsonValue]) -> Occurrence | None:
    commits = value_at(body, "commits")
    branch = text_at(body, "ref").removeprefix("refs/heads/")
    count = len(commits) if isinstance(commits, list) else 0
    return _of(body, "pushed", "", _PUSH, branch=branch, commits=count)


_PULL_REQUEST = {
    "pull_request": "number",
    "base": "base.ref",
    "merged_by": "merged_by.login",
    "author": "user.login",
    "url": "html_url",
    "title": "title",
    "head": "head.ref",
}
_WORKFLOW = {
    "run_id": "id",
    "attempt": "run_attempt",
    "conclusion": "conclusion",
    "sha": "head_sha",
    "trigger": "event",
    "url": "html_url",
    "workflow": "name",
    "branch": "head_branch",
    "title": "display_title",
}
_DEPLOYMENT = {
    "deployment": "deployment.id",
    "environment": "deployment.environment",
    "state": "deployment_status.state",
    "sha": "deployment.sha",
    "creator": "deployment.creator.login",
    "url": "deployment_status.log_url",
    "description": "deployment_status.description",
}
_CHECK = {
    "check": "id",
    "conclusion": "conclusion",
    "sha": "head_sha",
    "app": "app.slug",
    "url": "html_url",
    "name": "name",
}
_RELEASE = {"tag": "tag_name", "author": "author.login", "url": "html_url", "title": "name"}
_PUSH = {
    "sha": "after",
    "before": "before",
    "pusher": "pusher.name",
    "url": "compare",
    "message": "head_commit.message",
}


def _of(
    body: Mapping[str, JsonValue], event: str, within: str, paths: Mapping[str, str], **more: JsonValue
) -> Occurrence | None:
    """The fields that are there. None: it is of no repository."""
    repository = text_at(body, "repository.full_name")
    if not repository:
        return None
    fields: dict[str, JsonValue] = {"repository": repository}
    for name, path in paths.items():
        value = value_at(body, f"{within}.{path}" if within else path)
        if isinstance(value, str | int | float):
            fields[name] = value[:_CHARS_MAX] if isinstance(value, str) else value
    return Occurrence(event, fields | more)


def _awaited(event: str, body: Mapping[str, JsonValue]) -> list[str]:
    repository = text_at(body, "repository.full_name")
    if not repository:
        return []
    found: list[str] = []
    match event:
        case "workflow_run":
            if run := number_at(body, "workflow_run.id"):
                found.append(awaited.workflow_run(repository, run))
        case "workflow_job":
            if run := number_at(body, "workflow_job.run_id"):
                found.append(awaited.workflow_run(repository, run))
        case "deployment_status":
            if deployment := number_at(body, "deployment.id"):
                found.append(awaited.github_deployment(repository, deployment))
        case "pull_request":
            if number := number_at(body, "pull_request.number"):
                found.append(awaited.pull_request(repository, number))
        case _:
            pass
    if (path := _COMMITS.get(event)) and (sha := _sha_at(body, path)):
        found.append(awaited.commit(repository, sha))
    return found


_COMMITS = {
    "workflow_run": "workflow_run.head_sha",
    "deployment_status": "deployment.sha",
    "check_run": "check_run.head_sha",
    "check_suite": "check_suite.head_sha",
    "status": "sha",
}
"""Where each event names its commit."""
_CHARS_MAX = 500


def _sha_at(body: Mapping[str, JsonValue], path: str) -> str:
    sha = text_at(body, path)
    return sha if _SHA.fullmatch(sha) and sha.strip("0") else ""


_RAW = """
branch_protection_configuration branch_protection_rule check_run check_suite code_scanning_alert commit_comment create
custom_property custom_property_values delete dependabot_alert deploy_key deployment deployment_protection_rule
deployment_review deployment_status discussion discussion_comment fork github_app_authorization gollum installation
installation_repositories installation_target issue_comment issue_dependencies issues label marketplace_purchase member
membership merge_group meta milestone org_block organization package page_build personal_access_token_request ping
project_card project project_column projects_v2 projects_v2_item projects_v2_status_update public pull_request
pull_request_review_comment pull_request_review pull_request_review_thread push registry_package release repository
repository_advisory repository_dispatch repository_import repository_ruleset repository_vulnerability_alert
secret_scanning_alert secret_scanning_alert_location secret_scanning_scan security_advisory security_and_analysis
sponsorship star status sub_issues team_add team watch workflow_dispatch workflow_job workflow_run
"""

KIND = Kind(
    name="github",
    proof=_proof,
    read=_read,
    signed_with="what you type as the secret of the webhook at GitHub, such as `openssl rand -hex 32` prints",
    events={
        PULL_REQUEST_MERGED: Ready(
            facts=("repository", "sha", "pull_request", "base", "merged_by", "author", "url"), words=("title", "head")
        ),
        "workflow_completed": Ready(
            facts=("repository", "run_id", "attempt", "conclusion", "sha", "trigger", "url"),
            words=("workflow", "branch", "title"),
        ),
        "deployment_status": Ready(
            facts=("repository", "deployment", "environment", "state", "sha", "creator", "url"), words=("description",)
        ),
        "check_completed": Ready(facts=("repository", "check", "conclusion", "sha", "app", "url"), words=("name",)),
        "release_published": Ready(facts=("repository", "tag", "author", "url"), words=("title",)),
        "pushed": Ready(
            facts=("repository", "branch", "sha", "before", "pusher", "commits", "url"), words=("message",)
        ),
    },
    raw=frozenset(_RAW.split()),
    event_header="X-GitHub-Event",
    delivery_header="X-GitHub-Delivery",
    wakes=True,
)
