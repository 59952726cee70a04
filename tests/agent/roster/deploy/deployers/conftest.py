"""A place for each test, in which nothing goes on afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.roster.deploy.deployers.runner import ALIVE, RESULT, STARTED, is_locked
from tests.agent.roster.deploy.deployers.place import Place
from tests.patience import wait_until


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for started in tmp_path.rglob(STARTED):
        processes = json.loads(started.read_bytes())
        if "group" in processes and not started.with_name(RESULT).exists():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(processes["group"], signal.SIGKILL)
    for alive in tmp_path.rglob(ALIVE):
        wait_until(lambda alive=alive: not is_locked(alive))  # type: ignore[misc]
