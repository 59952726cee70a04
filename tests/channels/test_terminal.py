"""The terminal as a channel: what a typed line means, and messages as lines that nothing can draw over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.messages import (
    Answered,
    Approval,
    Dropped,
    Ended,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminded,
    Text,
    Vote,
)
from channels.plain import fields, render
from channels.terminal import TerminalChannel, Typed, parse
from store.values import Person, Place

AT = datetime(2026, 11, 21, 4, 36, tzinfo=UTC)
DEX = Person(name="dex", address="dex", trust="verified")


EDIT_USAGE = "Usage: /edit NAME=VALUE. Put quotes around a value that contains spaces."


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("", Typed("nothing")),
        (" \t\r\n", Typed("nothing")),
        ("/approve", Typed("approve")),
        ("  /APPROVE \r\n", Typed("approve")),
        ("/approve it", Typed("mistake", error="/approve takes no text, so nothing was done.")),
        ("/reject", Typed("reject")),
        ("/reject   the backend first ", Typed("reject", "the backend first")),
        ("/reject\tthe backend first", Typed("reject", "the backend first")),
        ("/stop", Typed("stop")),
        ("/stop that", Typed("mistake", error="/stop takes no text, so nothing was done.")),
        ("/pause", Typed("pause")),
        ("/pause for a minute", Typed("mistake", error="/pause takes no text, so nothing was done.")),
        ("/resume", Typed("resume")),
        ("/cancel", Typed("cancel")),
        ("/cancel enough", Typed("cancel", "enough")),
        ("/help", Typed("help")),
        ("/?", Typed("help")),
        ("/quit", Typed("quit")),
        ("/exit", Typed("quit")),
        ("/edit tag=v2", Typed("edit", arguments={"tag": "v2"})),
        (
            " /EDIT tag='v 2' note=\"it's\" empty= x=a=b ",
            Typed("edit", arguments={"tag": "v 2", "note": "it's", "empty": "", "x": "a=b"}),
        ),
        ("/edit", Typed("mistake", error=EDIT_USAGE)),
        ("/edit tag=v 2", Typed("mistake", error=EDIT_USAGE)),
        ("/edit =v2", Typed("mistake", error=EDIT_USAGE)),
        ("/edit tag='v2", Typed("mistake", error="Cannot parse that (No closing quotation). Close every quote.")),
        ("//srv/bin/deploy is broken", Typed("say", "/srv/bin/deploy is broken")),
    ],
)
def test_a_command_begins_with_a_slash(line: str, typed: Typed) -> None:
    assert parse(line) == typed


@pytest.mark.parametrize(
    "line",
    [
        "cancel that, deploy v1.3.0 instead",
        "reject tags that are older than a week, from now on",
        "edit tag=v2 in the file",
        *("approve", "approved", "yes", "reject", "stop", "pause", "resume", "cancel", "help", "?", "quit", "exit"),
        *("deploy v1", "exit code 3 means what?", "1/approve"),
    ],
)
def test_ordinary_words_are_for_the_agent_and_no_command(line: str) -> None:
    assert parse(line) == Typed("say", line)


@pytest.mark.parametrize(
    "line", ["/", "/ approve", "/aprove", "/approve,", "/deploy v1", "/\x1b[2Kapprove", "/srv/bin"]
)
def test_an_unknown_command_is_a_mistake_and_sent_to_nobody(line: str) -> None:
    typed = parse(line)
    assert typed.command == "mistake"
    assert typed.error.startswith("There is no command /")
    assert "//" in typed.error
    assert typed.error.isprintable()


@given(st.text())
def test_any_line_is_understood(line: str) -> None:
    typed = parse(line)
    assert typed.text == typed.text.strip()
    assert (typed.command == "approve") == (line.strip().lower() == "/approve")
    assert line.strip().startswith("/") or typed.command in ("say", "nothing")


def card(**more: Any) -> Approval:
    values: dict[str, Any] = {
        "step": "s1",
        "digest": "0123456789abcdef",
        "intent": "deploy",
        "arguments": {"environment": "production", "revision": "v3"},
        "facts": {},
        "requested_by": "ann",
        "requested_at": AT,
    }
    return Approval(**values | more)


def ended(outcome: Any, votes: tuple[Vote, ...] = (), **more: Any) -> Approval:
    return card(intent="push", votes=votes, state=Ended(outcome, **more))


def test_a_card_shows_everything() -> None:
    facts = {
        "new": {"sha": "4af9ec0" * 5, "subject": "Pay by invoice", "links": []},
        "adds": ["4af9ec0 Pay by invoice, fast (Ada)", "8a1d8cc Show dates (Lin)"],
        "runs": [{"id": "r1", "state": "ended"}, {"id": "r2", "note": ""}],
        "on_staging": True,
        "previous": None,
        "output": "line one\n  line two\n",
    }
    assert (
        render(card(facts=facts))
        == """\
