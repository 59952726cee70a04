"""The secrets of hooks: from the environment alone, several while one is changed, and none that anybody guesses."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.hook_secrets import hook_secrets, variables_of
from bot.settings import Settings, misspelt
from bot.team.hooks import HookTable

ONE, TWO = "0123456789abcdef", "fedcba98765432100"
HOOKS = {"github": HookTable(), "shop-github": HookTable(kind="github")}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in variables_of(HOOKS):
        monkeypatch.delenv(variable, raising=False)


def test_each_hook_has_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOT_HOOK_GITHUB_SECRET", f"{ONE} {TWO}")
    (tmp_path / "secret").write_text("in-a-file-0123456789\n")
    monkeypatch.setenv("BOT_HOOK_SHOP_GITHUB_SECRET_FILE", str(tmp_path / "secret"))
    assert hook_secrets(Settings(), HOOKS) == (
        {"github": (ONE, TWO), "shop-github": ("in-a-file-0123456789",)},
        [],
    )
    assert misspelt(variables_of(HOOKS)) == []
    assert misspelt(variables_of(["github"])) == [
        "BOT_HOOK_SHOP_GITHUB_SECRET_FILE has no effect: bot.toml has no hook of that name."
    ]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("", TWO, "BOT_HOOK_GITHUB_SECRET is not set, so nobody could tell who posts to hooks.github: what you type"),
        ("  ", TWO, "BOT_HOOK_GITHUB_SECRET is not set"),
        ("short", TWO, "BOT_HOOK_GITHUB_SECRET must be 16 characters or more, 8 of them different"),
        ("a" * 40, TWO, "BOT_HOOK_GITHUB_SECRET must be 16 characters or more, 8 of them different"),
        (f"{ONE} short", TWO, "BOT_HOOK_GITHUB_SECRET must be 16 characters or more"),
        (" ".join(f"{ONE}{number}" for number in range(9)), TWO, "BOT_HOOK_GITHUB_SECRET holds 9 secrets"),
        (ONE, ONE, "BOT_HOOK_GITHUB_SECRET and BOT_HOOK_SHOP_GITHUB_SECRET hold the same secret: make one for each."),
    ],
)
def test_what_is_wrong_with_one_is_said_without_it(
    monkeypatch: pytest.MonkeyPatch, first: str, second: str, said: str
) -> None:
    monkeypatch.setenv("BOT_HOOK_GITHUB_SECRET", first)
    monkeypatch.setenv("BOT_HOOK_SHOP_GITHUB_SECRET", second)
    (problem,) = hook_secrets(Settings(), HOOKS).problems
    assert problem.startswith(said)
    assert not first.strip() or first not in problem
