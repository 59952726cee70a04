"""The tests of newcomer, without a model: python -m pytest agents/newcomer"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent import Agent, Call, Thread, Tool, ToolError

from . import NAME, CheckDisk, WriteNote, build, plan


def call(agent: Agent, tool: Tool, key: str = "t1/s1") -> Call:
    """What the program gives to a tool."""
    resources = agent.resources_of(tool.intent)
    return Call("t1", key, attempt=1, now=datetime.now(UTC), requested_by="Ann", resources=resources)


def test_code_looks_before_the_model_is_asked() -> None:
    assert plan(Thread("t1")) == CheckDisk()


def test_it_tells_how_much_is_free(tmp_path: Path) -> None:
    agent, tool = build({"path": str(tmp_path)}, tmp_path), CheckDisk()
    found = asyncio.run(tool.run(call(agent, tool)))
    assert isinstance(found, dict)
    assert found["path"] == str(tmp_path)
    assert not tool.needs_approval()


def test_a_disk_that_is_not_there_is_said(tmp_path: Path) -> None:
    agent, tool = build({"path": "/no/such/disk"}, tmp_path), CheckDisk()
    with pytest.raises(ToolError, match="/no/such/disk cannot be looked at"):
        asyncio.run(tool.run(call(agent, tool)))


def test_a_note_is_approved_first_and_written_once(tmp_path: Path) -> None:
    agent, tool = build({}, tmp_path), WriteNote(text="we cleaned /var/log")
    assert tool.needs_approval()
    assert asyncio.run(tool.prepare(call(agent, tool))) == {"notes_so_far": 0}
    for _ in range(2):  # as after a crash
        asyncio.run(tool.run(call(agent, tool)))
    assert (tmp_path / NAME / "notes.jsonl").read_text() == '["t1/s1", "we cleaned /var/log"]\n'
    with pytest.raises(ToolError, match="there already"):
        asyncio.run(tool.prepare(call(agent, tool, "t1/s2")))


def test_what_is_misspelt_in_the_team_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="pathh"):
        build({"pathh": "/"}, tmp_path)
