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
    at_github = tuple(name for name, component in site.components.items() if component.repository is None)
    return _tools(tuple(site.components), site.order, site.free, at_github)


@functools.cache
def _tools(
    components: tuple[str, ...], environments: tuple[str, ...], free: frozenset[str], at_github: tuple[str, ...]
) -> tuple[type[Tool], ...]:
    names = {"component": _one_of("Component", components), "environment": _one_of("Environment", environments)}
    tools = tuple(_with_names(tool, names) for tool in TOOLS)
    if at_github:  # What nobody's repository takes is not offered.
        tools += (_with_names(PushTag, {"component": _one_of("ComponentAtGitHub", at_github)}),)
    for deploy in (tool for tool in tools if issubclass(tool, Deploy)):
        deploy.free = free
    return tools


def _one_of(name: str, values: tuple[str, ...]) -> Any:
    """A named type: the schema then holds its values once, however many tools take one."""
    return TypeAliasType(name, Literal.__getitem__(values))  # A type checker would read Literal[values] as a type.


def _with_names(tool: type[Tool], names: Mapping[str, Any]) -> type[Tool]:
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in names.items() if name in tool.model_fields}
    return create_model(tool.__name__, __base__=tool, __doc__=tool.__doc__, __module__=tool.__module__, **fields)
