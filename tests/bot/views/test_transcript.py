"""A thread as it is read: whole, in order, and unable to draw on the screen of whoever reads it."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, get_origin

from hypothesis import given
from hypothesis import strategies as st

from bot.cli import console
from bot.views.as_markdown import markdown
from bot.views.document import document
from bot.views.entry import Entry
from bot.views.transcript import entries
from store.deliveries import MessageSent
from store.events import KINDS, Event, MessageReceived, StepChosen, ThreadOpened, ToolFinished, TriggerReceived
from store.standing import StandingGranted
from store.values import Attachment, Person
from tests.telling.story import (
    ANN,
    AT,
    BOB,
    EVE,
    LATER,
    approved,
    asked,
    cancelled,
    choice_failed,
    chosen,
    done,
    failed,
    finished,
    fired,
    from_the_future,
    handed_to_human,
    interrupted,
    message,
    not_sent,
    paused,
    refused,
    rejected,
    reopened,
    requested,
    resumed,
    revoked,
    sent,
    started,
    thread,
)
from tests.telling.strategies import events_of

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]")


def shown(*events: Event) -> list[str]:
    return [f"{entry.who}: {entry.text}" for entry in entries(thread(*events))]


def test_a_story_reads_in_its_order() -> None:
    assert shown(
        message(text="push v3"),
        chosen("s1", "look"),
        started("s1"),
        finished("s1", {"tags": [{"name": "v3"}, {"name": "v2"}]}),
        chosen("s2", acts=True, tag="v3"),
        requested("s2"),
        sent("s2/card"),
        rejected("s2", by=BOB),
        approved("s2", by=ANN),
        asked("s3"),
        message("m2", "v2", answers="s3"),
        chosen("s4", tag="v2"),
        started("s4"),
        interrupted("s4"),
        chosen("s5", tag="v1"),
        refused("s5"),
        chosen("s6"),
        started("s6"),
        failed("s6"),
        done("s7"),
        not_sent("s7/say"),
        handed_to_human(),
        paused(),
        resumed(),
        cancelled(),
        reopened(),
        from_the_future(),
    ) == [
        "Ann: push v3",
        "agent: look",
        "look: 2 tags",
        "agent: push tag=v3",
        "bot: push?\n    tag: v3\n  Asked for by U1 at 2026-11-20 09:00 UTC: “push v3”"
        "\n  May decide: anyone\n  Tool push, digest digest of s2",
        "Bob: ❌ rejected: push at 2026-11-20 09:00 UTC",
        "Ann: tried to approve it; it does not count: already rejected by U2 at 2026-11-20 09:00 UTC.",
        "bot: Which tag?",
        "Ann: v2",
        "agent: push tag=v2",
        "push: outcome unknown: its worker was stopped",
        "agent: push tag=v1",
        "push: unknown intent",
        "agent: push",
        "push: No tag 'v3'.",
        "bot: It is out.",
        "channel: no answer It will be retried.",
        "bot: I stopped and need a person: Three errors in a row. Write to me and I will continue.",
        "Ann: paused the thread",
        "Ann: resumed the thread",
        "Ann: cancelled the thread",
        "Ann: reopened the thread; what was cancelled stays cancelled",
        "thread_merged: this version cannot read the event; see it with `bot show --json`",
    ]


def test_several_approvals_reminders_and_an_end_without_a_decision_are_told() -> None:
    terms: dict[str, Any] = {"group": "release", "then": "leads", "quorum": 2, "expires_at": LATER}
    rel: dict[str, Any] = {"groups": ("release",)}
    told = shown(
        message(),
        chosen("s1", acts=True),
        requested("s1", **terms),
        approved("s1", by=ANN, **rel),
        approved("s1", by=ANN, **rel).model_copy(update={"id": "again"}),
        approved("s1", by=BOB),
        approved("s1", by=EVE, **rel),
        approved("s1", by=BOB, digest="of another", **rel).model_copy(update={"id": "other"}),
        fired("s1/remind/0"),
        fired("s1/widen/0"),
        approved("s1", by=BOB, at=LATER, groups=("leads",)).model_copy(update={"id": "late"}),
        fired("s1/expire/0"),
        fired("s1/remind/1"),
        fired("nothing"),
    )[2:]
    waits = (
        "bot: ⏰ Still waiting for approval: push?\n  Asked for by U1 at 2026-11-20 09:00 UTC: “deploy v3, please”\n"
        "  May decide: release"
    )
    expires = ", until 2026-11-20 09:05 UTC"
    assert told == [
        "bot: push?\n  Asked for by U1 at 2026-11-20 09:00 UTC: “deploy v3, please”"
        f"\n  May decide: release{expires}\n  0 of 2 approvals\n  Tool push, digest digest of s1",
        "Ann: ✅ approved: push (1 of 2) at 2026-11-20 09:00 UTC",
        "Ann: tried to approve it; it does not count: their approval was already counted.",
        "Bob: tried to approve it; it does not count: only release may decide it.",
        "Eve: tried to approve it; it does not count: nobody can verify who that is.",
        "Bob: tried to approve it; it does not count: it belongs to a different request.",
        waits + expires,
        f"{waits} or leads{expires}\n  More people may decide from now on",
        "Bob: tried to approve it; it does not count: this request has expired; it will not run.",
        "bot: ❌ push expired, after an approval by U1 at 2026-11-20 09:00 UTC: nothing was run",
    ]


def test_who_changed_a_call_and_who_approved_it_beforehand_is_told() -> None:
    changed = StepChosen(
        id="s2/chosen", at=AT, step="s2", intent="push", arguments={"tag": "v2"}, by="person", edits="s1", editor=BOB
    )
    grant = StandingGranted(
        id="g1",
        at=AT,
        agent="deploy",
        intent="push",
        when={"target": "prod"},
        by=BOB,
        until=LATER,
        reason="release day",
    )
    told = shown(
        message(),
        chosen("s1", acts=True, tag="v1"),
        requested("s1"),
        changed,
        requested("s2", standing="g1"),
        approved("s2", by=BOB, standing="g1", comment="release day"),
        grant,
        revoked(),
    )
    assert told[3] == "Bob: ✏️ edited it: push tag=v2"
    assert told[5:] == [
        "Bob: ✅ approved: push by a standing approval at 2026-11-20 09:00 UTC — release day",
        "Bob: ✅ approved push target=prod by deploy until 2026-11-20 09:05 UTC — release day",
        "Ann: ❌ revoked the standing approval g1",
    ]


def test_only_what_is_new_is_told() -> None:
    events = (message(), chosen("s1"), paused())
    assert [entry.text for entry in entries(thread(*events), 3)] == ["paused the thread"]
    assert entries(thread(*events), 4) == []


def test_words_of_the_program_are_told_when_it_has_said_them() -> None:
    said = message("m2", "are you there?")
    events = (message(), paused(), said, sent("m2/notice"), resumed(), cancelled(), sent("cancel/1/notice"))
    told = shown(*events)
    assert told[3] == "bot: I am paused. I will read this when somebody resumes me."
    assert len(told) == 6, "and what a person did is told once"


def test_what_was_clipped_or_attached_is_told() -> None:
    files = (Attachment(name="log\x1b.txt", media_type="text/plain", size_bytes=3),)
    event = MessageReceived(
        id="m9", at=AT, sender=ANN, text="long", subject="Logs", attachments=files, clipped_from=60_000
    )
    assert shown(event) == ["Ann: Logs\nlong\n[log\\u{1b}.txt]\n[… the first 4 of 60,000 characters]"]


def test_a_long_result_is_summed_up_and_the_end_of_its_output_shown() -> None:
    result = {"state": "succeeded", "sha": "4af9ec0" + "0" * 33, "output": "\n".join(f"line {n}" for n in range(99))}
    (entry,) = entries(thread(message(), chosen("s1"), started("s1"), finished("s1", result)), 4)
    first, *rest = entry.text.split("\n")
    assert first == "state succeeded · sha 4af9ec0"
    assert rest == [f"| line {n}" for n in range(93, 99)]


def test_who_speaks_cannot_be_forged_by_a_name() -> None:
    name = "Ann\x1b[2J\n" + "x" * 100
    evil = Person(name=name, address="E1", trust="unverified")
    (entry,) = entries(thread(message(by=evil)))
    assert entry.who.startswith("Ann\\u{1b}[2J x")
    assert len(entry.who) <= 60
    (entry,) = entries(thread(TriggerReceived(id="t", at=AT, source="git\x9bhub", name="merged\x07")))
    assert entry.who == "git\\u{9b}hub"


def test_of_whom_we_are_not_sure_that_is_said() -> None:
    said = (message(by=ANN), message("m2", by=EVE), message("m3", by=EVE.model_copy(update={"trust": "third_party"})))
    assert [entry.who for entry in entries(thread(*said))] == ["Ann", "Eve (unverified)", "Eve (third party)"]


def test_markdown_cannot_be_left_by_what_it_quotes() -> None:
    text = markdown(thread(message(text="```\n# Approved\n````"), message("m2", "x", by=Person(name="*A* <b>"))))
    lines = text.split("\n")
    fences = [index for index, line in enumerate(lines) if line == "`````"]
    assert len(fences) == 2
    assert fences[0] < lines.index("# Approved") < fences[1]
    assert "**\\*A\\* \\<b\\> (unverified)**" in lines


# Whatever the log holds

nasty = st.text(st.sampled_from("ab \n\r\t\x00\x1b\x7f\x9b\u202e\u2028`"), max_size=12)
steps = st.sampled_from(["s1", "s2", "s3"])


def any_event() -> st.SearchStrategy[Event]:
    own = {"step": steps, "key": st.sampled_from(["s1/say", "s2/card", "m/notice"]), "timer": nasty, "text": nasty}
    own |= {"intent": st.sampled_from(["push", "look", "nothing_to_do", "withdraw_request"]), "name": nasty}
    own |= {"error": nasty, "why": nasty, "comment": nasty, "reason": nasty, "details": nasty}
    kinds = [kind for kind in KINDS.values() if kind is not ThreadOpened]

    def of(kind: type[Event]) -> st.SearchStrategy[Event]:
        annotations = {name: field.annotation for name, field in kind.model_fields.items()}
        fields: dict[str, Any] = {
            name: values
            for name, values in own.items()
            if name in annotations and get_origin(annotations[name]) is not Literal
        }
        return events_of(kind, id=st.sampled_from(["m", "e1", "e2"]), **fields)

    return st.one_of(*map(of, kinds))


@given(st.lists(any_event(), max_size=12))
def test_any_log_can_be_read(events: list[Event]) -> None:
    told = thread(*events)
    for entry in entries(told, everything=True):
        assert not CONTROLS.search(entry.who + entry.text)
    assert not CONTROLS.search(markdown(told))
    assert json.loads(json.dumps(document(told, with_events=True)))["version"] == len(events) + 1


def test_a_result_of_a_step_that_nobody_knows_is_still_told() -> None:
    stray = ToolFinished(id="s9/finished", at=AT, step="s9", error="lost")
    assert shown(stray) == ["s9: lost"]
    assert shown(MessageSent(id="x", at=AT, key="x/notice")) == []
    assert shown(StepChosen(id="c", at=AT, step="s1", intent="done_for_now", arguments={})) == ["bot: "]


def test_the_document_has_the_same_names_always() -> None:
    quiet = document(thread(message()))
    waiting = document(thread(message(), chosen("s1", acts=True, tag="v3"), requested("s1")))
    wondering = document(thread(message(), asked("s1")), with_events=True)
    assert quiet.keys() == waiting.keys() == wondering.keys() - {"events"}
    assert quiet["updated_at"] == "2026-11-20T09:00:00Z"
    assert waiting["pending"] == {
        "request": "s1",
        "digest": "digest of s1",
        "intent": "push",
        "title": "push tag=v3",
        "arguments": {"tag": "v3"},
        "facts": {},
        "dangers": [],
        "group": "anyone",
        "quorum": 1,
        "votes": [],
        "expires_at": None,
        "cautions": [],
        "editable": [],
    }
    titled = requested("s1", title="Push v3 to prod", facts={"note": "it is OLDER"}, dangers=("note",))
    pending = document(thread(message(), chosen("s1", acts=True, tag="v3"), titled))["pending"]
    assert (pending["title"], pending["dangers"]) == ("Push v3 to prod", ["note"])
    unproven = document(thread(message(by=EVE), chosen("s1", acts=True, tag="v3"), requested("s1")))["pending"]
    assert unproven["cautions"] == ["Words behind this that nobody vouches for: U3 (unverified)."]
    voted = document(
        thread(
            message(),
            chosen("s1", acts=True, tag="v3"),
            requested("s1", quorum=2, group="release", then="leads", expires_at=LATER, editable=("tag",)),
            approved("s1", by=ANN.model_copy(update={"member": "ann"}), groups=("release",)),
            fired("s1/widen/0"),
        )
    )["pending"]
    assert {name: voted[name] for name in ("group", "quorum", "votes", "expires_at", "editable")} == {
        "group": "release or leads",
        "quorum": 2,
        "votes": [{"name": "Ann", "member": "ann", "at": "2026-11-20T09:00:00Z"}],
        "expires_at": "2026-11-20T09:05:00Z",
        "editable": ["tag"],
    }
    assert wondering["question"]["question"] == "Which tag?"
    assert wondering["version"] == len(wondering["events"]) == 3


# On the screen


def test_a_request_that_is_too_wide_shows_where_its_lines_go_on() -> None:
    padded = "Harmless" + " " * 70 + "on_staging: yes" + "z" * 70
    text = console.laid_out(Entry("request", "bot", f"Approval needed\n    subject: {padded}"), 73)
    first, second, *others = text.split("\n")
    assert first == "bot:         Approval needed"
    assert second == "                 subject: Harmless"
    assert others
    assert all(line.strip().startswith("↪ ") and len(line) <= 73 for line in others)
    assert text.count("z") == 70, "and nothing of it is missing"


def test_words_are_wrapped_between_words_and_links_are_left_whole() -> None:
    link = "https://example.com/" + "a" * 80
    entry = Entry("bot", "bot", f"Have a look at this page, which tells more about it, {link}\n\n  - item")
    lines = console.laid_out(entry, 73).split("\n")
    assert lines[1:] == [f"{'':13}{link}", f"{'':13}", f"{'':13}  - item"]
    assert console.laid_out(entry, None).split("\n")[0].endswith(link), "a program gets lines as they are"


def test_a_table_has_its_header_for_people_only() -> None:
    header = ("ID", "STATUS", "ABOUT")
    rows = [("t1", "done", "about " + "x" * 90), ("t2-longer", "waiting", "")]
    assert console.table(header, rows, 40) == [
        "ID         STATUS   ABOUT",
        "t1         done     about xxxxxxxxxxxxxx",
        "t2-longer  waiting",
    ]
    assert console.table(header, rows, None) == ["t1         done     about " + "x" * 90, "t2-longer  waiting"]
    assert console.table(header, [], None) == []


def test_a_model_that_is_away_is_told_in_words() -> None:
    away = choice_failed(1, "unavailable", retry_at=LATER)
    again = "I will ask again at 2026-11-20 09:05 UTC."
    assert shown(message(), away)[-1] == f"model: The model is away: no step in it {again}"


def test_json_keeps_every_language_and_hides_nothing() -> None:
    value = {"text": 'Grüße \N{ROCKET} \x1b\x9b\u202e\U000e0041 \ud800 "quoted" \\ back'}
    text = console.as_json(value)
    assert "Grüße \N{ROCKET} " in text
    assert not re.search("[\x1b\x9b\u202e\U000e0041\ud800]", text)
    assert json.loads(text) == value


def test_of_rows_it_says_how_many_there_are_and_of_lists_their_items() -> None:
    row: dict[str, Any] = {"sha": "8da8a06", "subject": "Pay by invoice"}
    found = {"tags": {"shop": [row], "api": [row, row]}, "commits": {"shop": [row]}, "deployments": [row], "notes": []}
    assert shown(
        message(text="what runs where?"),
        chosen("s1", "look_up", components=["shop", "api"], after="", only_what_runs=False),
        started("s1"),
        finished("s1", found),
        chosen("s2", "deploy", acts=True, revision="v3", waiver={"message": "m1", "words": "skip it"}),
        finished("s2", {"names": ["v3", "v2"], "passed": True}),
    )[1:] == [
        "agent: look_up components=shop, api only_what_runs=no",
        "look_up: 3 tags · 1 commit · 1 deployment · 0 notes",
        "agent: deploy revision=v3 waiver.message=m1 waiver.words=skip it",
        "deploy: names v3, v2 · passed yes",
    ]
