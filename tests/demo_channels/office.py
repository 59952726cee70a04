"""What stands around the bot: a Slack and a mail server on loopback, a site to deploy to, and `bot run` itself.

It starts them and ends them. What happens there, `story` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.roster.deploy.stand_in import next_step
from bot.cli.demo.site import Site
from tests import ROOT
from tests.fakes.mail.dovecot import DOMAIN, PASSWORD, address
from tests.fakes.mail.light import Light
from tests.fakes.mail.signing import team_names
from tests.fakes.model_server import ModelServer, Reply
from tests.fakes.slack import SlackServer
from tests.patience import eventually
from tests.ports import HeldPort

BOT = Path(sys.executable).with_name("bot")
READY = ("Listening to Slack", "mailbox_first_seen", "identity_proven", "Working for")
"""What the bot's log says when it hears both channels and works."""
AUTHSERV_ID = f"mx.{DOMAIN}"
CHANNEL = "deploys"
"""Where the bot is, as in every Slack for tests."""


@dataclass(frozen=True)
class Office:
    slack: SlackServer
    mail: Light
    site: Site


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Office]:
    """Everything runs, and the bot hears both channels. Its log is `bot.log` in the folder."""
    site = Site(folder / "site")
    await asyncio.to_thread(site.build)
    async with SlackServer.from_manifest(ROOT / "manifest.yml") as slack, ModelServer(_stand_in) as model:
        _write_team_file(site, slack, folder / "bot.toml")
        with Light() as mail:
            environment = _environment(folder, slack, mail, model)
            async with _running(folder, environment):
                yield Office(slack, mail, site)


def _stand_in(request: dict[str, Any]) -> Reply:
    return Reply(next_step(request["messages"][0]["content"], request["messages"][-1]["content"]))


def _write_team_file(site: Site, slack: SlackServer, path: Path) -> None:
    """Ana asks, and Ben approves what goes live."""
    site.write_team_file(path)
    text = path.read_text(encoding="utf-8")
    people = (
        f'[people.{name}]\nname = "{name.title()}"\nslack = "{slack.workspace.user(name).id}"\n'
        f'emails = ["{address(name)}"]\ngroups = [{groups}]\n'
        for name, groups in (("ana", ""), ("ben", '"release"'))
    )
    text = text.replace('tool = "*"\ngroup = "anyone"', 'tool = "*"\ngroup = "release"')
    text = text.replace('"release"', '"release"\nask = ["email:ben@team.example"]', 1)
    path.write_text("\n".join((text, *people)), encoding="utf-8")


def _environment(folder: Path, slack: SlackServer, mail: Light, model: ModelServer) -> dict[str, str]:
    """Nothing of the user's own settings is in it."""
    user = f"{address('deploybot').replace('@', '%40')}:{PASSWORD}"
    port = HeldPort()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "BOT_HOME": str(folder / "home"),
        "BOT_CONFIG": str(folder / "bot.toml"),
        "BOT_SECRET_KEY": "only-for-this-demo-0123456789abcdef",
        "BOT_PUBLIC_URL": f"http://127.0.0.1:{port.number}",
        "PORT": str(port.number),
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "none",
        "OPENAI_MODEL": "stand-in",
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "EMAIL_ADDRESS": address("deploybot"),
        "EMAIL_AUTHSERV_ID": AUTHSERV_ID,
        "EMAIL_DNS_SERVER": team_names().address,
        "EMAIL_ALLOWED_SENDERS": DOMAIN,
        "IMAP_URL": f"imap://{user}@127.0.0.1:{mail.imap_port}",
        "SMTP_URL": f"smtp://127.0.0.1:{mail.port}",
    }


@contextlib.asynccontextmanager
async def _running(folder: Path, environment: dict[str, str]) -> AsyncIterator[None]:
    log = folder / "bot.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            BOT, "run", cwd=folder, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        await _ready(process, log)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(process: asyncio.subprocess.Process, log: Path) -> None:
    """Returns when the bot hears both channels. Raises RuntimeError, with its log, if it ends before."""

    def is_ready() -> bool:
        text = log.read_text()
        if process.returncode is not None:
            raise RuntimeError(f"bot run ended:\n{text}")
        return all(word in text for word in READY)

    await eventually(is_ready, "the bot hears both channels")
