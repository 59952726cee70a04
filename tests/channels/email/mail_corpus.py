"""Mails in the shapes of common programs, robots and broken senders, each with what is to be read from it.

They lie in tests/payloads/email/, as NAME.eml (the bytes as they arrive) and NAME.json (what is expected of them);
its README says what the fields mean. A field that has no right answer is not there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests import PAYLOADS

FOLDER = PAYLOADS / "email"


@dataclass(frozen=True)
class Sample:
    """One mail: its name, its bytes, and what is expected of them."""

    name: str
    raw: bytes
    expected: dict[str, Any]


def samples() -> list[Sample]:
    """Every mail of the corpus, by name."""
    return [
        Sample(path.stem, path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
        for path in sorted(FOLDER.glob("*.eml"))
    ]
