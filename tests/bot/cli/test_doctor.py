"""`bot doctor`: asks every resource for real, and says of each what is wrong and what to do."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot.cli import doctor as checks
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import read_team
from bot.team.names import NO_AGENT
from channels.slack import check as slack_check
from channels.slack.connection import client_of, identify
from tests.fakes.mail.dovecot import PASSWORD, address
from tests.fakes.mail.light import Light
from tests.fakes.mail.names import NameServer
from tests.fakes.mail.signing import records, signed, team_names, where
from tests.fakes.model_server import ModelServer
from tests.fakes.servers import Server
from tests.fakes.slack import SlackServer
from tests.fakes.webhooks import Receiver, new_secret
from tests.ports import HeldPort
from tests.shop import Site
from tests.stories.program import Bot, Done

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
    model.script(*[FINE] * 8)
    plain = (await bot.run("doctor")).succeeded()
    assert [line.split()[0] for line in plain.out.splitlines()] == [*["ok"] * 13, *["off"] * 3]
    result = (await bot.run("doctor", "--json")).succeeded()
    found = findings(result)
    assert {name for name, (state, _) in found.items() if state != "ok"} == {"slack", "email", "webhook"}
    assert found["agents"] == ("ok", "deploy, rollback")
    assert "appendfsync always" in found["persistence"][1]
    for name in ("deploy", "rollback"):
        text = found[f"model for {name}"][1]
        assert re.match(r"test-model-2026 answered in \d\.\d s and \d\.\d s \(json_schema\)\. ", text)
        assert "The second time it read 100 tokens, 64 of them cached, and wrote 20." in text
        assert "A long thread takes up to 120,000 characters more." in text
    systems = [request["messages"][0]["content"] for request in model.requests]
    assert ["- deploy(" in system for system in systems] == [True, True, False, False] * 2
    assert all("only checks the connection" in request["messages"][1]["content"] for request in model.requests)
    assert "sk-secret" not in result.out
    await bot.nothing_is_left()


async def test_for_a_newcomer_it_says_what_to_do_first(bot: Bot) -> None:
    result = await bot.run("doctor", "--json")
    assert result.code == 1
    assert result.err == "2 of 14 checks failed: agents, model.\n"
    found = findings(result)
    assert found["model"][0] == "failed"
    assert "OPENAI_MODEL is not set" in found["model"][1]
    for channel in ("slack", "email"):
        assert found[channel][0] == "off"
        assert found[channel][1].startswith("`bot init` sets it up; or set ")
    assert found["agents"] == ("failed", NO_AGENT)
    assert found["redis"][0] == "ok"


async def test_a_server_that_may_lose_threads_is_noticed(bot: Bot, model: ModelServer) -> None:
    bot.with_model(model)
    server = Server("--maxmemory-policy", "allkeys-lru", appendfsync="everysec")
    server.start()
    try:
        server.command("CONFIG", "SET", "appendonly", "yes")
        model.script(FINE, FINE)
        found = findings(await bot.run("doctor", "--json", REDIS_URL=server.url, BOT_CONCURENCY="3"))
        assert found["persistence"][0] == "warning"
        assert "everysec" in found["persistence"][1]
        assert found["eviction"][0] == "failed"
        assert "noeviction" in found["eviction"][1]
        assert found["settings"] == ("warning", "BOT_CONCURENCY is not known; did you mean BOT_CONCURRENCY?")
        server.command("CONFIG", "SET", "appendonly", "no")
        server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        model.script(FINE, FINE)
        result = await bot.run("doctor", REDIS_URL=server.url)
        assert result.code == 1
        assert result.err == "2 of 14 checks failed: agents, persistence.\n"
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
    assert result.err == "4 of 8 checks failed: BOT_HOME, agents, redis, model.\n"
    found = findings(result)
    assert "is not writable" in found["BOT_HOME"][1]
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
    assert "It answered: Hello! How can I help?" in found["model"][1]
    async with ModelServer({"error": {"status": 401, "message": "bad key sk-secret"}}) as strict:
        found = findings(await bot.with_model(strict).run("doctor", "--json"))
    assert "OPENAI_API_KEY" in found["model"][1]
    assert "sk-secret" not in str(found)


async def test_a_model_whose_context_is_short_is_said_to_take_less(bot: Bot, model: ModelServer) -> None:
    (bot.folder / "bot.toml").write_text("[models.default]\ncontext_tokens = 8_000\n")
    model.script(FINE, FINE)
    state, text = findings(await bot.with_model(model).run("doctor", "--json"))["model"]
    assert state == "ok"
    said = re.search(r"up to ([\d,]+) characters more; the agent's own limit is 120,000\.", text)
    assert said, text
    assert 2_000 < int(said[1].replace(",", "")) < 3 * 8_000


# What deploybot works with


async def agents(bot: Bot, path: str = os.environ["PATH"]) -> tuple[str, str]:
    return findings(await bot.run("doctor", "--json", PATH=path))["agents"]


def rewritten(bot: Bot, *changes: tuple[str, str]) -> None:
    """The demo's team file, with each first text replaced by the second, everywhere."""
    file = bot.folder / "bot.toml"
    bot.site.write_team_file(file)
    text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        ([], "There is no git repository at {!r}."),
        (["mkdir"], "There is no git repository at {!r}."),
        (["git", "init", "--quiet", "--bare"], "The repository has no commits yet."),
    ],
)
def test_a_repository_that_is_none_is_told_with_what_to_do(bot: Bot, made: list[str], wrong: str) -> None:
    bot.site.build()
    nowhere = str(bot.folder / "nowhere.git")
    if made:
        subprocess.run([*made, nowhere], check=True)
    rewritten(bot, (str(bot.site.repository), nowhere))
    # Both components have that one: it is told once.
    text = f"backend, frontend: {wrong.format(nowhere)} Its `repository` must be a clone with commits on this machine."
    assert asyncio.run(agents(bot)) == ("failed", text)


