"""What is posted says everything, and is the same to the byte however often it is posted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from dirty_equals import IsPartialDict, IsStr

from channels.messages import (
    Answered,
    Approval,
    Dropped,
    Ended,
    ListedTask,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminded,
    Tasks,
    Text,
    Vote,
)
from channels.webhook.document import body_of, document_of
from store.values import Place
from tests.telling.story import ANN, AT, LATER, message

PAGER = Place(channel="webhook", address="pager")
SO_FAR = [message(), message("m2").model_copy(update={"at": LATER})]
API = "https://bot.example.com/api/threads"
CARD = Approval(
    "s3",
    "ab" * 32,
    "deploy",
    {"environment": "production", "revision": "v1.4.2"},
    {"commits": ["one", "two"]},
    "Ann",
    AT,
    "release",
    (ANN,),
    quorum=2,
    votes=(Vote("Ann", LATER),),
    expires_at=LATER,
    editable=("revision",),
)
REMINDER = replace(CARD, state=Reminded(widened=True))
SETTLED = replace(CARD, quorum=1, votes=(), state=Ended("approved", ANN, LATER, "go"))
ANSWERED = Question("s3", "Which?", state=Answered("Ann", "v1"))


def told(said: Outgoing, part: str = "s3/card", place: Place = PAGER) -> dict[str, Any]:
    return document_of(said, place, key=f"t1/{part}", so_far=SO_FAR, api=API)


def test_a_request_is_whole_and_says_where_it_is_decided() -> None:
    assert told(CARD, "s3/card/at/1") == {
        "type": "request.asked",
        "version": 1,
        "timestamp": "2026-11-20T09:05:00Z",
        "key": "t1/s3/card/at/1",
        "thread": "t1",
        "about": "s3",
        "place": "webhook:pager",
        "text": IsStr(regex=r"deploy\?\n    environment: production\n(?s:.*)digest abababab(?s:.*)"),
        "data": {
            "step": "s3",
            "digest": "ab" * 32,
            "intent": "deploy",
            "arguments": {"environment": "production", "revision": "v1.4.2"},
            "facts": {"commits": ["one", "two"]},
            "requested_by": "Ann",
            "requested_at": "2026-11-20T09:00:00Z",
            "group": "release",
            "approvers": [json.loads(ANN.model_dump_json())],
            "quorum": 2,
            "votes": [{"name": "Ann", "at": "2026-11-20T09:05:00Z", "by": None}],
            "cautions": [],
            "expires_at": "2026-11-20T09:05:00Z",
            "editable": ["revision"],
            "asked_by": None,
            "changed_by": None,
            "asked_again": "",
            "labels": {},
            "warnings": {},
            "title": "",
            "dangers": [],
            "words": "",
        },
        "decide": {"url": f"{API}/t1/decisions", "request": "s3", "digest": "ab" * 32},
    }


@pytest.mark.parametrize(
    ("said", "part", "kind", "about", "words"),
    [
        (Text("**Hello**"), "s3/say", "text", "s3", "**Hello**"),
        (Notice("I stopped."), "h9/handed/notice", "notice", "h9/handed", "I stopped."),
        (Notice("Lost."), "s3/card/undelivered", "notice.undelivered", "s3/card", "Lost."),
        (Question("s3", "Which?", "", "yes_no"), "s3/say", "question.asked", "s3", "Which?"),
        (ANSWERED, "s3/answered", "question.answered", "s3", "Answered by Ann: v1"),
        (replace(ANSWERED, state=Dropped()), "s3/answered", "question.answered", "s3", ""),
        (CARD, "s3/votes/7", "request.asked", "s3", "May decide"),
        (REMINDER, "s3/reminder/widen", "request.reminded", "s3", "Still waiting"),
        (SETTLED, "s3/settled/at/2", "request.settled", "s3", "deploy approved by U1"),
        (Tasks((ListedTask("Push it", "done"),)), "s3/tasks/9", "tasks", "s3", "  ✅ Push it"),
        (Progress("It builds.", "done"), "s3/ended/9", "progress", "s3", "It builds.: done"),
    ],
)
def test_every_kind_has_its_type_and_what_it_is_about(
    said: Outgoing, part: str, kind: str, about: str, words: str
) -> None:
    document = told(said, part)
    assert (document["type"], document["about"]) == (kind, about)
    assert words in document["text"]
    assert json.loads(body_of(document)) == document


def test_an_open_question_says_where_it_is_answered() -> None:
    document = told(Question("s3", "Which?", "", "multiple_choice", ("v1", "v2")), "s3/say")
    assert document["answer"] == {"url": f"{API}/t1/answers", "question": "s3"}
    assert document["data"]["choices"] == ["v1", "v2"]


def test_what_has_become_of_it_stands_beside_what_it_is() -> None:
    request = {"step": "s3", "intent": "deploy", "arguments": {"environment": "production", "revision": "v1.4.2"}}
    ended = {"outcome": "approved", "by": IsPartialDict(name="Ann"), "at": "2026-11-20T09:05:00Z", "comment": "go"}
    for said, data in (
        (REMINDER, {**request, "widened": True}),
        (SETTLED, {**request, **ended, "standing": ""}),
        (ANSWERED, {"step": "s3", "question": "Which?", "by": "Ann", "answer": "v1"}),
    ):
        document = told(said)
        assert document["data"] == IsPartialDict(data)
        assert not {"decide", "answer"} & {*document}


def test_text_of_any_kind_is_ascii_and_comes_back_whole() -> None:
    text = "naïve 🚀 \x1b[2J \u202e \ud800"
    body = body_of(told(Text(text), "s3/say"))
    assert body.isascii()
    assert json.loads(body)["data"] == {"text": text}
    assert "\x1b" not in json.loads(body)["text"]
