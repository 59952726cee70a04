"""Mails as we write them, and what a mail program sees of them: headers, both parts, links, and the page."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from channels.email.identity.senders import AllowedSenders
from channels.email.identity.tokens import Link, Signer
from channels.email.letters import Letter, Writer
from channels.messages import NEW, Approval, Ended, Outgoing, Question, Vote, Way
from store.deliveries import MessageSent
from store.events import Event, MessageReceived
from store.text import visible
from store.values import Person, Place
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
        intent=more.get("intent", "deploy"),
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
    "html|head|meta|title|style|body|div|p|b|small|h[1-6]|a|table|thead|tbody|tr|t[hd]|br|hr|ul|ol|li|em|strong|code|pre|blockquote"
)
_STYLE = re.compile(r"[a-z0-9#:;.,% -]*")
_META = re.compile(r"utf-8|viewport|width=device-width, initial-scale=1|(?:supported-)?color-schemes?|light dark")
_CLASSES = re.compile(r"sheet|row|row danger|danger|approve|reject|other")


class Shown(HTMLParser):
    """What is seen of a page; fails at whatever a page of ours never has."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.leads_to: list[str] = []
        self.tags: list[str] = []
        self._is_seen = True
        self.feed(page)
        self.close()
        assert self.rawdata == ""

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._is_seen = tag not in ("title", "style")
        if tag == "style":  # Ours, and no other.
            assert "body" not in self.tags
        else:
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
                case ("html", "lang"):
                    assert value == "en"
                case ("meta", "charset" | "name" | "content"):
                    assert _META.fullmatch(value), value
                case ("a" | "div" | "table" | "blockquote", "class"):
                    assert _CLASSES.fullmatch(value), value
                case ("code", "class"):
                    assert value.startswith("language-")
                case ("ol", "start"):
                    assert value.isdecimal()
                case _:
                    raise AssertionError(f"<{tag} {name}={value!r}>")

    def handle_data(self, data: str) -> None:
        if self._is_seen:
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