async def test_a_folder_that_no_commit_touches_is_told(bot: Bot) -> None:
    bot.site.build()
    rewritten(bot, ('path = "backend"', 'path = "back-end"'))
    assert await agents(bot) == ("failed", "backend: No commit touches 'back-end'. Correct its `path`.")


async def test_commands_that_cannot_be_started_are_told(bot: Bot) -> None:
    bot.site.build()
    (bot.site.home / "end-to-end").chmod(0o644)
    gone, tests = str(bot.site.home / "gone"), str(bot.site.home / "end-to-end")
    rewritten(bot, (f'deploy = ["{bot.site.home}/deploy"', f'deploy = ["{gone}"'))
    everywhere = "backend staging, backend production, frontend staging, frontend production"
    assert await agents(bot) == (
        "failed",
        f"{everywhere}: `deploy` cannot be started: {gone!r} does not exist or is not a file. Correct the path. "
        "environment staging, environment production: `test` cannot be started: "
        f"{tests!r} is not executable by the bot's user. Run chmod +x on it.",
    )


async def test_end_to_end_tests_that_are_not_set_up_are_noted_once_and_fail_nothing(bot: Bot) -> None:
    bot.site.build()
    tests = str(bot.site.home / "end-to-end")
    rewritten(bot, (f', test = ["{tests}", "{{environment}}"], on_failed_test = "rollback" }}', " }"))
    assert await agents(bot) == ("ok", "deploy, rollback")
    result = await bot.run("doctor")
    notes = [line for line in result.out.splitlines() if "end-to-end" in line]
    assert notes == [
        "off      deploy: no end-to-end tests for production: nothing is tested after a deployment there. "
        "To change that, give it a `test` in [agents.deploy.environments]."
    ]


