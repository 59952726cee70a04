"""The opening `waiting_commits`: asks people whether to deploy the commits that production does not have yet.

A schedule of the team names it. If no commit waits, it says nothing; without a target production, it says that. It
deploys nothing: the model acts on the answer. Pure.
"""

from __future__ import annotations

from datetime import datetime

from agent import DoneForNow, NothingToDo, Step, Thread, as_question, calls, opening_of, steps_taken
from agent.roster.deploy.site import Component
from agent.roster.deploy.tools.look import ListWaitingCommits, WaitingCommits

WAITING_COMMITS = "waiting_commits"
OPENINGS = {
    WAITING_COMMITS: "asks whether to deploy the commits that production does not have yet, where there are any"
}


def waiting_commits(thread: Thread, components: tuple[Component, ...]) -> Step | None:
    """The next step of the opening. None: the thread was not opened with it, or it is finished."""
    looks = calls(thread, ListWaitingCommits)
    if opening_of(thread) != WAITING_COMMITS or len(looks) < len(steps_taken(thread)):
        return None
    if not components:
        return DoneForNow(message="No component has a target production in the team file, so nothing can wait for it.")
    looked = {look.step.component: look for look in looks}
    for component in components:
        if component not in looked:
            return ListWaitingCommits(component=component)
    failed = [f"{name}: {look.error}" for name, look in looked.items() if look.error]
    found = {name: look.result(WaitingCommits) for name, look in looked.items()}
    if waiting := {name: commits for name, commits in found.items() if commits and commits.count}:
        newest = [line for name, commits in waiting.items() for line in _newest(name, commits)]
        return as_question(_question(waiting), "\n".join(newest + failed), yes_no=True)
    if failed:
        return DoneForNow(message="\n".join(["I could not look at what waits for production.", *failed]))
    return NothingToDo()


def _question(waiting: dict[Component, WaitingCommits]) -> str:
    counts = " and ".join(f"{_counted(commits)} of the {name}" for name, commits in waiting.items())
    since = _day(min(commits.since for commits in waiting.values()))
    is_one = [commits.count for commits in waiting.values()] == [1]
    return f"{counts} {'waits' if is_one else 'wait'} for production since {since}. Deploy?"


def _counted(waiting: WaitingCommits) -> str:
    more = " or more" if waiting.note else ""
    return f"{waiting.count}{more} commit{'' if waiting.count == 1 else 's'}"


def _day(date: str) -> str:
    try:
        return f"{datetime.fromisoformat(date):%A, %Y-%m-%d}"
    except ValueError:
        return date  # git lets a commit have any date


def _newest(component: Component, waiting: WaitingCommits) -> list[str]:
    rows = [f"{component} {row.sha} {row.subject} ({row.author})" for row in waiting.commits]
    older = waiting.count - len(rows)
    return [*rows, *([f"{component}: and {older} older"] if older else [])]
