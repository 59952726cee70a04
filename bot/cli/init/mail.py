"""The part of `bot init` about mail: the address, its servers with a password or a login by OAuth, who may write."""

from __future__ import annotations

import secrets

from bot.cli import console
from bot.cli.doctor import check_channel
from bot.cli.findings import Finding
from bot.cli.init.dialogue import LATER, Dialogue
from bot.cli.init.mailboxes import KNOWN, with_login, without_login
from bot.cli.init.part import Part
from bot.cli.login import log_in
from bot.settings import Settings
from bot.setup import Setup

PASSWORD, MICROSOFT, GOOGLE = "password", "microsoft", "google"
BY_MICROSOFT = frozenset({"outlook.com", "hotmail.com", "live.com"})


async def _ask(dialogue: Dialogue, setup: Setup) -> dict[str, str]:
    settings = setup.settings
    dialogue.explain(f"Give it a mailbox of its own. Without mail, type {LATER}.")
    address = await dialogue.answer("--email", "The address that people write to", settings.email_address)
    domain = address.rpartition("@")[2].lower()
    way = await _way(dialogue, settings, domain)
    values = {"EMAIL_ADDRESS": address}
    if way == PASSWORD:
        values |= await _servers(dialogue, settings, address)
    else:
        values |= await _by_oauth(dialogue, settings, way, domain)
    dialogue.explain("The rest may stay empty, and be set later: the check says what is lost without it.")
    shared = domain in KNOWN or domain in BY_MICROSOFT
    known = KNOWN[domain].authserv_id if domain in KNOWN else ""
    allowed = settings.email_allowed_senders or ("" if shared else domain)
    values["EMAIL_ALLOWED_SENDERS"] = await dialogue.answer(
        "--allow", "Who may write to it: addresses and domains", allowed, needed=False
    )
    values["EMAIL_AUTHSERV_ID"] = await dialogue.answer(
        "--authserv-id",
        "Its server's name in Authentication-Results",
        settings.email_authserv_id or known,
        needed=False,
    )
    values["BOT_PUBLIC_URL"] = await dialogue.answer(
        "--public-url", "Where people reach `bot run`, https://…", settings.bot_public_url, needed=False
    )
    if settings.redis_url and not settings.secret_keys:
        values["BOT_SECRET_KEY"] = secrets.token_hex(32)
        console.say_prose("BOT_SECRET_KEY, which signs the links in mails, is made: set it for every process.")
    return values


async def _way(dialogue: Dialogue, settings: Settings, domain: str) -> str:
    if domain in KNOWN:
        return PASSWORD
    usual = settings.email_oauth or (MICROSOFT if domain in BY_MICROSOFT else PASSWORD)
    question = f"How it is opened: {PASSWORD}, {MICROSOFT} or {GOOGLE}"
    while True:
        way = await dialogue.answer("--mailbox", question, usual, needed=False)
        if way in (PASSWORD, MICROSOFT, GOOGLE) or not dialogue.asks:
            return way


async def _servers(dialogue: Dialogue, settings: Settings, address: str) -> dict[str, str]:
    if not dialogue.asks:
        # The URLs hold the password, so they are no options.
        urls = {"IMAP_URL": settings.imap_url, "SMTP_URL": settings.smtp_url}
        dialogue.missing += [name for name, url in urls.items() if not url]
        return {}
    domain = address.rpartition("@")[2].lower()
    known = KNOWN.get(domain)
    if known:
        dialogue.explain(f"{domain} asks for a password for apps: make one in the settings of the account.")
    imap = await dialogue.answer("--imap", "Its IMAP server", known.imap if known else without_login(settings.imap_url))
    name = address.rpartition("@")[0] if known and known.by_name_alone else address
    user = await dialogue.answer("--mail-user", "Its user there", name, needed=False)
    password = await dialogue.secret("IMAP_URL", "Its password", is_set=bool(settings.imap_url))
    smtp = await dialogue.answer("--smtp", "Its SMTP server", known.smtp if known else without_login(settings.smtp_url))
    if not password:  # The URLs that are set hold it.
        return {}
    at_smtp = address if known else user
    return {
        "IMAP_URL": with_login(imap, "imaps", user, password),
        "SMTP_URL": with_login(smtp, "smtps", at_smtp, password),
    }


async def _by_oauth(dialogue: Dialogue, settings: Settings, way: str, domain: str) -> dict[str, str]:
    dialogue.explain("docs/mailboxes.md says what to click there.")
    values = {"EMAIL_OAUTH": way}
    values["EMAIL_OAUTH_CLIENT_ID"] = await dialogue.answer(
        "--client-id", "The id of the app that you registered", settings.email_oauth_client_id
    )
    if way == MICROSOFT:
        usual = settings.email_oauth_tenant or domain
        values["EMAIL_OAUTH_TENANT"] = await dialogue.answer("--tenant", "Its directory's id or domain", usual)
    values["EMAIL_OAUTH_CLIENT_SECRET"] = await dialogue.secret(
        "EMAIL_OAUTH_CLIENT_SECRET",
        "The app's secret" if way == GOOGLE else "The app's secret, if it logs in by itself",
        is_set=bool(settings.email_oauth_client_secret.get_secret_value()),
        needed=way == GOOGLE,
    )
    return values


async def _prepare(dialogue: Dialogue, setup: Setup) -> None:
    if setup.settings.email_oauth and dialogue.asks:
        await log_in(setup, browser=False, lines=dialogue.lines)


async def _check(setup: Setup) -> list[Finding]:
    return await check_channel(setup, "email", setup.settings.channels()["email"])


def _problems(setup: Setup) -> list[str]:
    return [*setup.settings.channels()["email"].problems, *setup.settings.key_problems()]


MAIL = Part(
    name="email",
    title="Mail",
    options=("--email", "--mailbox"),
    is_set_up=lambda settings: settings.has_email and not settings.channels()["email"].problems,
    shown=lambda settings: settings.email_address,
    ask=_ask,
    problems=_problems,
    check=_check,
    prepare=_prepare,
)
