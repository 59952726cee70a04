"""Messages and mails as lines of text, as people read them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from email.message import EmailMessage

from tests.fakes.slack import Message, SlackServer

COLUMNS = 96
_BUTTONS = ("actions", "context_actions")
_PERSON = re.compile(r"<@(\w+)>")


def slack_message(slack: SlackServer, message: Message) -> str:
    read = replace(message, blocks=tuple(block for block in message.blocks if block["type"] not in _BUTTONS))
    text = _PERSON.sub(lambda found: f"@{slack.workspace.user(found[1]).name}", slack.text_of(read))
    buttons = "  ".join(f"[ {name} ]" for name in slack.buttons_of(message))
    return _block(f"Slack #{slack.workspace.channel(message.channel).name}", author(slack, message), text, buttons)


def author(slack: SlackServer, message: Message) -> str:
    return slack.workspace.user(message.user).name if message.user else message.username or "somebody"


def mail(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    text, quote, _ = str(body.get_content() if body else "").partition("\n> ")
    text = f"Subject: {message['Subject']}\n\n{text}{quote and quote + '…'}"
    return _block(f"Mail to {message['To']}", str(message["From"]), text)


def _block(where: str, by: str, text: str, buttons: str = "") -> str:
    lines = [line for part in text.strip().splitlines() for line in _wrapped(part)]
    return "\n".join([f"── {where} ── {by}", *(f"   {line}".rstrip() for line in [*lines, *filter(None, [buttons])])])


def _wrapped(line: str) -> list[str]:
    """A link stays whole, so that it can be opened from a terminal."""
    return textwrap.wrap(line, COLUMNS, break_long_words=False, break_on_hyphens=False) or [""]
