"""A real Dovecot: IMAP with and without TLS, LMTP to put mail in, and the mailboxes as they are on the disk.

Its users have passwords; or, as at Microsoft, none, and it asks a token server whose token it is that they bring.
"""

from __future__ import annotations

import grp
import os
import pwd
import smtplib
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.mail.certificates import Certificate, certificates
from tests.fakes.mail.daemon import HOST, LOOK_SECONDS, Daemon, found, greeting
from tests.patience import PATIENCE_SECONDS
from tests.ports import HeldPort

DOMAIN = "team.example"
PASSWORD = "secret"
USERS = ("deploybot", "ana", "ben")

# What 2.3 offers by itself, without IDLE.
_WITHOUT_IDLE = (
    "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE LITERAL+ SORT THREAD=REFERENCES MULTIAPPEND UNSELECT CHILDREN "
    "NAMESPACE UIDPLUS LIST-EXTENDED I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH ESORT SEARCHRES WITHIN CONTEXT=SEARCH "
    "LIST-STATUS BINARY MOVE SPECIAL-USE"
)
_FLAGS = {"D": r"\Draft", "F": r"\Flagged", "P": "$Forwarded", "R": r"\Answered", "S": r"\Seen", "T": r"\Deleted"}


def address(user: str) -> str:
    return f"{user}@{DOMAIN}"


@dataclass(frozen=True)
class Mail:
    raw: bytes
    flags: frozenset[str]


