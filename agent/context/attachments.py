"""What the model reads of attached files: of those that were read, name and text; of the others, only their kind.

An image has a name of ours as well, because a model that looks at images gets it after the text.

Whoever named a file need not be who sent it, and a name that is read is words. The text of a file raises doubt
(`store.authority.words`), so its name may stand beside it; a file that is not read raises none.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from agent.context.images import name_of_image
from agent.context.writer import Writer
from store.values import Attachment

COMMON_TYPES = frozenset(
    ("application/pdf", "application/zip", "image/png", "image/jpeg", "message/partial", "message/rfc822", "text/plain")
)


def put_attachments(text: Writer, attachments: Sequence[Attachment], left_out: str) -> None:
    """`left_out`: what else people see of the message, in our own words."""
    read = [attachment for attachment in attachments if attachment.text]
    images: list[JsonValue] = [
        {"image": name_of_image(a), "name": a.name, "size_bytes": a.size_bytes} for a in attachments if a.image
    ]
    unread = [attachment for attachment in attachments if not attachment.text and not attachment.image]
    if read:
        text.put("attachments", [a.model_dump(mode="json", exclude={"text", "image"}) for a in read])
    for attachment in read:
        text.put(f"text of {attachment.name}", attachment.text)
    if images:
        text.put("images", images)
    if unread:
        kinds: list[JsonValue] = [{"kind": _kind(a.media_type), "size_bytes": a.size_bytes} for a in unread]
        text.put("unread_attachments", kinds)
    if left_out:
        text.put("not_shown_here", left_out)


def _kind(media_type: str) -> str:
    """The media type if it is a common one: a sender can write anything into it."""
    return media_type if media_type in COMMON_TYPES else "other"
