"""The secrets that agents use, by the names of their variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import ToolError, secret

NAME = "SOME_API_KEY"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(NAME, raising=False)
    return tmp_path


def test_it_comes_from_the_environment_from_env_or_from_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text(f"{NAME}=from-env-file\n")
    assert secret(NAME) == "from-env-file"
    monkeypatch.setenv(NAME, " from-environment ")
    assert secret(NAME) == "from-environment"
    monkeypatch.delenv(NAME)
    (folder / ".env").unlink()
    (folder / "key").write_text("from-file\n")
    monkeypatch.setenv(f"{NAME}_FILE", "key")
    assert secret(NAME) == "from-file"


def test_what_is_missing_or_wrong_is_said_without_showing_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match=f"{NAME} is not set: somebody has to put the key there"):
        secret(NAME)
    monkeypatch.setenv(f"{NAME}_FILE", "no-such-file")
    with pytest.raises(ToolError, match=f"{NAME}_FILE names 'no-such-file', which cannot be read"):
        secret(NAME)
    (folder / "no-such-file").write_text("hunter2")
    monkeypatch.setenv(NAME, "hunter3")
    with pytest.raises(ToolError, match=f"{NAME} and {NAME}_FILE are both set") as said:
        secret(NAME)
    assert "hunter" not in str(said.value)
