"""What a list reads of the environment is what everything else reads, or is left to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.settings import environment
from bot.store_settings import DEFAULT, PlainSettings, plain_settings

FIELDS = ("redis_url", "bot_home", "bot_lease_seconds", "durable_before_acting")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.lower() in FIELDS or name.lower() == "redis_url_file":
            monkeypatch.delenv(name)


def test_nothing_set() -> None:
    assert plain_settings() == DEFAULT


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"REDIS_URL": ""},
        {"REDIS_URL": "redis://:p%2Fw@host:6379/3"},
        {"redis_url": "unix:///run/valkey.sock", "Bot_Home": "/var/lib/bot"},
        {"BOT_HOME": "~/bot", "BOT_LEASE_SECONDS": "7.5"},
        {"DURABLE_BEFORE_ACTING": "replica", "REDIS_URL": "rediss://host"},
    ],
)
def test_what_is_plain_is_read_as_the_settings_read_it(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    plain, (settings, problems, _) = plain_settings(), environment()
    assert problems == []
    assert plain == PlainSettings(
        settings.redis_url, settings.bot_home, settings.bot_lease_seconds, settings.durable_before_acting
    )


@pytest.mark.parametrize(
    "given",
    [
        {"REDIS_URL": "http://host"},
        {"REDIS_URL": "redis://host:port"},
        {"REDIS_URL": "redis://[::1"},
        {"REDIS_URL_FILE": "/run/secrets/redis"},
        {"BOT_LEASE_SECONDS": "soon"},
        {"BOT_LEASE_SECONDS": "nan"},
        {"BOT_LEASE_SECONDS": "0.5"},
        {"BOT_LEASE_SECONDS": "601"},
        {"DURABLE_BEFORE_ACTING": "paper"},
    ],
)
def test_what_is_not_plain_is_left_to_the_settings(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert plain_settings() is None
    if "REDIS_URL_FILE" not in given:
        assert environment().problems


def test_a_file_of_variables_is_left_to_the_settings() -> None:
    Path(".env").write_text("REDIS_URL=redis://elsewhere")
    assert plain_settings() is None
