"""Logs of versions that had a step for each component: they load, are shown, and nothing in them is done again."""

from __future__ import annotations

from pathlib import Path

from agent.context.window import Context
from agent.decide import CannotServe, Say, decide
from agent.roster import deploy
from agent.roster.deploy.plan import planner
from agent.roster.deploy.site import read_site
from agent.roster.deploy.tools.deploy import Deploy
from bot.views.transcript import entries
from store.events import Event, TriggerReceived
from store.thread import Thread
from tests.telling.story import ANN, AT, approved, chosen, finished, message, requested, sent, started, thread

TARGET = {"deploy": ["deploy", "{sha}"], "status": ["status"]}
TABLE = {
    "environments": {"staging": {"approval": "none"}, "production": {"after": "staging"}},
    "components": {
        name: {"repository": "/srv/shop.git", "targets": {"staging": TARGET, "production": TARGET}}
        for name in ("backend", "frontend")
    },
}
MERGED = TriggerReceived(id="merged", at=AT, source="github", name="pull_request_merged", data={"sha": "4af9ec0"})


def old(step: str, environment: str, *, by: str = "model") -> Event:
    event = chosen(step, "deploy_backend", acts=True, environment=environment, revision="4af9ec0")
    return event.model_copy(update={"by": by})


def approved_one() -> Thread:
    return thread(message(), old("s2", "production"), requested("s2"), approved("s2", by=ANN))


def test_what_an_older_pipeline_deployed_is_not_deployed_again() -> None:
    plan = planner(read_site(TABLE), leads=True)
    assert isinstance(plan(thread(MERGED)), Deploy)
    begun = (MERGED, old("s2", "staging", by="code"), started("s2"))
    assert not isinstance(plan(thread(*begun, finished("s2", {"run_id": "r1", "state": "started"}))), Deploy)


def test_older_steps_are_shown_to_people_and_to_the_model() -> None:
    log = approved_one()
    assert any("deploy_backend" in entry.text for entry in entries(log))
    prompt = Context(deploy.build(TABLE, Path("home"))).render(log)
    assert "step: deploy_backend" in prompt
    assert "approved_and_about_to_run: deploy_backend environment=production" in prompt


def test_an_older_step_that_was_approved_is_kept_and_people_hear_what_to_do() -> None:
    agent, log = deploy.build(TABLE, Path("home")), approved_one()
    while isinstance(action := decide(agent, log), Say):
        log = log.extended([sent(action.key)])
    assert isinstance(action, CannotServe)
    assert "tell me that you do not want it any more, and ask for it anew" in action.why
