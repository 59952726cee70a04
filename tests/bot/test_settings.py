"""What is set from outside: read once, everything that is wrong told at once, and no secret ever shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.roster import shipped
from bot.app import model_problems, roster_problems
from bot.settings import SECRETS, Settings, misspelt
from bot.setup import Setup, load
from bot.team.problems import SettingsError
from tests.fakes.oauth import OAuthServer
from tests.fakes.webhooks import new_secret
from tests.shop import Site
from tests.stories.program import Bot

SHIPPED = ", ".join(name for name in shipped() if name != "rollback")  # which shares a table
SECRET = "hunter2-is-my-secret"
KEY = new_secret()
RULE = "[[rule]]\ntool = 'deploy'\ngroup = 'a'\n"


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().removesuffix("_FILE") in {field.upper() for field in Settings.model_fields}:
            monkeypatch.delenv(name)


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_all


def problems(*checks: Callable[[Setup], list[str]]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(*checks)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert SECRET not in str(caught.value)
    return caught.value.problems


def of_model(setup: Setup) -> list[str]:
    return model_problems(setup)


def of_channels(setup: Setup) -> list[str]:
    return setup.settings.channel_problems()


def test_nothing_set_is_all_that_is_needed() -> None:
    setup = load(roster_problems)
    settings = setup.settings
    assert (settings.redis_url, settings.bot_home, setup.team.agents) == ("", Path(".bot"), {})
    assert not settings.has_model


def test_everything_wrong_is_told_at_once_and_no_secret_with_it(env: Callable[..., None]) -> None:
    env(
        REDIS_URL=f"ftp://user:{SECRET}@host",
        OPENAI_BASE_URL=f"{SECRET}.example",
        OPENAI_API_KEY=SECRET,
        BOT_CONCURRENCY="0",
        BOT_LEASE_SECONDS="soon",
        BOT_GRACE_SECONDS="nan",
        BOT_LOG_LEVEL="loud",
        BOT_CONFIG="none.toml",
    )
    assert problems(roster_problems, of_model) == [
        "REDIS_URL must begin with redis://, rediss:// or unix://.",
        "OPENAI_BASE_URL must be an http:// or https:// URL.",
        "BOT_CONCURRENCY must be at least 1, not '0'.",
        "BOT_LEASE_SECONDS must be a number, not 'soon'.",
        "BOT_GRACE_SECONDS must be at most 3600, not 'nan'.",
        "BOT_LOG_LEVEL must be debug, info, warning or error.",
        "BOT_CONFIG names 'none.toml', which does not exist.",
        "OPENAI_MODEL is not set: set it to the name of a model of your endpoint.",
    ]


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}/x@localhost",
        f"redis://:1{SECRET}?a@localhost",
        f"redis://localhost:{SECRET}",
        f"redis://[{SECRET}",
        f"redis://[::1]{SECRET}:a",
    ],
)
def test_a_password_that_is_not_escaped_is_not_shown(url: str, env: Callable[..., None]) -> None:
    env(REDIS_URL=url)
    assert problems() == ["REDIS_URL is not a URL; in a password, / ? # and @ are written %2F %3F %23 %40."]


def test_secrets_are_not_in_what_settings_print(env: Callable[..., None]) -> None:
    env(REDIS_URL=f"redis://:{SECRET}@localhost", OPENAI_API_KEY=SECRET, OPENAI_BASE_URL=f"https://a:{SECRET}@host/v1/")
    settings = load().settings
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    assert settings.openai_base_url.endswith("/v1")
    assert settings.openai_api_key.get_secret_value() == SECRET


def test_an_empty_variable_is_an_unset_one(env: Callable[..., None]) -> None:
    env(REDIS_URL="", BOT_CONCURRENCY="", BOT_CONFIG="", OPENAI_BASE_URL="")
    assert load().settings.bot_concurrency == 50


def test_a_key_that_cannot_be_one_is_told_before_anything_is_begun(env: Callable[..., None]) -> None:
    env(OPENAI_MODEL="m", OPENAI_API_KEY="sk-\N{ROCKET}")
    assert problems(of_model) == ["OPENAI_API_KEY contains characters that no key has: copy it again."]


# Files


def test_env_file_is_read_and_the_environment_is_stronger(tmp_path: Path, env: Callable[..., None]) -> None:
    (tmp_path / ".env").write_text('OPENAI_MODEL="from-file"\nBOT_CONCURRENCY=7 # a few\nUNKNOWN=1\n')
    env(BOT_CONCURRENCY="8")
    settings = load().settings
    assert (settings.openai_model, settings.bot_concurrency) == ("from-file", 8)


def test_an_env_file_that_cannot_be_read_is_told_with_the_rest(tmp_path: Path, env: Callable[..., None]) -> None:
    env(BOT_LOG_LEVEL="loud")
    file = tmp_path / ".env"
    file.write_bytes(b"OPENAI_API_KEY=\xff\xfe\n")
    assert problems()[0] == ".env cannot be read: it is not UTF-8 text."
    file.write_text(f'OPENAI_MODEL=m\nOPENAI_API_KEY="{SECRET}\n')
    assert problems() == [".env: line 2 is not NAME=value.", "BOT_LOG_LEVEL must be debug, info, warning or error."]


def test_what_is_wrong_in_an_env_file_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BOT_CONCURRENCY=many\n")
    assert problems() == ["BOT_CONCURRENCY must be a whole number, not 'many'."]


def test_home_is_understood(env: Callable[..., None], tmp_path: Path) -> None:
    env(HOME=str(tmp_path), BOT_HOME="~/bot")
    assert load().settings.bot_home == tmp_path / "bot"
    env(BOT_HOME="~nobody-has-this-name/bot")
    assert problems() == ["BOT_HOME begins with ~, but there is no home directory."]


def test_the_team_file_beside_us_is_read(tmp_path: Path, env: Callable[..., None]) -> None:
    (tmp_path / "bot.toml").write_text("[agents.deploy.components]\n")
    assert "deploy" in load().team.agents
    (tmp_path / "other.toml").write_text("")
    env(BOT_CONFIG="other.toml")
    assert load().team.agents == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a = [", "bot.toml is not valid TOML: "),
        (b"\xff\xfe", "bot.toml cannot be read: it is not UTF-8 text."),
        (
            b"colour = 'red'",
            "bot.toml: colour is not known here; known are agents, routes, email, slack, alerts, people, ",
        ),
        (b"agents = 3", "bot.toml: agents must be a table."),
        (b"[agents]\ndeploy = 3", "bot.toml: agents.deploy must be a table."),
        (b"a = " + b"[" * 5_000, "bot.toml"),
    ],
)
def test_a_team_file_that_is_wrong_is_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "bot.toml").write_bytes(content)
    (told,) = problems()
    assert told.startswith(problem)
    assert "\n" not in told


def test_a_team_file_that_is_a_folder_is_one_line(tmp_path: Path, env: Callable[..., None]) -> None:
    env(BOT_CONFIG=str(tmp_path))
    assert problems() == [f"{tmp_path} cannot be read: Is a directory."]


def test_everything_wrong_in_the_agents_tables_is_told_with_the_rest(tmp_path: Path, env: Callable[..., None]) -> None:
    env(BOT_LOG_LEVEL="loud")
    (tmp_path / "bot.toml").write_text(
        "[agents.gardener]\n[agents.rollback]\n[agents.deploy]\ncolour = 1\n[agents.deploy.components.backend]\n"
    )
    assert problems(roster_problems) == [
        "BOT_LOG_LEVEL must be debug, info, warning or error.",
        f"agents.gardener in the team file is not the name of an agent; the shipped ones are {SHIPPED}. Put your own "
        "agent into agents/gardener/ next to it, or name its `module`.",
        "agents.rollback in the team file has no effect: rollback uses [agents.deploy].",
        "agents.deploy.components.backend.targets in the team file is missing.",
        "agents.deploy.colour in the team file is not known here.",
    ]


def test_mail_that_is_wrong_is_told_at_once_and_no_password_with_it(env: Callable[..., None]) -> None:
    env(
        EMAIL_ADDRESS="Deploy Bot <bot@example.com>",
        IMAP_URL=f"imap://user:{SECRET}@mail.example.com/INBOX",
        SMTP_URL=f"smtps://user:{SECRET}@mail.example.com?verify=no",
        EMAIL_ALLOWED_SENDERS="example.com, *@example.org",
        BOT_PUBLIC_URL="http://bot.example.com",
        BOT_SECRET_KEY="short",
    )
    told = problems()
    assert [line.split()[0] for line in told] == [
        *("EMAIL_ADDRESS", "IMAP_URL", "SMTP_URL", "EMAIL_ALLOWED_SENDERS", "BOT_PUBLIC_URL", "BOT_SECRET_KEY")
    ]
    assert "in the clear" in told[1]
    assert "'*@example.org'" in told[3]
    assert "short" not in told[5]


def test_mail_that_is_set_up_by_half_names_what_is_missing(env: Callable[..., None]) -> None:
    env(IMAP_URL=f"imaps://user:{SECRET}@mail.example.com")
    assert [line.split()[0] for line in problems(of_channels)] == ["EMAIL_ADDRESS", "SMTP_URL"]
    env(EMAIL_ADDRESS="bot@example.com", SMTP_URL="smtp://mail.example.com?starttls=required")
    assert load(of_channels).settings.has_email


def test_where_alerts_go_is_a_place_that_there_is(tmp_path: Path) -> None:
    for text in ("slack", "slack:", "irc:x", "email:C0123", "slack:a@b.c"):
        (tmp_path / "bot.toml").write_text(f"alerts = {text!r}")
        (told,) = problems()
        assert told.startswith("bot.toml: alerts must be slack:CHANNEL_ID, email:ADDRESS, or webhook:")
    (tmp_path / "bot.toml").write_text("alerts = 'slack:C0123456789'")
    assert load().team.alerts == "slack:C0123456789"


def test_alerts_go_to_a_channel_that_is_set_up(tmp_path: Path) -> None:
    (tmp_path / "bot.toml").write_text("alerts = 'slack:C0123456789'")
    assert problems(roster_problems) == ["alerts in the team file names 'slack:C0123456789', and slack is not set up."]


# Keys, and secrets from files


MAIL = {
    "EMAIL_ADDRESS": "bot@example.com",
    "IMAP_URL": f"imaps://user:{SECRET}@mail.example.com",
    "SMTP_URL": "smtp://mail.example.com?starttls=required",
}


ROTATED = {
    "SLACK_BOT_TOKEN": "xoxe.xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "SLACK_CLIENT_ID": "17.4",
    "SLACK_CLIENT_SECRET": SECRET,
    "SLACK_REFRESH_TOKEN": "xoxe-1",
}


def test_what_rotated_tokens_need_is_told(env: Callable[..., None]) -> None:
    env(**ROTATED)
    assert of_channels(load()) == []
    env(**ROTATED, REDIS_URL="redis://localhost")
    (told,) = problems(of_channels)
    assert told.startswith("BOT_SECRET_KEY is not set: it encrypts Slack's tokens")


def test_the_settings_of_rotated_tokens_belong_together(env: Callable[..., None]) -> None:
    env(**ROTATED | {"SLACK_REFRESH_TOKEN": "", "SLACK_BOT_TOKEN": "xoxb-1"})
    (told,) = problems(of_channels)
    assert told.startswith("SLACK_CLIENT_ID, SLACK_CLIENT_SECRET and SLACK_REFRESH_TOKEN belong together")


def test_a_redis_of_ones_own_needs_a_key_that_is_not_in_it(env: Callable[..., None]) -> None:
    env(**MAIL, REDIS_URL="redis://localhost")
    (told,) = problems(of_channels)
    assert told.startswith("BOT_SECRET_KEY is not set: ")
    env(BOT_SECRET_KEY=SECRET)
    assert load(of_channels).settings.secret_keys == (SECRET,)


def test_without_mail_and_with_the_embedded_store_no_key_is_needed(env: Callable[..., None]) -> None:
    env(**MAIL)
    assert load(of_channels).settings.secret_keys == ()
    env(REDIS_URL="redis://localhost", IMAP_URL="", SMTP_URL="", EMAIL_ADDRESS="")
    assert load(of_channels).settings.secret_keys == ()


def test_two_keys_while_one_is_changed(env: Callable[..., None]) -> None:
    env(BOT_SECRET_KEY=SECRET, BOT_SECRET_KEY_BEFORE=f"before-{SECRET}")
    assert load(of_channels).settings.secret_keys == (SECRET, f"before-{SECRET}")
    env(BOT_SECRET_KEY="", BOT_SECRET_KEY_BEFORE=SECRET)
    assert problems(of_channels) == [
        "BOT_SECRET_KEY_BEFORE has no effect without BOT_SECRET_KEY, the key that signs now."
    ]
    env(BOT_SECRET_KEY=SECRET)
    assert problems(of_channels) == ["BOT_SECRET_KEY_BEFORE has no effect: it is the same key as BOT_SECRET_KEY."]
    env(BOT_SECRET_KEY_BEFORE="short")
    assert problems()[0].startswith("BOT_SECRET_KEY_BEFORE must have 16 characters or more")


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_every_secret_may_come_from_a_file(name: str, tmp_path: Path, env: Callable[..., None]) -> None:
    value = {
        "redis_url": f"redis://:{SECRET}@localhost",
        "openai_base_url": f"https://a:{SECRET}@host/v1",
        "slack_api_url": "https://slack.example/api",
        "imap_url": f"imaps://user:{SECRET}@mail.example.com",
        "smtp_url": f"smtps://user:{SECRET}@mail.example.com",
        "email_oauth_service_account": OAuthServer().service_account(),
        "webhook_urls": "pager=https://x.example",
        "webhook_secrets": f"pager={KEY}",
    }.get(name, SECRET)
    (tmp_path / "secret").write_text(f"{value}\n")
    env(**{f"{name.upper()}_FILE": str(tmp_path / "secret")})
    settings = load().settings
    assert settings.variable(name.upper()) == value
    assert SECRET not in repr(settings)
    assert misspelt() == []


def test_a_secret_from_a_file_is_checked_like_any_other(tmp_path: Path, env: Callable[..., None]) -> None:
    (tmp_path / "secret").write_text("short\r\n\n")
    env(BOT_SECRET_KEY_FILE="secret")
    assert problems()[0].startswith("BOT_SECRET_KEY must have 16 characters or more")


@pytest.mark.parametrize("name", ["BOT_API_TOKEN", "BOT_SECRET_KEY", "BOT_SECRET_KEY_BEFORE"])
def test_a_secret_that_somebody_typed_is_refused(name: str, env: Callable[..., None]) -> None:
    for typed in ("t" * 32, "test" * 8, "0123456" * 4, "hunter2"):
        env(**{name: typed})
        told = "must have 16 characters or more, 8 of them different, such as `openssl rand -hex 32` prints."
        assert problems()[0] == f"{name} {told}"


def test_two_values_of_one_secret_are_refused(tmp_path: Path, env: Callable[..., None]) -> None:
    (tmp_path / "secret").write_text(SECRET)
    env(BOT_API_TOKEN=SECRET, BOT_API_TOKEN_FILE="secret")
    assert problems() == ["BOT_API_TOKEN and BOT_API_TOKEN_FILE are both set: leave one of them out."]
    env(BOT_API_TOKEN="")
    (tmp_path / ".env").write_text(f"BOT_API_TOKEN={SECRET}\n")
    assert problems() == ["BOT_API_TOKEN and BOT_API_TOKEN_FILE are both set: leave one of them out."]


def test_files_of_secrets_that_cannot_be_read_are_told_together(tmp_path: Path, env: Callable[..., None]) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "long").write_text(SECRET * 10_000)
    env(
        BOT_API_TOKEN_FILE="nowhere",
        BOT_SECRET_KEY_FILE=".",
        IMAP_URL_FILE="empty",
        OPENAI_API_KEY_FILE="bytes",
        SLACK_BOT_TOKEN_FILE="long",
    )
    assert problems() == [
        "BOT_API_TOKEN_FILE names 'nowhere', which cannot be read: No such file or directory.",
        "BOT_SECRET_KEY_FILE names '.', which cannot be read: Is a directory.",
        "IMAP_URL_FILE names 'empty', which is empty.",
        "OPENAI_API_KEY_FILE names 'bytes', which cannot be read: it is not UTF-8 text.",
        "SLACK_BOT_TOKEN_FILE names 'long', which has more than 64,000 bytes.",
    ]


def test_the_key_of_a_model_that_the_team_file_names_may_come_from_a_file(
    tmp_path: Path, env: Callable[..., None]
) -> None:
    team_file("[models.default]\nmodel = 'm'\nbase_url = 'https://x.example'\napi_key_env = 'CHEAP_API_KEY'\n")
    env(CHEAP_API_KEY_FILE="nowhere")
    assert problems(of_model) == [
        "CHEAP_API_KEY_FILE names 'nowhere', which cannot be read: No such file or directory."
    ]
    (tmp_path / "nowhere").write_text(f"{SECRET}\n")
    assert load(of_model).settings.variable("CHEAP_API_KEY") == SECRET


def test_what_is_no_secret_does_not_come_from_a_file(env: Callable[..., None]) -> None:
    env(OPENAI_MODEL_FILE="model")
    assert load().settings.openai_model == ""
    assert misspelt() == ["OPENAI_MODEL_FILE is not known; did you mean OPENAI_MODEL?"]


# Webhooks


def test_webhooks_that_are_set_up_by_half_name_all_that_is_missing(env: Callable[..., None]) -> None:
    env(WEBHOOK_URLS="pager=https://x.example audit=https://y.example", WEBHOOK_SECRETS=f"audit={KEY} other={KEY}")
    assert [line.partition(":")[0] for line in problems(of_channels)] == [
        "WEBHOOK_SECRETS has no secret for pager",
        "WEBHOOK_URLS has no URL for other",
    ]
    assert list(load().settings.webhooks) == ["audit"]
    env(WEBHOOK_URLS=f"pager=http://x.example/{SECRET} audit=https://y.example", WEBHOOK_SECRETS=f"audit={SECRET}")
    assert [line.partition(",")[0] for line in problems(of_channels)] == [
        "WEBHOOK_URLS needs for pager https://",
        "WEBHOOK_SECRETS needs for audit whsec_ and 24 to 64 random bytes in base64",
    ]


def test_webhooks_print_no_secret(env: Callable[..., None]) -> None:
    env(WEBHOOK_URLS=f"pager=https://x.example/{SECRET}", WEBHOOK_SECRETS=f"pager={KEY}")
    settings = load(of_channels).settings
    assert SECRET not in f"{settings!r} {settings.webhooks!r}"
    assert KEY not in f"{settings!r} {settings.webhooks!r}"


def test_a_webhook_that_there_is_not_is_told_with_the_nearest(env: Callable[..., None]) -> None:
    env(WEBHOOK_URLS="pager=https://x.example audit=https://y.example", WEBHOOK_SECRETS=f"pager={KEY} audit={KEY}")
    text = (
        "alerts = '{0}'\n[schedules.nightly]\ncron = '0 9 * * *'\ntime_zone = 'UTC'\nplace = '{0}'\nsay = 'x'\n"
        "agent = 'deploy'\n[agents.deploy]\n[[rule]]\ntool = '*'\ngroup = 'anyone'\nask = ['{0}']\n"
    )
    team_file(text.format("webhook:pagr"))
    told = [line for line in problems(roster_problems) if "webhook" in line]
    assert told == [
        f"{where} names 'webhook:pagr', and 'pagr' is no webhook that is set up; did you mean pager?"
        for where in (
            *("schedules.nightly in the team file", "alerts in the team file"),
            "rule 1 (*) in the team file: ask",
        )
    ]
    team_file(text.format("webhook:pager"))
    assert [line for line in problems(roster_problems) if "webhook" in line] == []


def test_where_no_webhook_is_set_up_that_is_what_is_told() -> None:
    team_file("alerts = 'webhook:pager'")
    assert problems(roster_problems) == ["alerts in the team file names 'webhook:pager', and webhook is not set up."]


# Who may approve what


def team_file(text: str) -> Path:
    path = Path("bot.toml")
    path.write_text(text)
    return path


def test_people_policies_and_hours_are_read() -> None:
    team_file(
        "[people.dex]\nname = 'Dex Example'\nemails = ['Dex@example.com']\ngroups = ['release']\n"
        "[[rule]]\ntool = 'deploy'\nwhen.environment = 'production'\ngroup = 'release'\n"
        "unverified = { quorum = 2 }\n"
        "[hours]\ntime_zone = 'Europe/Berlin'\nfrom = 09:00:00\nto = '18:00'\n"
    )
    team = load().team
    assert (team.people["dex"].name, team.people["dex"].emails) == ("Dex Example", ("dex@example.com",))
    assert team.rule[0].deciders(unverified=True).quorum == 2
    assert str(team.business_hours.zone) == "Europe/Berlin"


def test_without_hours_people_are_there_always() -> None:
    assert load().team.business_hours.zone is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[rule]\ntool = 'deploy'\ngroup = 'a'", "rule must be a list of tables: write [[rule]], with two brackets"),
        ("[[rule]]\ntool = 'deploy'", "rule 1.group is missing."),
        ("[[rule]]\ngroup = 'a'", "rule 1.tool is missing."),
        ("[[rule]]\ntool = '**'\ngroup = 'a'", "rule 1.tool must be \"*\" for every tool, not '**'."),
        ("[[rule]]\ntool = 'deploy'\ngroup = ''", "rule 1.group must not be empty."),
        (f"{RULE}quorom = 2", "rule 1.quorom is not known here; did you mean quorum?"),
        (f"{RULE}quorum = 0", "rule 1.quorum must be at least 1"),
        (f"{RULE}remind = '2 hours'", "rule 1.remind must be a number and s, m, h"),
        (f"{RULE}expires = '200d'", "rule 1.expires must be 90d at most, not '200d'."),
        (f"{RULE}when = {{ environment = '*' }}", "rule 1.when.environment restricts nothing: leave it out"),
        (f"{RULE}when = {{ amount = '<= ten' }}", "rule 1.when.amount must compare with a number, such as"),
        (
            f"{RULE}when = {{ amount = nan }}",
            "rule 1.when.amount must be a number of at most 15 digits.",
        ),
        (f"{RULE}when = {{ amount = ['a'] }}", "rule 1.when.amount must be a text, a number, true or false"),
        (f"{RULE}unverified = {{ stand = 1 }}", "rule 1.unverified.stand is not known"),
        (f"{RULE}standing = {{ group = 'a' }}", "rule 1.standing.max is missing."),
        (
            "[people.Dex]",
            "people holds 'Dex', which must consist of lower-case letters, digits, . _ and -, and not api.",
        ),
        ("[people.dex]\nslack = 'dex'", "people.dex.slack must be a Slack member ID, such as U0123456, not 'dex': "),
        ("[hours]\ntime_zone = 'Berlin'\nfrom = '09:00'\nto = '18:00'", "hours.time_zone 'Berlin' is no time zone; "),
        ("[hours]\ntime_zone = 'UTC'\nfrom = 9\nto = '18:00'", "hours.from must be like 09:00."),
        (
            "[hours]\ntime_zone = 'UTC'\ndays = 'mon'\nfrom = '09:00'\nto = '18:00'",
            "hours.days must be a list, such as",
        ),
        ("[people.dex]\nemail = 'a@example.com'", "people.dex.email is not known here; did you mean emails?"),
        ("[people.dex]\ngroups = 'release'", 'people.dex.groups must be a list, such as ["one", "two"].'),
        ("people = 3", "people must be a table."),
        (f"{RULE}unverified = {{ max = 0 }}", "rule 1.unverified.max is not known here."),
        ("[[rule]]\ntool = 'hours'\ngroup = 3", "rule 1.group must be text, in quotes."),
        ("[hours]\ntime_zone = 'UTC'\nfrom = '22:00'\nto = '06:00'", "hours from must be at least an hour before to"),
        ("[hours]\ntime_zone = 'UTC'\nto = '06:00'", "hours.from is missing."),
        (
            f"[people.dex]\napi_token_sha256 = {SECRET!r}",
            'people.dex: a token has a table of its own, [tokens.NAME] with owner = "dex".',
        ),
    ],
)
def test_who_may_approve_what_is_one_line_where_it_is_wrong(text: str, problem: str) -> None:
    team_file(text)
    (told,) = problems()
    assert told.startswith(f"bot.toml: {problem}")


def test_wrong_names_in_policies_are_told_with_everything_else(env: Callable[..., None]) -> None:
    env(BOT_LOG_LEVEL="loud", SLACK_BOT_TOKEN="xoxb-1")
    team_file(
        "[agents.gardener]\n[people.dex]\ngroups = ['release']\n"
        "[[rule]]\ntool = 'deploy'\nwhen.environment = 'production'\ngroup = 'relaese'\n"
        "ask = ['slack:C0123', 'email:a@example.com']\n"
    )
    assert problems(roster_problems) == [
        "BOT_LOG_LEVEL must be debug, info, warning or error.",
        f"agents.gardener in the team file is not the name of an agent; the shipped ones are {SHIPPED}. Put your own "
        "agent into agents/gardener/ next to it, or name its `module`.",
        "rule 1 (deploy) in the team file: 'relaese' is no group that somebody is in; did you mean release?",
        "rule 1 (deploy) in the team file: ask names 'email:a@example.com', and email is not set up.",
    ]


def test_a_tool_and_its_scopes_are_those_of_the_agents_that_are_set_up(template: Path) -> None:
    file = Path("bot.toml")
    Site(template).write_team_file(file)
    site = file.read_text().partition("[[rule]]")[0].partition("[people")[0]
    team_file(
        f"{site}\n[people.dex]\n[[rule]]\ntool = 'deploi'\nwhen.environment = 'production'\ngroup = 'team'\n"
        "[[rule]]\ntool = 'rollback'\nwhen.environment = 'prodution'\ngroup = 'team'\n"
        "[[rule]]\ntool = 'list_git_tags'\nwhen.environment = 'x'\ngroup = 'team'\n"
    )
    assert problems(roster_problems) == [
        "rule 1 (deploi) in the team file: 'deploi' is no tool; did you mean deploy?",
        "rule 2 (rollback) in the team file: 'prodution' is no environment of rollback; did you mean production?",
        "rule 3 (list_git_tags) in the team file: list_git_tags only looks, so its calls never wait for anybody; those "
        "that act are deploy, rollback, release_target.",
    ]


MISTAKES = """
alerts = "irc:ops"
colour = "red"

