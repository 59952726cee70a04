"""Mail that a group or a mailing list has distributed: which one, and who wrote it. Pure.

Such mail is a robot's, unless the list is one of the team's own addresses (EMAIL_TEAM_ADDRESSES). Nothing here proves
anything: a list's headers can be forged, and where a list writes itself into From, its author is only named.

RFC 2919 (List-Id), RFC 2369 (List-Post); X-BeenThere is Mailman's, X-Original-From Google's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from email.message import Message
from typing import TYPE_CHECKING, Any

from channels.email.identity.senders import is_plain_address

if TYPE_CHECKING:
    from channels.email.parse import Mail

_NAMES = ("list-id", "list-post", "x-beenthere")
_NAMES_MAX = 20
_VALUE_CHARS_MAX = 1_000
_NAME = re.compile(r"<(?:mailto:)?([^<>\s?]{1,320})")
# What the program behind a list calls its own addresses: Mailman, Sympa, ezmlm, Google Groups.
_SERVICE = re.compile(
    r"(.+)[-+](?:request|bounces?|owner|admin|confirm|join|leave|help|(?:un)?subscribe|noreply)(?:\+.*)?"
)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What says that a list has distributed a mail."""

    mark: str = ""
    """In words, for the log; empty: nothing."""
    names: tuple[str, ...] = ()
    """The list's address, or its id with a dot in place of the @, in lower case."""


def distribution_of(message: Message[Any, Any]) -> Distribution:
    found = dict[str, str]()
    names = list[str]()
    for name, value in message.items():
        field, text = name.lower(), " ".join(str(value).split())[:_VALUE_CHARS_MAX].lower()
        found.setdefault(field, text)
        if field in _NAMES and len(names) < _NAMES_MAX:
            names += _NAME.findall(text)[:1] or [text]
    if "list-id" in found or "list-unsubscribe" in found:
        return Distribution("mailing list", tuple(names))
    precedence = found.get("precedence", "")
    return Distribution("precedence: list" if precedence == "list" else "", tuple(names))


@dataclass(frozen=True, slots=True)
class TeamAddresses:
    """The groups and lists that distribute into our mailbox, in lower case."""

    addresses: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> TeamAddresses:
        """`oncall@example.com, deploys@example.com`. Raises ValueError that quotes the malformed entry."""
        addresses = text.replace(",", " ").lower().split()
        for one in addresses:
            if not is_plain_address(one):
                raise ValueError(f"holds {one!r}, which is not an address (oncall@example.com)")
        return cls(frozenset(addresses))

    def __contains__(self, address: object) -> bool:
        return isinstance(address, str) and address.lower() in self.addresses

    def why_automatic(self, mail: Mail) -> str:
        """What marks the mail as a foreign list's, or as written by the program of our own; empty: neither."""
        local, _, domain = mail.sender.partition("@")
        service = _SERVICE.fullmatch(local.lower())
        if service and f"{service[1]}@{domain}" in self:
            return "the program of a list"
        return "" if self._distributed(mail) else mail.distribution.mark

    def _distributed(self, mail: Mail) -> bool:
        if mail.distribution.names:
            ids = {one.replace("@", ".") for one in self.addresses}
            return any(one in self or one in ids for one in mail.distribution.names)
        # Some groups add no header that names them. Newsletters have one to unsubscribe.
        return mail.distribution.mark != "mailing list" and any(one in self for one in mail.recipients)

    def with_author(self, mail: Mail) -> Mail:
        """The mail as by its author, where the list wrote itself into From, and names one in Reply-To, say."""
        if mail.sender not in self:
            return mail
        authors = [one for one in mail.authors if one not in self]
        if len(set(map(str.lower, authors))) != 1:
            return mail
        # Whoever stands in From is who sent it: so the author is verified by nothing.
        return replace(mail, sender=authors[0], sent_by=(mail.sender, *mail.sent_by))


NO_LISTS = TeamAddresses()