async def test_programs_are_looked_for_where_they_would_be_started(bot: Bot) -> None:
    bot.site.build()
    (bot.site.repository / "here").symlink_to(bot.site.home / "deploy")  # commands run in the repository
    tools = bot.folder / "tools"
    tools.mkdir()
    (tools / "deploy-it").symlink_to(bot.site.home / "deploy")
    rewritten(bot, (f'deploy = ["{bot.site.home}/deploy"', 'deploy = ["./here"'))
    assert await agents(bot) == ("ok", "deploy, rollback")
    rewritten(bot, (f'deploy = ["{bot.site.home}/deploy"', 'deploy = ["deploy-it"'))
    state, text = await agents(bot)
    assert state == "failed"
    assert "`deploy` cannot be started: 'deploy-it' is not on PATH (" in text
    path = f"{tools}:{os.environ['PATH']}"
    assert (await agents(bot, path))[0] == "ok"
    with_path = ("timeout_seconds = 60", f'env = {{ PATH = "{path}" }}')
    rewritten(bot, (f'deploy = ["{bot.site.home}/deploy"', 'deploy = ["deploy-it"'), with_path)
    assert (await agents(bot))[0] == "ok"


async def test_targets_are_asked_what_runs_there(bot: Bot) -> None:
    bot.site.build()
    rewritten(bot)
    asked = bot.folder / "asked"
    by_hand = f"Run its `status` command by hand in {str(bot.site.repository)!r}."
    (bot.site.home / "status").write_text(
        f'#!/bin/sh\necho "$1 $2" >> {asked}\n[ $1 = backend ] || {{ echo "no route" >&2; exit 3; }}\n'
        "[ $2 = production ] || echo hello\n"
    )
    before = bot.site.deployed()
    assert await agents(bot) == (
        "failed",
        "backend staging: The status command printed neither a full SHA nor JSON with one: 'hello'. "
        f"{by_hand} "
        "frontend staging: Asking what runs on frontend staging failed with exit code 3: no route. "
        f"{by_hand} "
        "frontend production: Asking what runs on frontend production failed with exit code 3: no route. "
        f"{by_hand}",
    )
    # Each once, although two agents share them.
    places = ("backend staging", "backend production", "frontend staging", "frontend production")
    assert sorted(asked.read_text().splitlines()) == sorted(places)
    assert bot.site.deployed() == before


async def test_an_agent_whose_check_does_not_end_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / "site")
    site.build()
    (site.home / "status").write_text("#!/bin/sh\nexec sleep 600\n")
    site.write_team_file(tmp_path / "bot.toml")
    monkeypatch.setattr(checks, "AGENT_SECONDS_MAX", 0.5)
    setup = Setup(Settings(bot_home=tmp_path), read_team(tmp_path / "bot.toml"))
    findings = checks.examine(setup)
    found = next(one for one in [await anext(findings) for _ in range(3)] if one.what == "agents")
    assert (found.state, found.text) == ("failed", "deploy: its check did not finish within 0.5 s.")


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
    assert line.startswith("failed   slack: Slack rejects SLACK_BOT_TOKEN: invalid_auth.")
    assert "xoxb-wrong" not in line


async def test_slack_that_is_set_up_by_half_is_told(bot: Bot, slack: SlackServer) -> None:
    (line,) = await slack_lines(with_slack(bot, slack, SLACK_APP_TOKEN=""))
    assert line.startswith("failed   slack: SLACK_APP_TOKEN is not set")


async def test_slack_that_cannot_be_reached_is_told(bot: Bot, slack: SlackServer) -> None:
    (line,) = await slack_lines(with_slack(bot, slack, SLACK_API_URL="http://127.0.0.1:9/api/"))
    assert line.startswith("failed   slack: Cannot reach Slack at http://127.0.0.1:9/api/")


async def places(bot: Bot, slack: SlackServer, text: str) -> tuple[str, str] | None:
    """What is said of the people and places in this team file."""
    bot.site.build()
    bot.site.write_team_file(bot.folder / "bot.toml")
    with (bot.folder / "bot.toml").open("a") as file:
        file.write(text)
    return findings(await with_slack(bot, slack).run("doctor", "--json")).get("people and places")


