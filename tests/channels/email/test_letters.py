"""What goes out by mail: to whom, in which thread, complete, harmless, and the same bytes whenever it is tried."""

from __future__ import annotations

import email
import email.policy
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.body import MARKDOWN_CHARS_MAX, table
from channels.email.identity.senders import AllowedSenders
from channels.email.identity.tokens import LOCAL_PART_CHARS_MAX, Link, Signer
from channels.email.letters import LINK_SECONDS, REFERENCES_MAX, Letter, Writer
from channels.email.parse import parse
from channels.email.place import alone
from channels.messages import (
    NEW,
    Answered,
    Approval,
    Dropped,
    Ended,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminded,
    Rewrite,
    Text,
    Under,
    Vote,
    Way,
)
from store.events import Event, MessageReceived, MessageSent
from store.text import visible
from store.values import Person, Place
from tests.matrices import examples
from tests.telling import story

BOT = "deploybot@team.example"
SIGNER = Signer("a secret for tests", BOT)
WRITER = Writer(
    address=BOT,
    signer=SIGNER,
    allowed=AllowedSenders.parse("team.example cleo@partner.example").allow,
    public_url="https://bot.team.example",
    replies_decide=True,
    aliases=frozenset({"deploys@team.example"}),
)
WITHOUT_LINKS = replace(WRITER, public_url="")
PLACE = Place(channel="email", address="<m1@team.example>")
ANA = Person(name="Ana", address="ana@team.example", trust="verified")
BEN = Person(name="Ben", address="ben@team.example", trust="verified")
DIGEST = "0123456789abcdef" * 4
AT = datetime(2026, 11, 20, 4, 36, tzinfo=UTC)
HEADERS = {
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
}


def mailed(
    message_id: str = "<m1@team.example>",
    *,
    by: Person = ANA,
    subject: str = "Deploy v3",
    references: Sequence[str] = (),
    to: Sequence[str] = (BOT,),
    cc: Sequence[str] = (),
) -> MessageReceived:
    origin = {"message_id": message_id, "references": [*references], "to": [*to], "cc": [*cc], "from": "aligned"}
    return story.message(message_id[:100], by=by, subject=subject, origin=origin)


def sent(key: str, *message_ids: str) -> MessageSent:
    return MessageSent(id=f"{key}/sent", at=story.AT, key=key, receipt=" ".join(message_ids))


def letters(
    message: Outgoing, *so_far: Event, way: Way = NEW, writer: Writer = WRITER, place: Place = PLACE
) -> list[Letter]:
    return writer.letters(place, message, way, key="t1/s4/say", so_far=so_far or (mailed(),))


def letter(message: Outgoing, *so_far: Event, way: Way = NEW, writer: Writer = WRITER, place: Place = PLACE) -> Letter:
    (only,) = letters(message, *so_far, way=way, writer=writer, place=place)
    return only


