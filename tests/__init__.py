"""The tests, in folders like the code; `stories` holds whole programs, `fakes` stand in for Slack, mail and models."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
"""Of the repository."""
PAYLOADS = ROOT / "tests" / "payloads"
