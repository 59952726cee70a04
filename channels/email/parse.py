"""Parses the bytes of a mail into a `Mail`. Pure, and it never raises, whatever the bytes.

It uses the standard library's oldest policy (`compat32`), which accepts any input, while newer ones raise on malformed
headers. Undecodable content is replaced, and everything that is skipped is marked as such.

Nothing in a `Mail` is verified: `channels.email.identity.proof` verifies the sender, and `channels.email.inbound`
finds the thread.
"""

from __future__ import annotations

import codecs
import email.header
import email.utils
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from itertools import islice
from typing import Any

from channels.email.identity.senders import envelope_address, is_plain_address
from channels.email.lists import Distribution, distribution_of
from channels.email.markup import text_of_html
from channels.email.replies import split_body
from channels.email.robots import Bounce, bounce_of, why_automatic
from channels.email.structure import end_of_head, message_of
from store.text import one_line
from store.values import Attachment

TEXT_CHARS_MAX = 200_000
"""The part of a body that is split into new and quoted text."""
ATTACHED_BYTES_MAX = 100_000
"""The text of a larger attachment is not read."""
ATTACHMENTS_READ_MAX = 3
DEPTH_MAX = 30
PARTS_MAX = 300
IDS_MAX = 100
"""Message-IDs read from References: the first one, and the last of the others."""
PEOPLE_MAX = 50
HEADER_CHARS_MAX = 20_000
TRACE_MAX = 100
"""What our own server writes stands at the top."""
_TRACE = ("received", "authentication-results")
_SHOWN = ("To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc")
_EMPTY_GROUP = re.compile(r"[^:;,@]*:\s*;")
"""Such as `undisclosed-recipients:;`."""


# Mail programs mean the superset when they name the subset: https://encoding.spec.whatwg.org/#names-and-labels
_READ_AS = {"iso-8859-1": "cp1252", "us-ascii": "utf-8", "gb2312": "gb18030", "ks_c_5601-1987": "cp949"}


_TEXTS = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml")
_ID = re.compile(r"<[^<>\s]{1,900}>")
_ADDRESS = re.compile(r"[^@\s<>(),;:\"\\\[\]]{1,64}@[^@\s<>(),;:\"\\\[\]]{1,253}")


@dataclass(frozen=True, slots=True)
class Mail:
    message_id: str
    """With its angle brackets; empty: none."""
    digest: str
    """A hash of sender, date, subject and body, used as the id of a mail without a Message-ID."""
    sender: str
    """The From address, its domain in lower case; empty: there is not exactly one."""
    name: str
    """The display name in From. Unverified."""
    to: tuple[str, ...]
    cc: tuple[str, ...]
    shown_to: tuple[str, ...]
    """Everybody whom the headers name that are for recipients, also those whose address is not valid."""
    delivered_to: tuple[str, ...]
    """The envelope recipients that our server recorded, with their plus-tags."""
    subject: str
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    """Oldest first."""
    text: str
    """The new text of the body."""
    quoted: str
    """The rest of the body: quotations and signatures."""
    text_is_complete: bool
    """Whether `text` certainly holds all new text, so that it may decide a request."""
    attachments: tuple[Attachment, ...]
    automatic: str
    """Why the mail must not be answered (see `channels.email.robots`); empty: a person seems to have written it."""
    distribution: Distribution
    """What says that a list has distributed it."""
    authors: tuple[str, ...]
    """Whom Reply-To names, or else X-Original-From: the author, where a list has put itself into From."""
    bounce: Bounce | None
    """Set if it is a report that a mail could not be delivered."""
    sent_by: tuple[str, ...]
    """The addresses in Sender, if they differ from `sender`."""
    envelope: str
    """The envelope sender in the topmost Return-Path; empty: there is none."""
    trace: tuple[tuple[str, str], ...]
    """The Received and Authentication-Results headers, topmost first, their names in lower case."""

    @property
    def authentication(self) -> tuple[str, ...]:
        """The Authentication-Results headers, topmost first."""
        return tuple(value for name, value in self.trace if name == "authentication-results")

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.to, *self.cc, *self.delivered_to)))


def parse_headers(raw: bytes) -> Mail:
    """The mail without its body, in bounded time."""
    return parse(raw[: end_of_head(raw)])


