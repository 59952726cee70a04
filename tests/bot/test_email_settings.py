"""The settings of a mailbox that is opened by OAuth 2: little is needed, and what does not go together is told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from bot.mail_servers import mail_servers
from bot.settings import Settings
from channels.email.servers import MailServer
from store.memory import MemoryStore
from tests.fakes.oauth import OAuthServer

BOT = "deploybot@team.example"
MICROSOFT = {
    "email_address": BOT,
    "email_oauth": "microsoft",
    "email_oauth_client_id": "11111111-2222",
    "email_oauth_tenant": "team.example",
}
GOOGLE = {
    "email_address": BOT,
    "email_oauth": "google",
    "email_oauth_client_id": "17.apps.googleusercontent.com",
    "email_oauth_client_secret": SecretStr("GOCSPX-1"),
}
SERVICE = {
    "email_address": BOT,
    "email_oauth": "google",
    "email_oauth_service_account": SecretStr(OAuthServer().service_account()),
}
BY_HOOK = {"email_inbound": "hook", "email_address": BOT, "smtp_url": "smtp://127.0.0.1:25"}


def problems(given: dict[str, Any], **others: Any) -> list[str]:
    return Settings(**given | others).email_problems()


def servers(given: dict[str, Any], **others: Any) -> tuple[MailServer, MailServer]:
    found = mail_servers(Settings(**given | others), MemoryStore())
    assert found.imap
    return found.imap, found.smtp


@pytest.mark.parametrize("given", [MICROSOFT, MICROSOFT | {"email_oauth_client_secret": "x"}, GOOGLE, SERVICE])
def test_the_address_and_the_app_are_enough(given: dict[str, Any]) -> None:
    assert problems(given) == []
    assert Settings(**given).has_email
    assert all(server.user == BOT and server.tokens for server in servers(given))


def test_the_servers_of_both_are_known() -> None:
    imap, smtp = servers(MICROSOFT)
    assert (imap.where, imap.security, imap.folder) == ("outlook.office365.com:993", "tls", "INBOX")
    assert (smtp.where, smtp.security) == ("smtp.office365.com:587", "starttls")
    imap, smtp = servers(GOOGLE)
    assert (imap.where, imap.security, smtp.where, smtp.security) == (
        *("imap.gmail.com:993", "tls"),
        *("smtp.gmail.com:465", "tls"),
    )
    assert imap.tokens is smtp.tokens, "one token for all connections"


def test_another_folder_or_a_shared_mailbox_is_named_without_a_password() -> None:
    imap, smtp = servers(MICROSOFT, imap_url="imaps://deploys%40team.example@outlook.office365.com/Deploys")
    assert (imap.user, imap.folder, smtp.user) == ("deploys@team.example", "Deploys", "deploys@team.example")
    with pytest.raises(ValidationError, match="has a password, but EMAIL_OAUTH is set: leave one of them out"):
        Settings(**MICROSOFT | {"imap_url": "imaps://bot:secret@outlook.office365.com/INBOX"})


def test_mail_may_go_out_another_way() -> None:
    _, smtp = servers(MICROSOFT, smtp_url="smtps://relay:secret@smtp.example.com")
    assert (smtp.user, smtp.password, smtp.tokens) == ("relay", "secret", None)
    _, smtp = servers(MICROSOFT, smtp_url="smtp://127.0.0.1:25")
    assert (smtp.user, smtp.tokens) == ("", None)
    _, smtp = servers(MICROSOFT, smtp_url="smtps://deploybot%40team.example@smtp.example.com")
    assert smtp.tokens


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"email_oauth": "microsoft"}, ["EMAIL_ADDRESS", "EMAIL_OAUTH_CLIENT_ID", "EMAIL_OAUTH_TENANT"]),
        ({"email_oauth": "google"}, ["EMAIL_ADDRESS", "EMAIL_OAUTH_CLIENT_ID", "EMAIL_OAUTH_CLIENT_SECRET"]),
        (MICROSOFT | {"email_oauth_service_account": SERVICE["email_oauth_service_account"]}, ["EMAIL_OAUTH_SERVICE"]),
        (GOOGLE | {"email_oauth_tenant": "team.example"}, ["EMAIL_OAUTH_TENANT is set: it is for Microsoft. Leave it"]),
        (SERVICE | {"email_oauth_client_id": "17"}, ["EMAIL_OAUTH_CLIENT_ID is set: EMAIL_OAUTH_SERVICE_ACCOUNT is"]),
        (SERVICE | {"email_inbound": "hook"}, ["EMAIL_INBOUND is set: with EMAIL_OAUTH, the mailbox is read."]),
        ({"email_inbound": "hook", "email_address": BOT}, ["SMTP_URL is not set"]),
        (BY_HOOK, []),
        (BY_HOOK | {"imap_url": "imap://a:b@127.0.0.1/INBOX"}, ["IMAP_URL has no effect while EMAIL_INBOUND is hook"]),
        ({"email_oauth_tenant": "x"}, ["EMAIL_OAUTH_TENANT has no effect without EMAIL_OAUTH, which is microsoft or"]),
    ],
)
def test_what_is_missing_or_does_not_go_together_is_told(given: dict[str, Any], told: list[str]) -> None:
    found = problems(given)
    assert len(found) == len(told)
    for text, begins in zip(found, told, strict=True):
        assert text.startswith(begins)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("email_oauth", "yahoo", "'microsoft' or 'google'"),
        ("email_oauth_tenant", "team.example/../x", "pattern"),
        ("email_team_addresses", "oncall@team.example, team.example", "'team.example', which is not an address"),
        ("email_oauth_url", "http://login.example.com", "must begin with https://"),
        ("email_oauth_url", "login.example.com", "must be an https:// URL"),
        ("email_oauth_service_account", '{"type": "authorized_user"}', "must be the JSON key of a service account"),
        ("email_oauth_service_account", '{"type": "service_account", "private_key": "x-y-z"}', "must be the JSON key"),
    ],
)
def test_what_is_wrong_is_told_without_the_secret(name: str, value: str, told: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Settings(**{name: value})
    (error,) = wrong.value.errors(include_url=False, include_input=False)
    assert told in error["msg"]
    assert "x-y-z" not in error["msg"]


def test_the_mailbox_is_no_list_of_its_own() -> None:
    with pytest.raises(ValidationError, match="holds EMAIL_ADDRESS, which is the mailbox's own address"):
        Settings(email_address=BOT, email_team_addresses=f"oncall@team.example {BOT}")
