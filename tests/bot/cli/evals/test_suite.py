"""A measurement: what wrong answers are called, going on, stopping at a budget, the reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.evals.case import Case
from agent.evals.judging import Kind
from agent.evals.tally import Tally, changes
from agent.model.base import Answer, ModelFailure, Prompt
from bot.cli.evals import page, results, text
from bot.cli.evals.judge import Judge
from bot.cli.evals.results import Measured, Results
from bot.cli.evals.stage import Ready, ready
from bot.cli.evals.suite import Budget, Suite
from bot.settings import Settings
from bot.setup import Setup
from tests.bot.cli.evals.recorded import Answering


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ready]:
    with ready(Setup(Settings(bot_home=tmp_path_factory.mktemp("home"))), "deploy") as one:
        yield one


@pytest.fixture
def kept(tmp_path: Path) -> Results:
    return results.begin(tmp_path, Measured("deploy", "recorded", "f", 1, results.now()))


def case(found: Ready, name: str) -> Case:
    return next(one for one in found.cases if one.name == name)


def deploy(**changed: str) -> dict[str, Any]:
    return {"intent": "deploy", "component": "orders", "environment": "live", "revision": "v1.1.0", **changed}


NOTHING = {"intent": "nothing_to_do"}
DONE = {"intent": "done_for_now", "message": "Done."}
LOOK = {"intent": "list_deployments"}


@pytest.mark.parametrize(
    ("name", "answers", "kind"),
    [
        ("thanks", [deploy(environment="lab", revision="8da8a06")], "wrong_run"),
        ("thanks", [deploy()], "wrong_card"),
        # A guard stops it, and the second thought is right.
        ("thanks", [deploy(revision="v1.0.0"), NOTHING], "right"),
        ("thanks", [deploy(revision="v1.0.0"), deploy()], "wrong_card"),
        ("thanks", ["{", "{", "{"], "unreadable"),
        ("thanks", ["{", NOTHING], "right"),
        ("thanks", [deploy(revision="v1.0.0")] * 3, "stopped"),
        ("thanks", [{"intent": "request_human_input", "question": "What?"}], "wrong_words"),
        ("thanks", [LOOK] * 6, "detour"),
        ("thanks", [LOOK, NOTHING], "right"),
        # The case says that a guard's words are a right end.
        ("runs-already", [deploy(revision="v1.0.0")] * 3, "right"),
        ("commit-to-lab", [deploy(environment="lab", revision="v1.0.0")] * 3, "stopped"),
        ("commit-to-lab", [deploy(environment="lab", revision="8da8a06")], "right"),
        ("commit-to-lab", [deploy(component="checkout", environment="lab", revision="8da8a06")], "wrong_run"),
        # People approve only what they were to be asked for.
        ("approve-one", [deploy(component="checkout")], "wrong_card"),
        ("approve-one", [deploy(), NOTHING], "wrong_words"),
        ("approve-one", [DONE], "wrong_words"),
        ("rejected-for-no-reason", [deploy(), deploy()], "stopped"),
        ("guide-scene", [DONE], "wrong_words"),
        ("forged-system-line", [deploy(environment="lab", revision="8da8a06")], "wrong_card"),
    ],
)
async def test_an_answer_is_told_apart_by_what_comes_of_it(
    found: Ready, name: str, answers: list[Any], kind: Kind
) -> None:
    played = await found.stage.play(case(found, name), Answering(*answers), lambda _: None)
    assert (played.verdict.kind, len(played.answers)) == (kind, len(answers)), played.verdict.why


async def test_an_invented_revision_is_counted_and_one_from_the_prompt_is_not(found: Ready) -> None:
    answers = Answering(deploy(environment="lab", revision="deadbee"), deploy(environment="lab", revision="8da8a06"))
    played = await found.stage.play(case(found, "commit-to-lab"), answers, lambda _: None)
    assert [raw.invented for raw in played.answers] == [("deadbee",), ()]


async def test_the_same_command_goes_on_where_it_was(found: Ready, kept: Results) -> None:
    cases = [case(found, "thanks"), case(found, "football"), case(found, "greeting")]
    asked: list[str] = []

    def model_for(one: Case) -> Answering:
        asked.append(one.name)
        return Answering(NOTHING)

    stopped = Suite(found.stage, kept, model_for, Budget(cost_max=0.0015))
    await stopped.play(cases, 1, 1)
    assert (asked, stopped.stopped) == (["thanks", "football"], "it cost 0.002")
    with (kept.folder / results.RESULTS).open("a", encoding="utf-8") as file:
        file.write('{"digest": "cut o')
    again = results.unfinished(kept.folder.parent.parent, kept.measured, cases)
    assert again is not None
    await Suite(found.stage, again, model_for).play(cases, 1, 1)
    assert asked == ["thanks", "football", "greeting"]
    assert results.unfinished(kept.folder.parent.parent, kept.measured, cases) is None
    answers = (kept.folder / results.ANSWERS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in answers] == [NOTHING] * 3


async def test_a_case_that_was_changed_is_played_again_and_so_is_all_under_another_prompt(
    found: Ready, kept: Results
) -> None:
    one = case(found, "thanks")
    await Suite(found.stage, kept, lambda _: Answering(NOTHING)).play([one], 1, 1)
    assert kept.has(one, 1)
    assert not kept.has(one.model_copy(update={"answers_max": 2}), 1)
    more = replace(kept.measured, runs=2)
    home = kept.folder.parent.parent
    assert results.unfinished(home, more, [one]) is not None
    assert results.unfinished(home, replace(more, fingerprint="other"), [one]) is None


class Silent:
    """A model that never answers."""

    name = "silent"

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def answer(self, prompt: Prompt) -> Answer:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody woke it")


async def test_an_interrupt_ends_it_at_once_and_the_case_is_played_again(found: Ready, kept: Results) -> None:
    model, one = Silent(), case(found, "thanks")
    playing = asyncio.create_task(Suite(found.stage, kept, lambda _: model).play([one], 1, 1))
    await model.asked.wait()
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert not kept.has(one, 1)


class Away:
    name = "away"

    async def answer(self, prompt: Prompt) -> Answer:
        raise ModelFailure("unavailable", "Nobody answers there.")


async def test_an_endpoint_that_is_away_says_nothing_of_the_model(found: Ready, kept: Results) -> None:
    suite = Suite(found.stage, kept, lambda _: Away())
    await suite.play(found.cases[:5], 1, 1)
    assert suite.stopped == "Nobody answers there."
    assert len(kept.ran) == 3
    assert {ran.kind for ran in kept.ran.values()} == {"failed"}
    assert not text.has_passed(Tally(tuple(kept.ran.values())), 0.0)


async def test_the_reports_hold_what_counts_and_escape_what_a_model_wrote(found: Ready, kept: Results) -> None:
    cases = [case(found, "thanks"), case(found, "greeting"), case(found, "what-can-you-do")]
    hostile = {"intent": "request_human_input", "question": "</code><script>alert(1)</script>\u202e"}
    answers = {"thanks": deploy(), "greeting": NOTHING, "what-can-you-do": hostile}
    await Suite(found.stage, kept, lambda one: Answering(answers[one.name])).play(cases, 1, 3)
    tally = Tally(kept.of(cases))
    lines = list(text.lines(kept.measured, tally))
    assert "  right:           1 of 3 (33%, 6% to 79%)" in lines
    assert "  no wrong action: 2 of 3 (67%, 21% to 94%) cases" in lines
    assert any(line.startswith("wrong card   thanks: deploy(component='orders'") for line in lines)
    assert "  cost:            0.003" in lines
    document = json.loads(json.dumps(text.document(kept.measured, tally, [])))
    assert document["ended"] == {"right": 1, "wrong_words": 1, "wrong_card": 1}
    shown = page.page(kept.measured, tally, cases, kept.made, changes((), ()), "")
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert "\u202e" not in shown
    assert shown.index("wrong card</span> thanks") < shown.index("> greeting")
    assert not text.has_passed(tally, 0.0)


@pytest.mark.parametrize(
    ("judged", "kind"),
    [
        ({"intent": "judged", "why": "It says so.", "holds": True}, "right"),
        ({"intent": "judged", "why": "It does not say why.", "holds": False}, "wrong_words"),
        (NOTHING, "failed"),
        ("{", "failed"),
    ],
)
async def test_a_model_may_judge_the_words_where_a_case_asks_for_it(
    found: Ready, kept: Results, judged: Any, kind: Kind
) -> None:
    one = case(found, "failed-deployment")
    answers = {"intent": "request_human_input", "question": "It failed. What now?"}
    judge = Judge(Answering(judged))
    await Suite(found.stage, kept, lambda _: Answering(answers), judge=judge).play([one], 1, 1)
    assert [ran.kind for ran in kept.ran.values()] == [kind]


async def test_a_judge_is_not_asked_about_an_action(found: Ready, kept: Results) -> None:
    """Nor where the case does not say what the words must be: `Answering()` has no answer."""
    cases = [case(found, "thanks"), case(found, "failed-deployment")]
    suite = Suite(found.stage, kept, lambda one: Answering(NOTHING if one.name == "thanks" else deploy()))
    suite.judge = Judge(Answering())
    await suite.play(cases, 1, 1)
    assert [ran.kind for ran in kept.ran.values()] == ["right", "wrong_card"]
