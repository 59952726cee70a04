"""The published schema of bot.toml: it is the one of the classes, takes every good file, and sees a wrong shape."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bot.cli.demo.site import Site
from bot.cli.first_file import FirstSite, agent_file, team_file
from bot.team import schema
from bot.team.adding import table_of
from tests.bot.team.shape import misfits
from tests.docs.pages import DOCS, README

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.toml"))
OF_A_WRONG_SHAPE = {
    *("callers-without-a-name", "context-that-is-too-small", "deploy-policy-of-a-free-tool", "ways-to-decide"),
    *("images-that-are-no-yes-or-no", "keys-that-nobody-knows", "lists-without-a-right-item", "temperature-in-words"),
    *("hooks-that-cannot-be-read", "tokens-that-cannot-be-read", "values-of-another-kind", "what-cannot-be-read"),
}
"""The others have the right shape: what is wrong with them, only the whole file and the agents tell."""
FIRST = FirstSite("shop", ("staging", "live"), "/srv/shop.git", ("d", "{sha}"), ("s",))
PUBLISHED: dict[str, Any] = json.loads(schema.FILE.read_text(encoding="utf-8"))


def demo(folder: Path) -> str:
    Site(folder / "site").write_team_file(folder / "bot.toml")
    return (folder / "bot.toml").read_text(encoding="utf-8")


def test_the_published_file_is_what_the_classes_say() -> None:
    assert schema.FILE.read_text(encoding="utf-8") == schema.text(), "run: python -m bot.team.schema"


def test_every_key_of_a_rule_is_described_where_the_class_does() -> None:
    rule = PUBLISHED["$defs"]["Rule"]["properties"]
    assert rule["quorum"]["description"] == "How many different people must approve. One rejection is enough."
    assert rule["expires"]["pattern"] == "^([0-9]{1,7})([smhd])$"
    assert "null" not in schema.text()


def test_it_takes_every_good_file(tmp_path: Path) -> None:
    parts = [body for page in DOCS.values() for body in page.blocks("toml") if body.startswith("# bot.toml\n")]
    assert parts
    good = [team_file(FIRST, "dex@here"), agent_file(table_of("disk"), "dex@here"), demo(tmp_path), "\n".join(parts)]
    good += README.blocks("toml")
    assert {text: found for text in good if (found := misfits(PUBLISHED, tomllib.loads(text)))} == {}


@pytest.mark.parametrize("file", WRONG, ids=lambda file: file.stem)
def test_it_sees_a_wrong_shape_and_no_more(file: Path) -> None:
    found = misfits(PUBLISHED, tomllib.loads(file.read_text(encoding="utf-8")))
    assert bool(found) == (file.stem in OF_A_WRONG_SHAPE), found


def test_the_list_of_wrong_shapes_has_no_other_name() -> None:
    assert {file.stem for file in WRONG} >= OF_A_WRONG_SHAPE
