"""What ties a reply to the one request that it decides, and to the person whom that was shown.

A Message-ID is no secret, and somebody's signed reply to another mail could be sent again with the id of this request.
So it takes the address that stood in one mail to one person, and either a signature that covers In-Reply-To, or a
signed text that quotes a link of this very request. This module decides nothing; `channels.email.deciding` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from urllib.parse import unquote

from channels.email.identity.proof import Identity
from channels.email.identity.tokens import LinkExpired, LinkForged, Signer
from channels.email.parse import Mail

QUOTED_CHARS_MAX = 200_000
LINKS_MAX = 20
"""At most this many links in a quotation are looked at."""

_LINK = re.compile(r"/decide/([\w.=-]{20,})")


@dataclass(frozen=True)
class ReplyTies:
    signer: Signer
    is_ours: Callable[[str], bool]
    """Whether an address is one of ours."""
    clock: Callable[[], datetime]

    def has_card_address(self, mail: Mail) -> bool:
        """Whether the mail went to the reply address that only its sender got with this request."""
        card = mail.in_reply_to[0]
        return any(self.is_ours(one) and self.signer.is_card_address(one, card, mail.sender) for one in mail.recipients)

    def is_signed(self, mail: Mail, identity: Identity, thread_id: str, step: str, digest: str) -> bool:
        """Whether what the signature covers says that the mail replies to this request."""
        return identity.covers_reply or self._quotes_link(mail, (thread_id, step, digest))

    def _quotes_link(self, mail: Mail, about: tuple[str, str, str]) -> bool:
        """Some servers wrap links in others of theirs."""
        tokens = (found[1] for found in _LINK.finditer(unquote(mail.quoted[:QUOTED_CHARS_MAX])))
        for token in islice(tokens, LINKS_MAX):
            try:
                link = self.signer.open(token, self.clock())
            except (LinkExpired, LinkForged):
                continue
            if (link.thread_id, link.step, link.digest) == about and link.person.lower() == mail.sender.lower():
                return True
        return False
