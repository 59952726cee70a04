"""Real mail servers for tests, each in a folder of its own and on ports of its own: Dovecot, Postfix and a wire.

`light` is the same from PyPI alone, for machines that have neither.
"""

from __future__ import annotations

import os

from tests.fakes.mail.daemon import found

INSTALL = "apt-get install -y dovecot-imapd dovecot-lmtpd postfix"


def missing() -> str:
    """Empty when the real servers can run here; else what to do about it."""
    if not all(map(found, ("dovecot", "postfix", "openssl"))) or not found("lmtp", "/usr/lib/dovecot"):
        return INSTALL
    if os.geteuid() != 0:
        return "run the tests as root: Postfix's master needs it"
    return ""
