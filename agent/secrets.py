"""The secrets that the tables of agents name by their variables, for their tools."""

from __future__ import annotations

from agent.steps import ToolError
from store.variables import SecretError, variable


def secret(name: str) -> str:
    """The secret for a tool, which its agent's table names by its variable. Raises ToolError if there is none.

    Read it when it is used: so `bot doctor` can say what is missing, and it stands in no object that could be shown.
    """
    try:
        found = variable(name).strip()
    except SecretError as error:
        raise ToolError(str(error)) from None
    if not found:
        raise ToolError(f"{name} is not set: somebody has to put the key there.")
    return found


def setting(name: str) -> str:
    """What else an agent's service is set up by: where it is, say. Empty: not set. Raises ToolError."""
    try:
        return variable(name).strip()
    except SecretError as error:
        raise ToolError(str(error)) from None
