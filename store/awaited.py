"""What threads wait for outside, as keys: the one owner of their form, for whoever waits and for whoever hears of it.

A tool that starts something outside says by such a key which thread waits for news of it. When a service reports, its
hook finds the thread by the same key and has the tool look. A key says no more than what the news is about: how it
ended, the tool asks the service itself. Pure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from store.keys import TimerKey

if TYPE_CHECKING:
    from store.thread import Thread

THREADS_MAX = 20
"""That wait for the same thing. Of more, the newest are woken, and the others look again when their time has come."""
PREFIX = "awaited/"
_PART_CHARS_MAX = 200


def workflow_run(repository: str, run_id: int | str) -> str:
    """A run of a workflow at GitHub. `repository`: `acme/payments`."""
    return _key("github", repository, "run", run_id)


def commit(repository: str, sha: str) -> str:
    """Whatever happens to a commit at GitHub: its checks, runs and deployments. `sha` in full."""
    return _key("github", repository, "commit", sha)


def pull_request(repository: str, number: int | str) -> str:
    return _key("github", repository, "pull", number)


def github_deployment(repository: str, deployment_id: int | str) -> str:
    """A deployment of GitHub's own API."""
    return _key("github", repository, "deployment", deployment_id)


def vercel_deployment(deployment_id: str) -> str:
    """A deployment at Vercel, by its id (`dpl_…`)."""
    return _key("vercel", "deployment", deployment_id)


def _key(*parts: int | str) -> str:
    # Services compare the names of owners and repositories without regard to case.
    return "/".join(str(part).strip("/")[:_PART_CHARS_MAX].lower() for part in parts)


def waiting(text: str) -> tuple[str, ...]:
    """The threads in a note of this kind, the newest last."""
    return tuple(json.loads(text)) if text else ()


def with_thread(text: str, thread_id: str) -> str:
    others = [one for one in waiting(text) if one != thread_id]
    return json.dumps([*others, thread_id][-THREADS_MAX:])


def without_thread(text: str, thread_id: str) -> str:
    """Empty: none is left."""
    others = [one for one in waiting(text) if one != thread_id]
    return json.dumps(others) if others else ""


def looks_of(thread: Thread) -> tuple[bool, list[TimerKey]]:
    """Whether a tool waits there or looks just now, and the timers of those that have not heard of any news."""
    steps = [step for step in thread.open_steps("waiting", "running", "due") if not step.chosen.until]
    late = (step for step in steps if step.status == "waiting" or step.news_in != step.attempt)
    return bool(steps), [TimerKey("wait", step.id, step.attempt) for step in late if step.status != "due"]