def parse(raw: bytes) -> Mail:
    message, whole = message_of(raw)
    body, body_is_complete, attachments = _body_of(message)
    parts = split_body(body[:TEXT_CHARS_MAX])
    sender, name = _sender(message)
    subject = one_line(_decoded(message, "Subject"), 1_000)
    ids = _ids(message, "Message-ID")
    hashed = "\0".join((sender, _raw(message, "Date"), subject, body))
    return Mail(
        message_id=ids[0] if ids else "",
        digest=hashlib.blake2b(hashed.encode(errors="replace"), digest_size=16).hexdigest(),
        sender=sender,
        name=one_line(name, 100),
        to=tuple(address for _, address in _people(message, "To")),
        cc=tuple(address for _, address in _people(message, "Cc")),
        shown_to=tuple(one for header in _SHOWN for value in _values(message, header) for one in _named(value)),
        delivered_to=tuple(
            address for header in ("Delivered-To", "X-Original-To") for _, address in _people(message, header)
        ),
        subject=subject,
        in_reply_to=_ids(message, "In-Reply-To"),
        references=_ids(message, "References"),
        text=parts.new,
        quoted=parts.quoted + body[TEXT_CHARS_MAX:],
        text_is_complete=whole and body_is_complete and parts.is_complete and len(body) <= TEXT_CHARS_MAX,
        attachments=attachments,
        automatic=why_automatic(message, sender),
        distribution=distribution_of(message),
        authors=tuple(one for _, one in _people(message, "Reply-To") or _people(message, "X-Original-From")),
        bounce=bounce_of(message, body),
        sent_by=_sent_by(message, sender),
        envelope=envelope_address(_raw(message, "Return-Path")),
        trace=tuple(
            islice(
                ((name.lower(), _unfolded(value)) for name, value in message.items() if name.lower() in _TRACE),
                TRACE_MAX,
            )
        ),
    )


def _sender(message: Message[Any, Any]) -> tuple[str, str]:
    """(address, name); both empty unless From names exactly one person, as mail programs differ in whom they show."""
    values = _values(message, "From")
    if len(values) != 1:
        return "", ""
    try:
        named = [pair for pair in email.utils.getaddresses(values) if any(pair)]
    except Exception:
        return "", ""
    people = _people(message, "From")
    if len(named) != 1 or len(people) != 1:
        return "", ""
    [(name, sender)] = people
    # A display name must not look like an address, which may be somebody else's.
    return sender, re.sub(r"[@<>]+", " ", name)


def _sent_by(message: Message[Any, Any], sender: str) -> tuple[str, ...]:
    """A server that let somebody write another's From says here who it was."""
    named = [_unfolded(value)[:HEADER_CHARS_MAX] for value in message.get_all("Sender", [])]
    found = [address for _, address in email.utils.getaddresses(named)] if named else []
    return tuple(one for one in found if one and one.lower() != sender.lower())


# Headers


def _unfolded(value: Any) -> str:
    return " ".join(str(value).split())


def _values(message: Message[Any, Any], header: str) -> list[str]:
    """All headers of this name, up to HEADER_CHARS_MAX together."""
    values: list[str] = []
    left = HEADER_CHARS_MAX
    for value in message.get_all(header, []):
        if left <= 0:
            break
        values.append(_unfolded(value)[:left])
        left -= len(values[-1]) + 1
    return values


def _raw(message: Message[Any, Any], header: str) -> str:
    return _unfolded(message.get(header, ""))[:HEADER_CHARS_MAX]


def _decoded(message: Message[Any, Any], header: str) -> str:
    return decoded(_raw(message, header))


def decoded(value: str) -> str:
    """Decodes RFC 2047. A value that cannot be decoded is returned as it is."""
    try:
        return str(email.header.make_header(email.header.decode_header(value)))
    except Exception:
        return value


