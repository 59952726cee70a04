"""The list of commands: it is true, and nothing waits for what another command needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from bot.cli.main import COMMANDS, _not_imported, app_with
from tests import ROOT

HEAVY = {
    *("agent.loop", "agent.model.openai", "agent.roster.deploy", "bot.app", "bot.web", "bot.worker"),
    *("channels.email.imap", "channels.email.outbox", "channels.slack.channel", "channels.webhook.channel"),
    *("aiohttp", "aioimaplib", "aiosmtplib", "dkim", "dns", "fastapi", "httpx2", "lxml", "markdown_it", "openai"),
    *("slack_bolt", "slack_sdk", "starlette", "uvicorn"),
}
"""What only some commands need, and takes long to import."""


def imported_by(folder: Path, *arguments: str, code: int = 0) -> set[str]:
    """What is imported once `bot` has run with these arguments."""
    program = (
        "import atexit, sys; sys.argv[:] = ['bot', *sys.argv[1:]]; from bot.cli import main; "
        "atexit.register(lambda: print('\\n'.join(sys.modules), file=sys.stderr)); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "BOT_HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return set(done.stderr.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_can_be_run_and_is_listed_with_the_first_sentence_of_its_help(name: str) -> None:
    command = get_command(app_with(name)).commands[name]  # type: ignore[attr-defined]
    assert command.get_short_help_str(200) == COMMANDS[name].help
    assert command.callback is not _not_imported


def test_the_help_imports_nothing_that_a_command_needs(tmp_path: Path) -> None:
    imported = imported_by(tmp_path, "--help")
    assert imported & (HEAVY | {"agent", "asyncio", "pydantic", "redis", "store.events", "structlog"}) == set()


def test_listing_threads_imports_what_reads_the_index_and_no_more(tmp_path: Path) -> None:
    imported = imported_by(tmp_path, "threads")
    assert "store.redis.index" in imported
    assert imported & (HEAVY | {"agent", "bot.setup", "dotenv", "store.events", "structlog", "valkey"}) == set()


def test_showing_a_thread_imports_no_more_than_its_events_and_their_words(tmp_path: Path) -> None:
    imported = imported_by(tmp_path, "show", "t1", code=1)
    assert "bot.views.transcript" in imported
    assert imported & (HEAVY | {"agent.roster", "bot.setup", "structlog"}) == set()
