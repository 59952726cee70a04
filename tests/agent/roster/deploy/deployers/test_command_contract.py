"""The kind `command` keeps the promises of every deployer."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.roster.deploy.deployers.base import Deployer, Run
from tests.agent.roster.deploy.deployers.contract import DeployerContract, Stage
from tests.agent.roster.deploy.deployers.place import Place, open_gate, until

# Like GATED, but fails on demand.
SCRIPT = (
    'echo "$1" >> "$2/ran"; cat "$2/gate" > "$2/passed"; '
    '[ -e "$2/full" ] && { rm "$2/full"; echo no space left; exit 1; }; echo "$1" > "$2/now"'
)


class CommandStage(Stage):
    def __init__(self, place: Place) -> None:
        place.gated()  # For its gate.
        self.place = place

    def deployer(self) -> Deployer:
        return self.place.deployer(SCRIPT)

    async def let_end(self, run: Run, *, well: bool = True) -> None:
        if not well:
            (self.place.target / "full").touch()
        open_gate(self.place)

    def begun(self) -> list[str]:
        return self.place.ran()

    async def settle(self) -> None:
        await until(lambda: bool(self.place.ran()))


class TestCommand(DeployerContract):
    @pytest.fixture
    def stage(self, place: Place, tmp_path: Path) -> Stage:
        # Its programs are there, as `problems` wants them.
        return CommandStage(place)
