"""The reference is what the code says, and has every setting and command once."""

from __future__ import annotations

import re

from bot.cli.main import COMMANDS
from bot.settings import Settings
from tests.docs.pages import DOCS
from tests.docs.reference import reference

PAGE = DOCS["reference"].text


def test_the_page_is_what_the_code_says() -> None:
    assert reference() == PAGE, "write it again: python -m tests.docs.reference"


def test_every_setting_is_named_once() -> None:
    named = re.findall(r"^\| `([A-Z_]+)`", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


def test_every_command_is_named_once() -> None:
    assert re.findall(r"^### bot ([a-z]+)$", PAGE, re.MULTILINE) == list(COMMANDS)
