"""`bot init` after the site, as people and scripts use it: model, Slack, mail, who they are, and a first message.

Against servers that speak like those of a model, Slack and mail. Nothing secret comes on the screen.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import stat
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from bot.cli.init.slack import link
from tests import ROOT
from tests.docs.pages import DOCS
from tests.fakes.mail.dovecot import PASSWORD, address
from tests.fakes.mail.light import Light
from tests.fakes.model_server import ModelServer, error
from tests.fakes.slack import SlackServer
from tests.stories.program import Bot, Terminal

pytestmark = pytest.mark.slow

KEY = "sk-very-secret"
SAID = "On staging runs v1.1.0, on production v1.0.0."
MODEL, TOKEN, APP, MAIL, NAME = (
    "The model's name: ",
    "The bot token (xoxb-…), not shown: ",
    "The app token (xapp-…), not shown: ",
    "The address that people write to: ",
    "Your name [dex]: ",
)
AGAIN = "Enter: answer again, later: leave it for later, keep: keep it as it is: "


def answered(request: dict[str, Any]) -> Any:
    if "only checks the connection" in request["messages"][-1]["content"]:
        return {"intent": "nothing_to_do"}
    return {"intent": "done_for_now", "message": SAID}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(answered) as server:
        yield server


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    async with SlackServer.from_manifest(ROOT / "manifest.yml") as server:
        yield server


@pytest.fixture(scope="module")
def mail() -> Iterator[Light]:
    with Light() as server:
        yield server


@pytest.fixture
def bot(tmp_path: Path, site: Path) -> Bot:
    """With a site, so that the wizard begins after it."""
    return Bot(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    bot = Bot(tmp_path)
    bot.site.build()
    return bot.site.home


def flags(site: Path) -> list[str]:
    return [
        *("--repository", str(site / "shop.git"), "--component", "shop", "--environment", "staging"),
        *("--deploy", f"{site}/deploy {{component}} {{environment}} {{sha}} deploybot"),
        *("--status", f"{site}/status {{component}} {{environment}}"),
    ]


@pytest.fixture
async def begun(bot: Bot, site: Path) -> Bot:
    done = await bot.run("init", *flags(site))
    assert done.code == 0, done
    assert done.out.startswith("ok       agents: deploy, rollback\nok       team file: ")
    return bot


def kept(bot: Bot) -> dict[str, str]:
    with (bot.folder / ".env").open() as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file)


async def answers(person: Terminal, *dialogue: tuple[str, str]) -> None:
    for question, words in dialogue:
        await person.sees(question)
        person.types(words)


async def leaves(person: Terminal, *questions: str) -> None:
    await answers(person, *((question, "later") for question in questions))


# All of it


async def test_a_newcomer_is_led_to_a_first_answer(
    begun: Bot, model: ModelServer, slack: SlackServer, mail: Light
) -> None:
    begun.environment["SLACK_API_URL"] = slack.api_url
    async with begun.terminal("init") as person:
        await person.sees("It is set already: bot.toml.")
        await answers(person, (MODEL, "scripted"), ("Its endpoint [https://api.openai.com/v1]: ", model.url))
        await answers(person, ("The key, not shown: ", KEY))
        await person.sees("ok       model for deploy: test-model-2026 answered")
        await person.sees("Kept in .env: OPENAI_MODEL, OPENAI_BASE_URL, OPENAI_API_KEY.")
        await person.sees("1. Create the app")
        await answers(person, (TOKEN, slack.bot_token), (APP, slack.app_token))
        await person.sees("ok       slack socket: Socket Mode is on.")
        await answers(
            person,
            (MAIL, address("deploybot")),
            ("How it is opened: password, microsoft or google [password]: ", ""),
            ("Its IMAP server: ", f"imap://127.0.0.1:{mail.imap_port}"),
            (f"Its user there [{address('deploybot')}]: ", ""),
            ("Its password, not shown: ", PASSWORD),
            ("Its SMTP server: ", f"smtp://127.0.0.1:{mail.port}"),
            ("Who may write to it: addresses and domains [team.example]: ", ""),
            ("Its server's name in Authentication-Results: ", ""),
            ("Where people reach `bot run`, https://…: ", ""),
        )
        await person.sees("ok       imap: ")
        await person.sees("ok       smtp: ")
        await person.sees("Kept in .env: EMAIL_ADDRESS, IMAP_URL, SMTP_URL, EMAIL_ALLOWED_SENDERS.")
        ana = slack.workspace.user("ana")
        await answers(
            person,
            (NAME, "Ana"),
            ("Your own mail address, if you decide by mail: ", "ana@example.com"),
            (f"Your Slack member ID [{ana.id}]: ", ""),
            ("The group of approvers that you are in [team]: ", "release"),
        )
        await person.sees("ok       people and places: everything that the team file names in Slack exists: 1.")
        await person.sees("Wrote [people.dex] in bot.toml: name, emails, slack, groups")
        await answers(person, ("What do you say to it (later: nothing) [what runs where?]: ", ""))
        await person.sees(SAID)
        await person.sees("To listen and work, until you stop it:")
        await person.sees("bot run")
        await person.sees("In Slack, invite it to a channel, and mention it")
        await person.sees(f"By mail, write to {address('deploybot')}.")
        assert await person.ends() == 0
        raw = person.raw.decode()
    for secret in (KEY, slack.bot_token, slack.app_token):
        assert secret not in raw
    assert link() in raw, "which people click"
    team = tomllib.loads((begun.folder / "bot.toml").read_text())
    assert team["people"]["dex"] == {
        "logins": ["dex"],
        "name": "Ana",
        "emails": ["ana@example.com"],
        "slack": ana.id,
        "groups": ["release"],
    }
    assert team["rule"][0]["group"] == "release"
    assert stat.S_IMODE((begun.folder / ".env").stat().st_mode) == 0o600
    doctor = await begun.run("doctor", "--json")
    assert [one for one in doctor.document if one["state"] == "failed"] == []
    threads = (await begun.run("threads", "--json")).document
    assert [one["status"] for one in threads] == ["done"]


async def test_the_link_makes_the_app_of_the_manifest() -> None:
    query = parse_qs(urlsplit(link()).query)
    assert urlsplit(link())[:3] == ("https", "api.slack.com", "/apps")
    assert query["new_app"] == ["1"]
    assert json.loads(query["manifest_json"][0]) == yaml.safe_load((ROOT / "manifest.yml").read_text())


async def test_a_second_run_keeps_what_is_set_and_changes_what_it_is_told_to(begun: Bot, model: ModelServer) -> None:
    (begun.folder / ".env").write_text(
        f"# ours\nOPENAI_MODEL=first\nOPENAI_BASE_URL={model.url}\nOPENAI_API_KEY={KEY}\n"
    )
    async with begun.terminal("init") as person:
        await person.sees(f"It is set already: first at {model.url}.")
        await person.sees("ok       model for deploy")
        await answers(person, ("Change it? [y/N] ", ""))
        await leaves(person, TOKEN, MAIL, NAME, "What do you say to it")
        await person.sees("Left for later: Slack, Mail, Who you are.")
        assert await person.ends() == 0
    before = (begun.folder / ".env").read_text()
    assert before.startswith("# ours\nOPENAI_MODEL=first\n")
    async with begun.terminal("init") as person:
        await answers(person, ("Change it? [y/N] ", "y"), ("The model's name [first]: ", "second"))
        await answers(person, (f"Its endpoint [{model.url}]: ", ""), ("The key, not shown [as it is set]: ", ""))
        await answers(person, ("OPENAI_MODEL: .env has another value. Replace it? [y/N] ", "yes"))
        await person.sees("Kept in .env: OPENAI_MODEL, OPENAI_BASE_URL.")
        person.presses("C")
        assert await person.ends() == 130
    assert (begun.folder / ".env").read_text() == before.replace("first", "second")


async def test_a_value_in_env_is_never_replaced_unasked(begun: Bot, model: ModelServer) -> None:
    text = f"OPENAI_BASE_URL={model.url}\nSLACK_APP_TOKEN=xapp-old\n"
    (begun.folder / ".env").write_text(text)
    async with begun.terminal("init") as person:
        await answers(person, (MODEL, "m"), (f"Its endpoint [{model.url}]: ", "http://127.0.0.1:1"))
        await answers(person, ("The key, not shown: ", KEY))
        await person.sees("failed   model for deploy: ")
        await answers(person, (AGAIN, "keep"), ("OPENAI_BASE_URL: .env has another value. Replace it? [y/N] ", ""))
        await person.sees("The bot token")
        person.presses("C")
        assert await person.ends() == 130
    assert (begun.folder / ".env").read_text() == text
    (begun.folder / ".env").write_text("OPENAI_MODEL=other\n")
    refused = await begun.run("init", "--model", "m", "--base-url", model.url, OPENAI_API_KEY=KEY)
    assert refused.code == 1
    assert "OPENAI_MODEL: .env has another value. Nothing was kept" in refused.err
    assert (begun.folder / ".env").read_text() == "OPENAI_MODEL=other\n"


# What goes wrong


async def test_what_is_wrong_is_said_and_asked_again(begun: Bot, slack: SlackServer) -> None:
    begun.environment["SLACK_API_URL"] = slack.api_url
    async with begun.terminal("init") as person:
        await leaves(person, MODEL)
        await answers(person, (TOKEN, "xapp-1-swapped"), (APP, slack.app_token))
        await person.sees("failed   slack: SLACK_BOT_TOKEN does not begin with xoxb-")
        await answers(person, ("Enter: answer again, later: leave it for later: ", ""))
        await answers(person, ("xoxb-…), not shown [as before]: ", "xoxb-wrong"), ("[as before]: ", ""))
        await person.sees("failed   slack: Slack rejects SLACK_BOT_TOKEN: invalid_auth. Install the app again")
        await answers(person, (AGAIN, ""), ("[as before]: ", slack.bot_token), ("[as before]: ", "xapp-wrong"))
        await person.sees("Slack refuses a socket connection: invalid_auth. Check SLACK_APP_TOKEN")
        assert not (begun.folder / ".env").exists()
        await answers(person, (AGAIN, ""), ("[as before]: ", ""), ("[as before]: ", slack.app_token))
        await person.sees("Kept in .env: SLACK_BOT_TOKEN, SLACK_APP_TOKEN.")
        await leaves(person, MAIL, NAME)
        await person.sees("Left for later: The model, Mail, Who you are.")
        await person.sees("It has no model yet")
        assert await person.ends() == 0
    assert kept(begun) == {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token}


async def test_servers_that_are_away_are_named(begun: Bot) -> None:
    begun.environment["SLACK_API_URL"] = "http://127.0.0.1:1/api/"
    async with begun.terminal("init") as person:
        await answers(person, (MODEL, "m"), ("Its endpoint [", "http://127.0.0.1:1/v1"), ("The key, not shown: ", KEY))
        await person.sees("refuses connections")
        await answers(person, (AGAIN, "later"), (TOKEN, "xoxb-1"), (APP, "xapp-1"))
        await person.sees("failed   slack: Cannot reach Slack at http://127.0.0.1:1/api/")
        await answers(person, (AGAIN, "later"), (MAIL, "bot@example.com"), ("How it is opened", "password"))
        await answers(person, ("Its IMAP server: ", "imap://127.0.0.1:1"), ("Its user there", ""))
        await answers(person, ("Its password, not shown: ", "hunter2"), ("Its SMTP server: ", "smtp://127.0.0.1:1"))
        for question in ("Who may write", "Authentication-Results", "Where people reach"):
            await answers(person, (question, ""))
        await person.sees("failed   imap: ")
        await person.sees("failed   smtp: ")
        await answers(person, (AGAIN, "later"), (NAME, "later"))
        await person.sees("Left for later: The model, Slack, Mail, Who you are.")
        assert await person.ends() == 0
        assert "hunter2" not in person.screen
    assert not (begun.folder / ".env").exists()


async def test_a_model_that_refuses_the_key_is_not_kept(begun: Bot) -> None:
    async with ModelServer(lambda _: error(401, "bad key")) as strict, begun.terminal("init") as person:
        await answers(person, (MODEL, "m"), ("Its endpoint [", strict.url), ("The key, not shown: ", KEY))
        await person.sees("failed   model for deploy: ")
        await person.sees("OPENAI_API_KEY")
        await answers(person, (AGAIN, "later"))
        await person.sees("Left for later.")
    assert not (begun.folder / ".env").exists()


async def test_who_breaks_off_keeps_what_was_done_and_the_screen_shows_what_is_typed(
    begun: Bot, model: ModelServer
) -> None:
    async with begun.terminal("init") as person:
        await answers(person, (MODEL, "m"), ("Its endpoint [", model.url), ("The key, not shown: ", KEY))
        await answers(person, (TOKEN, "xoxb-half-typed"))
        await person.sees(APP)
        assert not person.echoes
        person.presses("C")
        assert await person.ends() == 130
        assert person.echoes
        assert "xoxb-half-typed" not in person.screen
    assert {one.name for one in begun.folder.iterdir()} == {".env", "bot.schema.json", "bot.toml", "site"}
    assert kept(begun) == {"OPENAI_MODEL": "m", "OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": KEY}
    async with begun.terminal("init") as person:
        await person.sees(f"It is set already: m at {model.url}.")


async def test_the_echo_comes_back(begun: Bot) -> None:
    async with begun.terminal("init") as person:
        await answers(person, (MODEL, "m"), ("Its endpoint [", "http://127.0.0.1:1/v1"), ("The key, not shown: ", KEY))
        await answers(person, (AGAIN, "later"), (TOKEN, "later"), (MAIL, "bot@example.com"))
        await person.sees("bot@example.com")


# Git


async def test_env_is_kept_out_of_git(begun: Bot) -> None:
    await asyncio.to_thread(subprocess.run, ["git", "init", "--quiet", str(begun.folder)], check=True)
    for answer, ignored in (("n", False), ("", True)):
        async with begun.terminal("init") as person:
            await answers(person, (MODEL, "stand-in"))
            await person.sees("warning  model: OPENAI_MODEL is stand-in, which is no model")
            await person.sees("WARNING: git does not ignore .env")
            await answers(person, ("Add it to .gitignore? [Y/n] ", answer))
            await person.sees("Kept in .env: OPENAI_MODEL.")
        assert (begun.folder / ".gitignore").exists() is ignored
        (begun.folder / ".env").unlink()
    assert (begun.folder / ".gitignore").read_text() == ".env\n"
    done = await begun.run("init", "--model", "stand-in")
    assert "WARNING" not in done.err
    assert kept(begun) == {"OPENAI_MODEL": "stand-in"}


# Without a terminal


async def test_a_script_says_it_by_options_and_variables(begun: Bot, model: ModelServer, slack: SlackServer) -> None:
    begun.environment |= {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_APP_TOKEN": slack.app_token}
    begun.environment |= {"SLACK_API_URL": slack.api_url, "OPENAI_API_KEY": KEY}
    ben = slack.workspace.user("ben")
    done = await begun.run(
        *("init", "--model", "scripted", "--base-url", model.url, "--slack", "--name", "Ben", "--slack-id", ben.id),
        *("--group", "release", "--message", "what runs where?"),
    )
    assert done.code == 0, done
    assert SAID in done.out
    assert "ok       slack socket: Socket Mode is on." in done.out
    assert kept(begun) == {"OPENAI_MODEL": "scripted", "OPENAI_BASE_URL": model.url}, "the rest is in the environment"
    people = tomllib.loads((begun.folder / "bot.toml").read_text())["people"]
    assert people["dex"] == {"logins": ["dex"], "name": "Ben", "slack": ben.id, "groups": ["release"]}


async def test_nobody_is_asked_without_a_terminal_and_what_is_missing_is_named(bot: Bot, begun: Bot) -> None:
    before = {path.name for path in begun.folder.iterdir()}
    for options, words in (
        (["--model", "m"], "The model: nothing was kept. Missing: OPENAI_API_KEY."),
        (["--base-url", "https://llm.example.com"], "Missing: --model, OPENAI_API_KEY."),
        (["--slack"], "Slack: nothing was kept. Missing: SLACK_BOT_TOKEN, SLACK_APP_TOKEN."),
        (["--email", "bot@example.com"], "Mail: nothing was kept. Missing: IMAP_URL, SMTP_URL."),
        (["--tenant", "x.example"], "--tenant: without effect here"),
        (["--message", "hello"], "OPENAI_MODEL is not set"),
        (["--email", "b@x.example", "--mailbox", "google"], "Missing: --client-id, EMAIL_OAUTH_CLIENT_SECRET."),
    ):
        done = await begun.run("init", *options)
        assert done.code == 1, done
        assert words in done.err
    wrong = await begun.run("init", "--slack", SLACK_BOT_TOKEN="xoxb-1", SLACK_APP_TOKEN="nope")
    assert wrong.code == 1
    assert "failed   slack: SLACK_APP_TOKEN does not begin with xapp-" in wrong.out
    assert "nope" not in wrong.out + wrong.err
    assert {path.name for path in begun.folder.iterdir()} == before


async def test_a_person_whom_the_file_cannot_take_is_refused(begun: Bot) -> None:
    before = (begun.folder / "bot.toml").read_text()
    done = await begun.run("init", "--slack-id", "ana")
    assert done.code == 1
    assert "must be a Slack member ID" in done.err
    (begun.folder / "bot.toml").write_text(before.replace('logins = ["dex"]', "logins = []"))
    done = await begun.run("init", "--name", "Dex")
    assert done.code == 1
    assert "[people.dex] is not you" in done.err


async def test_the_script_on_the_page_does_it(bot: Bot, model: ModelServer, slack: SlackServer, site: Path) -> None:
    block = DOCS["quick-start"].block("sh", "--message")
    for ours, theirs in {
        "/srv/git": str(site),
        "/srv/bin": str(site),
        "OPENAI_API_KEY=…": f"OPENAI_API_KEY={KEY}",
        "xoxb-…": slack.bot_token,
        "xapp-…": slack.app_token,
        "U0123456789": slack.workspace.user("ana").id,
    }.items():
        assert ours in block
        block = block.replace(ours, theirs)
    exports, command = block.replace("\\\n", "").strip().split("\n")
    for variable in shlex.split(exports)[1:]:
        name, _, value = variable.partition("=")
        bot.environment[name] = value
    bot.environment |= {"OPENAI_BASE_URL": model.url, "SLACK_API_URL": slack.api_url}
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/bot"
    done = await bot.run(*arguments)
    assert done.code == 0, done
    assert "Wrote bot.toml: shop to staging, production." in done.out
    assert "ok       people and places: " in done.out
    assert SAID in done.out


async def test_a_script_sets_up_mail_by_its_variables(begun: Bot, mail: Light) -> None:
    urls = {"IMAP_URL": f"imap://{address('deploybot').replace('@', '%40')}:{PASSWORD}@127.0.0.1:{mail.imap_port}"}
    begun.environment |= urls | {"SMTP_URL": f"smtp://127.0.0.1:{mail.port}"}
    done = await begun.run("init", "--email", address("deploybot"), "--allow", "team.example")
    assert done.code == 0, done
    assert "ok       imap: " in done.out
    assert kept(begun) == {"EMAIL_ADDRESS": address("deploybot"), "EMAIL_ALLOWED_SENDERS": "team.example"}


async def test_a_terminal_that_cannot_draw_gets_the_whole_link(begun: Bot) -> None:
    async with begun.terminal("init", TERM="dumb") as person:
        await leaves(person, MODEL)
        await person.sees(f"1. Create the app: open this link, and choose your workspace: {link()}")


async def test_an_env_file_that_nobody_can_read_is_left_alone(bot: Bot) -> None:
    (bot.folder / ".env").write_text("OPENAI_MODEL=m\nthis is no line\n")
    (await bot.run("init", "--model", "stand-in")).failed(".env: line 2 is not NAME=value.")
    assert (bot.folder / ".env").read_text() == "OPENAI_MODEL=m\nthis is no line\n"
