"""A deploybot for each test, on a copy of the demo's site."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.roster.deploy.site_with_bot import Bot


@pytest.fixture
def bot(tmp_path: Path, template: Path) -> Bot:
    return Bot(tmp_path, template)
