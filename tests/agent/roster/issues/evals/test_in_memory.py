"""The Linear of the cases answers what the agent asks for, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from agent.roster.issues.evals.in_memory import InMemory
from agent.roster.issues.linear import DOCUMENTS
from tests.fakes.linear import Document, Field

ANY = {"id": "ENG-12", "term": "login", "input": {"title": "New", "issueId": "i-12", "body": "Noted."}}
ONLY_AFTER_A_REPEAT = {"CreatedIssue", "CreatedComment"}
"""In memory, nothing fails."""


def missing(value: Any, fields: list[Field]) -> list[str]:
    """The names that were asked for and are not there."""
    if isinstance(value, list):
        return [name for one in value for name in missing(one, fields)]
    if not fields or value is None:
        return []
    found = [name for name, *_ in fields if name not in value]
    return found or [name for own, _, _, inner in fields for name in missing(value[own], inner)]


@pytest.mark.parametrize("operation", sorted(DOCUMENTS.keys() - ONLY_AFTER_A_REPEAT))
async def test_it_answers_all_that_is_asked_for(operation: str) -> None:
    ((_, _, _, fields),) = Document(DOCUMENTS[operation], {}).fields
    variables = {**ANY, "id": "i-12"} if operation == "UpdateIssue" else ANY
    assert missing(await InMemory().ask(operation, **variables), fields) == []
