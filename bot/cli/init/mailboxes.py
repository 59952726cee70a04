"""The mailboxes whose servers are certain from the address alone. Whoever is not here is asked.

The hosts are those that the providers publish; each needs a password for apps, not that of the person. The names in
Authentication-Results are those of docs/mailboxes.md.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from channels.hosts import is_loopback


class Mailbox(NamedTuple):
    imap: str
    smtp: str
    authserv_id: str = ""
    """Empty: not known."""
    by_name_alone: bool = False
    """The user at IMAP is the part before the @."""


_GMAIL = Mailbox("imaps://imap.gmail.com", "smtps://smtp.gmail.com", "mx.google.com")
_FASTMAIL = Mailbox("imaps://imap.fastmail.com", "smtps://smtp.fastmail.com", "*.messagingengine.com")
_ICLOUD = Mailbox(
    "imaps://imap.mail.me.com", "smtp://smtp.mail.me.com:587?starttls=required", "*.icloud.com", by_name_alone=True
)
_YAHOO = Mailbox("imaps://imap.mail.yahoo.com", "smtps://smtp.mail.yahoo.com")
KNOWN = {
    "gmail.com": _GMAIL,
    "googlemail.com": _GMAIL,
    "fastmail.com": _FASTMAIL,
    "icloud.com": _ICLOUD,
    "me.com": _ICLOUD,
    "mac.com": _ICLOUD,
    "yahoo.com": _YAHOO,
}


def with_login(server: str, scheme: str, user: str, password: str) -> str:
    """The URL with the login in it. `server`: a URL, or a host with or without a port."""
    url = server if "://" in server else f"{scheme}://{server}"
    parts = urlsplit(url)
    if "@" in parts.netloc:
        return url
    if parts.scheme == "smtp" and not parts.query and is_loopback(parts.hostname or ""):
        return url  # A relay on this machine takes mail without a login, and would refuse one in the clear.
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"))


def without_login(url: str) -> str:
    """The server of a URL that is set, to be shown."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if url else ""
