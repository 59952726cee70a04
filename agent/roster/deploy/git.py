"""Runs git on one repository: read-only commands, with limits on time and output.

The repository's configuration is not trusted: it cannot start a program, and no object is fetched. No shell. Every
failure is a ToolError with one line to act on.
"""

from __future__ import annotations

import os
from pathlib import Path

from agent import ToolError
from agent.roster.deploy.deployers.process import Ended, one_line, run_bounded

GIT_SECONDS_MAX = 20.0
GIT_OUTPUT_BYTES_MAX = 8_000_000

# Everything that a repository's configuration could use to start a program or to falsify what is read.
_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.askPass=",
    "core.sshCommand=false",
    "core.abbrev=7",
    "credential.helper=",
    "protocol.allow=never",
    "log.showSignature=false",
    "gpg.program=false",
    "gpg.ssh.program=false",
    "gpg.x509.program=false",
    "diff.external=",
    "color.ui=false",
    "i18n.logOutputEncoding=UTF-8",
    "safe.directory=*",
)
_GIT = (
    *("git", "--no-pager", "--no-replace-objects", "--literal-pathspecs"),
    *(part for setting in _SETTINGS for part in ("-c", setting)),
)
_GIT_ENVIRONMENT = {
    "LC_ALL": "C",
    "HOME": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_GRAFT_FILE": "/dev/null",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # Else a partial clone would fetch missing objects, by any command.
}


class Git:
    """`path` is the top of a working tree or a bare repository; parent directories are not searched."""

    def __init__(self, path: Path, timeout_seconds: float = GIT_SECONDS_MAX) -> None:
        self.path = path
        self.timeout_seconds = timeout_seconds

    async def run(self, *arguments: str, stdin: bytes = b"", fails: int = 0) -> bytes:
        """What it printed. `fails`: an exit code that is no failure, either."""
        ended = await self._ended(*arguments, stdin=stdin)
        if ended.exit_code not in (0, fails):
            problem = one_line(ended.errors.strip().split(b"\n")[0].removeprefix(b"fatal: "), 200)
            if problem.lower().startswith("not a git repository"):
                raise ToolError(f"There is no git repository at {str(self.path)!r}.")
            raise ToolError(f"git {arguments[0]} failed: {problem or f'exit code {ended.exit_code}'}")
        return ended.output

    async def _ended(self, *arguments: str, stdin: bytes = b"") -> Ended:
        top = self._top()
        # Name the git directory, so that git neither searches parent directories nor checks the owner.
        where = ["-C", str(top), f"--git-dir={top / '.git' if (top / '.git').exists() else top}"]
        env = {"PATH": os.environ.get("PATH", os.defpath)} | _GIT_ENVIRONMENT
        try:
            ended = await run_bounded(
                [*_GIT, *where, *arguments],
                cwd="/",
                env=env,
                seconds=self.timeout_seconds,
                bytes_max=GIT_OUTPUT_BYTES_MAX,
                stdin=stdin,
            )
        except OSError as error:
            raise ToolError(f"git cannot be started on the bot's machine: {error.strerror}.") from None
        if ended.timed_out:
            raise ToolError(
                f"git {arguments[0]} took longer than {self.timeout_seconds:g} seconds in {str(self.path)!r}."
            )
        if ended.overflowed:
            raise ToolError(f"git {arguments[0]} printed more than {GIT_OUTPUT_BYTES_MAX:,} bytes. Ask for less.")
        return ended

    def _top(self) -> Path:
        top = self.path.expanduser().absolute()
        if not top.is_dir():
            raise ToolError(f"There is no git repository at {str(self.path)!r}.")
        return top
