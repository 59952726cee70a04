"""The sites of cases: the demo's, or one that a file beside the cases describes. Built once, and copied for each case.

    repositories:
      shop:
      - {author: "Ada <ada@example.com>", date: "2026-11-16T09:12:00+0000", message: First, files: {orders/a: "1"}}
    components: {orders: shop}
    environments: {live: "{ test = TEST }"}
    begins_with: [[live, orders, v1.0.0]]
    check: "true"

Nothing here reads or writes a site of the team.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from agent.evals.case import Case, CaseError, read_yaml
from bot.cli.demo.layout import DEMO, Commit, Layout
from bot.cli.demo.site import Site

FOLDER = "sites"
"""Beside the case files."""


class _CommitTable(BaseModel):
    model_config = ConfigDict(extra="forbid")

    author: str
    date: str
    message: str
    files: dict[str, str]
    tag: str = ""


class _SiteTable(BaseModel):
    model_config = ConfigDict(extra="forbid")

    repositories: dict[str, tuple[_CommitTable, ...]]
    components: dict[str, str]
    environments: dict[str, str]
    begins_with: tuple[tuple[str, str, str], ...] = ()
    check: str = "true\n"

    def layout(self) -> Layout:
        return Layout(
            repositories={
                name: tuple(Commit(**one.model_dump()) for one in commits)
                for name, commits in self.repositories.items()
            },
            components=self.components,
            environments=self.environments,
            begins_with=self.begins_with,
            check=self.check,
        )


class Sites:
    """Templates by name, under one folder."""

    def __init__(self, folder: Path, cases: Path) -> None:
        self._folder = folder
        self._cases = cases
        self._built: dict[str, Site] = {}
        self._building = threading.Lock()

    def layout(self, name: str) -> Layout:
        """Raises CaseError."""
        if not name:
            return DEMO
        path = self._cases / FOLDER / f"{name}.yaml"
        try:
            return _SiteTable.model_validate(read_yaml(path)).layout()
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise CaseError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None

    def copy(self, case: Case, home: Path) -> Site:
        """A site of this case's own, as it begins. Raises CaseError."""
        with self._building:  # Cases are set up in threads, several at a time.
            template = self.template(case.site)
        shutil.copytree(template.home, home, symlinks=True)
        site = _site(template.layout, home)
        try:
            for environment, components in case.begins_with.items():
                for component, revision in components.items():
                    site.deploy(component, environment, revision)
        except (OSError, KeyError, subprocess.CalledProcessError) as error:
            raise CaseError(f"{case.file}: case {case.name}: begins_with cannot be deployed: {error!r}") from None
        return site

    def template(self, name: str) -> Site:
        if name not in self._built:
            site = _site(self.layout(name), self._folder / (name or "demo"))
            try:
                site.build()
            except (OSError, subprocess.CalledProcessError) as error:
                raise CaseError(f"The site {name or 'of the demo'} cannot be built: {error}") from None
            self._built[name] = site
        return self._built[name]


def _site(layout: Layout, home: Path) -> Site:
    site = Site(home)
    site.layout = layout
    return site


def running(site: Site) -> dict[str, dict[str, str]]:
    """What runs on disk, by environment and component."""
    return {
        environment: {component: site.running(component, environment) for component in site.layout.components}
        for environment in site.layout.environments
    }


def expected(
    site: Site, before: dict[str, dict[str, str]], runs: dict[str, dict[str, str]]
) -> dict[str, dict[str, str]]:
    """What must run in the end: as before, but for `runs`. Raises CaseError for names that the site does not have."""
    found = {environment: dict(components) for environment, components in before.items()}
    for environment, components in runs.items():
        for component, revision in components.items():
            if component not in found.get(environment, {}):
                raise CaseError(f"runs: the site has no {component!r} on {environment!r}.")
            found[environment][component] = site.sha(revision, component) if revision else ""
    return found
