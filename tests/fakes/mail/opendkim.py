"""A real OpenDKIM beside a Postfix: it signs the mail of those who log in, and says what it found of all other mail.

It never looks into the DNS: the test's own key is in a file.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
from pathlib import Path

from tests.fakes.mail.daemon import HOST, Daemon, found
from tests.fakes.mail.dovecot import DOMAIN
from tests.fakes.mail.signing import SELECTOR, key, where
from tests.ports import HeldPort

INSTALL = "apt-get install -y opendkim"


def missing() -> str:
    """Empty when it can run here, beside the other real servers; else what to do about it."""
    return "" if found("opendkim") else INSTALL


class OpenDkim(Daemon):
    """`with OpenDkim() as signer, Postfix(dovecot, milter_port=signer.port) as postfix:`."""

    def __init__(self) -> None:
        super().__init__("opendkim")
        self._port = HeldPort()
        self.port = self._port.number
        owner = pwd.getpwnam("opendkim")
        private = self._file("key", key(DOMAIN).private.decode())
        private.chmod(0o400)
        os.chown(private, owner.pw_uid, owner.pw_gid)
        records = self._file("records", f"{where()} {key(DOMAIN).record}\n")
        settings = {
            "Socket": f"inet:{self.port}@{HOST}",
            "Mode": "sv",
            "UserID": "opendkim",
            "Domain": DOMAIN,
            "Selector": SELECTOR,
            "KeyFile": private,
            "RequireSafeKeys": "no",  # everybody may write to /tmp
            "Canonicalization": "relaxed/simple",
            "OversignHeaders": "From",
            "AuthservID": f"mx.{DOMAIN}",
            "AlwaysAddARHeader": "yes",
            "InternalHosts": self._file("internal", "192.0.2.1\n"),
            "TestPublicKeys": records,
            "Syslog": "no",
        }
        self._configuration = self._file("opendkim.conf", "".join(f"{name} {one}\n" for name, one in settings.items()))

    def _file(self, name: str, content: str) -> Path:
        file = self.folder / name
        file.write_text(content)
        return file

    def _command(self) -> list[str]:
        program = found("opendkim")
        assert program, INSTALL
        return [program, "-f", "-x", str(self._configuration)]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=5.0):
            return True
        return False
