"""The opening `waiting_commits`: asks people whether to deploy the commits that still wait.

A schedule of the team names it. It looks at the last environment of each component, the one that no other comes after:
what waits for an earlier one waits for the last one too, so each commit is counted once. If no commit waits, it says
nothing. It deploys nothing: the model acts on the answer. Pure.
"""

from __future__ import annotations

from datetime import datetime

from agent import Called, DoneForNow, NothingToDo, Step, Thread, as_question, calls, opening_of, steps_taken
from agent.roster.deploy.site import DeployConfig
from agent.roster.deploy.tools.look import ListWaitingCommits, Waiting, WaitingCommits

WAITING_COMMITS = "waiting_commits"
OPENINGS = {
    WAITING_COMMITS: "asks whether to deploy the commits that the last environments do not have yet, if there are any"
}


def waiting_commits(thread: Thread, site: DeployConfig) -> Step | None:
    """The next step of the opening. None: the thread was not opened with it, or it is finished."""
    looks = calls(thread, ListWaitingCommits)
    if opening_of(thread) != WAITING_COMMITS or len(looks) < len(steps_taken(thread)):
        return None
    looked = {look.step.environment: look for look in looks}
    last = {environment: site.ending_in(environment) for environment in site.order}
    for environment, components in last.items():
        if components and environment not in looked:
            return ListWaitingCommits(environment=environment)
    waiting: list[tuple[str, Waiting]] = []
    newest: list[str] = []
    failed: list[str] = []
    for environment, look in looked.items():
        found = look.result(WaitingCommits)
        concerned = last.get(environment, ())
        waiting += ((environment, row) for row in found.waiting if row.component in concerned) if found else ()
        newest += _newest(found, concerned) if found else ()
        failed += _failed(environment, look, concerned)
    if waiting:
        return as_question(_question(waiting), "\n".join(newest + failed), yes_no=True)
    if failed:
        return DoneForNow(message="\n".join(["I could not look at what waits.", *failed]))
    return NothingToDo()


def _question(waiting: list[tuple[str, Waiting]]) -> str:
    places: dict[str, list[str]] = {}
    for environment, row in waiting:
        places.setdefault(environment, []).append(f"{_counted(row)} of {row.component}")
    counts = ", ".join(f"{' and '.join(rows)} for {environment}" for environment, rows in places.items())
    since = _day(min(row.since for _, row in waiting))
    return f"Commits wait since {since}: {counts}. Deploy?"


def _counted(waiting: Waiting) -> str:
    more = " or more" if waiting.note else ""
    return f"{waiting.count}{more}"


def _day(date: str) -> str:
    try:
        return f"{datetime.fromisoformat(date):%A, %Y-%m-%d}"
    except ValueError:
        return date  # git lets a commit have any date


def _newest(found: WaitingCommits, components: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    for waiting in (one for one in found.waiting if one.component in components):
        rows = [row for row in found.commits if row.component == waiting.component]
        lines += (f"{row.component} {row.sha} {row.subject} ({row.author})" for row in rows)
        if older := waiting.count - len(rows):
            lines.append(f"{waiting.component}: and {older} older")
    return lines


def _failed(environment: str, look: Called[ListWaitingCommits], components: tuple[str, ...]) -> list[str]:
    if look.error:
        return [f"{environment}: {look.error}"]
    found = look.result(WaitingCommits)
    return [f"{one.component}: {one.error}" for one in found.failed if one.component in components] if found else []