async def test_where_all_people_and_places_are_there_it_says_so(bot: Bot, slack: SlackServer) -> None:
    ana, ben = slack.workspace.user("ana"), slack.workspace.user("ben")
    deploys, secrets = slack.workspace.channel("deploys"), slack.workspace.channel("secrets")
    direct = slack.workspace.im("ana")
    found = await places(
        bot,
        slack,
        f"""
        [people.ana]
        slack = "{ana.id}"
        [[rule]]
        tool = "deploy"
        when.environment = "production"
        group = "team"
        ask = ["slack:{deploys.id}", "slack:{direct.id}", "members"]
        unverified = {{ ask = ["slack:{secrets.id}"] }}
        [schedules.monday]
        cron = "0 9 * * MON"
        time_zone = "UTC"
        agent = "deploy"
        place = "slack:{ben.id}"
        say = "Good morning."
        [routes]
        {deploys.id} = "deploy"
        """,
    )
    assert found == ("ok", "everything that the team file names in Slack exists: 5.")
    # With the scopes of manifest.yml, and nobody was bothered.
    asked = {call.method for call in slack.calls}
    assert asked == {"auth.test", "conversations.history", "users.info", "apps.connections.open"}
    assert all(call.ok for call in slack.calls)


async def test_channels_that_we_cannot_speak_in_are_told_with_what_to_do(bot: Bot, slack: SlackServer) -> None:
    random = slack.workspace.channel("random")
    hidden = slack.workspace.add_channel("hidden", kind="private", members=("ana",))
    found = await places(
        bot,
        slack,
        f"""
        [people.ana]
        slack = "{slack.workspace.user("ana").id}"
        [[rule]]
        tool = "deploy"
        when.environment = "production"
        group = "team"
        ask = ["slack:{random.id}"]
        unverified = {{ ask = ["slack:{hidden.id}"] }}
        [schedules.monday]
        cron = "0 9 * * MON"
        time_zone = "UTC"
        agent = "deploy"
        place = "slack:{random.id}"
        say = "Good morning."
        [routes]
        deploys = "deploy"
        "ops@example.com" = "deploy"
        """,
    )
    unknown = "is no channel, or a private one that I am not in: correct the id, or say `/invite @deploybot` there."
    assert found == (
        "failed",
        f"{random.id} (rule 2, schedules.monday) is a channel that I am not in: "
        "say `/invite @deploybot` there. "
        f"{hidden.id} (rule 2) {unknown} "
        f"deploys (routes) {unknown}",
    )


async def test_alerts_that_nobody_would_hear_are_told(bot: Bot, slack: SlackServer) -> None:
    random = slack.workspace.channel("random")
    (bot.folder / "bot.toml").write_text(f'alerts = "slack:{random.id}"\n')
    found = findings(await with_slack(bot, slack).run("doctor", "--json"))
    assert found["people and places"][0] == "failed"
    assert found["people and places"][1].startswith(f"{random.id} (alerts) is a channel that I am not in")


async def test_people_who_cannot_decide_in_slack_are_told(bot: Bot, slack: SlackServer) -> None:
    workspace = slack.workspace
    ana, robot = workspace.user("ana"), workspace.add_user("robot", is_bot=True)
    guest = workspace.change_user(workspace.add_user("guest"), is_guest=True)
    gone = workspace.change_user(workspace.add_user("gone"), deleted=True)
    ids = {"ana": ana.id, "robot": robot.id, "guest": guest.id, "gone": gone.id, "typo": "U0NOBODY"}
    team = "".join(f'[people.{key}]\nslack = "{user}"\n' for key, user in ids.items())
    assert await places(bot, slack, f"\n{team}") == (
        "failed",
        f"{robot.id} (people.robot) is an app: name a person. "
        f"{guest.id} (people.guest) is a guest, and only full members decide: "
        "take them out, or have them made one. "
        f"{gone.id} (people.gone) has left this workspace: take them out. "
        "U0NOBODY (people.typo) is not a member of this workspace: copy the member ID from their profile.",
    )


async def test_a_guest_may_be_told_things(bot: Bot, slack: SlackServer) -> None:
    guest = slack.workspace.change_user(slack.workspace.add_user("guest"), is_guest=True)
    found = await places(
        bot,
        slack,
        f"""
        [schedules.monday]
        cron = "0 9 * * MON"
        time_zone = "UTC"
        agent = "deploy"
        place = "slack:{guest.id}"
        say = "Good morning."
        """,
    )
    assert found == ("ok", "everything that the team file names in Slack exists: 1.")


