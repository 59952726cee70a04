"""What a thread keeps of a mail: its words, its attachments, and what an answer needs.

What decides a request never comes into the log, nor to the model: links and reply addresses are taken out.
"""

from __future__ import annotations

import re

from pydantic import JsonValue

from channels.email.identity.tokens import CARD_TAG
from channels.email.imap import MAIL_BYTES_MAX
from channels.email.parse import Mail
from channels.inbound import InboundMessage
from store.values import Attachment, Person

QUOTED_CHARS_MAX = 20_000

_LINK = re.compile(r"/decide/[\w.=-]{20,}")


def message_of(mail: Mail, sender: Person, aligned: str, unread_bytes: int) -> InboundMessage:
    """`unread_bytes`: the size of what was not fetched, because the mail is too large."""
    cut = Attachment(
        name=f"(the rest of the mail, beyond {MAIL_BYTES_MAX:,} bytes, was not read)",
        media_type="message/partial",
        size_bytes=unread_bytes,
    )
    return InboundMessage(
        sender=sender,
        text=without_links(mail.text),
        event_id=event_id_of(mail),
        subject=mail.subject,
        attachments=(*map(_attachment_without_links, mail.attachments), *([cut] if unread_bytes else [])),
        quoted=without_links(mail.quoted[:QUOTED_CHARS_MAX]),
        origin=origin_of(mail, aligned),
    )


def origin_of(mail: Mail, aligned: str) -> dict[str, JsonValue]:
    return {
        "message_id": mail.message_id,
        "references": [*mail.references] or [*mail.in_reply_to],
        "to": [CARD_TAG.sub(r"\1", one) for one in mail.to],
        "cc": [CARD_TAG.sub(r"\1", one) for one in mail.cc],
        "from": aligned,
    }


def without_links(text: str) -> str:
    """Anybody who has a decision link can decide, so neither the model nor a log may see one in a forwarded mail.

    The same holds for the reply address of a request.
    """
    return CARD_TAG.sub(r"\1", _LINK.sub("/decide/(removed)", text))


def _attachment_without_links(attachment: Attachment) -> Attachment:
    return attachment.model_copy(update={"text": without_links(attachment.text)}) if attachment.text else attachment


def event_id_of(mail: Mail) -> str:
    """The same for two copies of a mail, but not for mails of different senders with the same Message-ID."""
    return f"{mail.message_id or mail.digest} {mail.sender}"
