"""How a command says that it failed."""

from __future__ import annotations

import pytest
import typer

from bot import setup
from bot.cli import command
from bot.setup import Setup


async def nothing(_: Setup) -> None:
    pass


@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_bug_where_the_settings_are_read_is_shown_as_it_says(
    level: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object, **__: object) -> Setup:
        raise KeyError("oops")

    monkeypatch.setattr(setup, "load", load)
    monkeypatch.setenv("BOT_LOG_LEVEL", level)
    with pytest.raises(typer.Exit):
        command.run(nothing)
    err = capsys.readouterr().err
    assert ("Traceback" in err) == (level == "debug")
    assert ("A bug in this program (see above)" if level == "debug" else "BOT_LOG_LEVEL=debug shows where") in err
