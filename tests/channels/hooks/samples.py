"""The payload samples in tests/payloads/hooks: each beside what has to be read from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from channels.hooks.kind import Options, Posted
from tests import ROOT
from tests.channels.hooks.signing import NOW

FOLDER = ROOT / "tests" / "payloads" / "hooks"


@dataclass(frozen=True)
class Sample:
    path: Path

    @property
    def kind(self) -> str:
        return self.path.parent.name

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.path.name.partition('.')[0]}"

    @property
    def body(self) -> bytes:
        return self.path.read_bytes()

    @property
    def expected(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.with_suffix(".expected.json").read_text())
        return found

    @property
    def options(self) -> Options:
        return Options(**self.expected.get("options", {}))

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", **self.expected["headers"]}

    def posted(self, **headers: str) -> Posted:
        """As it comes, with these headers more."""
        joined = {name.lower(): value for name, value in (self.headers | headers).items()}
        return Posted(joined, self.body, NOW)


SAMPLES = [Sample(path) for path in sorted(FOLDER.glob("*/*")) if not path.name.endswith(".expected.json")]
_BY_NAME = {one.name: one for one in SAMPLES}


def sample(name: str) -> Sample:
    """`github/push`."""
    return _BY_NAME[name]
