"""The site that the demo deploys to: a git repository with real commits and tags, and targets on this disk.

A deployment is a release folder, exported from git at exactly one commit, and a `current` link to it. The commits have
fixed authors and dates, so their SHAs are the same on every machine; the last one is 4af9ec0, as in the example of the
12-factor guide. It writes only to its own folder, and ignores the user's git configuration.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

MERGED = "4af9ec0"
"""The merged commit, which the scenario deploys to production."""
COMPONENTS = ("backend", "frontend")
ENVIRONMENTS = ("staging", "production")

_PEOPLE = {"ada": "Ada Okafor <ada@example.com>", "lin": "Lin Berg <lin@example.com>"}
_HISTORY: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    (
        "v1.0.0",
        "ada",
        "2026-11-16T09:12:00+0000",
        "First version of shop\n",
        {"backend/api": "1\n", "frontend/needs-api": "1\n", "README": "shop: a backend and a frontend\n"},
    ),
    (
        "v1.1.0",
        "lin",
        "2026-11-18T14:40:00+0000",
        "Show delivery dates in the basket\n",
        {"backend/api": "2\n", "frontend/needs-api": "1\n", "frontend/basket": "delivery dates\n"},
    ),
    (
        "",
        "ada",
        "2026-11-20T16:05:00+0000",
        "Pay by invoice\n\nThe frontend needs the backend's new endpoint.\n\nChange-Id: I@NONCE@\n",
        {"backend/api": "3\n", "frontend/needs-api": "3\n", "frontend/checkout": "card or invoice\n"},
    ),
)
_NONCE = "392a6ef178441b57"

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
  git -C "$here/shop.git" archive "$3" "$1" | tar -x -C "$release.partial"
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
# end-to-end ENVIRONMENT: does the frontend that runs there find what it needs in the backend that runs there?
set -eu
here=$(cd "$(dirname "$0")" && pwd)
live=$here/targets/$1
offered=$(cat "$live/backend/current/backend/api")
needed=$(cat "$live/frontend/current/frontend/needs-api")
echo "the frontend needs api $needed, the backend offers api $offered"
[ "$offered" -ge "$needed" ] || { echo "FAILED: checkout cannot be completed"; exit 1; }
echo "4 checks passed: start page, search, basket, checkout"
"""


class Site:
    """The demo's files under one folder."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.repository = self.home / "shop.git"

    def build(self) -> None:
        """Rebuild everything: v1.0.0 in production, v1.1.0 on staging."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        for name, text in (("deploy", _DEPLOY), ("status", _STATUS), ("end-to-end", _CHECK)):
            script = self.home / name
            script.write_text(text)
            script.chmod(0o755)
        self._commit_history()
        for environment, tag in (("production", "v1.0.0"), ("staging", "v1.1.0")):
            for component in COMPONENTS:
                subprocess.run(
                    [self.home / "deploy", component, environment, self.sha(tag), "lin"],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    env=_environment(),
                )

    def sha(self, revision: str) -> str:
        """The full SHA of a revision."""
        return self._git("rev-parse", "--verify", f"{revision}^{{commit}}")

    def running(self, component: str, environment: str) -> str:
        """The live SHA, read from disk; empty: none."""
        current = self.home / "targets" / environment / component / "current"
        return str(json.loads((current / "DEPLOYED").read_text())["sha"]) if current.exists() else ""

    def deployed(self) -> list[str]:
        """All deployments so far, in order: `COMPONENT ENVIRONMENT SHA BY`."""
        return (self.home / "deployments.log").read_text().splitlines()

    def write_team_file(self, path: Path) -> None:
        """The team file for this site, as a team would write it."""
        test = f"test = {_toml([str(self.home / 'end-to-end'), '{environment}'])}"
        lines = [
            "[agents.deploy.environments]",
            f'staging = {{ approval = "none", {test} }}',
            f'production = {{ after = "staging", {test}, on_failed_test = "rollback" }}',
            "",
        ]
        for component in COMPONENTS:
            lines += [
                f"[agents.deploy.components.{component}]",
                f"repository = {_toml(str(self.repository))}",
                f"path = {_toml(component)}",
                "",
            ]
            for environment in ENVIRONMENTS:
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

    def _commit_history(self) -> None:
        work = self.home / "work"
        subprocess.run(["git", "init", "--quiet", str(work)], check=True, env=_environment())
        for tag, who, when, message, files in _HISTORY:
            for name, text in files.items():
                path = work / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            name, _, mail = _PEOPLE[who].rstrip(">").partition(" <")
            author = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail, "GIT_AUTHOR_DATE": when}
            committer = {key.replace("AUTHOR", "COMMITTER"): value for key, value in author.items()}
            environment = _environment() | author | committer
            text = message.replace("@NONCE@", _NONCE)
            for command in (
                ["add", "--all"],
                ["-c", "commit.gpgSign=false", "commit", "--quiet", "--cleanup=verbatim", "--message", text],
                *([["-c", "tag.gpgSign=false", "tag", tag]] if tag else []),
            ):
                subprocess.run(["git", "-C", str(work), *command], check=True, env=environment)
        subprocess.run(["git", "-C", str(work), "branch", "-M", "main"], check=True, env=_environment())
        subprocess.run(
            ["git", "clone", "--quiet", "--bare", str(work), str(self.repository)], check=True, env=_environment()
        )
        shutil.rmtree(work)

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.repository), *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=_environment(),
        )
        return done.stdout.strip()


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
