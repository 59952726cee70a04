"""The folder of one measurement: what was measured, every raw answer as it came, and every run that was judged.

    run.json        the agent, the models, a fingerprint of all that the model is shown
    answers.jsonl   each answer, at once: killed or not, none is lost
    results.jsonl   each run of a case, once it was judged
    report.html     for people

The same command goes on in the newest folder that has the same fingerprint and is not complete. It judges nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.definition import Agent
from agent.evals.case import Case
from agent.evals.tally import Ran
from agent.model.frame import MODES, frame_of
from bot.cli.evals.play import Played
from bot.cli.evals.recorder import Raw
from store.failures import Explained

Key = tuple[str, int, str]
"""A case, its run, and the digest of the case."""
RUN, ANSWERS, RESULTS, PAGE = "run.json", "answers.jsonl", "results.jsonl", "report.html"


class ResultsError(Explained):
    """A folder of results cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured."""

    agent: str
    model: str
    """As the team file and the endpoint call it."""
    fingerprint: str
    """Of the system message, the schema, and how the models are set up."""
    runs: int
    began: str
    rung: str = ""
    """How the endpoint constrained the answers: `json_schema`, `json_object` or `prompt`. Empty: not known yet."""


@dataclass
class Results:
    folder: Path
    measured: Measured
    ran: dict[Key, Ran] = field(default_factory=dict)
    made: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)
    """What the agent did in each run, and what came of it."""

    def keep_answer(self, case: Case, run: int, raw: Raw) -> None:
        self._write(ANSWERS, {"case": case.name, "digest": case.digest, "run": run, **raw.document()})

    def keep(self, case: Case, run: int, played: Played) -> Ran:
        ran = _ran(case, run, played)
        made = [
            {"step": one.in_words, "fate": one.fate, **({"words": one.words} if one.words else {})}
            for one in played.made
        ]
        self._write(RESULTS, {"digest": case.digest, "ran": asdict(ran), "made": made})
        self.ran[case.name, run, case.digest] = ran
        self.made[case.name, run, case.digest] = made
        return ran

    def has(self, case: Case, run: int) -> bool:
        """Whether this run of the case, as it stands now, was judged."""
        found = self.ran.get((case.name, run, case.digest))
        return found is not None and found.kind != "failed"

    def of(self, cases: list[Case]) -> tuple[Ran, ...]:
        """The runs of these cases as they stand now."""
        wanted = {(case.name, case.digest) for case in cases}
        return tuple(ran for (name, _, digest), ran in self.ran.items() if (name, digest) in wanted)

    def write_measured(self, measured: Measured) -> None:
        self.measured = measured
        (self.folder / RUN).write_text(json.dumps(asdict(measured), indent=2) + "\n", encoding="utf-8")

    def write_page(self, page: str) -> Path:
        path = self.folder / PAGE
        path.write_text(page, encoding="utf-8", errors="replace")
        return path

    def _write(self, name: str, document: dict[str, Any]) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(document, ensure_ascii=False) + "\n")


def fingerprint_of(agent: Agent, settings: object = None) -> str:
    """Of all that is the same in every prompt. `settings`: how the models are set up, as JSON."""
    frame = frame_of(agent, MODES[0])
    text = frame.system + json.dumps([frame.response_format, settings], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def begin(home: Path, measured: Measured) -> Results:
    """A new folder. Raises ResultsError."""
    results = Results(home / measured.agent / measured.began.replace(":", ""), measured)
    try:
        results.folder.mkdir(parents=True)
        results.write_measured(measured)
    except OSError as error:
        raise ResultsError(f"{results.folder} cannot be written: {error.strerror}.") from None
    return results


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


def folders(home: Path, agent: str) -> Iterator[Path]:
    """The newest first."""
    found = (path.parent for path in (home / agent).glob(f"*/{RUN}"))
    yield from sorted(found, key=lambda folder: folder.name, reverse=True)


def unfinished(home: Path, wanted: Measured, cases: list[Case]) -> Results | None:
    """The newest measurement, if it is of the same things and a run of these cases is missing."""
    newest = next(folders(home, wanted.agent), None)
    results = read(newest) if newest else None
    if results is None:
        return None
    same = (results.measured.model, results.measured.fingerprint) == (wanted.model, wanted.fingerprint)
    missing = any(not results.has(case, run) for case in cases for run in range(1, wanted.runs + 1))
    if not (same and missing):
        return None
    for name in (ANSWERS, RESULTS):
        _without_cut_line(results.folder / name)
    return results


def _without_cut_line(path: Path) -> None:
    """What a process that was killed had not written to the end is no line."""
    if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        path.write_bytes(data[: data.rfind(b"\n") + 1])


def read(folder: Path) -> Results:
    """Raises ResultsError. A last line that was cut off is left out."""
    try:
        measured = Measured(**json.loads((folder / RUN).read_text(encoding="utf-8")))
        results = Results(folder, measured)
        path = folder / RESULTS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                document = json.loads(line)
            except ValueError:
                if number < len(lines):
                    raise
                continue
            fields = document["ran"]
            ran = Ran(**{**fields, "tags": tuple(fields["tags"]), "seconds": tuple(fields["seconds"])})
            results.ran[ran.case, ran.run, document["digest"]] = ran
            results.made[ran.case, ran.run, document["digest"]] = document["made"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{folder} holds no results that can be read: {error}.") from None
    return results


def _ran(case: Case, run: int, played: Played) -> Ran:
    usages = [raw.usage for raw in played.answers if raw.usage]
    costs = [usage.cost for usage in usages if usage.cost is not None]
    fates = [one.fate for one in played.made]
    return Ran(
        case=case.name,
        run=run,
        kind=played.verdict.kind,
        why=played.verdict.why,
        tags=case.tags,
        held_out=case.held_out,
        first_was_right=played.first_was_right,
        stopped=fates.count("stopped"),
        looked=fates.count("looked"),
        unreadable=fates.count("unreadable"),
        invented=sum(len(raw.invented) for raw in played.answers),
        answers=len(played.answers),
        input_tokens=sum(usage.input_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        cost=sum(costs) if costs else None,
        seconds=tuple(round(raw.seconds, 3) for raw in played.answers),
    )
