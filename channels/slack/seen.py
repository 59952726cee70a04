"""What a person sees of a Slack message: its words, its alerts and forwarded messages, its files. Pure.

`seen` is the one reader of messages, however they come: as an event, as the history of a thread, or from a sweep. A
message of another program often has an empty `text`, and all that people see is in its blocks or attachments. Where
`text` and blocks say different things, people see the blocks.

In a person's message everything that somebody else wrote (what is forwarded, the preview of a link) is quoted line by
line, and `passes_on` says so. What cannot be text is counted in `left_out`, in words of ours: nothing of the payload
gets into them.

The shapes: https://docs.slack.dev/reference/messaging/payload and .../legacy/legacy-messaging/
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from channels.slack.shown import Reading, Shape, labels, link, literal, quoted, read_blocks, shapes, string, text_of
from channels.slack.text import unescaped

ATTACHMENTS_MAX = 50
PREVIEWS = (1024, 960, 720, 480, 360)
"""The sizes of Slack's previews of an image."""
_LABEL = re.compile(r"<([@#!][^<>|]*)\|[^<>]*>")
_NO_WORDS = re.compile(r"[\W_]+")
_NO_PREVIEW = {"[no preview available]", "no preview available"}


@dataclass(frozen=True, slots=True)
class File:
    id: str
    name: str
    media_type: str = ""
    size_bytes: int = 0
    url: str = ""
    """Requires our token."""
    preview_url: str = ""
    """Of an image: the largest preview that Slack made. Requires our token."""


@dataclass(frozen=True, slots=True)
class Seen:
    text: str
    """In Slack's markup (see `channels.slack.text.unescaped`)."""
    files: tuple[File, ...] = ()
    passes_on: bool = False
    """A person's message that holds words of somebody else."""
    left_out: str = ""
    """What could not be shown as text, in words; empty: nothing."""


def seen(message: Shape, *, by_person: bool = True) -> Seen:
    """`by_person`: others' words in it are quoted. A program's message is somebody else's as a whole."""
    body, unread = _body(message)
    parts, shared = [body], False
    attachments = message.get("attachments")
    for attachment in shapes(attachments[:ATTACHMENTS_MAX] if isinstance(attachments, list) else None):
        found = _attachment(attachment)
        unread += found.unread
        if found.text:
            parts.append(quoted(found.text) if by_person else found.text)
            shared = True
    if isinstance(attachments, list) and len(attachments) > ATTACHMENTS_MAX:
        unread += ["attachment"] * (len(attachments) - ATTACHMENTS_MAX)
    text = "\n\n".join(filter(None, parts))
    return Seen(text, files_of(message), by_person and shared, _in_words(unread))


def own_words(message: Shape) -> str:
    """What its author wrote, without anything that hangs from it. An unfurled link does not change it."""
    return _body(message)[0]


def files_of(message: Shape) -> tuple[File, ...]:
    found = []
    for file in shapes(message.get("files")):
        if string(file, "id"):
            size = file.get("size")
            found.append(
                File(
                    id=string(file, "id"),
                    name=string(file, "name") or string(file, "title") or string(file, "id"),
                    media_type=string(file, "mimetype"),
                    size_bytes=size if isinstance(size, int) and size >= 0 else 0,
                    url=string(file, "url_private_download") or string(file, "url_private"),
                    preview_url=next(filter(None, (string(file, f"thumb_{pixels}") for pixels in PREVIEWS)), ""),
                )
            )
    return tuple(found)


def author_of(message: Shape) -> str:
    """The name of the program that posted it."""
    profile = message.get("bot_profile")
    named = string(profile, "name") if isinstance(profile, dict) else ""
    return string(message, "username") or named or "a bot"


def _body(message: Shape) -> tuple[str, list[str]]:
    """`text`, unless the blocks show something else."""
    text, blocks = string(message, "text").strip("\n"), read_blocks(message.get("blocks"))
    if not blocks.text or _words(blocks.text) == _words(text):
        return text, blocks.unread
    return blocks.text, blocks.unread


def _words(markup: str) -> str:
    """For comparing: without formatting, and without the labels that only `text` has."""
    return _NO_WORDS.sub("", unescaped(_LABEL.sub(r"<\1>", markup), {})).casefold()


def _attachment(attachment: Shape) -> Reading:
    """A classic attachment: an alert, a forwarded message, the preview of a link."""
    found = Reading()
    is_message = bool(attachment.get("is_share") or attachment.get("is_msg_unfurl"))
    found.add(text_of(attachment.get("pretext")))
    found.add(_forwarded(attachment) if is_message else text_of(attachment.get("author_name")))
    title, title_link = text_of(attachment.get("title")), string(attachment, "title_link")
    found.add(link(title_link, title) if title and title_link else title)
    found.add(text_of(attachment.get("text")) or _inner(found, attachment).text)
    for field in shapes(attachment.get("fields")):
        name, value = text_of(field.get("title")), text_of(field.get("value"))
        found.add(f"{name}: {value}" if name and value else name or value)
    found.add(labels(attachment.get("actions")))
    for file in files_of(attachment):
        found.add(f"[file: {literal(file.name)}]")
    if not found.text:
        found.add(_fallback(attachment))
    found.add(text_of(attachment.get("footer")) if not is_message else "")
    found.unread += ["image" for key in ("image_url", "thumb_url") if string(attachment, key)][:1]
    return found


def _forwarded(attachment: Shape) -> str:
    """Whose message it is, and where it stands."""
    author = text_of(attachment.get("author_name")) or text_of(attachment.get("author_subname")) or "somebody"
    channel = string(attachment, "channel_id")
    where = f" in <#{channel}>" if re.fullmatch(r"[CG]\w+", channel) else ""
    url = link(string(attachment, "from_url"), "")
    return f"Message of {author}{where} ({url}):" if string(attachment, "from_url") else f"Message of {author}{where}:"


def _inner(found: Reading, attachment: Shape) -> Reading:
    """The blocks of an attachment, or of the message that it shares."""
    blocks = read_blocks(attachment.get("blocks"))
    for shared in shapes(attachment.get("message_blocks")):
        match shared:
            case {"message": {"blocks": inner}} if not blocks.text:
                blocks = read_blocks(inner)
            case _:
                pass
    found.unread += blocks.unread
    return blocks


def _fallback(attachment: Shape) -> str:
    text = text_of(attachment.get("fallback"))
    return "" if text.strip().casefold() in _NO_PREVIEW else text


def _in_words(kinds: Iterable[str]) -> str:
    counted = Counter(kinds)
    return ", ".join(f"{count} {kind if count == 1 else _plural(kind)}" for kind, count in sorted(counted.items()))


def _plural(kind: str) -> str:
    return kind.replace("block", "blocks") if kind.startswith("block") else f"{kind}s"
