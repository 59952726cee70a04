"""Why there is no access token, in words for the person who can repair it, with the remedy by the error."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from channels.email.oauth.account import Account, Way
from channels.email.oauth.endpoint import OAuthError
from channels.email.oauth.kept import Login
from channels.email.servers import LoginRefused

LOG_IN = "Run `bot login email`."
_DELEGATE = (
    "In the Google Admin console, under API controls, Domain-wide delegation, allow the client id of the service "
    "account the scope https://mail.google.com/."
)
_EXPIRED = "EMAIL_OAUTH_CLIENT_SECRET is wrong or has expired: make a new one, set it, and start the bot again."
_REMEDIES: Mapping[tuple[Way, str], str] = {
    ("login", "invalid_grant"): LOG_IN,
    ("login", "interaction_required"): LOG_IN,
    ("login", "consent_required"): LOG_IN,
    ("login", "login_required"): LOG_IN,
    ("client", "invalid_client"): _EXPIRED,
    ("service", "unauthorized_client"): _DELEGATE,
    ("service", "access_denied"): _DELEGATE,
    ("service", "invalid_grant"): "Check that EMAIL_ADDRESS is a mailbox of the domain, and the clock of this machine.",
    ("service", "invalid_client"): "Make a new key for the service account, and set EMAIL_OAUTH_SERVICE_ACCOUNT.",
}
_PUBLIC_CLIENT = "Check EMAIL_OAUTH_CLIENT_ID, and allow public client flows for the app (Authentication, Settings)."


def refused(account: Account, error: OAuthError, login: Login | None = None) -> LoginRefused:
    """`login`: the one that was refused, if any."""
    text = f"{account.provider.title} gives no access token for {account.mailbox}: {error}. {_remedy(account, error)}"
    told = login.refresh_token if login else account.client_secret
    return LoginRefused(text, hashlib.sha256(f"{error.code} {told}".encode()).hexdigest()[:16])


def no_login(account: Account) -> LoginRefused:
    text = f"There is no login to {account.mailbox} at {account.provider.title} that this bot can use. {LOG_IN}"
    return LoginRefused(text, "no-login")


def not_logged_in(account: Account, error: OAuthError) -> LoginRefused:
    """The person who logs in just now is refused."""
    remedy = "" if (account.way, error.code) in _REMEDIES else f" {_remedy(account, error)}"
    if account.provider.name == "microsoft":
        remedy += " If the directory forbids device codes: `bot login email --browser`."
    return LoginRefused(f"{account.provider.title} refuses the login: {error}.{remedy}", "refused")


def _remedy(account: Account, error: OAuthError) -> str:
    if found := _REMEDIES.get((account.way, error.code)):
        return found
    if account.provider.name == "microsoft":
        return (
            _PUBLIC_CLIENT
            if error.code == "invalid_client"
            else "Check EMAIL_OAUTH_CLIENT_ID, EMAIL_OAUTH_TENANT and the permissions of the app."
        )
    return "Check EMAIL_OAUTH_CLIENT_ID, EMAIL_OAUTH_CLIENT_SECRET and the scopes of the app."
