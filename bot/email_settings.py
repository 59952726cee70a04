"""The settings of mail: the address, the servers, who may write, and how senders are verified.

They are part of `bot.settings.Settings`, which reads them from the environment. This module reads nothing.
"""

from __future__ import annotations

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from channels.email.identity.senders import AllowedSenders, is_plain_address
from channels.email.servers import imap_server, smtp_server


class EmailSettings(BaseModel):
    """Each field is the variable of its name."""

    email_address: str = ""
    """The address that people write to."""
    imap_url: str = Field(default="", repr=False)
    smtp_url: str = Field(default="", repr=False)
    email_authserv_id: str = ""
    """The names of our mail server in Authentication-Results, or `*.example.com`. Empty: no sender can be verified."""
    email_allowed_senders: str = ""
    """Addresses and domains that may write to us. Empty: nobody."""
    email_plus_addresses: bool = True
    """Whether our mail server delivers bot+anything@ to bot@."""
    bot_public_url: str = ""
    """The URL at which people reach our pages. Empty: mails have no links."""

    @field_validator("imap_url", "smtp_url")
    @classmethod
    def _mail(cls, url: str, info: ValidationInfo) -> str:
        if url:
            _ = imap_server(url) if info.field_name == "imap_url" else smtp_server(url)
        return url

    @field_validator("email_address")
    @classmethod
    def _address(cls, address: str) -> str:
        if address and not is_plain_address(address):
            raise ValueError("must be one plain address, such as deploybot@example.com")
        return address

    @field_validator("email_allowed_senders")
    @classmethod
    def _senders(cls, text: str) -> str:
        AllowedSenders.parse(text)
        return text

    @property
    def has_email(self) -> bool:
        return bool(self.email_address and self.imap_url and self.smtp_url)

    def email_problems(self) -> list[str]:
        needed = {
            "EMAIL_ADDRESS": (self.email_address, "the address that people write to"),
            "IMAP_URL": (self.imap_url, "where its mailbox is, imaps://user:password@host:993/INBOX"),
            "SMTP_URL": (self.smtp_url, "where mail goes out, smtps://user:password@host:465"),
        }
        if not any(value for value, _ in needed.values()):
            return []
        return [f"{name} is not set: {what}." for name, (value, what) in needed.items() if not value]

    def email_warnings(self) -> list[str]:
        """Warnings about the limits of the mail setup."""
        nobody = "EMAIL_ALLOWED_SENDERS is empty, so nobody may write by mail."
        warnings = [] if AllowedSenders.parse(self.email_allowed_senders) else [nobody]
        if not self.email_authserv_id:
            warnings.append(
                "EMAIL_AUTHSERV_ID is not set, so senders cannot be verified: replies decide nothing, "
                "and every step with side effects needs approval."
            )
        elif not self.email_plus_addresses:
            warnings.append("EMAIL_PLUS_ADDRESSES is off, so replies decide nothing: no address is one person's alone.")
        no_links = "BOT_PUBLIC_URL is not set, so mails have no links to approve or reject with."
        return warnings if self.bot_public_url else [*warnings, no_links]
