"""The mailbox's account at Microsoft or Google: their servers, their scopes, and the ways to an access token.

Sources: "Authenticate an IMAP, POP or SMTP connection using OAuth" at learn.microsoft.com/exchange/client-developer;
developers.google.com/workspace/gmail/imap/xoauth2-protocol. This module does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from channels.email.oauth.service_account import ServiceAccount

ProviderName = Literal["microsoft", "google"]

Endpoint = Literal["device", "authorize", "token", "revoke"]

Way = Literal["login", "client", "service"]
"""A person logs in once; the app itself, by its secret; a service account that acts for the mailbox."""


@dataclass(frozen=True, slots=True)
class Provider:
    name: ProviderName
    title: str
    imap_url: str
    smtp_url: str
    scopes: tuple[str, ...]
    """What a person consents to."""
    app_scope: str
    """What an app gets that acts by itself."""
    endpoints: Mapping[Endpoint, str]
    redirect_host: str
    """How it wants this machine to be named, whatever the port."""
    page_fields: Mapping[str, str]
    """What its login page needs beside what RFC 6749 and RFC 7636 say."""


MICROSOFT = Provider(
    name="microsoft",
    title="Microsoft",
    imap_url="imaps://outlook.office365.com:993/INBOX",
    smtp_url="smtp://smtp.office365.com:587?starttls=required",
    # Without offline_access there is no refresh token.
    scopes=(
        "https://outlook.office.com/IMAP.AccessAsUser.All",
        "https://outlook.office.com/SMTP.Send",
        "offline_access",
    ),
    app_scope="https://outlook.office365.com/.default",
    endpoints={
        "device": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode",
        "authorize": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
        "token": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
    },
    redirect_host="localhost",
    page_fields={"response_mode": "query"},
)

# No device flow: Google allows it for a few scopes, and mail is none of them
# (developers.google.com/identity/protocols/oauth2/limited-input-device#allowedscopes).
GOOGLE = Provider(
    name="google",
    title="Google",
    imap_url="imaps://imap.gmail.com:993/INBOX",
    smtp_url="smtps://smtp.gmail.com:465",
    scopes=("https://mail.google.com/",),
    app_scope="https://mail.google.com/",
    endpoints={
        "authorize": "https://accounts.google.com/o/oauth2/v2/auth",
        "token": "https://oauth2.googleapis.com/token",
        "revoke": "https://oauth2.googleapis.com/revoke",
    },
    redirect_host="127.0.0.1",
    # Without them there is no refresh token, or only at the first login of an app.
    page_fields={"access_type": "offline", "prompt": "consent"},
)

PROVIDERS: Mapping[ProviderName, Provider] = {"microsoft": MICROSOFT, "google": GOOGLE}


@dataclass(frozen=True, slots=True)
class Account:
    provider: Provider
    mailbox: str
    """The address that we log in as."""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    tenant: str = ""
    """Microsoft only."""
    service: ServiceAccount | None = None
    """Google only."""
    base_url: str = ""
    """Instead of the provider's own servers."""

    @property
    def way(self) -> Way:
        if self.service:
            return "service"
        # Google gives a secret to installed apps too, and says that it is none.
        return "client" if self.client_secret and self.provider.name == "microsoft" else "login"

    @property
    def client(self) -> str:
        """The app that a login is for. Another app cannot use its refresh token."""
        return " ".join(filter(None, (self.provider.name, self.tenant, self.client_id)))

    def url(self, endpoint: Endpoint) -> str:
        url = self.provider.endpoints[endpoint].format(tenant=self.tenant)
        return f"{self.base_url}{urlsplit(url).path}" if self.base_url else url
