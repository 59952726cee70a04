"""`[models]`: the default from the environment, others by agent, and everything that is wrong told at the start."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model.base import Image
from agent.model.choice import Models
from bot.app import model_of, model_problems, roster_problems
from bot.cli.doctor import examine
from bot.settings import Settings, misspelt
from bot.setup import Setup, load
from bot.team.problems import SettingsError
from tests.agent.model.endpoints import NOTHING, prompt
from tests.fakes.model_server import ModelServer, error

TeamFile = Callable[[str], None]
CHEAP = """
[models.cheap]
model = "small-1"
base_url = "https://llm.example.com/v1/"
api_key_env = "OTHER_KEY"
agents = ["rollback"]
price_in = 0.25
price_out = 2
"""


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and a default model in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper() in {field.upper() for field in Settings.model_fields}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_MODEL", "big-1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-default")
    monkeypatch.setenv("OTHER_KEY", "sk-other")


@pytest.fixture
def team_file(tmp_path: Path) -> TeamFile:
    def write(text: str) -> None:
        (tmp_path / "bot.toml").write_text(text)

    return write


def problems() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(roster_problems, model_problems)
    assert "sk-" not in str(caught.value)
    return caught.value.problems


async def models(setup: Setup) -> Models:
    async with model_of(setup) as found:
        return found


async def test_without_a_table_there_is_the_model_of_the_environment() -> None:
    found = await models(load(model_problems))
    assert [(name, option.model.name, option.timeout_seconds) for name, option in found.options.items()] == [
        ("default", "big-1", 90)
    ]
    assert found.options["default"].model.calls_max == 50


async def test_what_a_table_leaves_out_comes_from_the_environment(team_file: TeamFile) -> None:
    team_file('[models.default]\ntimeout = "2m"\nfallback = "cheap"\n[models.cheap]\nmodel = "small-1"\n')
    found = await models(load(model_problems))
    assert found.name == "big-1 (cheap: small-1)"
    assert (found.options["default"].timeout_seconds, found.options["default"].fallback) == (120, "cheap")


async def test_a_default_in_the_file_needs_none_in_the_environment(
    team_file: TeamFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_MODEL")
    team_file('[models.default]\nmodel = "big-2"\n')
    assert (await models(load(model_problems))).name == "big-2"


async def test_each_endpoint_gets_its_own_key_and_no_other(
    team_file: TeamFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with ModelServer(NOTHING) as default, ModelServer(NOTHING) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", default.url)
        monkeypatch.delenv("OTHER_KEY")
        (tmp_path / ".env").write_text("OTHER_KEY=sk-of-the-file\n")
        team_file(CHEAP.replace("https://llm.example.com/v1", other.url))
        async with model_of(load(model_problems)) as found:
            await found.answer(prompt(agent="rollback"))
            await found.answer(prompt(agent="deploy"))
    assert [server.headers[0]["Authorization"] for server in (default, other)] == [
        "Bearer sk-default",
        "Bearer sk-of-the-file",
    ]
    assert [server.requests[0]["model"] for server in (default, other)] == ["big-1", "small-1"]


async def test_a_model_is_asked_with_the_parameters_of_its_table(team_file: TeamFile) -> None:
    async with ModelServer(NOTHING) as server:
        own = f'temperature = "default"\noutput_tokens = 2_000\nextra = {{ seed = 7 }}\nbase_url = "{server.url}"'
        team_file(f'[models.default]\napi_key_env = "OTHER_KEY"\n{own}\n')
        async with model_of(load(model_problems)) as found:
            await found.answer(prompt(agent="deploy"))
    [asked] = server.requests
    assert (asked["max_tokens"], asked["seed"], "temperature" in asked) == (2_000, 7, False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[models.cheap]\nfallback = "default"', "models.cheap.model is missing."),
        (
            '[models.cheap]\nmodel = "m"\nprise_in = 2',
            "models.cheap.prise_in is not known here; did you mean price_in",
        ),
        ('[models]\ncheap = "m"', "models.cheap must be a table."),
        (
            '[models.default]\nfallback = "chaep"\n[models.cheap]\nmodel = "m"',
            "models.default.fallback: 'chaep' is no model; did you mean cheap?",
        ),
        ('[models.default]\nfallback = "default"', "models.default.fallback leads back to itself: default -> default."),
        (
            '[models.default]\nfallback = "a"\n[models.a]\nmodel = "m"\nfallback = "b"\n'
            '[models.b]\nmodel = "m"\nfallback = "a"',
            "models.a.fallback leads back to itself: a -> b -> a.",
        ),
        (
            '[models.cheap]\nmodel = "m"\nbase_url = "https://llm.example.com"',
            "models.cheap.api_key_env is missing: with a base_url of its own, name the variable that holds the key "
            "for it.",
        ),
        (
            '[models.cheap]\nmodel = "m"\nbase_url = "https://me:hunter2@llm.example.com"\napi_key_env = "OTHER_KEY"',
            "models.cheap.base_url must hold no password: name the variable with the key in `api_key_env`.",
        ),
        (
            '[models.cheap]\nmodel = "m"\nbase_url = "llm.example.com"',
            "models.cheap.base_url must be an http:// or https:// URL.",
        ),
        ('[models.default]\ntimeout = "90"', "must be a number and s, m, h or d"),
        ('[models.default]\ntimeout = "1h"', "models.default.timeout must be 600s at most."),
        ("[models.default]\nprice_in = 2", "models.default needs both price_in and price_out, or neither."),
        ("[models.default]\nprice_in = -2\nprice_out = 1", "models.default.price_in must be at least 0, not -2."),
    ],
)
def test_a_table_that_is_wrong_is_told(text: str, told: str, team_file: TeamFile) -> None:
    team_file(text)
    problem = problems()[0]
    assert told in problem
    assert "hunter2" not in problem


def test_one_agent_has_one_model_and_there_must_be_such_an_agent(team_file: TeamFile) -> None:
    team_file(f'{CHEAP}\n[models.other]\nmodel = "m"\nagents = ["rollback"]\n')
    assert problems() == [
        "bot.toml: models.other.agents names 'rollback', which models.cheap names already.",
        "models.cheap.agents in the team file: no agent is set up; add a table such as [agents.deploy].",
        "models.other.agents in the team file: no agent is set up; add a table such as [agents.deploy].",
    ]


def test_a_key_that_is_missing_is_told_by_its_name_wherever_it_is_used(
    team_file: TeamFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTHER_KEY")
    monkeypatch.delenv("OPENAI_API_KEY")
    team_file(f'{CHEAP}\n[models.local]\nmodel = "m"\n'.replace('agents = ["rollback"]', ""))
    assert problems() == [
        "OPENAI_API_KEY is not set: get it from your provider (any text for a local endpoint).",
        "OTHER_KEY, which the team file names, is not set: get it from your provider (any text for a local endpoint).",
    ]
    monkeypatch.setenv("OTHER_KEY", "sk-\N{ROCKET}")
    assert "OTHER_KEY contains characters that no key has: copy it again." in problems()


@pytest.mark.parametrize("name", ["SLACK_BOT_TOKEN", "BOT_SECRET_KEY", "bot_api_token", "REDIS_URL"])
def test_no_other_secret_of_the_program_is_sent_to_a_model(
    name: str, team_file: TeamFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name.upper(), "redis://sk-secret-of-another-kind")
    team_file(CHEAP.replace("OTHER_KEY", name).replace('agents = ["rollback"]', ""))
    told = f"models.cheap.api_key_env in the team file names {name}, which is no key for a model."
    assert told in problems()


@pytest.mark.parametrize(
    "name", ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "aws_access_key", "DEPLOY_SSH_KEY", "PGPASSWORD", "MONKEY", "KEY"]
)
def test_what_is_not_named_like_a_key_for_a_model_is_sent_to_none(
    name: str, team_file: TeamFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "sk-secret-of-another-kind")
    team_file(CHEAP.replace("OTHER_KEY", name).replace('agents = ["rollback"]', ""))
    assert problems() == [
        f"models.cheap.api_key_env in the team file names {name}, which may hold another secret: name a variable that "
        "ends in _API_KEY, such as CHEAP_API_KEY."
    ]


@pytest.mark.parametrize("name", ["MISTRAL_API_KEY", "llm_key", "SECRET_PROJECT_API_KEY"])
async def test_what_is_named_like_a_key_is_taken_for_one(
    name: str, team_file: TeamFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "sk-other")
    team_file(CHEAP.replace("OTHER_KEY", name).replace('agents = ["rollback"]', ""))
    assert "cheap" in (await models(load(model_problems))).options


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "openai_api_key"])
def test_the_key_of_the_default_endpoint_is_not_sent_to_another(name: str, team_file: TeamFile) -> None:
    team_file(CHEAP.replace("OTHER_KEY", name).replace('agents = ["rollback"]', ""))
    assert (
        "models.cheap.api_key_env in the team file names OPENAI_API_KEY, which is the key for https://api.openai.com, "
        "not for https://llm.example.com: name another variable, or set OPENAI_BASE_URL."
    ) in problems()


@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        ("https://llm.example.com/v1", True),
        ("https://LLM.example.com:443/v2/", True),
        ("http://llm.example.com/v1", False),
        ("https://llm.example.com:8443/v1", False),
        ("https://llm.example.com.evil.net/v1", False),
    ],
)
def test_the_same_endpoint_may_stand_in_the_team_file_too(
    url: str, is_taken: bool, team_file: TeamFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://llm.example.com/v1")
    team_file(f'[models.default]\nbase_url = "{url}"\napi_key_env = "OPENAI_API_KEY"\n')
    if is_taken:
        load(model_problems)
    else:
        assert "which is the key for https://llm.example.com" in problems()[0]


def test_the_name_of_a_key_is_no_misspelt_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEYS", "sk-1")
    assert misspelt() == ["OPENAI_API_KEYS is not known; did you mean OPENAI_API_KEY?"]
    assert misspelt({"OPENAI_API_KEYS"}) == []


async def test_a_model_that_looks_at_images_is_one_that_the_team_file_says_it_of(
    team_file: TeamFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def picture() -> str:
        return "data:image/png;base64,iVBORw0KGgo="

    async with ModelServer(NOTHING) as default, ModelServer(NOTHING) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", default.url)
        team_file(CHEAP.replace("https://llm.example.com/v1", other.url) + "images = true\n")
        async with model_of(load(model_problems)) as found:
            for agent in ("rollback", "deploy"):
                await found.answer(replace(prompt(agent=agent), images=(Image("3f2a9c81", picture),)))
    assert isinstance(default.requests[0]["messages"][1]["content"], str)
    assert other.requests[0]["messages"][1]["content"][-1]["type"] == "image_url"


async def test_doctor_asks_each_model_itself(team_file: TeamFile, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ModelServer(error(401)) as default, ModelServer(NOTHING, NOTHING) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", default.url)
        cheap = CHEAP.replace("https://llm.example.com/v1", other.url).replace('agents = ["rollback"]', "")
        team_file(f'{cheap}\n[models.default]\nfallback = "cheap"\n')
        found = {finding.what: finding async for finding in examine(load())}
    assert (found["model"].state, found["model cheap"].state) == ("failed", "ok")
    assert found["model"].text == "The endpoint does not accept the API key (401); check OPENAI_API_KEY."
    assert found["model cheap"].text.startswith("test-model-2026 answered in ")
    assert " (json_schema). " in found["model cheap"].text
    assert found["model cheap"].text.endswith(" A million tokens cost 0.25 in and 2 out.")


async def test_what_to_check_is_told_by_the_name_that_it_has_there(team_file: TeamFile) -> None:
    async with ModelServer(error(404), error(401)) as other:
        team_file(CHEAP.replace("https://llm.example.com/v1", other.url))
        async with model_of(load(model_problems)) as found:
            told = []
            for _ in range(2):
                with pytest.raises(Exception, match="check") as caught:
                    await found.answer(prompt(agent="rollback"))
                told.append(str(caught.value))
    assert told[0].startswith(
        "The endpoint found nothing there (404); check `model` of models.cheap in the team file (small-1) and "
        "`base_url` of models.cheap in the team file."
    )
    assert told[1] == "The endpoint does not accept the API key (401); check OTHER_KEY."


async def test_the_stand_in_needs_no_key_and_takes_the_place_of_every_model(
    team_file: TeamFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_MODEL", "stand-in")
    for name in ("OPENAI_API_KEY", "OTHER_KEY"):
        monkeypatch.delenv(name)
    team_file(f'{CHEAP}\n[models.default]\nmodel = "big-2"\nfallback = "cheap"\n')
    found = await models(load(model_problems))
    assert found.name == "stand-in (no model: it matches a few keywords)"
    assert [*found.options] == ["default"]
    answer = await found.answer(prompt(agent="rollback"))
    assert answer.model == "stand-in"
    finding = {finding.what: finding async for finding in examine(load())}["model"]
    assert (finding.state, "which is no model" in finding.text) == ("warning", True)


def test_the_stand_in_is_no_model_of_the_team_file(team_file: TeamFile) -> None:
    team_file(CHEAP.replace("small-1", "stand-in"))
    said = "bot.toml: models.cheap.model must be a model: stand-in is none, and only the variable OPENAI_MODEL sets it."
    assert said in problems()
