"""`bot doctor`: asks every resource for real, and says of each what is wrong and what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.mail.dovecot import PASSWORD, address
from tests.mail.light import Light
from tests.model_server import ModelServer
from tests.program import Bot, Done
from tests.servers import Server
from tests.slack import SlackServer

pytestmark = pytest.mark.slow

FINE = {"intent": "nothing_to_do"}


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


def findings(result: Done) -> dict[str, tuple[str, str]]:
    return {found["what"]: (found["state"], found["text"]) for found in result.document}


async def test_where_everything_is_well_it_says_so(bot: Bot, model: ModelServer) -> None:
    bot.site.build()
    bot.site.write_team_file(bot.folder / "bot.toml")
    bot.with_model(model)
    model.script(FINE, FINE)
    plain = (await bot.run("doctor")).succeeded()
    assert [line.split()[0] for line in plain.out.splitlines()] == [*["ok"] * 9, "off", "off"]
    result = (await bot.run("doctor", "--json")).succeeded()
    found = findings(result)
    assert {name for name, (state, _) in found.items() if state != "ok"} == {"slack", "email"}
    assert found["agents"] == ("ok", "deploy, rollback")
    assert "appendfsync always" in found["persistence"][1]
    assert "test-model-2026 answered the schema" in found["model"][1]
    assert "sk-secret" not in result.out
    await bot.nothing_is_left()


async def test_for_a_newcomer_it_says_what_to_do_first(bot: Bot) -> None:
    result = await bot.run("doctor", "--json")
    assert result.code == 1
    assert result.err == "1 of 10 checks failed: model.\n"
    found = findings(result)
    assert found["model"][0] == "failed"
    assert "OPENAI_MODEL is not set" in found["model"][1]
    assert found["agents"][0] == "warning"
    assert "[agents.deploy]" in found["agents"][1]
    assert found["redis"][0] == "ok"


async def test_a_server_that_may_lose_threads_is_noticed(bot: Bot, model: ModelServer) -> None:
    bot.with_model(model)
    server = Server("--maxmemory-policy", "allkeys-lru", appendfsync="everysec")
    server.start()
    try:
        server.command("CONFIG", "SET", "appendonly", "yes")
        model.script(FINE)
        found = findings(await bot.run("doctor", "--json", REDIS_URL=server.url, BOT_CONCURENCY="3"))
        assert found["persistence"][0] == "warning"
        assert "everysec" in found["persistence"][1]
        assert found["eviction"][0] == "failed"
        assert "noeviction" in found["eviction"][1]
        assert found["settings"] == ("warning", "BOT_CONCURENCY is not known; did you mean BOT_CONCURRENCY?")
        server.command("CONFIG", "SET", "appendonly", "no")
        server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        model.script(FINE)
        result = await bot.run("doctor", REDIS_URL=server.url)
        assert result.code == 1
        assert result.err == "1 of 10 checks failed: persistence.\n"
        assert "appendonly yes" in result.out
    finally:
        server.stop()


async def test_each_thing_that_is_down_is_told_by_itself(bot: Bot) -> None:
    (bot.folder / "bot.toml").write_text("[agents.deploy]\ncolour = 1\n")
    result = await bot.run(
        "doctor",
        "--json",
        BOT_HOME=str(bot.folder / "bot.toml"),
        REDIS_URL="redis://:hunter2@127.0.0.1:1",
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
        OPENAI_MODEL="m",
        OPENAI_API_KEY="sk-secret",
    )
    assert result.code == 1
    assert result.err == "4 of 7 checks failed: BOT_HOME, agents, redis, model.\n"
    found = findings(result)
    assert "cannot be written" in found["BOT_HOME"][1]
    assert "colour" in found["agents"][1]
    assert "Cannot reach Redis" in found["redis"][1]
    assert "refuses connections" in found["model"][1]
    assert "hunter2" not in result.out
    assert "sk-secret" not in result.out


async def test_a_model_that_does_not_understand_is_told(bot: Bot, model: ModelServer) -> None:
    bot.with_model(model)
    model.script(*["Hello! How can I help?"] * 3)
    found = findings(await bot.run("doctor", "--json"))
    assert found["model"][0] == "failed"
    assert "holds no step" in found["model"][1]
    async with ModelServer({"error": {"status": 401, "message": "bad key sk-secret"}}) as strict:
        found = findings(await bot.with_model(strict).run("doctor", "--json"))
    assert "OPENAI_API_KEY" in found["model"][1]
    assert "sk-secret" not in str(found)


# Slack


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    async with SlackServer.from_manifest("manifest.yml") as server:
        yield server


def with_slack(bot: Bot, slack: SlackServer, **others: str) -> Bot:
    tokens = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token}
    bot.environment |= {"SLACK_API_URL": slack.api_url} | tokens | others
    return bot


async def slack_lines(bot: Bot) -> list[str]:
    return [line for line in (await bot.run("doctor")).out.splitlines() if " slack" in line]


async def test_slack_is_asked_for_its_token_its_scopes_and_a_socket(bot: Bot, slack: SlackServer) -> None:
    lines = await slack_lines(with_slack(bot, slack))
    assert [line.split()[0] for line in lines] == ["ok", "ok", "ok"]


async def test_a_scope_that_the_token_lacks_is_named(bot: Bot, slack: SlackServer) -> None:
    slack.scopes -= {"im:write"}
    lines = await slack_lines(with_slack(bot, slack))
    assert [line for line in lines if line.startswith("failed")] == [
        "failed   slack scopes: the token lacks im:write. Add them under OAuth & Permissions and install the app again."
    ]


async def test_a_token_that_slack_does_not_take_is_told(bot: Bot, slack: SlackServer) -> None:
    (line,) = await slack_lines(with_slack(bot, slack, SLACK_BOT_TOKEN="xoxb-wrong"))
    assert line.startswith("failed   slack: Slack does not take SLACK_BOT_TOKEN: invalid_auth.")
    assert "xoxb-wrong" not in line


async def test_slack_that_is_set_up_by_half_is_told(bot: Bot, slack: SlackServer) -> None:
    (line,) = await slack_lines(with_slack(bot, slack, SLACK_APP_TOKEN=""))
    assert line.startswith("failed   slack: SLACK_APP_TOKEN is not set")


async def test_slack_that_cannot_be_reached_is_told(bot: Bot, slack: SlackServer) -> None:
    (line,) = await slack_lines(with_slack(bot, slack, SLACK_API_URL="http://127.0.0.1:9/api/"))
    assert line.startswith("failed   slack: Cannot reach Slack at http://127.0.0.1:9/api/")


# Mail


@pytest.fixture
def mail() -> Iterator[Light]:
    with Light() as server:
        yield server


def with_mail(bot: Bot, mail: Light, password: str = PASSWORD, **others: str) -> Bot:
    bot.environment |= {
        "EMAIL_ADDRESS": address("deploybot"),
        "IMAP_URL": f"imap://deploybot%40team.example:{password}@127.0.0.1:{mail.imap_port}/INBOX",
        "SMTP_URL": f"smtp://127.0.0.1:{mail.port}",
    }
    bot.environment |= others
    return bot


async def mail_lines(bot: Bot) -> list[str]:
    lines = (await bot.run("doctor")).out.splitlines()
    return [line for line in lines if line.split()[1].rstrip(":") in ("email", "imap", "smtp")]


async def test_mail_servers_are_logged_in_to(bot: Bot, mail: Light) -> None:
    settings = {"EMAIL_ALLOWED_SENDERS": "team.example", "EMAIL_AUTHSERV_ID": "mx.team.example"}
    lines = await mail_lines(with_mail(bot, mail, BOT_PUBLIC_URL="https://bot.team.example", **settings))
    assert [line.split()[:2] for line in lines] == [["ok", "imap:"], ["ok", "smtp:"]]
    assert "tells of new mail at once" in lines[0]


async def test_what_mail_cannot_do_as_it_is_set_up_is_told(bot: Bot, mail: Light) -> None:
    lines = await mail_lines(with_mail(bot, mail))
    warnings = [line for line in lines if line.startswith("warning")]
    assert [line.split()[2] for line in warnings] == ["EMAIL_ALLOWED_SENDERS", "EMAIL_AUTHSERV_ID", "BOT_PUBLIC_URL"]


async def test_mail_servers_that_do_not_let_us_in_are_told(bot: Bot, mail: Light) -> None:
    lines = await mail_lines(with_mail(bot, mail, "wrong", SMTP_URL="smtp://127.0.0.1:9"))
    assert [line.split()[:2] for line in lines[:2]] == [["failed", "imap:"], ["failed", "smtp:"]]
    assert "logging in: the server says NO" in lines[0]
    assert "wrong" not in "".join(lines)


async def test_mail_that_is_set_up_by_half_is_told(bot: Bot, mail: Light) -> None:
    (line,) = await mail_lines(with_mail(bot, mail, SMTP_URL=""))
    assert line.startswith("failed   email: SMTP_URL is not set: where mail goes out")


async def test_a_folder_that_is_not_there_is_told(bot: Bot, mail: Light) -> None:
    bot = with_mail(bot, mail)
    lines = await mail_lines(with_mail(bot, mail, IMAP_URL=bot.environment["IMAP_URL"].replace("INBOX", "No where")))
    assert "SELECT: the server says NO" in lines[0]