class Dovecot(Daemon):
    """`with Dovecot() as dovecot:`, or `start` and `stop`. The users are `USERS`, their names `address(user)`."""

    def __init__(
        self,
        *,
        idle: bool = True,
        certificate: Certificate | None = None,
        users: tuple[str, ...] = USERS,
        token_server: str = "",
    ) -> None:
        """`token_server`: the URL that says whose an access token is; empty: the users have passwords."""
        super().__init__("dovecot")
        self.users = users
        self._ports = [HeldPort() for _ in range(4)]
        self.imap_port, self.imaps_port, self.lmtp_port, self.auth_port = (port.number for port in self._ports)
        self.takes_tokens = bool(token_server)
        self._token_server = token_server
        self.authority = certificates().authority
        self._file = self.folder / "dovecot.conf"
        self._file.write_text(self._configuration(idle, certificate or certificates().server))
        self._write_users()

    def deliver(self, raw: bytes, to: str, sender: str) -> None:
        """Past every SMTP server, and durable when this returns. An empty sender is a delivery report's."""
        with smtplib.LMTP(HOST, self.lmtp_port, timeout=PATIENCE_SECONDS) as client:
            client.sendmail(sender, [to], raw)

    def mails(self, user: str, folder: str = "INBOX") -> list[Mail]:
        """As they are on the disk, oldest first."""
        while True:
            try:
                return self._read(user, folder)
            except FileNotFoundError:  # Dovecot renamed one meanwhile, as it does when flags change
                continue

    def mailbox(self, user: str, folder: str = "INBOX") -> list[bytes]:
        return [mail.raw for mail in self.mails(user, folder)]

    def flags(self, user: str, folder: str = "INBOX") -> list[frozenset[str]]:
        """Those of each mail, keywords among them, in the order of `mailbox`."""
        return [mail.flags for mail in self.mails(user, folder)]

    def forget_uids(self, user: str) -> None:
        """As after a restore of the mails without their index: new UIDs, and another UIDVALIDITY."""
        header = (self._maildir(user) / "dovecot-uidlist").read_text().partition("\n")[0]
        before = int(header.partition(" V")[2].partition(" ")[0])
        for file in self._maildir(user).glob("dovecot*"):
            file.unlink()
        while int(time.time()) <= before:  # It takes the second of its making for UIDVALIDITY.
            time.sleep(LOOK_SECONDS)

    def _command(self) -> list[str]:
        program = found("dovecot")
        assert program, "Dovecot is not installed"
        return [program, "-F", "-c", str(self._file)]

    def _answers(self) -> bool:
        return greeting(self.imap_port).startswith(b"* OK") and greeting(self.lmtp_port).startswith(b"220")

    def _maildir(self, user: str) -> Path:
        return self.folder / "mail" / user

    def _read(self, user: str, folder: str) -> list[Mail]:
        maildir = self._maildir(user) if folder == "INBOX" else self._maildir(user) / f".{folder}"
        files = [file for part in ("new", "cur") if (maildir / part).is_dir() for file in (maildir / part).iterdir()]
        keywords = _keywords(maildir / "dovecot-keywords")
        return [Mail(file.read_bytes(), _flags(file.name, keywords)) for file in sorted(files, key=_arrival)]

    def _write_users(self) -> None:
        mail = self.folder / "mail"
        mail.mkdir()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(mail, nobody.pw_uid, nobody.pw_gid)
        lines = "".join(f"{address(user)}:{{PLAIN}}{PASSWORD}::::::\n" for user in self.users)
        (self.folder / "users").write_text(lines)

    def _passdb(self) -> str:
        if not self._token_server:
            return f"""passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%Lu {self.folder}/users
}}"""
        settings = self.folder / "oauth2.conf"
        settings.write_text(f"tokeninfo_url = {self._token_server}\nusername_attribute = email\n")
        return f"""passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {settings}
}}"""

    def _configuration(self, idle: bool, certificate: Certificate) -> str:
        # Root's Dovecot needs users that are not root; anybody else's has none but its own.
        me = pwd.getpwuid(os.geteuid())
        internal, login, mail = ("dovecot", "dovenull", "nobody") if me.pw_uid == 0 else (me.pw_name,) * 3
        owner = pwd.getpwnam(mail)
        folder = self.folder
        capability = "" if idle else f"imap_capability = {_WITHOUT_IDLE}"
        mechanisms = "xoauth2" if self._token_server else "plain login"
        return f"""
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {self.log}
protocols = imap lmtp
listen = {HOST}
ssl = yes
ssl_cert = <{certificate.file}
ssl_key = <{certificate.key}
disable_plaintext_auth = no
default_internal_user = {internal}
default_internal_group = {_group(internal)}
default_login_user = {login}
default_process_limit = 60
default_client_limit = 300
first_valid_uid = 1
mail_location = maildir:{folder}/mail/%Ln
mail_max_userip_connections = 50
mailbox_idle_check_interval = 1 secs
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
lmtp_hdr_delivery_address = final
auth_failure_delay = 0
auth_mechanisms = {mechanisms}
{self._passdb()}
userdb {{
  driver = passwd-file
  args = username_format=%Lu {folder}/users
  override_fields = uid={owner.pw_uid} gid={owner.pw_gid} home={folder}/mail/%Ln
}}
{capability}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = {HOST}
    port = {self.imap_port}
  }}
  inet_listener imaps {{
    address = {HOST}
    port = {self.imaps_port}
    ssl = yes
  }}
}}
service auth {{
  inet_listener {{
    address = {HOST}
    port = {self.auth_port}
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0
  }}
  inet_listener lmtp {{
    address = {HOST}
    port = {self.lmtp_port}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
  chroot =
}}
service stats {{
  chroot =
}}
"""


def _group(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _arrival(file: Path) -> tuple[int, int]:
    seconds, unique = file.name.split(".")[:2]
    return int(seconds), int(unique.partition("P")[0].removeprefix("M"))


def _keywords(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines() if file.exists() else []
    pairs = (line.split(" ", 1) for line in lines)
    return {chr(ord("a") + int(number)): name for number, name in pairs}


def _flags(name: str, keywords: dict[str, str]) -> frozenset[str]:
    letters = name.partition(":2,")[2]
    known = _FLAGS | keywords
    return frozenset(known[letter] for letter in letters)