def _ids(message: Message[Any, Any], header: str) -> tuple[str, ...]:
    # Only `<…>` is an id. Comments and words around it are ignored.
    value = _unfolded(message.get(header, "")).replace("> <", "><")
    if len(value) > HEADER_CHARS_MAX:
        value = value[: HEADER_CHARS_MAX // 2] + " " + value[-HEADER_CHARS_MAX // 2 :]
    found = list(dict.fromkeys(_ID.findall(value)))
    return tuple(found if len(found) <= IDS_MAX else [found[0], *found[1 - IDS_MAX :]])


def _people(message: Message[Any, Any], header: str) -> list[tuple[str, str]]:
    """(name, address) pairs with a valid address. Names are decoded last, so an encoded name cannot add an address."""
    try:
        found = email.utils.getaddresses(_values(message, header))
    except Exception:
        return []
    people = []
    for name, address in found[:PEOPLE_MAX]:
        local, _, domain = address.rpartition("@")
        if _ADDRESS.fullmatch(address) and is_plain_address(address := f"{local}@{domain.lower()}"):
            people.append((decoded(name), address))
    return people


def _named(value: str) -> list[str]:
    """Whom a header names, each by the address or, where it has none, by what stands in its place."""
    try:
        named = [address or name for name, address in email.utils.getaddresses([value]) if name or address]
    except Exception:
        named = []
    return named or ([value] if value and not _EMPTY_GROUP.fullmatch(value) else [])


# Body and attachments


def _body_of(message: Message[Any, Any]) -> tuple[str, bool, tuple[Attachment, ...]]:
    """(text, whether nothing of it was cut off, attachments)."""
    texts: list[str] = []
    left = TEXT_CHARS_MAX  # of HTML
    is_complete = True
    attachments: list[Attachment] = []
    read = 0
    for count, part in enumerate(_leaves(message, 0)):
        if count >= PARTS_MAX:
            attachments.append(Attachment(name=f"and more than {PARTS_MAX} other parts", media_type="multipart/mixed"))
            is_complete = False
            break
        if _is_body(part):
            text = _characters(part)
            if part.get_content_type() == "text/html":
                is_complete = is_complete and len(text) <= left
                text, left = text_of_html(text[:left]), max(left - len(text), 0)
            elif str(part.get_param("format", "")).lower() == "flowed":
                text = _unflowed(text, joined=str(part.get_param("delsp", "")).lower() == "yes")
            texts.append(text)
            continue
        attachment, was_read = _attachment(part, read < ATTACHMENTS_READ_MAX)
        read += was_read
        attachments.append(attachment)
    return "\n".join(text for text in texts if text.strip()), is_complete, tuple(attachments)


def _leaves(part: Message[Any, Any], depth: int) -> Iterator[Message[Any, Any]]:
    """The parts that a mail program would show or list. Of alternatives only one, the plain text if it is not empty."""
    children = part.get_payload() if part.is_multipart() and not _is_message(part) else None
    if not isinstance(children, list) or depth >= DEPTH_MAX:
        yield part
        return
    if part.get_content_type() == "multipart/alternative" and children:
        children = [_best(children)]
    for child in children:
        if isinstance(child, Message):
            yield from _leaves(child, depth + 1)


def _best(alternatives: list[Any]) -> Any:
    for one in alternatives:
        if isinstance(one, Message) and one.get_content_type() == "text/plain" and _bytes(one).strip():
            return one
    others = [a for a in alternatives if isinstance(a, Message)]
    html = [a for a in others if any(leaf.get_content_type() == "text/html" for leaf in islice(a.walk(), DEPTH_MAX))]
    return (html or others or alternatives)[0]


def _is_message(part: Message[Any, Any]) -> bool:
    return part.get_content_maintype() == "message"


def _is_body(part: Message[Any, Any]) -> bool:
    if part.get_content_type() not in ("text/plain", "text/html") or part.is_multipart():
        return False
    return part.get_content_disposition() != "attachment" and not _filename(part)


def _characters(part: Message[Any, Any]) -> str:
    data = _bytes(part)
    declared = _charset(str(part.get_content_charset() or "utf-8"))
    for charset, errors in ((_READ_AS.get(declared, declared), "strict"), ("utf-8", "strict"), ("cp1252", "replace")):
        try:
            return _one_newline(data.decode(charset, errors))
        except (UnicodeError, LookupError, ValueError):
            continue
    return _one_newline(data.decode("latin-1"))


def _charset(declared: str) -> str:
    """Punycode is no charset of mail, and takes quadratic time to decode."""
    try:
        return "utf-8" if codecs.lookup(declared).name == "punycode" else declared
    except (LookupError, ValueError):
        return declared


def _bytes(part: Message[Any, Any]) -> bytes:
    try:
        data = part.get_payload(decode=True)
    except Exception:
        return b""
    return data if isinstance(data, bytes) else b""


def _one_newline(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unflowed(text: str, *, joined: bool) -> str:
    """Joins format=flowed text (RFC 3676): a line that ends in a space continues in the next one of the same depth."""
    lines: list[str] = []
    # Of the current line. They are joined once: adding each to the line would take quadratic time.
    pieces: list[str] = []
    continues = False
    depth = -1
    for line in text.split("\n"):
        bare = line.lstrip(">")
        quotes = len(line) - len(bare)
        bare = bare.removeprefix(" ")
        if not (continues and quotes == depth):
            if pieces:
                lines.append("".join(pieces))
            pieces = [">" * quotes + (" " if quotes else "")]
        continues = bare.endswith(" ") and bare != "-- "
        depth = quotes
        pieces.append(bare[:-1] if continues and joined else bare)
    return "\n".join((*lines, "".join(pieces)))


def _attachment(part: Message[Any, Any], may_read: bool) -> tuple[Attachment, bool]:
    media_type = part.get_content_type()
    if _is_message(part):
        inner = part.get_payload()
        size = _size_of(part)
        first = inner[0] if isinstance(inner, list) and inner and isinstance(inner[0], Message) else None
        subject = one_line(_decoded(first, "Subject"), 200) if first is not None else ""
        return Attachment(name=_filename(part) or subject or "a mail", media_type=media_type, size_bytes=size), False
    data = _bytes(part)
    text = ""
    if may_read and media_type.startswith(_TEXTS) and 0 < len(data) <= ATTACHED_BYTES_MAX:
        text = _characters(part)
    name = one_line(_filename(part), 200) or f"without a name ({media_type})"
    return Attachment(name=name, media_type=media_type, size_bytes=len(data), text=text), bool(text)


def _size_of(message: Message[Any, Any]) -> int:
    """Of its contents, roughly. The standard library would write them out recursively."""
    size = 0
    left: list[Any] = [message.get_payload()]
    while left:
        match left.pop():
            case list() as parts:
                left += parts
            case Message() as part:
                size += sum(len(name) + len(str(value)) + 4 for name, value in part.items())
                left.append(part.get_payload())
            case text:
                size += len(str(text))
    return size


def _filename(part: Message[Any, Any]) -> str:
    try:
        return decoded(_unfolded(part.get_filename() or ""))
    except Exception:
        return ""
