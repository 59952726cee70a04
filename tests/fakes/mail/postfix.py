"""A real Postfix in front of a Dovecot: what it takes for team.example it delivers there, or it sends a bounce.

Every other domain is refused. Which recipients are refused, and how, is up to the test, from one RCPT to the next.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from pathlib import Path

from tests.fakes.mail.certificates import Certificate, certificates
from tests.fakes.mail.daemon import HOST, Daemon, eventually, found, greeting
from tests.fakes.mail.dovecot import DOMAIN, PASSWORD, Dovecot, address
from tests.fakes.mail.questions import Logins, Refusals
from tests.ports import HeldPort

_ETC = Path("/etc/postfix")
_QUEUES = ("incoming", "active", "deferred", "bounce", "defer", "trace", "flush", "hold", "corrupt", "saved", "private")
_WAITING = ("maildrop", "incoming", "active", "deferred", "hold")

# As in Debian's, without what only other machines need, and nothing in a chroot: that would need copies of libraries.
_SERVICES = """
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 1     1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
verify    unix  - - n -     1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
proxywrite unix - - n -     1 proxymap
error     unix  - - n -     - error
retry     unix  - - n -     - error
discard   unix  - - n -     - discard
lmtp      unix  - - n -     - lmtp
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix(Daemon):
    """`with Postfix(dovecot) as postfix:`, or `start` and `stop`.

    `port` offers AUTH and, unless told not to, STARTTLS; it requires neither. `smtps_port` is TLS from the first byte.
    Whoever does log in must be one of Dovecot's users, with its password; or with a token, if Dovecot takes tokens.
    """

    def __init__(
        self,
        dovecot: Dovecot,
        *,
        starttls: bool = True,
        certificate: Certificate | None = None,
        removes_forged: bool = True,
        milter_port: int = 0,
    ) -> None:
        """`removes_forged`: whether it removes Authentication-Results, as it should, and does not by itself.

        `milter_port`: of a program that looks at each mail, such as OpenDKIM; 0: there is none.
        """
        super().__init__("postfix")
        self._ports = [HeldPort() for _ in range(2)]
        self.port, self.smtps_port = (port.number for port in self._ports)
        self.authority = certificates().authority
        self._refusals = Refusals()
        self._logins = Logins({address(user): PASSWORD for user in dovecot.users})
        self._queue = self.folder / "queue"
        self._make_folders()
        self._configuration = self.folder / "etc"
        settings = self._settings(dovecot, certificate or certificates().server)
        if not starttls:
            settings["smtpd_discard_ehlo_keywords"] = "starttls"
        if removes_forged:
            checks = self._configuration / "header_checks"
            checks.write_text("/^Authentication-Results:/ IGNORE\n")
            settings["header_checks"] = f"regexp:{checks}"
        if milter_port:
            settings |= {"smtpd_milters": f"inet:{HOST}:{milter_port}", "milter_default_action": "tempfail"}
        main = self._configuration / "main.cf"
        main.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        os.utime(main, (0, 0))  # it waits for two seconds before it reads a file that is new
        listeners = f"{HOST}:{self.port} inet n - n - - smtpd\n"
        listeners += f"{HOST}:{self.smtps_port} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n"
        (self._configuration / "master.cf").write_text(listeners + _SERVICES)

    def refuse(self, address: str, reply: str) -> None:
        """From the next RCPT on: `refuse("ana@team.example", "450 4.2.1 try later")`; its plus addresses as well."""
        self._refusals.replies[address.lower()] = reply

    def accept(self, address: str) -> None:
        """It is refused no longer."""
        self._refusals.replies.pop(address.lower(), None)

    @property
    def asked(self) -> list[str]:
        """The recipients that were ever asked for, refused or not."""
        return list(self._refusals.asked)

    def waiting(self) -> int:
        """How many mails are still in its queues. It looks twice, since a mail that moves may be missed once."""
        return max(self._queued(), self._queued())

    def wait_until_delivered(self) -> None:
        """Its queues are empty: each mail is in a mailbox, and each bounce as well."""
        eventually(lambda: self.waiting() == 0, f"Postfix did not deliver it:\n{self.told()}")

    def stop(self) -> None:
        super().stop()
        self._refusals.close()
        self._logins.close()

    def _command(self) -> list[str]:
        program = found("master", "/usr/lib/postfix/sbin", "/usr/libexec/postfix")
        assert program, "Postfix is not installed"
        return [program, "-c", str(self._configuration), "-d"]

    def _answers(self) -> bool:
        return greeting(self.port).startswith(b"220")

    def _queued(self) -> int:
        return sum(len(files) for name in _WAITING for _, _, files in os.walk(self._queue / name))

    def _make_folders(self) -> None:
        """As `postfix set-permissions` would, in less time."""
        owner = pwd.getpwnam("postfix").pw_uid
        drop = grp.getgrnam("postdrop").gr_gid
        (self.folder / "etc").mkdir()
        self._queue.mkdir()
        (self._queue / "pid").mkdir(0o755)
        for name in _QUEUES:
            (self._queue / name).mkdir(0o700)
            os.chown(self._queue / name, owner, -1)
        for name, mode in (("public", 0o2710), ("maildrop", 0o1730)):
            (self._queue / name).mkdir()
            os.chown(self._queue / name, owner, drop)
            (self._queue / name).chmod(mode)
        (self.folder / "data").mkdir(0o700)
        os.chown(self.folder / "data", owner, -1)
        for name in ("dynamicmaps.cf", "postfix-files"):
            if (_ETC / name).exists():
                shutil.copy(_ETC / name, self.folder / "etc" / name)

    def _settings(self, dovecot: Dovecot, certificate: Certificate) -> dict[str, str]:
        return {
            "compatibility_level": "3.6",
            "queue_directory": str(self._queue),
            "data_directory": str(self.folder / "data"),
            "maillog_file": str(self.log),
            "maillog_file_prefixes": str(self.folder),
            # who it is, and for whom
            "myhostname": f"mx.{DOMAIN}",
            "myorigin": DOMAIN,
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": HOST,
            "inet_protocols": "ipv4",
            "virtual_mailbox_domains": DOMAIN,
            "virtual_transport": f"lmtp:inet:{HOST}:{dovecot.lmtp_port}",
            "default_transport": "discard:elsewhere",
            "relay_transport": "discard:elsewhere",
            "recipient_delimiter": "+",
            "alias_maps": "",
            "local_recipient_maps": "",
            "notify_classes": "",
            # no look-ups in the world outside
            "smtpd_peername_lookup": "no",
            "smtp_dns_support_level": "disabled",
            "lmtp_dns_support_level": "disabled",
            "lmtp_host_lookup": "native",
            # It takes what it cannot deliver, so that the sender gets a bounce.
            "smtpd_reject_unlisted_recipient": "no",
            "smtpd_relay_restrictions": "reject_unauth_destination",
            "smtpd_recipient_restrictions": f"check_recipient_access tcp:{HOST}:{self._refusals.port}",
            # No mercy for the network is needed here, and no patience.
            "smtpd_error_sleep_time": "0",
            "smtpd_soft_error_limit": "1000",
            "smtpd_hard_error_limit": "1000",
            "in_flow_delay": "0",
            "queue_run_delay": "1s",
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "1s",
            "transport_retry_time": "1s",
            "lmtp_connection_cache_on_demand": "no",
            # TLS, and who may log in
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": str(certificate.file),
            "smtpd_tls_key_file": str(certificate.key),
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": f"inet:{HOST}:{dovecot.auth_port if dovecot.takes_tokens else self._logins.port}",
            "smtpd_sasl_security_options": "noanonymous",
        }
