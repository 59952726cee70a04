"""The part of `bot init` about Slack: the link that creates the app, and its two tokens."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import yaml

import bot
from bot.cli import console
from bot.cli.doctor import check_channel
from bot.cli.findings import Finding
from bot.cli.init.dialogue import LATER, Dialogue, show_link
from bot.cli.init.part import Part
from bot.settings import Settings
from bot.setup import Setup

STEPS = (
    "2. Install it (OAuth & Permissions), and copy the Bot User OAuth Token.\n"
    "3. Basic Information, App-Level Tokens: generate one with connections:write, and copy it."
)
NEW_APP = "https://api.slack.com/apps?new_app=1"


MANIFEST = Path(bot.__file__).parents[1] / "manifest.yml"
"""At the top of the checkout. A program that was installed from a wheel has none."""


def link() -> str:
    """Opens Slack's page for a new app, filled in from the manifest if there is one."""
    if not MANIFEST.exists():
        return NEW_APP
    text = json.dumps(yaml.safe_load(MANIFEST.read_text(encoding="utf-8")), separators=(",", ":"))
    return f"{NEW_APP}&manifest_json={quote(text, safe='')}"


async def _ask(dialogue: Dialogue, setup: Setup) -> dict[str, str]:
    settings = setup.settings
    dialogue.take("--slack")
    if dialogue.asks and not dialogue.explained(STEPS):
        console.say_prose(f"Without Slack, type {LATER}. Otherwise:")
        show_link("1. Create the app: open this link, and choose your workspace", link())
        if console.drawing() or not MANIFEST.exists():
            where = MANIFEST if MANIFEST.exists() else "manifest.yml of the program's repository"
            console.say_prose(f"   If it is no link here: open {NEW_APP}, choose From a manifest, and paste {where}.")
    dialogue.explain(STEPS)
    has_bot, has_app = (bool(one.get_secret_value()) for one in (settings.slack_bot_token, settings.slack_app_token))
    has_secret = bool(settings.slack_signing_secret.get_secret_value())
    return {
        "SLACK_BOT_TOKEN": await dialogue.secret("SLACK_BOT_TOKEN", "The bot token (xoxb-…)", is_set=has_bot),
        "SLACK_APP_TOKEN": await dialogue.secret(
            "SLACK_APP_TOKEN", "The app token (xapp-…)", is_set=has_app, needed=not has_secret
        ),
    }


async def check(setup: Setup) -> list[Finding]:
    return await check_channel(setup, "slack", setup.settings.channels()["slack"])


def _shown(settings: Settings) -> str:
    return "its tokens" if settings.slack_app_token.get_secret_value() else "its token, and events over HTTP"


SLACK = Part(
    name="slack",
    title="Slack",
    options=("--slack",),
    is_set_up=lambda settings: settings.has_slack and not settings.channels()["slack"].problems,
    shown=_shown,
    ask=_ask,
    problems=lambda setup: [*setup.settings.channels()["slack"].problems],
    check=check,
)