[agents.deploi]

[agents.deploy.components.backend]
repository = "/srv/backend"
commit_url = "https://git.example/{commit}"
[agents.deploy.components.backend.targets.production]
deploy = ["./deploy.sh", "{tag}", "{who}"]
status = ["./status.sh", "{sha}"]
url = "https://ci.example/{run}"
timeout_seconds = 0

[routes]
C0123 = "rolback"
C0124 = "deploy"

[people.dex]
slack = "@dex"
emails = ["dex@example.com", "Dex <dex@example.org>", "not an address"]
groups = "release"
[people.ana]
emails = ["dex@example.com"]
email = "ana@example.com"
[people.Zoe]

[hours]
time_zone = "Europe/Berln"
days = ["mon", "tuesday"]
from = "9am"
to = "18:00"

[[rule]]
tool = "deploy"
gruop = "release"
[[rule]]
tool = "deploy"
when.environment = "production"
group = "relase"
quorum = 2
then = "leeds"
remind = "soon"
widen = "1h"
ask = "slack:C0123"
unverified = { group = "nobodies" }
standing = { group = "laeds", length = "8h" }
[[rule]]
tool = "rollback"
when.environment = "production"
quorum = "two"
then = "somebody"
widen = "1h"
[[rule]]
tool = "*"
when.environment = "staging"
group = "relase"
quorum = 2

