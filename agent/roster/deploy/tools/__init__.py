"""The tools of deploybot, one class each. To add one, write it next to a similar one, and list it in TOOLS.

A class takes any names, so that a plan can read the steps of any log with it. `tools_of` makes the classes that an
agent offers its model: of the same name, they take only the names of its site. They are made when the agent is built,
so the schema stays the same while it runs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import create_model
from typing_extensions import TypeAliasType

from agent import Tool
from agent.roster.deploy.called import Called, components_called, environments_called, environments_to_deploy_to
from agent.roster.deploy.site import DeployConfig
from agent.roster.deploy.tools.deploy import Deploy, Rollback
from agent.roster.deploy.tools.follow import GetWorkflowStatus, ListWorkflowRuns, RunEndToEndTests, WaitForDeployment
from agent.roster.deploy.tools.look import (
    CheckDeploymentStatus,
    ListCommits,
    ListComponentsWith,
    ListDeployments,
    ListGitTags,
    ListWaitingCommits,
)
from agent.roster.deploy.tools.look_up import LookUp
from agent.roster.deploy.tools.merges import LeaveLine, SupersedeOlder, WaitForTurn
from agent.roster.deploy.tools.release import ReleaseTarget
from agent.roster.deploy.tools.tag import PushTag

TOOLS: tuple[type[Tool], ...] = (
    LookUp,
    ListGitTags,
    ListCommits,
    ListComponentsWith,
    ListWaitingCommits,
    ListDeployments,
    CheckDeploymentStatus,
    ListWorkflowRuns,
    GetWorkflowStatus,
    Deploy,
    Rollback,
    ReleaseTarget,
    WaitForDeployment,
    RunEndToEndTests,
    WaitForTurn,
    LeaveLine,
    SupersedeOlder,
)


def tools_of(site: DeployConfig) -> tuple[type[Tool], ...]:
    """The tools with the names of this site. The same site has the same classes."""
    called = (components_called(site), environments_called(site), environments_to_deploy_to(site))
    at_github = tuple(name for name, component in site.components.items() if component.repository is None)
    one_repository = len(site.one_of_each_repository) == 1
    items = (tuple(one.items()) for one in called)
    return _tools(*items, site.free, at_github, one_repository, site.only_named)


_Items = tuple[tuple[str, tuple[str, ...]], ...]
"""Of `called.Called`, as a key."""


@functools.cache
def _tools(
    components: _Items,
    environments: _Items,
    to_deploy_to: _Items,
    free: frozenset[str],
    at_github: tuple[str, ...],
    one_repository: bool,
    only_named: bool,
) -> tuple[type[Tool], ...]:
    kinds = {
        "component": _one_of("Component", tuple(name for name, _ in components)),
        "environment": _one_of("Environment", tuple(name for name, _ in environments)),
    }
    tools = tuple(_with_names(tool, kinds) for tool in TOOLS)
    if at_github:  # What nobody's repository takes is not offered.
        tools += (_with_names(PushTag, {"component": _one_of("ComponentAtGitHub", at_github)}),)
    for tool in tools:
        if issubclass(tool, Deploy):
            tool.free, tool.one_repository = free, one_repository
        if only_named and issubclass(tool, Deploy | Rollback):
            tool.named_by_people = _to_name(components, to_deploy_to if issubclass(tool, Deploy) else environments)
    return tools


def _to_name(components: _Items, environments: _Items) -> Mapping[str, Called]:
    """What is the only one goes without saying."""
    named = {"component": components, "environment": environments}
    return {argument: dict(items) for argument, items in named.items() if len(items) > 1}


def _one_of(name: str, values: tuple[str, ...]) -> Any:
    """A named type: the schema then holds its values once, however many tools take one."""
    return TypeAliasType(name, Literal.__getitem__(values))  # A type checker would read Literal[values] as a type.


def _with_names(tool: type[Tool], kinds: Mapping[str, Any]) -> type[Tool]:
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in kinds.items() if name in tool.model_fields}
    return create_model(tool.__name__, __base__=tool, __doc__=tool.__doc__, __module__=tool.__module__, **fields)
