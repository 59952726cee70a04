"""The settings of mail: the address, the servers and how we log in there, who may write, how senders are verified.

They are part of `bot.settings.Settings`, which reads them from the environment. This module reads nothing.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from channels.email.identity.senders import AllowedSenders, is_plain_address, parse_domains
from channels.email.lists import TeamAddresses
from channels.email.servers import imap_server, resolver_address, smtp_server
from channels.hosts import is_loopback


class EmailSettings(BaseModel):
    """Each field is the variable of its name. What stands below it is its entry in docs/reference.md."""

    # Nobody reads these alone, and to build validators takes a command as long as half of its own code.
    model_config = ConfigDict(defer_build=True)

    email_address: str = ""
    """The address that people write to. Empty: mail is off."""
    email_oauth: Literal["", "microsoft", "google"] = ""
    """Who has the mailbox, if it is opened by OAuth 2: `microsoft` or `google`. Empty: by passwords in the URLs."""
    email_oauth_client_id: str = ""
    """The id of the app that you registered there."""
    email_oauth_client_secret: SecretStr = SecretStr("")
    """At Microsoft: with it, the app logs in by itself. At Google: it comes with the id."""
    email_oauth_tenant: str = Field(default="", pattern=r"^[A-Za-z0-9.-]*$")
    """At Microsoft: the directory's id, or one of its domains."""
    email_oauth_service_account: SecretStr = SecretStr("")
    """At Google: the JSON key of a service account that acts for the mailbox."""
    email_oauth_url: str = ""
    """Another token server than theirs, for tests."""
    email_inbound: Literal["imap", "hook"] = "imap"
    """How mail comes in: `imap`: the mailbox is read; `hook`: a service posts it to a hook of the kind `email`."""
    imap_url: str = Field(default="", repr=False)
    """The mailbox: `imaps://user:password@host/FOLDER`, or `imap://` to this machine. With OAuth it may be empty.

    Certificates are checked; SSL_CERT_FILE names more authorities.
    """
    smtp_url: str = Field(default="", repr=False)
    """The way out: `smtps://`, or `smtp://…?starttls=required`. With OAuth it may be empty; a URL with a password, or
    without a user, is used as it is.
    """
    email_authserv_id: str = ""
    """The names of your receiving server in Authentication-Results, with commas between several; `*.example.com` is
    every name below it. Empty: no reply decides.
    """
    email_dns_server: str = ""
    """The DNS resolver that is asked for keys of signatures: `192.0.2.1` or `192.0.2.1:5353`. Empty: the system's."""
    email_arc_sealers: str = ""
    """The domains of forwarders and mailing lists whose seals (ARC) vouch for senders. Empty: none."""
    email_allowed_senders: str = ""
    """Addresses and domains that may write to it. Empty: nobody."""
    email_team_addresses: str = ""
    """Groups and mailing lists that distribute into the mailbox. Empty: what a list distributes is a robot's mail."""
    email_plus_addresses: bool = True
    """Whether your server delivers `bot+anything@` to `bot@`. If `no`, no reply decides."""
    bot_public_url: str = ""
    """Where people reach `bot run web`. Empty: mails carry no links, and webhooks only paths."""

    @field_validator("imap_url", "smtp_url")
    @classmethod
    def _mail(cls, url: str, info: ValidationInfo) -> str:
        if url and info.field_name == "imap_url":
            imap_server(url, by_token=bool(info.data.get("email_oauth")))
        elif url:
            smtp_server(url)
        return url

    @field_validator("email_oauth_url")
    @classmethod
    def _oauth_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be an https:// URL")
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("must begin with https://: secrets are sent there")
        return url.rstrip("/")

    @field_validator("email_oauth_service_account")
    @classmethod
    def _service_account(cls, secret: SecretStr) -> SecretStr:
        if text := secret.get_secret_value():
            # Not at the top: its library takes a while to import.
            from channels.email.oauth.service_account import ServiceAccount

            ServiceAccount.parse(text)
        return secret

    @field_validator("email_address")
    @classmethod
    def _address(cls, address: str) -> str:
        if address and not is_plain_address(address):
            raise ValueError("must be one plain address, such as deploybot@example.com")
        return address

    @field_validator("email_dns_server")
    @classmethod
    def _dns_server(cls, address: str) -> str:
        if address:
            resolver_address(address)
        return address

    @field_validator("email_arc_sealers")
    @classmethod
    def _sealers(cls, text: str) -> str:
        parse_domains(text)
        return text

    @field_validator("email_team_addresses")
    @classmethod
    def _lists(cls, text: str, info: ValidationInfo) -> str:
        if str(info.data.get("email_address", "")).lower() in TeamAddresses.parse(text).addresses - {""}:
            raise ValueError("holds EMAIL_ADDRESS, which is the mailbox's own address and no list")
        return text

    @field_validator("email_allowed_senders")
    @classmethod
    def _senders(cls, text: str) -> str:
        AllowedSenders.parse(text)
        return text

    @property
    def has_email(self) -> bool:
        comes_in = self.imap_url or self.email_inbound == "hook"
        return bool(self.email_address and (self.email_oauth or (comes_in and self.smtp_url)))

    def email_problems(self) -> list[str]:
        if self.email_oauth:
            return self._oauth_problems()
        needed = {
            "EMAIL_ADDRESS": (self.email_address, "the address that people write to"),
            "IMAP_URL": (self.imap_url, "where its mailbox is, imaps://user:password@host:993/INBOX"),
            "SMTP_URL": (self.smtp_url, "where mail goes out, smtps://user:password@host:465"),
        }
        if self.email_inbound == "hook":
            del needed["IMAP_URL"]
        missing = [f"{name} is not set: {what}." for name, (value, what) in needed.items() if not value]
        useless = [
            f"{name} has no effect without EMAIL_OAUTH, which is microsoft or google."
            for name, value in self._oauth_values().items()
            if value
        ]
        if self.email_inbound == "hook" and self.imap_url:
            useless.append("IMAP_URL has no effect while EMAIL_INBOUND is hook: leave one of them out.")
        return useless + (missing if len(missing) < len(needed) else [])

    def _oauth_problems(self) -> list[str]:
        given = self._oauth_values()
        service = "EMAIL_OAUTH_SERVICE_ACCOUNT"
        client = {"EMAIL_OAUTH_CLIENT_ID": "the id of the app that you registered there"}
        match self.email_oauth:
            case "microsoft":
                needed = client | {"EMAIL_OAUTH_TENANT": "the directory's id, or one of its domains"}
                useless = {service: "it is for Google"}
            case _ if given[service]:
                needed = {}
                alone = f"{service} is enough"
                useless = {"EMAIL_OAUTH_CLIENT_ID": alone, "EMAIL_OAUTH_CLIENT_SECRET": alone}
            case _:
                needed = client | {"EMAIL_OAUTH_CLIENT_SECRET": f"it comes with the id; or set {service}"}
                useless = {}
        if self.email_oauth == "google":
            useless["EMAIL_OAUTH_TENANT"] = "it is for Microsoft"
        if self.email_inbound == "hook":
            useless["EMAIL_INBOUND"] = "with EMAIL_OAUTH, the mailbox is read"
            given["EMAIL_INBOUND"] = self.email_inbound
        problems = [] if self.email_address else ["EMAIL_ADDRESS is not set: the address that people write to."]
        problems += [f"{name} is not set: {what}." for name, what in needed.items() if not given[name]]
        return problems + [f"{name} is set: {why}. Leave it out." for name, why in useless.items() if given[name]]

    def _oauth_values(self) -> dict[str, str]:
        return {
            "EMAIL_OAUTH_CLIENT_ID": self.email_oauth_client_id,
            "EMAIL_OAUTH_CLIENT_SECRET": self.email_oauth_client_secret.get_secret_value(),
            "EMAIL_OAUTH_TENANT": self.email_oauth_tenant,
            "EMAIL_OAUTH_SERVICE_ACCOUNT": self.email_oauth_service_account.get_secret_value(),
        }

    def email_warnings(self) -> list[str]:
        """Warnings about the limits of the mail setup."""
        nobody = (
            "EMAIL_ALLOWED_SENDERS is empty, so nobody may write by mail. Name people's addresses or domains there."
        )
        warnings = [] if AllowedSenders.parse(self.email_allowed_senders) else [nobody]
        if self.email_inbound == "hook":
            warnings.append(
                "Mail comes by a hook, so only senders whose own domain signs their mail (DKIM) are verified, and "
                "replies decide nothing: links do."
            )
        elif not self.email_authserv_id:
            warnings.append(
                "EMAIL_AUTHSERV_ID is not set, so only senders whose own domain signs their mail (DKIM) are verified, "
                "and replies decide nothing. Set it to the names of our mail server in Authentication-Results; "
                "`bot doctor` counts those in the last mails."
            )
        elif not self.email_plus_addresses:
            warnings.append("EMAIL_PLUS_ADDRESSES is off, so replies decide nothing: no address is one person's alone.")
        no_links = (
            "BOT_PUBLIC_URL is not set, so mails have no links to approve or reject with. Set it to the URL at which "
            "people reach `bot run web`."
        )
        return warnings if self.bot_public_url else [*warnings, no_links]