[schedules."a/b"]
cron = "0 0 31 2 *"
agent = "deply"
say = "x"
ask = "y"
often = true
[schedules.nightly]
cron = "daily"
time_zone = "Mars"
place = "slack:#general"
task = "look"
[schedules.weekly]
cron = "0 9 * * MON"
time_zone = "UTC"
place = "email:a@example.com"
"""


# The beginnings of what is told: nothing that only follows from another mistake is among it.
TOLD = """
bot.toml: alerts must be slack:CHANNEL_ID, email:ADDRESS, or webhook:ENDPOINT.
bot.toml: people.dex.slack must be a Slack member ID, such as U0123456, not '@dex'
bot.toml: people.dex.emails.1 must be one plain address
bot.toml: people.dex.emails.2 must be one plain address
bot.toml: people.dex.groups must be a list
bot.toml: people.ana.email is not known here; did you mean emails?
bot.toml: rule 1.group is missing.
bot.toml: rule 1.gruop is not known here; did you mean group?
bot.toml: rule 2.remind must be a number and s, m, h or d, such as 30m, 4h or 2d
bot.toml: rule 2.ask must be a list
bot.toml: rule 2.standing.max is missing.
bot.toml: rule 2.standing.length is not known here.
bot.toml: rule 3.group is missing.
bot.toml: rule 3.quorum must be a whole number without quotes, not 'two'.
bot.toml: hours.time_zone 'Europe/Berln' is no time zone; did you mean Europe/Berlin?
bot.toml: hours.days.1 must be 'mon', 'tue', 'wed'
bot.toml: hours.from must be like 09:00.
bot.toml: schedules.a/b.cron must be due at some time, but '0 0 31 2 *' never is.
bot.toml: schedules.a/b.time_zone is missing.
bot.toml: schedules.a/b.place is missing.
bot.toml: schedules.a/b.often is not known here.
bot.toml: schedules.nightly.cron must have five fields
bot.toml: schedules.nightly.time_zone 'Mars' is no time zone
bot.toml: schedules.nightly.place must be slack:
bot.toml: colour is not known here; known are agents, routes
bot.toml: people holds 'Zoe', which must consist of lower-case letters
bot.toml: people must not overlap: dex and ana both claim dex@example.com.
agents.deploi in the team file is not the name of an agent; did you mean deploy?
agents.deploy.components.backend.commit_url in the team file: unknown placeholder {commit}; known are sha.
agents.deploy.components.backend.targets.production.deploy in the team file: unknown placeholder {tag}, {who}; known
agents.deploy.components.backend.targets.production.status in the team file: unknown placeholder {sha}; known
agents.deploy.components.backend.targets.production.timeout_seconds in the team file must be more than 0, not 0.
agents.deploy.components.backend.targets.production.url in the team file: unknown placeholder {run}; known
routes.C0123 in the team file: 'rolback' is no agent that is set up; did you mean rollback?
schedules in the team file holds 'a/b', which must consist of lower-case letters, digits, - and _.
schedules.a/b in the team file must have exactly one of say, ask, task, opening.
schedules.a/b in the team file: 'deply' is no agent that is set up; did you mean deploy?
schedules.weekly in the team file must have exactly one of say, ask, task, opening.
schedules.weekly in the team file names 'email:a@example.com', and email is not set up.
rule 2 (deploy) in the team file: 'relase' is no group that somebody is in; did you mean release?
rule 2 (deploy) in the team file: 'leeds' is no group that somebody is in; known are release, team,
rule 2 (deploy) in the team file: ask names 'slack:C0123', and slack is not set up.
rule 2 (deploy) in the team file, unverified: 'nobodies' is no group that somebody is in
rule 2 (deploy) in the team file, standing: 'laeds' is no group that somebody is in
rule 3 (rollback) in the team file: 'somebody' is no group that somebody is in
rule 4 (*) in the team file: 'relase' is no group that somebody is in; did you mean release?
rule 4 (*) in the team file: quorum is 2, but 1 person is in release.
""".strip()


def test_every_mistake_in_the_team_file_is_told_in_a_single_start() -> None:
    team_file(MISTAKES)
    for told, expected in zip(problems(roster_problems), TOLD.splitlines(), strict=True):
        assert told.startswith(expected)
        assert told.endswith((".", "?"))


def test_where_no_agent_is_set_up_it_is_told_how() -> None:
    team_file("[routes]\nC1 = 'rolback'\n")
    assert problems(roster_problems) == [
        "routes.C1 in the team file: no agent is set up; add a table such as [agents.deploy]."
    ]


def test_a_name_that_was_mistyped_is_noticed(env: Callable[..., None]) -> None:
    env(BOT_CONCURENCY="5", REDIS_URI="redis://x", OPENAI_ORGANIZATION="mine", BOT_ANY="thing")
    assert misspelt() == [
        "BOT_CONCURENCY is not known; did you mean BOT_CONCURRENCY?",
        "REDIS_URI is not known; did you mean REDIS_URL?",
    ]


@pytest.mark.slow
async def test_a_command_tells_them_all_and_does_nothing(tmp_path: Path) -> None:
    bot = Bot(tmp_path)
    (tmp_path / ".env").write_text(f"BOT_LOG_LEVEL=loud\nOPENAI_API_KEY={SECRET}\n")
    for command in (("threads", "--json"), ("run",), ("doctor", "--json"), ("demo",), ("send", "hi", "--json")):
        result = await bot.run(*command, BOT_CONCURRENCY="0")
        assert (result.code, result.out) == (1, "")
        lines = result.err.splitlines()
        if command == ("run",):
            lines = [json.loads(line)["text"] for line in lines]
        assert lines[:2] == [
            "BOT_CONCURRENCY must be at least 1, not '0'.",
            "BOT_LOG_LEVEL must be debug, info, warning or error.",
        ]
        assert ("OPENAI_MODEL" in result.err) == (command[0] == "run")
        assert SECRET not in result.err
    assert not bot.home.exists()


@pytest.mark.slow
async def test_it_runs_without_a_home_and_without_a_name(tmp_path: Path) -> None:
    bot = Bot(tmp_path)
    environment = {"PATH": os.environ["PATH"]}
    bot.env = lambda **changes: environment | changes  # type: ignore[method-assign]
    assert (await bot.run("threads", "--json")).succeeded().document == []
    await bot.nothing_is_left()
