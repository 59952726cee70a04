"""A site on this disk that can be deployed to for real: git repositories with commits and tags, and targets.

A deployment is a release folder, exported from git at exactly one commit, and a `current` link to it. It writes only to
its own folder, and ignores the user's git configuration.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from bot.cli.demo.layout import DEMO, Commit, Layout

_DEPLOY = """#!/bin/sh
# deploy COMPONENT ENVIRONMENT SHA BY: export the component at that commit and point `current` at it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=$here/targets/$2/$1
release=$target/releases/$3
if [ ! -d "$release" ]; then
  echo "exporting $1 at $3"
  rm -rf "$release.partial"
  mkdir -p "$release.partial"
  git -C "$here/of/$1" archive "$3" "$1" | tar -x -C "$release.partial"
  mv "$release.partial" "$release"
fi
printf '{"sha": "%s", "by": "%s", "since": "%s"}\\n' "$3" "$4" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \\
  > "$release/DEPLOYED.new"
mv "$release/DEPLOYED.new" "$release/DEPLOYED"
ln -sfn "releases/$3" "$target/current"
echo "$1 $2 $3 $4" >> "$here/deployments.log"
echo "$1 at $3 is live on $2"
"""
_STATUS = """#!/bin/sh
# status COMPONENT ENVIRONMENT: what runs there, in one line of JSON; nothing where nothing does.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
deployed=$here/targets/$2/$1/current/DEPLOYED
if [ -f "$deployed" ]; then cat "$deployed"; fi
"""
_CHECK = """#!/bin/sh
# end-to-end ENVIRONMENT: does what runs there work together?
set -eu
here=$(cd "$(dirname "$0")" && pwd)
live=$here/targets/$1
"""


class Site:
    """The files of a site under one folder."""

    layout: Layout = DEMO

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()

    @property
    def repository(self) -> Path:
        """The first one."""
        return self._repository(next(iter(self.layout.repositories)))

    @property
    def version(self) -> str:
        """Changes with everything that a site is built from."""
        parts = (repr(self.layout), _DEPLOY, _STATUS, _CHECK)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def build(self) -> None:
        """Rebuild everything, as the layout says that it begins."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        for name, text in (("deploy", _DEPLOY), ("status", _STATUS), ("end-to-end", _CHECK + self.layout.check)):
            script = self.home / name
            script.write_text(text)
            script.chmod(0o755)
        for name, history in self.layout.repositories.items():
            self._commit(name, history)
        (self.home / "of").mkdir()
        for component, repository in self.layout.components.items():
            (self.home / "of" / component).symlink_to(Path("..") / f"{repository}.git")
        for environment, component, tag in self.layout.begins_with:
            self.deploy(component, environment, tag)

    def deploy(self, component: str, environment: str, revision: str) -> None:
        """As a person of the team would."""
        subprocess.run(
            [self.home / "deploy", component, environment, self.sha(revision, component), "Lin Berg"],
            check=True,
            stdout=subprocess.DEVNULL,
            env=_environment(),
        )

    def sha(self, revision: str, component: str = "") -> str:
        """The full SHA of a revision, in the component's repository or the first one."""
        repository = self._repository(self.layout.components[component]) if component else self.repository
        done = subprocess.run(
            ["git", "-C", str(repository), "rev-parse", "--verify", f"{revision}^{{commit}}"],
            check=True,
            capture_output=True,
            text=True,
            env=_environment(),
        )
        return done.stdout.strip()

    def running(self, component: str, environment: str) -> str:
        """The live SHA, read from disk; empty: none."""
        current = self.home / "targets" / environment / component / "current"
        return str(json.loads((current / "DEPLOYED").read_text())["sha"]) if current.exists() else ""

    def deployed(self) -> list[str]:
        """All deployments so far, in order: `COMPONENT ENVIRONMENT SHA BY`."""
        return (self.home / "deployments.log").read_text().splitlines()

    def write_team_file(self, path: Path) -> None:
        """The team file for this site, as a team would write it."""
        test = _toml([str(self.home / "end-to-end"), "{environment}"])
        lines = ["[agents.deploy.environments]"]
        lines += (f"{name} = {table.replace('TEST', test)}" for name, table in self.layout.environments.items())
        lines.append("")
        for component, repository in self.layout.components.items():
            lines += [
                f"[agents.deploy.components.{component}]",
                f"repository = {_toml(str(self._repository(repository)))}",
                f"path = {_toml(component)}",
                "",
            ]
            for environment in self.layout.environments:
                deploy = [str(self.home / "deploy"), "{component}", "{environment}", "{sha}", "deploybot"]
                status = [str(self.home / "status"), "{component}", "{environment}"]
                lines += [
                    f"[agents.deploy.components.{component}.targets.{environment}]",
                    f"deploy = {_toml(deploy)}",
                    f"status = {_toml(status)}",
                    "timeout_seconds = 60",
                    "",
                ]
        lines += ["[[rule]]", 'tool = "*"', 'group = "anyone"']
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _repository(self, name: str) -> Path:
        return self.home / f"{name}.git"

    def _commit(self, name: str, history: tuple[Commit, ...]) -> None:
        """Write the history, and leave a bare repository."""
        work = self.home / "work"
        subprocess.run(["git", "init", "--quiet", str(work)], check=True, env=_environment())
        for commit in history:
            for file, text in commit.files.items():
                path = work / file
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            who, _, mail = commit.author.rstrip(">").partition(" <")
            author = {"GIT_AUTHOR_NAME": who, "GIT_AUTHOR_EMAIL": mail, "GIT_AUTHOR_DATE": commit.date}
            committer = {key.replace("AUTHOR", "COMMITTER"): value for key, value in author.items()}
            environment = _environment() | author | committer
            for command in (
                ["add", "--all"],
                ["-c", "commit.gpgSign=false", "commit", "--quiet", "--cleanup=verbatim", "--message", commit.message],
                *([["-c", "tag.gpgSign=false", "tag", commit.tag]] if commit.tag else []),
            ):
                subprocess.run(["git", "-C", str(work), *command], check=True, env=environment)
        subprocess.run(["git", "-C", str(work), "branch", "-M", "main"], check=True, env=_environment())
        bare = str(self._repository(name))
        subprocess.run(["git", "clone", "--quiet", "--bare", str(work), bare], check=True, env=_environment())
        shutil.rmtree(work)


def _toml(value: str | list[str]) -> str:
    """JSON strings are TOML strings, except that TOML requires DEL to be escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _environment() -> dict[str, str]:
    """An environment without the user's git configuration, which could change the commits."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        "TZ": "UTC",
    }
