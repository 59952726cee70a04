"""What a person is called where others rely on it: on a card, in a mail, in what is told of a decision. Pure.

Anybody can choose any display name, also one that names somebody else or continues the line that it stands in. So a
person is called by the name that the team file gives them, or else by the address that a channel knows them by.
`channels.slack.cards` mentions people instead, where they have a Slack id.
"""

from __future__ import annotations

import json
import re

from store.text import one_line
from store.values import Person

ADDRESS_CHARS_MAX = 100

_PLAIN_ADDRESS = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+@-]{{0,{ADDRESS_CHARS_MAX - 1}}}")


def called(person: Person) -> str:
    """A name that cannot pose as anything else, on one line. Says so if nobody has verified the person."""
    if person.trust == "verified":
        return one_line(person.name, ADDRESS_CHARS_MAX) if person.member else _handle(person)
    return f"{_handle(person)} ({person.trust.replace('_', ' ')})"


def _handle(person: Person) -> str:
    text = person.email or person.address
    if not text:
        return "somebody"
    # An address with other characters stands in quotes, which it cannot close.
    return text if _PLAIN_ADDRESS.fullmatch(text) else json.dumps(one_line(text, ADDRESS_CHARS_MAX), ensure_ascii=False)