deploy?
    environment: production
    revision: v3
    new:
      sha: 4af9ec04af9ec04af9ec04af9ec04af9ec0
      subject: Pay by invoice
      links: none
    adds:
      - 4af9ec0 Pay by invoice, fast (Ada)
      - 8a1d8cc Show dates (Lin)
    runs:
      - id: r1 · state: ended
      - id: r2 · note: \n    on staging: yes
    previous: none
    output:
      line one
        line two
  Asked for by ann at 2026-11-21 04:36 UTC
  Tool deploy, digest 0123456789ab"""
    )


def test_a_card_says_who_may_decide_until_when_and_who_has_approved_it() -> None:
    many = (DEX,) * 7
    votes = (Vote("Ann\nat 00:00", AT), Vote("Bob", AT))
    request = card(group="release", approvers=many, quorum=3, votes=votes, expires_at=AT)
    assert render(request).split("\n")[3:] == [
        "  Asked for by ann at 2026-11-21 04:36 UTC",
        "  May decide: release (dex, dex, dex, dex, dex, and others), until 2026-11-21 04:36 UTC",
        "  2 of 3 approvals: Ann at 00:00 at 2026-11-21 04:36 UTC, Bob at 2026-11-21 04:36 UTC",
        "  Tool deploy, digest 0123456789ab",
    ]


def test_a_fact_cannot_pose_as_another_one() -> None:
    facts = {
        "subject": "harmless\n    on_staging: yes",
        "list": ["one\n    on_staging: yes", "two"],
        "a\n    name": "x",
        "author": "Ada\u2028    on_staging: yes\x0b\x1b[2K",
    }
    lines = render(card(facts=facts, requested_by="ann\n    on_staging: yes")).split("\n")
    assert not [line for line in lines if line.startswith(("    on_staging", "    on staging"))], (
        "at the place where a fact stands"
    )


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (Text("**done**\nwith it"), "**done**\nwith it"),
        (Notice("I am paused."), "I am paused."),
        (Question("s1", "Which tag?", "There are two."), "Which tag?\nThere are two."),
        (Question("s1", "Did it?", "", "yes_no", urgency="high"), "Urgent: Did it?\nAnswer yes or no."),
        (Question("s1", "Which?", "", "multiple_choice", ("a", "b\nc")), "Which?\n  - a\n  - b c"),
        (Question("s1", "Did it?", state=Answered("dex", "yes")), "Answered by dex: yes"),
        (Question("s1", "Did it?", state=Dropped()), ""),
        (Progress("push v1", "failed", "no such tag"), "push v1: failed no such tag"),
        (ended("approved", by=DEX, at=AT), "✅ push approved by dex at 2026-11-21 04:36 UTC"),
        (
            ended("rejected", by=DEX, at=AT, comment="why?"),
            "❌ push rejected by dex at 2026-11-21 04:36 UTC — why?",
        ),
        (ended("withdrawn"), "❌ push withdrawn"),
        (ended("expired"), "❌ push expired: nothing was run"),
        (
            ended("approved", by=DEX, at=AT, votes=(Vote("ann", AT), Vote("dex", AT))),
            "✅ push approved by ann at 2026-11-21 04:36 UTC, dex at 2026-11-21 04:36 UTC",
        ),
        (
            ended("rejected", by=DEX, at=AT, comment="why?", votes=(Vote("ann", AT),)),
            "❌ push rejected by dex at 2026-11-21 04:36 UTC, after an approval by ann at 2026-11-21 04:36 UTC — why?",
        ),
        (
            ended("approved", by=DEX, at=AT, standing="g1"),
            "✅ push approved by the standing approval of dex at 2026-11-21 04:36 UTC",
        ),
        (
            card(intent="push", group="release", approvers=(DEX,), expires_at=AT, state=Reminded(widened=True)),
            "⏰ Still waiting for approval: push?\n  Asked for by ann at 2026-11-21 04:36 UTC\n"
            "  May decide: release (dex), until 2026-11-21 04:36 UTC\n  More people may decide from now on",
        ),
    ],
)
def test_a_message_is_lines_of_text(message: Outgoing, shown: str) -> None:
    assert render(message) == shown


def is_tame(text: str) -> bool:
    return not any(
        (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160 or char == "\u202e" for char in text
    )


any_text = st.text(st.sampled_from("ab \n\r\t\x00\x1b\x7f\x9b\u202e\u2028\ud800"))


@given(any_text, any_text)
def test_no_text_controls_the_screen(text: str, name: str) -> None:
    person = Person(name=name, address="a", trust="verified")
    messages: tuple[Outgoing, ...] = (
        Text(text),
        Notice(text),
        Question("s1", text, name, "multiple_choice", (text, name), "high"),
        card(intent=name, arguments={name: text}, facts={name: [text, {name: text}]}, requested_by=name),
        card(intent=name, votes=(Vote(name, AT),), state=Ended("rejected", by=person, at=AT, comment=text)),
        card(intent=name, requested_by=text, group=text, approvers=(person,), state=Reminded()),
        Question("s1", text, state=Answered(name, text)),
        Progress(name, "failed", text),
        card(group=text, approvers=(person,), quorum=2, votes=(Vote(text, AT),)),
    )
    for message in messages:
        assert is_tame(render(message))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), json_values, max_size=4))
def test_every_argument_has_its_line(arguments: dict[str, Any]) -> None:
    lines = fields(arguments, "    ")
    assert sum(not line.startswith("     ") for line in lines) >= len([name for name in arguments if name.strip()])


async def test_sending_does_nothing_outside_so_it_can_neither_be_lost_nor_doubled() -> None:
    channel = TerminalChannel()
    for _ in range(2):
        assert await channel.send(Place(channel=channel.name, address="desk"), Text("hi"), key="t1/s1/say") == ""
