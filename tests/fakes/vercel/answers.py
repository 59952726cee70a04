"""What the server answers, in the shapes of Vercel's API: each answer is checked against its shape when it is made."""

from __future__ import annotations

from tests.fakes.vercel import shapes
from tests.fakes.vercel.account import Account, Made, Project
from tests.fakes.vercel.shapes import Record

_TARGETS = ("production", "staging")


def _target(made: Made) -> str | None:
    return made.target if made.target in _TARGETS else None


def _environment(made: Made) -> Record:
    if made.target not in made.project.environments:
        return {}
    return {"customEnvironment": {"id": f"env_{made.target}", "slug": made.target}}


def deployment(account: Account, made: Made) -> Record:
    answer: Record = {
        "id": made.id,
        "name": made.project.name,
        "url": made.url,
        "projectId": made.project.id,
        "ownerId": account.team_id,
        "createdAt": made.created,
        "createdIn": "sfo1",
        "bootedAt": made.created,
        "buildingAt": made.created,
        "readyState": made.state,
        "status": made.state,
        "target": _target(made),
        "aliasAssigned": made.project.production is made,
        "meta": made.told,
        "creator": {"uid": f"user-{made.by}", "username": made.by},
        "project": {"id": made.project.id, "name": made.project.name},
        "inspectorUrl": made.inspector,
        "source": made.source,
        "build": {"env": []},
        "env": [],
        "regions": ["iad1"],
        "routes": None,
        "projectSettings": {},
        "isInConcurrentBuildsQueue": False,
        "isInSystemBuildsQueue": False,
        "buildSkipped": False,
        "public": False,
        "plan": "pro",
        "type": "LAMBDAS",
        "version": 2,
        **_environment(made),
        **_ended(made),
    }
    if made.told == made.meta and made.source != "cli":
        answer["gitSource"] = _git_source(made)
    if made.alias_error:
        answer["aliasError"] = {"code": "alias_failed", "message": made.alias_error}
    return _checked(shapes.Deployment, answer)


def _ended(made: Made) -> Record:
    found: Record = {}
    if made.substate:
        found["readySubstate"] = made.substate
    if made.ready:
        found["ready"] = made.ready
    if made.state == "ERROR":
        found |= {"errorCode": "BUILD_FAILED", "errorMessage": made.error or "Build failed"}
    return found


def _git_source(made: Made) -> Record:
    link = made.project.link or {}
    of = {"ref": made.ref, "sha": made.sha}
    match link.get("type"):
        case "gitlab":
            return {"type": "gitlab", "projectId": link["projectId"], **of}
        case "bitbucket":
            return {
                "type": "bitbucket",
                "repoUuid": link["uuid"],
                "workspaceUuid": link["workspaceUuid"],
                **of,
            }
        case _:
            return {"type": "github", "repoId": link.get("repoId", 4711), **of}


def listed(made: list[Made], *, until: int | None) -> Record:
    answer = {
        "deployments": [
            {
                "uid": one.id,
                "name": one.project.name,
                "url": one.url,
                "projectId": one.project.id,
                "created": one.created,
                "createdAt": one.created,
                "readyState": one.state,
                "state": one.state,
                "type": "LAMBDAS",
                "creator": {"uid": f"user-{one.by}", "username": one.by},
                "meta": one.told,
                "target": _target(one),
                "inspectorUrl": one.inspector,
                **_environment(one),
                **_ended(one),
            }
            for one in made
        ],
        "pagination": {"count": len(made), "next": until, "prev": made[0].created if made else None},
    }
    return _checked(shapes.Deployments, answer)


def events(made: Made, limit: int) -> list[Record]:
    lines = made.log if limit < 0 else made.log[:limit]
    found = []
    for number, line in enumerate(lines):
        answer = {
            "id": f"{made.created}{number:06d}",
            "serial": f"{made.created}{number:06d}",
            "created": made.created + number,
            "date": made.created + number,
            "deploymentId": made.id,
            "info": {"type": "build", "name": "bld_0001"},
            "text": line,
            "type": "stdout",
        }
        found.append(_checked(shapes.BuildEvent, answer))
    return found


def project(account: Account, one: Project) -> Record:
    answer: Record = {
        "id": one.id,
        "name": one.name,
        "accountId": account.team_id,
        "alias": [],
        "autoAssignCustomDomains": one.auto_assign,
        "targets": {"production": _running(one.production)} if one.production else {},
        "lastAliasRequest": None,
        "rollingRelease": {"target": "production"} if one.rolling else None,
        "customEnvironments": [
            {"id": f"env_{slug}", "slug": slug, "type": "preview", "createdAt": 1, "updatedAt": 1}
            for slug in one.environments
        ],
        "deploymentExpiration": {},
        "defaultResourceConfig": {},
        "resourceConfig": {},
        "directoryListing": False,
        "nodeVersion": "24.x",
    }
    if one.link:
        given = {"productionBranch": one.branch, "deployHooks": [], "gitCredentialId": "cred_1"}
        answer["link"] = {**one.link, **given}
    if one.job:
        answer["lastAliasRequest"] = {
            "fromDeploymentId": one.job.before.id if one.job.before else None,
            "toDeploymentId": one.job.to.id,
            "jobStatus": one.job.status,
            "requestedAt": one.job.requested,
            "type": one.job.kind,
        }
    return _checked(shapes.Project, answer)


def _running(made: Made) -> Record:
    return {
        "id": made.id,
        "name": made.project.name,
        "url": made.url,
        "deploymentHostname": made.url.removesuffix(".vercel.app"),
        "createdAt": made.created,
        "createdIn": "sfo1",
        "creator": None,
        "readyState": made.state,
        "alias": [f"{made.project.name}.example.com"],
        "meta": dict(made.meta),
        "plan": "pro",
        "private": False,
        "target": _target(made),
        "type": "LAMBDAS",
        **({"readySubstate": made.substate} if made.substate else {}),
    }


def team(account: Account) -> Record:
    answer = {
        "id": account.team_id,
        "slug": account.slug,
        "name": "Acme",
        "avatar": None,
        "description": None,
        "billing": None,
        "creatorId": "user-ann",
        "stagingPrefix": "acme",
        "createdAt": 1,
        "updatedAt": 1,
    }
    return _checked(shapes.Team, answer)


def delivery(account: Account, kind: str, made: Made, number: int) -> Record:
    answer = {
        "id": f"hook_{number:024d}",
        "type": kind,
        "createdAt": account.now(),
        "region": "sfo1",
        "payload": {
            "team": {"id": account.team_id},
            "user": {"id": f"user-{made.by}"},
            "deployment": {"id": made.id, "meta": dict(made.meta), "url": made.url, "name": made.project.name},
            "links": {"deployment": made.inspector, "project": f"https://vercel.com/acme/{made.project.name}"},
            "target": _target(made),
            "project": {"id": made.project.id},
            "plan": "pro",
            "regions": ["iad1"],
        },
    }
    return _checked(shapes.Delivery, answer)


def failure(status: int, code: str, message: str, more: Record) -> Record:
    return _checked(shapes.Failure, {"error": {"code": code, "message": message, **more}})


def _checked(shape: type[shapes.Shape], answer: Record) -> Record:
    shape.model_validate(answer)
    return answer
