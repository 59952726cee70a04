"""What we read of GitHub's answers: these fields, and nothing else of them. Texts come from anybody who may push."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Text = Annotated[str, BeforeValidator(lambda given: given or "")]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Who(_Answer):
    login: str = ""


class WorkflowRun(_Answer):
    id: int
    path: Text = ""
    event: str
    head_sha: str
    display_title: Text = ""
    status: Text = ""
    conclusion: Text = ""
    html_url: str
    created_at: datetime
    updated_at: datetime
    triggering_actor: Who | None = None


class WorkflowRuns(_Answer):
    workflow_runs: tuple[WorkflowRun, ...]


class Dispatched(_Answer):
    workflow_run_id: int
    html_url: str = ""


class Job(_Answer):
    id: int
    name: str
    conclusion: Text = ""


class Jobs(_Answer):
    jobs: tuple[Job, ...]


class Workflow(_Answer):
    path: str
    state: str


class File(_Answer):
    encoding: str = ""
    content: str = ""


class Installation(_Answer):
    permissions: dict[str, str]


class Repo(_Answer):
    full_name: str
    default_branch: str


class Named(_Answer):
    sha: str


class Author(_Answer):
    name: Text = ""
    date: Text = ""


class CommitText(_Answer):
    message: Text = ""
    author: Author | None = None
    committer: Author | None = None


class Commit(_Answer):
    sha: str
    commit: CommitText


class Comparison(_Answer):
    status: str
    total_commits: int
    commits: tuple[Commit, ...]


class Tag(_Answer):
    name: str
    commit: Named


class Object(_Answer):
    type: str
    sha: str


class TagObject(_Answer):
    object_: Object = Field(alias="object")


class Ref(_Answer):
    ref: str
    object_: Object = Field(alias="object")


class Branch(_Answer):
    name: str


class Pull(_Answer):
    number: int
    title: str
    html_url: str
    merged_at: datetime | None = None


class CheckRun(_Answer):
    name: str
    status: str
    conclusion: Text = ""


class CheckRuns(_Answer):
    check_runs: tuple[CheckRun, ...]


class Status(_Answer):
    context: str
    state: str


class Statuses(_Answer):
    statuses: tuple[Status, ...]


class Deployment(_Answer):
    id: int
    sha: str
    creator: Who | None = None


class DeploymentStatus(_Answer):
    state: str
    created_at: datetime
    log_url: Text = ""
    environment_url: Text = ""