async def test_what_slack_does_not_say_is_no_fault_of_the_team_file(bot: Bot, slack: SlackServer) -> None:
    ana, ben = slack.workspace.user("ana"), slack.workspace.user("ben")
    slack.fail("users.info", retry_after_seconds=30, when=lambda arguments: arguments["user"] == ana.id)
    team = f'\n[people.ana]\nslack = "{ana.id}"\n[people.ben]\nslack = "{ben.id}"\n'
    assert await places(bot, slack, team) == ("warning", f"{ana.id} (people.ana) was not checked: ratelimited.")


async def test_slack_that_hangs_keeps_nobody_waiting(slack: SlackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_check, "CHECK_SECONDS_MAX", 0.3)
    slack.hold("users.info")
    client = client_of(slack.bot_token, slack.api_url)
    me, _ = await identify(client)
    many = {f"U{number:04}": f"people.p{number}" for number in range(3 * slack_check.CALLS_AT_ONCE)}
    wrong, unsaid = await slack_check.unreachable(client, me, many, many)
    assert wrong == []
    assert unsaid == [f"{one} ({where}) was not checked: no answer in time." for one, where in many.items()]


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
        "EMAIL_DNS_SERVER": team_names().address,
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
    assert "supports IDLE" in lines[0]


async def test_the_mail_server_is_tested_for_whether_it_removes_what_is_forged(bot: Bot, mail: Light) -> None:
    mailing = with_mail(bot, mail, BOT_PUBLIC_URL="https://bot.team.example", EMAIL_ALLOWED_SENDERS="team.example")
    found = findings(await mailing.run("doctor", "--json"))
    assert "mail identity" not in found
    nothing_known = "There is no mail yet, so nothing is known of the names that our server writes."
    assert found["mail verdicts"] == ("ok", nothing_known)
    mailing.environment["EMAIL_AUTHSERV_ID"] = "mx.team.example, *.hoster.example"
    state, text = findings(await mailing.run("doctor", "--json"))["mail identity"]
    assert (state, "is not believed. The proof holds until" in text) == ("ok", True), text
    mail.removes_forged = False
    state, text = findings(await mailing.run("doctor", "--json"))["mail identity"]
    assert state == "failed"
    assert text.endswith("Until a test passes, replies by mail decide nothing; links do.")
    mail.refuse(address("deploybot"), "550 5.7.1 not to yourself")
    state, text = findings(await mailing.run("doctor", "--json"))["mail identity"]
    assert (state, "550 5.7.1 not to yourself" in text) == ("failed", True), text
    assert mail.mailbox("deploybot") == []


async def test_whether_the_dns_gives_the_keys_of_signatures_is_tried(bot: Bot, mail: Light) -> None:
    mailing = with_mail(bot, mail, EMAIL_ALLOWED_SENDERS="team.example")
    with NameServer(records()) as names:
        mailing.environment["EMAIL_DNS_SERVER"] = names.address
        text = f"{names.address} answers. There is no signed mail yet whose key it could be asked for."
        assert findings(await mailing.run("doctor", "--json"))["mail dns"] == ("ok", text)
        written = "From: Ana <ana@team.example>\nTo: deploybot@team.example\nSubject: Hello\n\nHello.\n"
        mail.deliver(signed(written.encode()), address("deploybot"), address("ana"))
        strange = written.replace("ana@team.example", "ana@elsewhere.example").encode()
        mail.deliver(signed(strange, "elsewhere.example"), address("deploybot"), "ana@elsewhere.example")
        text = f"{names.address} has the key of the newest signed mail: {where()}."
        assert findings(await mailing.run("doctor", "--json"))["mail dns"] == ("ok", text)
        assert set(names.asked) == {"_domainkey.team.example", where()}
        names.records = {}
        state, text = findings(await mailing.run("doctor", "--json"))["mail dns"]
        assert (state, f"has no key {where()}" in text) == ("warning", True), text
        names.is_silent = True
        state, text = findings(await mailing.run("doctor", "--json"))["mail dns"]
        assert (state, f"{names.address} gave no answer within 3 s" in text) == ("failed", True), text
        assert "no reply by mail decides" in text


