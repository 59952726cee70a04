"""What a check of `bot doctor` found: one line for people, one object for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "off", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    state: State
    text: str

    def line(self) -> str:
        return f"{self.state:<8} {self.what}: {self.text}"

    def as_document(self) -> dict[str, Any]:
        return asdict(self)
