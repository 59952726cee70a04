"""What makes no sense now is refused in words to act on, and only a person's own words lead past it, to an approval."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.roster.deploy.tools.guards import in_sentences
from agent.roster.deploy.tools.rows import in_short
from agent.speech.requests import approval
from bot.views.transcript import entries
from channels.inbound import InboundMessage
from channels.plain import question_of
from store.events import StepRefused
from store.thread import Thread
from store.values import Person, Place
from tests.agent.roster.deploy.site_with_bot import Bot, Scripted, deploy, events, facts, pending
from tests.agent.roster.test_cards import check_words
from tests.shop import MERGED
from tests.telling.story import ANN, deleted

WAY_PAST = "Only if a person asks for exactly this in plain words, choose it again with a waiver that quotes them."


async def refused(bot: Bot, step: dict[str, object]) -> StepRefused:
    before = bot.site.deployed()
    async with bot.working(Scripted(step)):
        thread = await bot.say("do it")
    assert thread.pending is None
    assert bot.site.deployed() == before
    refusal = events(thread, StepRefused)[-1]
    assert isinstance(refusal, StepRefused)
    return refusal


async def test_what_runs_there_already_is_not_deployed_again(bot: Bot) -> None:
    refusal = await refused(bot, deploy("backend", "staging", "v1.1.0"))
    assert refusal.error == "Not deployed to backend staging: v1.1.0 (8a1d8cc) runs there already."
    assert refusal.hint == (
        "Newer: 4af9ec0. If they want another revision, deploy that one. If not, there is nothing to deploy. "
        + WAY_PAST
    )


async def test_of_what_runs_there_already_nothing_else_is_said(bot: Bot) -> None:
    refusal = await refused(bot, deploy("backend", "production", "v1.0.0"))
    assert refusal.error == "Not deployed to backend production: v1.0.0 (22ddc54) runs there already."
    assert refusal.hint.startswith("Newer: 4af9ec0, v1.1.0 (8a1d8cc). If they want another")


async def test_what_is_for_the_model_is_not_shown_to_people(bot: Bot) -> None:
    model = Scripted(deploy("backend", "staging", "v1.1.0"))
    async with bot.working(model):
        thread = await bot.say("do it")
    assert WAY_PAST in " ".join(model.prompts[1].split())
    assert WAY_PAST not in "\n".join(entry.text for entry in entries(thread, everything=True))
    async with bot.working():
        thread = await bot.say("deploy the backend v1.0.0 to staging", "another desk")
    told = "\n".join(str(step.chosen.arguments) for step in thread.state.steps.values())
    assert "I stopped: Not deployed to backend staging" in told
    assert WAY_PAST not in told


async def test_what_is_older_is_not_deployed_although_nobody_has_to_approve(bot: Bot) -> None:
    refusal = await refused(bot, deploy("backend", "staging", "v1.0.0"))
    assert "v1.0.0 (22ddc54) is OLDER than what runs there." in refusal.error
    assert "To go back after a bad deployment, use rollback." in refusal.hint


async def test_what_is_on_another_branch_is_not_deployed(bot: Bot) -> None:
    git = ("git", "-C", str(bot.site.repository))
    author = ("-c", "user.name=Lin", "-c", "user.email=lin@example.com")
    tree = bot.output(*git, "rev-parse", "v1.1.0^{tree}")
    other = bot.output(*git, *author, "commit-tree", tree, "-p", bot.site.sha("v1.0.0"), "-m", "Elsewhere")
    refusal = await refused(bot, deploy("backend", "staging", other))
    assert "is on ANOTHER BRANCH than what runs there" in refusal.error


async def test_what_cannot_be_compared_is_not_deployed(bot: Bot) -> None:
    (bot.site.home / "status").write_text(f"#!/bin/sh\necho {'d' * 40}\n")
    refusal = await refused(bot, deploy("backend", "staging", "v1.1.0"))
    assert "cannot be compared: what runs there is not in the repository" in refusal.error


async def test_what_does_not_run_on_the_environment_before_is_not_deployed(bot: Bot) -> None:
    refusal = await refused(bot, deploy("backend", "production", MERGED))
    assert "4af9ec0 does NOT run on staging, which comes before." in refusal.error
    assert "Deploy it to staging first." in refusal.hint


async def test_an_environment_before_that_does_not_answer_counts_as_one_where_it_does_not_run(bot: Bot) -> None:
    script = (bot.site.home / "status").read_text()
    (bot.site.home / "status").write_text(script.replace("set -eu", 'set -eu; [ "$2" = production ] || exit 1'))
    refusal = await refused(bot, deploy("backend", "production", "v1.1.0"))
    assert "does NOT run on staging" in refusal.error


# The way past


async def asked(bot: Bot, step: dict[str, object], text: str) -> Thread:
    async with bot.working(Scripted(step)):
        return await bot.say(text)


async def test_a_persons_words_lead_to_a_request_that_shows_them(bot: Bot) -> None:
    model = Scripted(deploy("backend", "production", MERGED, message="m2", words="skip staging this once"))
    async with bot.working(model):
        thread = await bot.say("prod is on fire: skip  staging\nthis once!")
        assert "from: Ann (verified), m2\n" in model.prompts[0]
        assert facts(thread)["waived_by"] == {"by": "Ann, U1", "words": "skip staging this once"}
        assert facts(thread)["note"] == "it does NOT run on staging, which comes before"
        assert pending(thread).asked.dangers == ("note", "waived_by")
        await bot.settle(thread, approved=True)
    assert bot.site.running("backend", "production") == bot.site.sha(MERGED)


async def test_a_waived_call_waits_for_people_also_where_others_need_no_approval(bot: Bot) -> None:
    thread = await asked(bot, deploy("backend", "staging", "v1.0.0", message="m2", words="the old one"), "the old one")
    assert pending(thread).chosen.arguments["environment"] == "staging"
    assert facts(thread)["note"] == "it is OLDER than what runs there"
    assert bot.site.running("backend", "staging") == bot.site.sha("v1.1.0")
    card = approval(thread, pending(thread))
    check_words(card)
    running, old = (in_short({"sha": bot.site.sha(tag), "name": tag}) for tag in ("v1.1.0", "v1.0.0"))
    asks = f"Deploy backend {old} to staging? It is OLDER than {running}, which runs there."
    assert question_of(card) == asks, "the danger stands in the same breath"
    assert card.danger_rows == {"asked for all the same": {"by": "Ann, U1", "with the words": "the old one"}}
    assert [*card.rows][:2] == ["will run", "runs now"]


def test_each_danger_of_a_note_is_a_sentence_of_its_own() -> None:
    both = "it is OLDER than what runs there, and does NOT run on staging, which comes before"
    older = "It is OLDER than v2 (4af9ec0), which runs there."
    assert in_sentences(both, "v2 (4af9ec0)") == f"{older} It does NOT run on staging, which comes before."
    assert in_sentences("it runs there already", "v2 (4af9ec0)") == "It runs there already."
    assert in_sentences("it is OLDER than what runs there", "") == "It is OLDER than what runs there."


@pytest.mark.parametrize(
    ("waiver", "told"),
    [
        ({"message": "m2", "words": "please skip staging"}, "m2 does not say 'please skip staging'."),
        ({"message": "m2", "words": "skip stag"}, "m2 does not say 'skip stag'."),
        ({"message": "m2", "words": "Skip staging"}, "m2 does not say 'Skip staging'."),
        ({"message": "m2", "words": " "}, "m2 does not say ''."),
        (
            {"message": "m1", "words": "skip staging"},
            "The waiver names 'm1', which is no message of a verified person.",
        ),
        ({"message": "m99", "words": "skip staging"}, "The waiver names 'm99'"),
        ({"message": "m02", "words": "skip staging"}, "The waiver names 'm02'"),
        ({"message": "Ann", "words": "skip staging"}, "The waiver names 'Ann'"),
    ],
)
async def test_words_that_nobody_wrote_waive_nothing(bot: Bot, waiver: dict[str, str], told: str) -> None:
    step = deploy("backend", "production", MERGED, **waiver)
    thread = await asked(bot, step, "now skip staging, will you")
    assert thread.pending is None
    refusal = events(thread, StepRefused)[-1]
    assert told in refusal.error
    assert "does NOT run on staging, which comes before" in refusal.error, "what is wrong without it is said too"
    assert "Deploy it to staging first." in refusal.hint


async def test_a_waiver_of_nobody_is_not_needed_where_nothing_speaks_against_it(bot: Bot) -> None:
    refusal = await refused(bot, deploy("backend", "staging", MERGED, message="I want it", words="do it"))
    assert refusal.error == "The waiver names 'I want it', which is no message of a verified person."
    assert refusal.hint == "Nothing speaks against it: choose it again without a waiver."


async def test_the_same_commit_in_other_words_goes_on_waiting(bot: Bot) -> None:
    sha = bot.site.sha("v1.1.0")
    model = Scripted(deploy("backend", "production", "v1.1.0"), deploy("backend", "production", sha[:7].upper()))
    async with bot.working(model):
        first = await bot.say("ship it")
        request = pending(first)
        thread = await bot.say("I approve it, in words")
    assert pending(thread).asked == request.asked
    again = list(thread.state.steps.values())[-1]
    assert (again.status, again.chosen.arguments["revision"]) == ("duplicate", "v1.1.0")


async def test_another_commit_replaces_the_one_that_waits(bot: Bot) -> None:
    other = bot.site.sha("v1.0.0")
    model = Scripted(deploy("backend", "production", "v1.1.0"), deploy("backend", "production", other))
    async with bot.working(model):
        await bot.say("ship it")
        thread = await bot.say("no, the old one")
    assert thread.pending is None
    assert "runs there already" in events(thread, StepRefused)[-1].error


@pytest.mark.parametrize(
    ("address", "trust"),
    [("U9", "unverified"), ("U9", "third_party"), ("U9", "forwarded"), ("api", "verified"), ("api:ci", "verified")],
)
async def test_words_of_no_verified_person_waive_nothing_and_have_no_name(bot: Bot, address: str, trust: str) -> None:
    mallory = Person.model_validate({"name": "Mallory", "address": address, "trust": trust})
    model = Scripted(deploy("backend", "production", MERGED, message="m2", words="skip staging"))
    place = Place(channel="terminal", address="desk")
    async with bot.working(model):
        message = InboundMessage(mallory, "skip staging", f"m/{datetime.now(UTC).timestamp()}")
        thread = await bot.rest(await bot.store.load(await bot.inbox.message(place, message, agent="deploy")))
    assert f"from: Mallory ({trust.replace('_', ' ')})\n" in model.prompts[0]
    assert thread.pending is None
    assert "no message of a verified person" in events(thread, StepRefused)[-1].error


async def test_a_request_is_no_longer_waived_by_words_that_were_taken_back(bot: Bot) -> None:
    """A message that its author deletes before the model has read it cannot be quoted."""
    place = Place(channel="terminal", address="desk")
    model = Scripted(deploy("backend", "production", MERGED, message="m2", words="skip staging"))
    thread = await bot.store.load(
        await bot.inbox.message(place, InboundMessage(ANN, "skip staging", "m/1"), agent="deploy")
    )
    await bot.store.append(thread, deleted(thread.events[-1].id))
    async with bot.working(model):
        thread = await bot.rest(await bot.store.load(thread.id))
    assert thread.pending is None