async def test_what_mail_cannot_do_as_it_is_set_up_is_told(bot: Bot, mail: Light) -> None:
    lines = await mail_lines(with_mail(bot, mail))
    warnings = [line for line in lines if line.startswith("warning")]
    assert [line.split()[2] for line in warnings] == ["EMAIL_ALLOWED_SENDERS", "EMAIL_AUTHSERV_ID", "BOT_PUBLIC_URL"]


async def test_links_need_a_key_that_a_shared_redis_does_not_hold(bot: Bot, mail: Light) -> None:
    mailing = with_mail(bot, mail, REDIS_URL="redis://127.0.0.1:1")
    assert findings(await mailing.run("doctor", "--json"))["keys"] == (
        "failed",
        "BOT_SECRET_KEY is not set: it signs the links in mails, and the Redis of REDIS_URL must not hold it. "
        "Set it to what `openssl rand -hex 32` prints, the same for every process.",
    )
    assert "BOT_SECRET_KEY is not set" in (await mailing.run("run", "web")).err
    keyed = await mailing.run("doctor", "--json", BOT_SECRET_KEY="a-key-for-tests-0123456789")
    assert "keys" not in findings(keyed)


async def test_tokens_that_have_ended_are_told(bot: Bot) -> None:
    file, table = bot.folder / "bot.toml", '[tokens.{}]\nsha256 = "{}"\nscopes = ["read"]\nuntil = {}\n'
    good, gone = (hashlib.sha256(word).hexdigest() for word in (b"random", b"and random"))
    file.write_text(table.format("ci", good, "2099-01-01"))
    assert findings(await bot.run("doctor", "--json"))["tokens"] == ("ok", "ci")
    file.write_text(file.read_text() + table.format("old", gone, "2020-01-01"))
    state, told = findings(await bot.run("doctor", "--json"))["tokens"]
    assert (state, told) == (
        "warning",
        "tokens.old in the team file ended at 2020-01-02 00:00 UTC: make a new one, or take it out.",
    )


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


async def test_logins_that_are_kept_in_a_store_which_is_away_are_told_and_nothing_else_is_left_out(bot: Bot) -> None:
    mail = {"EMAIL_OAUTH": "microsoft", "EMAIL_OAUTH_CLIENT_ID": "1-2", "EMAIL_OAUTH_TENANT": "team.example"}
    rotated = {"SLACK_BOT_TOKEN": "xoxe.xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "SLACK_CLIENT_ID": "17.4"}
    rotated |= {"SLACK_CLIENT_SECRET": "hush", "SLACK_REFRESH_TOKEN": "xoxe-1"}
    bot.environment |= mail | rotated | {"EMAIL_ADDRESS": address("deploybot"), "REDIS_URL": "redis://127.0.0.1:1"}
    bot.environment["BOT_SECRET_KEY"] = "a-key-for-tests-0123456789"
    found = findings(await bot.run("doctor", "--json"))
    assert found["mail login"][0] == found["slack"][0] == "failed"
    assert found["mail login"][1].startswith("it is kept in the store, which is away: ")
    assert found["slack"][1].startswith("its tokens are kept in the store, which is away: ")
    assert found["webhook"][0] == "off"


# Webhooks


async def test_each_webhook_is_asked_with_a_ping_that_is_signed(bot: Bot) -> None:
    port = HeldPort()
    async with Receiver() as pager:
        urls = f"pager={pager.url} audit=http://127.0.0.1:{port.number}/in"
        found = findings(
            await bot.run(
                "doctor", "--json", WEBHOOK_URLS=urls, WEBHOOK_SECRETS=f"pager={pager.secret} audit={new_secret()}"
            )
        )
        assert found["webhook:pager"] == ("ok", f"{pager.url.split('/')[2]} took a signed ping.")
        assert pager.types == ["ping"]
        assert found["webhook:audit"][0] == "failed"
        assert found["webhook:audit"][1].endswith("or correct WEBHOOK_URLS.")
        half = findings(await bot.run("doctor", "--json", WEBHOOK_URLS=urls, WEBHOOK_SECRETS=f"pager={pager.secret}"))
        assert half["webhook"][0] == "failed"
        assert half["webhook"][1].startswith("WEBHOOK_SECRETS has no secret for audit: make one with ")
