"""Runs the end-to-end tests of an environment, with a time limit. Judges nothing but the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent import ToolError
from agent.roster.deploy.deployers.process import (
    OUTPUT_READ_BYTES,
    command_environment,
    last_lines,
    one_line,
    run_bounded,
    why_not,
)
from agent.roster.deploy.fields import filled

END_TO_END_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Checked:
    environment: str
    passed: bool
    exit_code: int
    note: str
    output: str
    """The last lines."""


class EndToEnd:
    """The end-to-end tests of each environment: `EnvironmentConfig.test`, run in `cwd`."""

    def __init__(
        self, commands: Mapping[str, Sequence[str]], *, cwd: Path, timeout_seconds: float = END_TO_END_SECONDS
    ) -> None:
        self._commands = commands
        self._cwd = str(cwd.expanduser().absolute())
        self._timeout_seconds = timeout_seconds

    async def check(self, environment: str) -> Checked:
        """Run the tests. Raises ToolError if they cannot be run; failing tests are a result."""
        if not self._commands.get(environment):
            raise ToolError(
                f"No end-to-end tests are configured for {one_line(environment, 60)!r}, so nothing was tested. "
                "That is no failure of a deployment."
            )
        command = [filled(argument, {"environment": environment}) for argument in self._commands[environment]]
        try:
            ended = await run_bounded(
                command,
                cwd=self._cwd,
                env=command_environment({}),
                seconds=self._timeout_seconds,
                bytes_max=OUTPUT_READ_BYTES,
                merged=True,
            )
        except OSError as error:
            raise ToolError(f"The end-to-end tests cannot be started: {why_not(error)}.") from None
        if ended.timed_out:
            note = f"Stopped after {self._timeout_seconds:g} seconds, their time limit."
        else:
            note = f"Exit code {ended.exit_code}." if ended.exit_code else ""
        passed = ended.exit_code == 0 and not ended.timed_out
        return Checked(environment, passed, ended.exit_code, note, last_lines(ended.output))
