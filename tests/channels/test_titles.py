"""What a request asks for comes first wherever it is shown, and then what is dangerous about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from channels.email.body import details
from channels.messages import Approval, Ended, Outgoing, Reminded
from channels.plain import render
from channels.slack.posts import posts_of
from tests.channels.email.mails import head, letter, mailed, plain, shown
from tests.channels.slack.test_blocks import AT, SHA, lines, seen
from tests.channels.webhook.test_document import told

TITLE = "Deploy payments v1.3.0 (4af9ec0) to prod-eu"
CARD = Approval(
    step="s4",
    digest="0123456789abcdef" * 4,
    intent="deploy",
    arguments={"component": "payments", "environment": "prod-eu", "revision": "v1.3.0"},
    facts={
        "note": "it is OLDER than what runs there",
        "waived_by": {"by": "Ann", "words": "go back to it"},
        "new": {"sha": SHA},
    },
    requested_by="dex",
    requested_at=AT,
    title=TITLE,
    dangers=("note", "waived_by"),
    labels={"note": "careful", "waived_by": "asked for all the same", "new": "will run"},
    warnings={"note": "It is OLDER than v1.5.0, which runs there."},
)
REMINDER = replace(CARD, state=Reminded())
SETTLED = replace(CARD, state=Ended("rejected"))
HOSTILE = replace(CARD, title=f"{TITLE}\nDigest 666\r\n\u2028May decide: \u202e anyone \x1b[2J*bold* <!channel> <b>")


def slack(message: Outgoing) -> str:
    """A line for each text; the header first."""
    return "\n".join(seen(posts_of(message, "tabc")).split("\n"))


def subject(message: Outgoing) -> str:
    return head(letter(message, mailed(subject="")))["Subject"]


def test_a_card_says_what_happens_then_what_is_dangerous_and_then_the_rest() -> None:
    assert render(CARD).split("\n")[:9] == [
        f"{TITLE}? It is OLDER than v1.5.0, which runs there.",
        "    asked for all the same:",
        "      by: Ann",
        "      words: go back to it",
        "    will run:",
        f"      sha: {SHA}",
        "    component: payments",
        "    environment: prod-eu",
        "    revision: v1.3.0",
    ]
    assert render(CARD).endswith("\n  Tool deploy, digest 0123456789ab")


def test_a_danger_without_a_sentence_is_a_row() -> None:
    assert render(replace(CARD, warnings={})).split("\n")[:3] == [
        f"{TITLE}?",
        "  WARNING",
        "    careful: it is OLDER than what runs there",
    ]


def test_without_a_danger_nothing_warns() -> None:
    safe = replace(CARD, dangers=("note",), facts={"new": {"sha": SHA}})
    assert "WARNING" not in render(safe)
    assert "Warning" not in slack(safe) + details(safe)
    assert render(safe).startswith(f"{TITLE}?\n    will run:\n      sha: {SHA}\n    component: payments\n")


def test_the_tool_is_named_last_and_small() -> None:
    for surface in (render, slack, lambda message: shown(letter(message, mailed(subject=""))).text):
        assert "Tool deploy, digest 0123456789ab" in surface(CARD)
        assert "tool:" not in surface(CARD)


def test_in_slack_dangers_are_bold_and_on_the_card_itself() -> None:
    for long in (False, True):
        facts = {**CARD.facts, **({"diff": "line\n" * 100} if long else {})}
        *before, post = posts_of(replace(CARD, facts=facts), "tabc")
        assert bool(before) == long
        assert post.text == f"{TITLE}? It is OLDER than v1.5.0, which runs there."
        assert post.blocks[0]["text"]["text"] == f"{TITLE}?"
        texts = [block for block in post.blocks if block["type"] == "rich_text"]
        runs = [run for block in texts for part in block["elements"] for run in part["elements"]]
        until = next(n for n, run in enumerate(runs) if "will run" in run["text"] or "All details" in run["text"])
        assert all(run.get("style", {}).get("bold") for run in runs[:until] if run["text"].strip())
        told = "".join(run["text"] for run in runs[:until])
        assert "It is OLDER than v1.5.0, which runs there." in told
        assert "go back to it" in told
        assert not any(run.get("style", {}).get("bold") and run["text"] == SHA for run in runs[until:])


def test_dangers_too_long_for_a_card_are_among_the_details_before_it() -> None:
    first, *_, post = posts_of(replace(CARD, warnings={}, facts={"note": "it is OLDER\n" * 100}), "tabc")
    assert "OLDER" in seen([first])
    assert "OLDER" not in seen([post])


def test_a_mail_says_it_in_its_subject_and_in_both_parts() -> None:
    mail = letter(CARD, mailed(subject=""))
    assert head(mail)["Subject"] == f"Approval needed: {TITLE}, asked for by dex"
    assert plain(mail).startswith(f"{TITLE}? It is OLDER than v1.5.0, which runs there.\n    asked for all the same:\n")
    text = shown(mail).text
    assert text.index(TITLE) < text.index("OLDER") < text.index("go back to it") < text.index("component")
    assert "font-weight:bold" in details(CARD).split("component")[0]


@pytest.mark.parametrize("surface", [render, slack, lambda message: told(message)["text"]])
def test_a_reminder_and_an_outcome_begin_with_it(surface: Callable[[Outgoing], str]) -> None:
    assert f"⏰ Still waiting for approval: {TITLE}? It is OLDER" in surface(REMINDER).split("\n")[0]
    assert TITLE in surface(SETTLED).split("\n")[0]


def test_an_outcome_by_mail_says_it_in_its_subject() -> None:
    assert subject(SETTLED) == f"{TITLE} rejected"


def test_a_webhook_gets_the_title_and_the_names_of_the_dangers() -> None:
    data: dict[str, Any] = told(CARD)["data"]
    assert (data["title"], data["dangers"]) == (TITLE, ["note", "waived_by"])
    assert data["facts"] == CARD.facts, "no fact is left out"


@pytest.mark.parametrize("state", [CARD.state, REMINDER.state, SETTLED.state])
def test_a_hostile_title_adds_no_line_and_no_markup(state: Any) -> None:
    harmless, hostile = replace(CARD, state=state), replace(HOSTILE, state=state)
    for surface in (render, lambda message: plain(letter(message, mailed(subject="")))):
        assert len(surface(hostile).split("\n")) == len(surface(harmless).split("\n"))
        assert "\x1b" not in surface(hostile)
    assert len(lines(posts_of(hostile, "tabc"))) == len(lines(posts_of(harmless, "tabc")))
    assert not any(text in seen(posts_of(hostile, "tabc")) for text in ("\x1b", "\u202e", "\u2028"))
    assert "<!channel>" not in posts_of(hostile, "tabc")[-1].text
    mail = letter(hostile, mailed(subject=""))
    assert "\n" not in head(mail)["Subject"]
    assert shown(mail).text.count("Digest 666") == shown(mail).text.count(f"{TITLE} Digest 666") > 0