def read(one: Letter) -> EmailMessage:
    message = email.message_from_bytes(one.data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def plain(one: Letter) -> str:
    part = read(one).get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def html(one: Letter) -> str:
    part = read(one).get_body(("html",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def head(one: Letter) -> dict[str, str]:
    """Its headers as they stand on the wire, unfolded. No name is there twice."""
    lines = one.data.partition(b"\r\n\r\n")[0].decode("ascii")
    pairs = [line.partition(":") for line in re.sub(r"\r\n(?=[ \t])", "", lines).split("\r\n")]
    found = {name: value.removeprefix(" ") for name, _, value in pairs}
    assert len(found) == len(pairs)
    return found


def links(one: Letter) -> list[Link]:
    found = re.findall(r"https://bot\.team\.example/decide/(\S+)", plain(one))
    return [SIGNER.open(sealed, story.AT) for sealed in found]


def card(arguments: dict[str, Any] | None = None, facts: dict[str, Any] | None = None, **more: Any) -> Approval:
    return Approval(
        step="s4",
        digest=DIGEST,
        intent=more.get("intent", "deploy_backend"),
        arguments={"environment": "production", "revision": "v1.4.2"} if arguments is None else arguments,
        facts={"sha": "4af9ec024c7f", "link": "https://git.example/c/4af9ec02?a=1&b=2"} if facts is None else facts,
        requested_by=more.get("requested_by", "Ana"),
        requested_at=AT,
    )


def question(*choices: str, kind: Any = "multiple_choice", **more: Any) -> Question:
    asked = more.get("asked", "Which tag?")
    return Question("s5", asked, more.get("context", "There are several."), kind, choices, more.get("urgency", "low"))


def settled(outcome: Any = "approved", *, votes: Sequence[Vote] = (), **more: Any) -> Approval:
    end = Ended(outcome, **{"by": BEN, "at": AT, "comment": "go on", **more})
    return replace(card({"environment": "production"}, {"sha": "4af9ec024c7f"}), votes=(*votes,), state=end)


# HTML, as a mail program would see it


_TAGS = re.compile(
    "html|body|p|b|small|h[1-6]|a|table|thead|tbody|tr|t[hd]|br|hr|ul|ol|li|em|strong|code|pre|blockquote"
)
_STYLE = re.compile(r"[a-z0-9#:;., -]*")


class Shown(HTMLParser):
    """What is seen of a page; fails at whatever a page of ours never has."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.leads_to: list[str] = []
        self.tags: list[str] = []
        self.feed(page)
        self.close()
        assert self.rawdata == ""

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert _TAGS.fullmatch(tag), tag
        for name, value in attributes:
            assert value is not None
            match tag, name:
                case "a", "href":
                    assert urlsplit(value).scheme in ("http", "https")
                    self.leads_to.append(value)
                case ("a", "rel"):
                    assert value == "noreferrer"
                case ("a", "title"):
                    pass
                case (_, "style"):
                    assert _STYLE.fullmatch(value), value
                    assert "url" not in value
                case ("code", "class"):
                    assert value.startswith("language-")
                case ("ol", "start"):
                    assert value.isdecimal()
                case _:
                    raise AssertionError(f"<{tag} {name}={value!r}>")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data!r}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data!r}")

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"


def shown(one: Letter) -> Shown:
    page = Shown(html(one))
    assert visible(page.text) == page.text
    return page


def squeezed(text: str) -> str:
    return "".join(text.split())


def texts_in(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for item in value for text in texts_in(item)]
        case dict():
            return [*value, *(text for item in value.values() for text in texts_in(item))]
    return []


def check_wire(one: Letter) -> None:
    """What every mail of ours keeps to, whatever is in it."""
    assert one.data.isascii()
    assert b"\0" not in one.data
    assert b"\n" not in one.data.replace(b"\r\n", b"")
    assert b"\r" not in one.data.replace(b"\r\n", b"")
    assert max(map(len, one.data.split(b"\r\n"))) <= 998
    assert set(head(one)) <= HEADERS
    assert head(one)["Message-ID"] == one.message_id
    message = read(one)
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert not any(part.defects for part in message.walk())
    to = [address.addr_spec for name in ("to", "cc") if message[name] for address in message[name].addresses]
    assert tuple(to) == one.recipients


# What goes out


def test_words_of_the_agent_are_text_and_html() -> None:
    one = letter(Text("It is **out**: `v3`.\n\n- one\n- two"))
    check_wire(one)
    assert plain(one) == "It is **out**: `v3`.\n\n- one\n- two\n"
    assert "<p>It is <strong>out</strong>: <code>v3</code>.</p>" in html(one)
    assert "<li>two</li>" in html(one)


def test_words_of_the_program_have_no_markup() -> None:
    one = letter(Notice("I stopped *here*.\nSee https://bot.example/x"))
    assert plain(one) == "I stopped *here*.\nSee https://bot.example/x\n"
    assert "I stopped *here*." in shown(one).text
    assert shown(one).leads_to == ["https://bot.example/x"]


def test_a_request_shows_everything_and_two_links() -> None:
    one = letter(card())
    check_wire(one)
    for text in (plain(one), shown(one).text):
        for part in ("deploy_backend", "environment", "production", "v1.4.2", "4af9ec024c7f", DIGEST[:12], "Ana"):
            assert part in text
        assert 'reply to this mail: "approve", or "reject: " and why' in text
    until = int(story.AT.timestamp()) + LINK_SECONDS
    assert links(one) == [
        Link("t1", "s4", DIGEST, "ana@team.example", until, approved=True),
        Link("t1", "s4", DIGEST, "ana@team.example", until, approved=False),
    ]
    assert re.findall("Approve: |Reject: ", plain(one)) == ["Approve: ", "Reject: "]
    assert shown(one).leads_to[-2:] == re.findall(r"https://bot\S+", plain(one))


def test_each_person_gets_a_request_alone_with_links_of_their_own() -> None:
    both = letters(card(), mailed(to=[BOT, BEN.address]))
    assert [one.recipients for one in both] == [("ana@team.example",), ("ben@team.example",)]
    assert len({one.message_id for one in both}) == 2
    for one in both:
        check_wire(one)
        assert "Cc" not in head(one)
        assert {link.person for link in links(one)} == {*one.recipients}


def test_a_request_without_links_says_how_to_decide_otherwise() -> None:
    one = letter(card(), mailed(cc=[BEN.address]), writer=WITHOUT_LINKS)
    assert one.recipients == (ANA.address, BEN.address)
    assert "/decide/" not in plain(one) + html(one)
    assert 'reply to this mail: "approve"' in plain(one)
    one = letter(card(), writer=replace(WITHOUT_LINKS, replies_decide=False))
    assert "reply to this mail" not in plain(one)
    for text in (plain(one), shown(one).text):
        assert "`bot approve t1 --digest 0123456789ab` or `bot reject t1 --digest 0123456789ab`" in text


def test_a_free_question_is_answered_by_a_reply() -> None:
    one = letter(question(kind="free_text"))
    for text in (plain(one), shown(one).text):
        assert "Which tag?" in text
        assert "There are several." in text
        assert "Reply to this mail to answer." in text
    assert links(one) == []


@pytest.mark.parametrize(
    ("asked", "choices"),
    [(question(kind="yes_no"), ["yes", "no"]), (question("v1", "v2", "v3"), ["v1", "v2", "v3"])],
)
def test_a_question_with_choices_has_a_link_for_each(asked: Question, choices: list[str]) -> None:
    one, other = letters(asked, mailed(to=[BOT, BEN.address]))
    for mail, person in ((one, ANA), (other, BEN)):
        check_wire(mail)
        assert [link.number for link in links(mail)] == [*range(len(choices))]
        assert {(link.person, link.step, link.digest) for link in links(mail)} == {(person.address, "s5", "")}
        assert [re.search(rf"^{choice}: https", plain(mail), re.MULTILINE) is not None for choice in choices]
        assert len(shown(mail).leads_to) == len(choices)


def test_an_urgent_question_says_so() -> None:
    one = letter(question(kind="free_text", urgency="high"))
    assert plain(one).startswith("Urgent: Which tag?")
    assert "Urgent: Which tag?" in shown(one).text


def test_the_end_of_a_request_answers_the_mail_that_showed_it() -> None:
    of_ana, of_ben = (SIGNER.message_id("t1", f"t1/s4/card {one.address}") for one in (ANA, BEN))
    one = letter(
        settled(), mailed(cc=[BEN.address]), sent("t1/s4/card", of_ana, of_ben), way=Rewrite(f"{of_ana} {of_ben}")
    )
    check_wire(one)
    assert one.recipients == (ANA.address, BEN.address)
    assert head(one)["In-Reply-To"] == of_ana
    for text in (plain(one), shown(one).text):
        for part in ("deploy_backend approved by Ben at 2026-11-20 04:36 UTC — go on", "production", "4af9ec024c7f"):
            assert part in text


@pytest.mark.parametrize("outcome", ["rejected", "withdrawn", "superseded", "cancelled", "refused"])
def test_every_end_of_a_request_is_told(outcome: str) -> None:
    one = letter(settled(outcome, by=None, at=None, comment=""))
    assert f"deploy_backend {outcome}" in plain(one)
    assert f"deploy_backend {outcome}" in shown(one).text


def test_what_could_not_be_said_is_told_to_one_person() -> None:
    told = Notice("A message of mine came back.")
    one = letter(told, mailed(cc=["dan@team.example"]), place=alone(BEN.address))
    assert one.recipients == (BEN.address,)
    assert (head(one)["Subject"], head(one)["In-Reply-To"]) == ("Re: Deploy v3", "<m1@team.example>")
    assert "came back" in plain(one)


def test_what_other_channels_rewrite_in_place_is_not_mailed() -> None:
    assert letters(replace(question("v3"), state=Answered("Ana", "v3"))) == []
    assert letters(replace(question("v3"), state=Dropped())) == []
    assert letters(Progress("rolls out", "under_way")) == []


# To whom


def test_everybody_of_the_last_mail_who_may_be_written_to_stays() -> None:
    one = letter(
        Text("Done."),
        mailed(to=[BOT, BEN.address, "eve@evil.example"], cc=["cleo@partner.example", "mallory@partner.example"]),
    )
    check_wire(one)
    assert head(one)["To"] == "ana@team.example"
    assert head(one)["Cc"] == "ben@team.example, cleo@partner.example"
    assert one.recipients == ("ana@team.example", "ben@team.example", "cleo@partner.example")


def test_we_never_write_to_ourselves() -> None:
    ours = [BOT, BOT.upper(), "deploybot+x@team.example", SIGNER.reply_address("t9"), "Deploys@team.example"]
    assert letter(Text("Done."), mailed(to=ours, cc=ours)).recipients == (ANA.address,)
    assert not WRITER.is_ours("deploybot2@team.example")
    assert not WRITER.is_ours("deploybot@elsewhere.example")


def test_nobody_gets_a_mail_twice() -> None:
    people = [BEN.address, ANA.address, BEN.address]
    assert letter(Text("Done."), mailed(to=people, cc=people)).recipients == (ANA.address, BEN.address)


def test_nobody_gets_a_mail_twice_who_is_written_in_capitals_once() -> None:
    assert letter(Text("Done."), mailed(cc=["Ana@team.example"])).recipients == (ANA.address,)


def test_the_last_mail_says_who_is_written_to() -> None:
    one = letter(Text("Done."), mailed(cc=["dan@team.example"]), mailed("<m2@x>", by=BEN, to=[BOT, ANA.address]))
    assert one.recipients == (BEN.address, ANA.address)


def test_words_that_came_otherwise_change_nobody() -> None:
    one = letter(Text("Done."), mailed(cc=[BEN.address]), story.message("m9", by=story.EVE))
    assert one.recipients == (ANA.address, BEN.address)
    assert head(one)["In-Reply-To"] == "<m1@team.example>"


def test_who_decided_by_a_link_hears_how_it_went() -> None:
    one = letter(settled(), mailed(), story.approved("s4", by=BEN))
    assert one.recipients == (ANA.address, BEN.address)


def test_who_decided_in_vain_hears_it_alone() -> None:
    one = letter(Notice("It was already approved."), mailed(cc=["dan@team.example"]), story.approved("s4", by=BEN))
    assert one.recipients == (BEN.address,)
    assert letters(Notice("It was already approved."), mailed(), story.approved("s4", by=story.BOB)) == []


def test_a_thread_without_a_mail_is_told_to_whom_its_place_names() -> None:
    place = Place(channel="email", address="ana@team.example/nightly")
    one = letter(Text("Done."), story.trigger(), place=place)
    check_wire(one)
    assert one.recipients == (ANA.address,)
    assert (head(one)["Auto-Submitted"], "In-Reply-To" in head(one)) == ("auto-generated", False)
    ours = SIGNER.message_id("t1", "t1/s1/say")
    again = letter(Text("Done."), story.trigger(), sent("t1/s1/say", ours), place=place)
    assert (head(again)["In-Reply-To"], head(again)["References"]) == (ours, ours)
    assert letters(Text("Done."), story.trigger(), place=Place(channel="email", address="nobody")) == []


# In which thread


@pytest.mark.parametrize(
    ("subject", "answered"),
    [
        ("Deploy v3", "Re: Deploy v3"),
        ("Re: Deploy v3", "Re: Deploy v3"),
        ("RE: Deploy v3", "RE: Deploy v3"),
        ("re:Deploy v3", "re:Deploy v3"),
        ("Rest of it", "Re: Rest of it"),
    ],
)
def test_a_subject_has_its_re_once(subject: str, answered: str) -> None:
    assert read(letter(Text("Done."), mailed(subject=subject)))["Subject"] == answered


def test_the_subject_is_that_of_the_threads_first_mail() -> None:
    one = letter(Text("Done."), mailed(subject=""), mailed("<m2@x>"), mailed("<m3@x>", subject="Another"))
    assert read(one)["Subject"] == "Re: Deploy v3"


def test_a_thread_without_a_subject_is_called_by_what_is_said() -> None:
    assert read(letter(card(), mailed(subject="")))["Subject"] == "Approval needed: deploy_backend"
    assert read(letter(question(), mailed(subject="")))["Subject"] == "Which tag?"
    assert read(letter(Text("Done."), mailed(subject="")))["Subject"] == "deploybot"


def test_a_long_subject_in_any_script_is_clipped_and_stays_one_header() -> None:
    for subject in ("é" * 500, "部署" * 200, "word " * 100, "x" * 500, "🚀" * 300):
        one = letter(Text("Done."), mailed(subject=subject))
        check_wire(one)
        assert str(read(one)["Subject"]).startswith(f"Re: {subject[:150]}")
        assert len(str(read(one)["Subject"])) <= 204


def test_a_mail_names_the_one_it_answers_and_all_before_it() -> None:
    ours = SIGNER.message_id("t1", "t1/s1/say")
    one = letter(Text("Done."), mailed("<m3@x>", references=["<m1@x>", "<m2@x>"]), sent("t1/s1/say", ours))
    assert head(one)["In-Reply-To"] == "<m3@x>"
    assert head(one)["References"] == f"<m1@x> <m2@x> <m3@x> {ours}"
    assert head(one)["Auto-Submitted"] == "auto-replied"


def test_no_mail_is_named_twice() -> None:
    one = letter(Text("Done."), mailed("<m2@x>", references=["<m1@x>", "<m2@x>", "<m1@x>"]))
    assert head(one)["References"] == "<m1@x> <m2@x>"


def test_of_a_long_thread_the_first_and_the_last_mails_are_named() -> None:
    before = [f"<m{n}@x>" for n in range(250)]
    one = letter(Text("Done."), mailed("<last@x>", references=before))
    named = head(one)["References"].split()
    assert len(named) == REFERENCES_MAX
    assert named == ["<m0@x>", *before[-(REFERENCES_MAX - 2) :], "<last@x>"]
    check_wire(one)


def test_long_ids_are_neither_broken_nor_encoded() -> None:
    long = [f"<{letter * length}@mail.example>" for letter, length in (("a", 60), ("b", 77), ("c", 300), ("d", 880))]
    one = letter(Text("Done."), mailed(long[-1], references=long[:-1]))
    check_wire(one)
    for id_ in long:
        assert id_.encode() in one.data
    assert b"=?" not in one.data.partition(b"\r\n\r\n")[0]
    assert parse(one.data).in_reply_to == (long[-1],)
    assert parse(one.data).references == tuple(long)


@pytest.mark.parametrize(
    "message_id",
    [
        "<a\ufffd@x>",
        "<=?utf-8?q?=C3=A9?=@x>",
        "<=?utf-8?q?a?=@x>",
        "<=?utf-8?q?a=0D=0ABcc=3A_eve?=@x>",
        "<a\0b@x>",
        "<a=b?c@x>",
        '<"a(b)c"@x>',
        "<a@b@c>",
        "<$;,:%@[192.0.2.1]>",
    ],
)
def test_a_strange_id_is_named_as_it_is_or_not_at_all(message_id: str) -> None:
    for mail in (mailed(message_id), mailed("<m2@x>", references=["<m0@x>", message_id])):
        one = letter(Text("Done."), mail)
        check_wire(one)
        named = head(one).get("References", "").split()
        assert set(named) <= {"<m0@x>", "<m2@x>", message_id}
        assert message_id in named or not (message_id.isascii() and message_id.isprintable())


# The same each time


@pytest.mark.parametrize("message", [Text("Done: é"), Notice("x"), card(), question("a", "b"), settled()])
def test_a_mail_that_is_tried_again_is_the_same_to_the_byte(message: Outgoing) -> None:
    so_far = (mailed(cc=[BEN.address]),)
    again = Writer(**{name: getattr(WRITER, name) for name in WRITER.__dataclass_fields__})
    assert letters(message, *so_far) == letters(message, *so_far, writer=again)


def test_the_key_of_what_is_said_gives_the_id() -> None:
    ids = {
        one.message_id
        for key in ("t1/s1/say", "t1/s2/say", "t2/s1/say")
        for one in WRITER.letters(PLACE, Text("Done."), key=key, so_far=[mailed()])
    }
    assert len(ids) == 3
    assert sorted(map(SIGNER.thread_of_message, ids)) == ["t1", "t1", "t2"]


def test_answers_come_to_a_signed_address() -> None:
    reply_to = read(letter(Text("Done.")))["Reply-To"].addresses[0].addr_spec
    assert SIGNER.thread_of_address(reply_to) == "t1"
    assert WRITER.is_ours(reply_to)


def test_where_plus_addresses_do_not_work_there_is_none() -> None:
    assert "Reply-To" not in head(letter(Text("Done."), writer=replace(WRITER, plus_addresses=False)))
    long = f"{'b' * (LOCAL_PART_CHARS_MAX - 10)}@team.example"
    one = letter(Text("Done."), writer=replace(WRITER, address=long, signer=Signer("x", long)))
    assert "Reply-To" not in head(one)
    check_wire(one)


def test_our_own_mail_reads_back_as_what_it_is() -> None:
    one = letter(Text("It is out: é 🚀\n\nNext line."), mailed("<m2@x>", references=["<m1@x>"]))
    mail = parse(one.data)
    assert (mail.message_id, mail.in_reply_to, mail.references) == (one.message_id, ("<m2@x>",), ("<m1@x>", "<m2@x>"))
    assert (mail.sender, mail.name, mail.to) == (BOT, "deploybot", ("ana@team.example",))
    assert (mail.subject, mail.text, mail.attachments) == ("Re: Deploy v3", "It is out: é 🚀\n\nNext line.", ())
    assert mail.robot == "auto-submitted: auto-replied"
    assert SIGNER.thread_of_message(mail.message_id) == "t1"


# Nothing that a person wrote is a header


@pytest.mark.parametrize(
    "text",
    [
        "a\r\nBcc: eve@evil.example",
        "a\nBcc: eve@evil.example",
        "a\rBcc: eve@evil.example",
        "a\0b",
        "a\u2028Bcc: eve@evil.example\u2029\x85\x0b\x0c\x1c\x1d\x1eBcc: eve@evil.example",
        "a\r\n\r\n<script>alert(1)</script>",
        "\ud800 \udcff",
        '"<eve@evil.example>,;:\\',
        "a" * 60 + "\r\nBcc: eve@evil.example" * 9,
        "=?utf-8?q?",
        "=?utf-8?q?a=0D=0ABcc:_eve@evil.example?=",
        "=?utf-8?b?YQ0KQmNjOiBldmVAZXZpbC5leGFtcGxl?=",
        "=?utf-8?q?a=0D=0A=0D=0A<script>?=",
        "=?utf-8?q?a=00?=",
        "=?utf-8?q?=E2=80=AEa?=",
    ],
)
def test_no_text_of_a_person_starts_a_header_or_the_body(text: str) -> None:
    eve = Person(name=text, address="eve@team.example")
    told = [
        letter(Text("Done."), mailed(subject=text)),
        letter(question(asked=text, kind="free_text"), mailed(subject="")),
        letter(card(intent=text, requested_by=text), mailed(subject="", by=eve)),
        letter(settled(comment=text, by=eve), mailed(subject="", by=eve)),
    ]
    (keyed,) = WRITER.letters(PLACE, Text("Done."), key=f"t1/{text}", so_far=[mailed()])
    for one in (*told, keyed):
        check_wire(one)
        assert set(head(one)) <= HEADERS
        subject = str(read(one)["Subject"])
        assert visible(subject) == subject
        assert "\n" not in subject


def test_no_address_of_a_person_starts_a_header() -> None:
    bad = ["x@team.example\r\nBcc: eve@evil.example", "=?utf-8?q?a=0D=0AX:y?=@team.example"]
    place = Place(channel="email", address=bad[0])
    assert letters(Text("Done."), story.trigger(), place=place) == []
    assert letters(Notice("?"), place=alone(bad[0])) == []
    for address in bad:
        try:
            told = letters(Notice("?"), place=alone(address))
        except ValueError:
            continue
        for one in told:
            check_wire(one)


# Complete


NESTED = {
    "target": "prod",
    "services": ["web", "worker, and more"],
    "one": ["only"],
    "new": {
        "sha": "4af9ec02",
        "commits": [{"sha": "11aa22bb", "by": "Ana"}, {"sha": "33cc44dd", "by": ["Ben", "Dan"]}],
    },
    "notes": "first line\n  second line\n\nlast line",
    "empty": "",
    "none": None,
    "yes": True,
    "number": 12345,
    "link": "https://git.example/c/1?a=1&b=2",
    "markup": "<b>bold</b> & <script>alert(1)</script>",
    "deep": {"a": {"b": {"c": {"d": [[["bottom"]]]}}}},
}


def test_both_parts_show_each_argument_and_fact_whole() -> None:
    for one in (letter(card(NESTED, {"found": NESTED})), letter(card({}, NESTED)), letter(card(NESTED, {}))):
        for text in (plain(one), shown(one).text):
            for part in texts_in(NESTED):
                assert squeezed(part) in squeezed(text)
            assert "12345" in text
    assert shown(letter(card(NESTED, {}))).leads_to[0] == NESTED["link"]


def test_nested_data_is_indented_in_both_parts() -> None:
    one = letter(card({"new": {"sha": "4af9ec02", "by": {"name": "Ana"}}}, {}))
    assert "    new:\n      sha: 4af9ec02\n      by:\n        name: Ana" in plain(one)
    assert "sha: 4af9ec02<br>by:<br>&nbsp; name: Ana" in html(one)


def test_a_fact_does_not_hide_the_argument_of_the_same_name() -> None:
    one = letter(card({"revision": "v1.4.2"}, {"revision": "4af9ec024c7f"}))
    for text in (plain(one), shown(one).text):
        assert "v1.4.2" in text
        assert "4af9ec024c7f" in text


@pytest.mark.parametrize("value", [":", "::", ": :"])
def test_a_value_of_colons_is_shown_too(value: str) -> None:
    assert value in Shown(table({"target": value})).text


def test_a_text_of_300_kb_arrives_whole() -> None:
    for text in ("word é " * 45_000, "x" * 300_000, "a\n" * 150_000, "🚀" * 75_000):
        one = letter(Text(text))
        check_wire(one)
        assert squeezed(plain(one)) == squeezed(text)
        assert squeezed(shown(one).text) == squeezed(text)


def test_markdown_that_is_too_long_to_be_read_is_shown_as_it_is() -> None:
    one = letter(Text("**x** <b> " + "y" * MARKDOWN_CHARS_MAX))
    assert "**x** <b> yyy" in shown(one).text
    one = letter(Text("[" * 20_000 + "<script>" + ">" * 20_000))
    assert "<script>" in shown(one).text


# Harmless


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=https://evil.example/x.png onerror=alert(1)>",
        "![picture](https://evil.example/x.png)",
        "![picture][1]\n\n[1]: https://evil.example/x.png",
        "<style>body{display:none}</style>",
        '<p style="background:url(https://evil.example)" onclick="alert(1)">x</p>',
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x) [y](file:///etc/passwd) [z](//evil.example) [w](/decide/x) [v](mailto:eve@evil.example)",
        "<javascript:alert(1)> <mailto:eve@evil.example> <https://evil.example/<script>>",
        '[x](https://evil.example/"onmouseover="alert(1))',
        "[x](https://evil.example 'a\" onmouseover=\"alert(1)')",
        "```html onload=alert(1)\n</code></pre><script>alert(1)</script>\n```",
        '```"><script>\nx\n```',
        "<!-- comment --> <?php x ?> <![CDATA[x]]> <!DOCTYPE x>",
        "</body></html><script>alert(1)</script>",
        "| a | b |\n|:--|--:|\n| <script> | [x](javascript:y) |",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "<iframe srcdoc='<script>'></iframe><form action=https://evil.example><input>",
        'https://evil.example/"><script>alert(1)</script>',
    ],
)
def test_nothing_in_a_text_or_a_fact_is_alive(text: str) -> None:
    hostile = Person(name=text, address="eve@team.example")
    for message in (
        Text(text),
        Notice(text),
        card({text: text}, {"found": {text: [text, {text: text}]}}, intent=text, requested_by=text),
        question(text, "b", asked=text, context=text),
        settled(by=hostile, comment=text),
    ):
        for one in letters(message):
            page = shown(one)
            assert "script" not in page.tags
            assert not {"img", "style", "form", "iframe", "input"} & set(page.tags)


def test_a_link_of_the_model_shows_where_it_leads() -> None:
    for text, target in (
        ("[https://bank.example](https://evil.example)", "https://evil.example"),
        ("[**Approve**](https://evil.example/x)", "https://evil.example/x"),
        ("[`https://bank.example/`](https://evil.example/)", "https://evil.example/"),
        ("[a][1]\n\n[1]: https://evil.example/y", "https://evil.example/y"),
        ("[ ](https://evil.example/z)", "https://evil.example/z"),
        ("[https://аpple.example](https://аpple.example)", "https://xn--pple-43d.example"),
        ("[x](https://bank.example@evil.example/)", "https://bank.example@evil.example/"),
    ):
        page = shown(letter(Text(text)))
        assert page.leads_to == [target]
        assert f"({target})" in page.text


def test_a_link_that_says_where_it_leads_says_it_once() -> None:
    for text in ("<https://git.example/c/1>", "[https://git.example/c/1](https://git.example/c/1)"):
        page = shown(letter(Text(text)))
        assert page.leads_to == ["https://git.example/c/1"]
        assert page.text.count("https://git.example/c/1") == 1


def test_characters_that_hide_or_reorder_are_written_out() -> None:
    hidden = "a\u202eb\u200bc\u2066d\x1b[31me\0f\ufeffg\U000e0041h"
    for message in (Text(hidden), Notice(hidden), card({hidden: hidden}, {"x": [hidden, {hidden: hidden}]})):
        for text in (plain(letter(message)), shown(letter(message)).text):
            assert visible(text) == text
            assert "a\\u{202e}b\\u{200b}c\\u{2066}d\\u{1b}[31me\\u{0}f\\u{feff}g\\u{e0041}h" in text


@pytest.mark.parametrize("text", ["a&#x202e;b", "a&#8203;b", "a&zwj;b", "a&lrm;b", "`x` &#x2066;b", "&#xe0041;"])
def test_characters_that_hide_are_written_out_also_where_they_come_as_entities(text: str) -> None:
    shown(letter(Text(text)))


_texts = st.text(st.characters(), max_size=60) | st.sampled_from(
    [
        "",
        " ",
        "<script>alert(1)</script>",
        "<b onclick=x>y</b>",
        "\u202eevil",
        "x" * 3_000,
        "a\r\nb\rc\nd",
        "https://a.example/?a=b&c=\"d'",
        "javascript:alert(1)",
        "*b* `c` [d](javascript:e) ![f](https://g.example)",
        "> q\n> q\n\n1. a\n   - b\n\n---\n| a |\n|---|\n| b |",
        "From me",
        ".",
        "\n.\n",
        "--=_x",
    ]
)
_markup = st.lists(
    st.sampled_from([*"<>\"'&;/=![]()`*_|\\#\n\t -", "a", "script", "href", "javascript:", "https://e.example"]),
    max_size=40,
).map("".join)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts.filter(lambda text: bool(text.strip(": \t\r\n")) or not text),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_outgoing: st.SearchStrategy[Outgoing] = st.one_of(
    st.builds(Text, _texts | _markup),
    st.builds(Notice, _texts | _markup),
    st.builds(card, st.dictionaries(_texts, _values, max_size=5), st.dictionaries(_texts, _values, max_size=5)),
    st.builds(
        Question,
        st.just("s5"),
        _texts,
        _texts | _markup,
        st.sampled_from(["free_text", "yes_no", "multiple_choice"]),
        st.lists(_texts, max_size=8).map(tuple),
        st.sampled_from(["low", "medium", "high"]),
    ),
    st.builds(
        lambda request, intent, end: replace(request, intent=intent, state=end),
        st.builds(card, st.dictionaries(_texts, _values, max_size=5), st.dictionaries(_texts, _values, max_size=5)),
        _texts,
        st.builds(
            Ended,
            st.sampled_from(["approved", "rejected", "withdrawn", "superseded", "cancelled", "refused"]),
            st.none() | st.just(ANA),
            st.none() | st.just(AT),
            _texts,
        ),
    ),
)


@examples(300)
@given(_outgoing, _texts)
def test_whatever_is_said_is_a_mail_that_keeps_to_the_rules(message: Outgoing, subject: str) -> None:
    told = letters(message, mailed(subject=subject, cc=[BEN.address]))
    assert told
    for one in told:
        check_wire(one)
        page = Shown(html(one))
        assert not {"img", "script", "style"} & set(page.tags)
        assert visible(plain(one)) == plain(one)


@examples(200)
@given(st.dictionaries(_texts, _values, max_size=5), st.dictionaries(_texts, _values, max_size=5))
def test_every_character_of_a_request_is_in_both_parts(arguments: dict[str, Any], facts: dict[str, Any]) -> None:
    # A fact of an argument's name has a test of its own.
    facts = {name: value for name, value in facts.items() if name not in arguments}
    one = letter(card(arguments, facts))
    for text in map(squeezed, (plain(one), shown(one).text)):
        for part in texts_in([arguments, facts]):
            assert squeezed(visible(part)) in text, json.dumps(part)


# Several people, over time, in several places


REQUEST = story.requested("s4", asks=(Place(channel="email", address="ops@team.example/approvals"),))
OPS = Place(channel="email", address="ops@team.example/approvals")
EXPIRES = story.AT + timedelta(hours=4)
VOTES = (Vote("Ben\nBob", AT), Vote("Cleo", AT + timedelta(minutes=2)))


def reminder(*, widened: bool = False, **more: Any) -> Approval:
    values: dict[str, Any] = {"requested_at": story.AT, "group": "release", "approvers": (BEN,), "expires_at": EXPIRES}
    return replace(card(), state=Reminded(widened), **values | more)


def shown_to(*people: Person, at: str = "") -> tuple[str, ...]:
    """The Message-IDs of the mails that showed the request."""
    return tuple(SIGNER.message_id("t1", f"t1/s4/card{at} {one.address}") for one in people)


def follow_ups(
    message: Outgoing, way: Way, *so_far: Event, place: Place = PLACE, writer: Writer = WRITER
) -> list[Letter]:
    return writer.letters(place, message, way, key="t1/s4/votes/7", so_far=so_far)


def test_a_request_says_who_may_decide_until_when_and_who_has_approved_it() -> None:
    request = replace(
        card(), group="release", approvers=(BEN,) * 6, quorum=3, votes=VOTES, expires_at=EXPIRES, editable=("revision",)
    )
    one = letter(request)
    check_wire(one)
    for text in (plain(one), shown(one).text):
        assert "may decide: release (Ben, Ben, Ben, Ben, Ben, and others)" in text
        assert "expires at 2026-11-20 13:00 UTC" in text
        assert "2 of 3 approvals: Ben Bob at 2026-11-20 04:36 UTC, Cleo at 2026-11-20 04:38 UTC" in text
        assert "can be changed too: revision" in text


@pytest.mark.parametrize(("hours", "ends"), [(4, 4 * 3600), (24 * 30, LINK_SECONDS)])
def test_a_link_ends_with_its_request_or_after_a_week(hours: int, ends: int) -> None:
    request = replace(card(), expires_at=story.AT + timedelta(hours=hours))
    assert {link.good_until for link in links(letter(request))} == {int(story.AT.timestamp()) + ends}


def test_an_approval_of_several_is_told_to_each_in_reply_to_the_mail_with_their_links() -> None:
    cards = shown_to(ANA, BEN)
    # Dan came later, and was shown nothing to decide; Ben was left out of the last mail, and was.
    so_far = (
        mailed(cc=[BEN.address]),
        REQUEST,
        sent("s4/card", *cards),
        mailed("<m2@x>", cc=["dan@team.example"]),
        story.approved("s4", by=BEN),
    )
    told = follow_ups(replace(card(), quorum=3, votes=VOTES), Rewrite(" ".join(cards)), *so_far)
    assert [one.recipients for one in told] == [(ANA.address,), (BEN.address,)]
    assert [head(one)["In-Reply-To"] for one in told] == [*cards]
    assert len({one.message_id for one in told}) == 2
    for one in told:
        check_wire(one)
        assert head(one)["Subject"] == "Re: Deploy v3"
        assert links(one) == []
        for text in (plain(one), shown(one).text):
            assert (
                "deploy_backend: 2 of 3 approvals: Ben Bob at 2026-11-20 04:36 UTC, Cleo at 2026-11-20 04:38 UTC"
                in text
            )


def test_without_links_what_follows_answers_the_one_mail_that_all_got() -> None:
    one_for_all = SIGNER.message_id("t1", "t1/s4/card")
    so_far = (mailed(cc=[BEN.address]), REQUEST, sent("s4/card", one_for_all), story.approved("s4", by=BEN))
    told = follow_ups(replace(card(), quorum=2), Rewrite(one_for_all), *so_far, writer=WITHOUT_LINKS)
    assert [(one.recipients, head(one)["In-Reply-To"]) for one in told] == [
        ((ANA.address,), one_for_all),
        ((BEN.address,), one_for_all),
    ]


def test_a_reminder_says_until_when_the_links_work() -> None:
    (mine,) = shown_to(ANA)
    so_far = (mailed(), REQUEST, sent("s4/card", mine), story.fired("s4/remind/0"))
    (one,) = follow_ups(reminder(widened=True), Under(mine), *so_far)
    check_wire(one)
    assert head(one)["In-Reply-To"] == mine
    for text in (plain(one), shown(one).text):
        assert "deploy_backend still waits for approval" in text
        assert "may decide: release (Ben)" in text
        assert "more people may decide from now on" in text
        assert "links in the mail that asked for it work until 2026-11-20 13:00 UTC" in text
        assert "A reply decides only as an answer to that mail, not to this one." in text
    late = story.fired("s4/remind/0").model_copy(update={"at": story.AT + timedelta(seconds=LINK_SECONDS)})
    (one,) = follow_ups(reminder(expires_at=None), Under(mine), mailed(), REQUEST, late)
    assert "links" not in plain(one)


def test_a_reminder_of_what_was_never_shown_promises_no_links() -> None:
    (one,) = follow_ups(reminder(), NEW, mailed(), REQUEST, story.fired("s4/remind/0"))
    assert (one.recipients, head(one)["In-Reply-To"]) == ((ANA.address,), "<m1@team.example>")
    assert "links" not in plain(one)
    writer = replace(WITHOUT_LINKS, replies_decide=False)
    (one,) = follow_ups(reminder(), NEW, mailed(), REQUEST, story.fired("s4/remind/0"), writer=writer)
    assert "`bot approve t1` or `bot reject t1`" in plain(one)


def test_beside_the_thread_a_request_has_a_mail_thread_of_its_own() -> None:
    (request,) = WRITER.letters(OPS, card(), key="t1/s4/card/at/1", so_far=[REQUEST])
    assert (request.recipients, head(request)["Subject"]) == (
        ("ops@team.example",),
        "Approval needed: deploy_backend",
    )
    assert "In-Reply-To" not in head(request)
    assert {link.person for link in links(request)} == {"ops@team.example"}
    receipt = request.message_id
    for message, way, event in (
        (replace(card(), quorum=2, votes=VOTES[:1]), Rewrite(receipt), story.approved("s4", by=BEN)),
        (reminder(), Under(receipt), story.fired("s4/remind/0")),
        (settled(votes=VOTES), Rewrite(receipt), story.approved("s4", by=BEN)),
    ):
        (one,) = follow_ups(message, way, event, place=OPS)
        check_wire(one)
        assert (one.recipients, head(one)["In-Reply-To"]) == (("ops@team.example",), receipt)
        assert head(one)["Subject"] == "Re: Approval needed: deploy_backend"
        assert head(one)["References"] == receipt
    assert "approved by Ben Bob at 2026-11-20 04:36 UTC, Cleo at 2026-11-20 04:38 UTC — go on" in plain(one)


def test_the_end_is_told_to_everybody_who_was_shown_the_request() -> None:
    cards = shown_to(ANA, BEN)
    so_far = (mailed(cc=[BEN.address]), REQUEST, sent("s4/card", *cards), mailed("<m2@x>"), story.approved("s4"))
    one = letter(settled(), *so_far, way=Rewrite(" ".join(cards)))
    assert one.recipients == (ANA.address, BEN.address)
    assert set(cards) <= set(head(one)["References"].split())


def test_what_is_said_beside_the_thread_changes_nothing_in_its_own_mails() -> None:
    beside = SIGNER.message_id("t1", "t1/s4/card/at/1 ops@team.example")
    ops = Person(name="Ops", address="ops@team.example", trust="verified")
    so_far = (
        mailed(),
        REQUEST,
        sent("s4/card/at/1", beside),
        sent("s4/card/at/2", "1763722800.000100"),
        mailed("<why@team.example>", by=ops, subject="Re: Approval needed", references=[beside]),
    )
    one = letter(Text("Ana wants it."), *so_far)
    assert one.recipients == (ANA.address, ops.address)
    assert (head(one)["In-Reply-To"], head(one)["References"]) == ("<m1@team.example>", "<m1@team.example>")
    # Who decided there hears it there.
    decided = (*so_far[:4], story.approved("s4", by=ops))
    assert letter(settled(), *decided, way=Rewrite(shown_to(ANA)[0])).recipients == (ANA.address,)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (settled("expired", by=None, at=None, comment=""), "deploy_backend expired: nothing is run"),
        (
            settled("expired", by=None, at=None, comment="", votes=VOTES[1:]),
            "deploy_backend expired, after an approval by Cleo at 2026-11-20 04:38 UTC: nothing is run",
        ),
        (
            settled("rejected", votes=VOTES[1:]),
            "deploy_backend rejected by Ben at 2026-11-20 04:36 UTC, "
            "after an approval by Cleo at 2026-11-20 04:38 UTC — go on",
        ),
        (
            settled(standing="g1"),
            "deploy_backend approved by the standing approval of Ben at 2026-11-20 04:36 UTC — go on",
        ),
    ],
)
def test_how_a_request_ended_is_told_in_words(message: Approval, words: str) -> None:
    one = letter(message)
    assert words in plain(one)
    assert words in shown(one).text


def test_what_follows_a_request_is_the_same_to_the_byte_when_it_is_tried_again() -> None:
    cards = shown_to(ANA, BEN)
    so_far = (mailed(cc=[BEN.address]), REQUEST, sent("s4/card", *cards), story.approved("s4", by=BEN))
    again = Writer(**{name: getattr(WRITER, name) for name in WRITER.__dataclass_fields__})
    for message, way in ((replace(card(), quorum=2), Rewrite(" ".join(cards))), (reminder(), Under(" ".join(cards)))):
        assert follow_ups(message, way, *so_far) == follow_ups(message, way, *so_far, writer=again)
