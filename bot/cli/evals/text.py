"""The report of a measurement as text and as JSON. It reads results and prints nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from agent.evals.judging import WRONG_ACTIONS
from agent.evals.tally import Change, Share, Tally, in_words, percentile, worst
from bot.cli.evals.results import Measured
from store.text import one_line

WHY_CHARS_MAX = 160


def lines(measured: Measured, tally: Tally) -> Iterator[str]:
    """For people: first what counts, then what it took, then every case that did not end right."""
    yield f"{measured.agent} with {measured.model}, {len(tally.by_case())} cases, {len(tally.runs)} runs"
    yield f"  right:           {tally.right}"
    yield f"  first answer:    {tally.first_right}"
    yield f"  no wrong action: {tally.without_wrong_action} cases"
    yield f"  ended:           {in_words(tally.kinds)}"
    yield f"  on the way:      {_on_the_way(tally)}"
    if measured.rung:
        yield f"  asked by:        {measured.rung}"
    yield f"  tokens:          {_tokens(tally)}"
    yield f"  an answer:       {_seconds(tally)}"
    if tally.cost is not None:
        yield f"  cost:            {tally.cost:g}"
    for tag, part in tally.by_tag().items():
        yield f"  {tag + ':':<16} {_short(part.right)}"
    if tally.held_out(only=True).runs:
        yield f"  held out:        {_short(tally.held_out(only=True).right)}"
    for case, runs in tally.by_case().items():
        if bad := [ran for ran in runs if ran.kind != "right"]:
            kind = worst(bad)
            why = next(ran.why for ran in bad if ran.kind == kind)
            times = f" ({len(bad)} of {len(runs)})" if len(runs) > 1 else ""
            yield f"{kind.replace('_', ' '):<12} {case}{times}: {one_line(why, WHY_CHARS_MAX)}"
    for ran in tally.runs:
        if ran.kind == "failed":
            yield f"{'failed':<12} {ran.case}: {one_line(ran.why, WHY_CHARS_MAX)}"


def lines_of(changes: list[Change]) -> Iterator[str]:
    if not changes:
        yield "No case ended otherwise."
    for one in changes:
        sign = "worse " if one.is_worse else "better"
        before, after = (kind.replace("_", " ") for kind in one.kinds)
        yield f"{sign} {one.case}: {before} ({_short(one.before)}) -> {after} ({_short(one.after)})"


def document(measured: Measured, tally: Tally, changes: list[Change]) -> dict[str, Any]:
    """For programs."""
    low, high = tally.right.interval
    return {
        **asdict(measured),
        "cases": len(tally.by_case()),
        "runs_judged": len(tally.judged),
        "right": {"share": tally.right.share, "from": low, "to": high},
        "first_answer_right": tally.first_right.share,
        "without_wrong_action": tally.without_wrong_action.share,
        "ended": tally.kinds,
        "stopped_by_guards": tally.total("stopped"),
        "looked": tally.total("looked"),
        "unreadable": tally.total("unreadable"),
        "invented_revisions": tally.total("invented"),
        "tokens": {
            "in": tally.total("input_tokens"),
            "cached": tally.total("cached_tokens"),
            "out": tally.total("output_tokens"),
        },
        "seconds": {"p50": percentile(tally.seconds, 0.5), "p95": percentile(tally.seconds, 0.95)},
        "cost": tally.cost,
        "results": [asdict(ran) for ran in tally.runs],
        "changes": changed(changes),
    }


def changed(changes: list[Change]) -> list[dict[str, Any]]:
    return [{"case": one.case, "before": one.kinds[0], "after": one.kinds[1], "worse": one.is_worse} for one in changes]


def wrong_actions(tally: Tally) -> int:
    return sum(ran.kind in WRONG_ACTIONS for ran in tally.judged)


def has_passed(tally: Tally, right_min: float) -> bool:
    """Every run was judged, none ended in a wrong action, and enough ended right."""
    if not tally.judged or len(tally.judged) < len(tally.runs):
        return False
    return tally.right.share >= right_min and not wrong_actions(tally)


def _on_the_way(tally: Tally) -> str:
    return (
        f"{tally.total('answers')} answers, {tally.total('stopped')} stopped by a guard, "
        f"{tally.total('looked')} looked, {tally.total('unreadable')} unreadable, "
        f"{tally.total('invented')} invented revisions"
    )


def _tokens(tally: Tally) -> str:
    tokens, cached = tally.total("input_tokens"), tally.total("cached_tokens")
    share = f" ({cached / tokens:.0%} cached)" if tokens else ""
    return f"{tokens:,} in{share}, {tally.total('output_tokens'):,} out"


def _seconds(tally: Tally) -> str:
    found = tally.seconds
    return f"{percentile(found, 0.5):.1f} s in the middle, {percentile(found, 0.95):.1f} s for the slowest twentieth"


def _short(share: Share) -> str:
    return f"{share.right} of {share.of}"
