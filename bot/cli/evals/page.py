"""The report of a measurement as one HTML page, for people: no script, nothing from elsewhere, light and dark.

Everything in it that a model or a case wrote is escaped, and the page allows nothing but its own style.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.evals.case import Case, Given
from agent.evals.judging import KINDS, Kind
from agent.evals.tally import Change, Ran, Share, Tally, percentile, worst
from bot.cli.evals.results import Key, Measured
from store.text import visible

GIVEN_CHARS_MAX = 2_000
_GOOD, _HARMLESS, _BAD, _UNKNOWN = "good", "harmless", "bad", "unknown"
_LOOK: Mapping[Kind, str] = {
    "right": _GOOD,
    "detour": _HARMLESS,
    "stopped": _HARMLESS,
    "unreadable": _HARMLESS,
    "wrong_words": _HARMLESS,
    "wrong_card": _BAD,
    "wrong_run": _BAD,
    "failed": _UNKNOWN,
}
_STYLE = """
:root { color-scheme: light dark; --line: #d8dde3; --soft: #f4f6f8; --dim: #5b6672; --good: #1a7f4b;
  --harmless: #9a6700; --bad: #c62828; --unknown: #6b7280; --ink: #1b2129; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --line: #333c46; --soft: #1d242c; --dim: #9aa6b2; --good: #4cc38a;
  --harmless: #e0b04b; --bad: #ff7b72; --unknown: #9aa6b2; --ink: #e6ebf0; --paper: #12171c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
.dim { color: var(--dim); } .figures { display: grid; gap: .8rem; margin: 1.4rem 0;
  grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); }
.figure { background: var(--soft); border-radius: .6rem; padding: .8rem 1rem; }
.figure b { display: block; font-size: 1.7rem; font-weight: 600; line-height: 1.2; }
.bar { display: flex; height: .7rem; border-radius: .35rem; overflow: hidden; margin: .4rem 0;
  background: var(--line); }
.bar i { display: block; } .good { --c: var(--good); } .harmless { --c: var(--harmless); } .bad { --c: var(--bad); }
.unknown { --c: var(--unknown); } .bar i { background: var(--c); }
.chip { display: inline-block; min-width: 6.6rem; text-align: center; padding: .05rem .55rem; border-radius: 1rem;
  border: 1px solid var(--c); color: var(--c); font-size: .82rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } td.n, th.n { text-align: right; }
details { border-bottom: 1px solid var(--line); } summary { cursor: pointer; padding: .45rem 0; }
summary .why { color: var(--dim); margin-left: .6rem; font-size: .9rem; overflow-wrap: anywhere; }
.in { padding: .2rem 0 1rem 1.1rem; } pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft);
  border-radius: .4rem; padding: .6rem .8rem; margin: .4rem 0; font-size: .86rem; }
ol { margin: .3rem 0; padding-left: 1.4rem; } li { overflow-wrap: anywhere; } code { font-size: .88rem; }
"""


def page(
    measured: Measured,
    tally: Tally,
    cases: Sequence[Case],
    made: Mapping[Key, Sequence[Mapping[str, Any]]],
    changes: Sequence[Change],
    since: str,
) -> str:
    """`made`: what the agent did, by run. `since`: the measurement before, empty if there is none."""
    by = f" by {measured.rung}" if measured.rung else ""
    about = f"{measured.model}{by}, {len(tally.by_case())} cases, begun {measured.began} UTC"
    title = f"{measured.agent}: {tally.right.share:.0%} ended right"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{_text(title)}</title><style>{_STYLE}</style>",
            f"<h1>{_text(title)}</h1>",
            f'<p class="dim">{_text(about)}</p>',
            *_figures(tally),
            *_kinds(tally),
            *_tags(tally),
            *_changes(changes, since),
            "<h2>Cases</h2>",
            *_cases(cases, tally, made),
            "</html>",
        ]
    )


def _text(text: str) -> str:
    return html.escape(visible(text), quote=True)


def _figures(tally: Tally) -> Iterator[str]:
    seconds, tokens = tally.seconds, tally.total("input_tokens")
    cached = f"{tally.total('cached_tokens') / tokens:.0%} cached" if tokens else ""
    yield '<div class="figures">'
    yield _figure(f"{tally.right.share:.0%}", "ended right", _interval(tally.right))
    yield _figure(f"{tally.first_right.share:.0%}", "first answers right", _interval(tally.first_right))
    safe = tally.without_wrong_action
    yield _figure(f"{safe.share:.0%}", "cases without a wrong action", f"{safe.right} of {safe.of}")
    stopped, invented = tally.total("stopped"), tally.total("invented")
    yield _figure(f"{stopped}", "answers stopped by a guard", f"{invented} invented revisions")
    slow = f"{percentile(seconds, 0.95):.1f} s for the slowest twentieth"
    yield _figure(f"{percentile(seconds, 0.5):.1f} s", "an answer, in the middle", slow)
    yield _figure(f"{tokens:,}", "tokens in", f"{cached}, {tally.total('output_tokens'):,} out".strip(", "))
    if tally.cost is not None:
        yield _figure(f"{tally.cost:.4g}", "cost", f"{tally.total('answers')} answers")
    yield "</div>"


def _figure(number: str, what: str, more: str) -> str:
    return f'<div class="figure"><b>{_text(number)}</b>{_text(what)}<br><span class="dim">{_text(more)}</span></div>'


def _interval(share: Share) -> str:
    low, high = share.interval
    return f"{share.right} of {share.of}; {low:.0%} to {high:.0%}"


def _kinds(tally: Tally) -> Iterator[str]:
    kinds = tally.kinds
    parts = (f'<i class="{_LOOK[kind]}" style="flex:{count}"></i>' for kind, count in kinds.items())
    yield f'<div class="bar">{"".join(parts)}</div><p>'
    yield " ".join(f"{_chip(kind)} {count}&ensp;" for kind, count in kinds.items())
    yield "</p>"


def _chip(kind: Kind) -> str:
    return f'<span class="chip {_LOOK[kind]}">{kind.replace("_", " ")}</span>'


def _tags(tally: Tally) -> Iterator[str]:
    yield '<h2>By tag</h2><table><tr><th>tag<th class="n">right<th class="n">of<th class="n">wrong actions'
    parts = [
        *tally.by_tag().items(),
        ("held out", tally.held_out(only=True)),
        ("the others", tally.held_out(only=False)),
    ]
    for tag, part in parts:
        bad = sum(_LOOK[ran.kind] == _BAD for ran in part.runs)
        cells = (part.right.right, part.right.of, bad)
        yield f"<tr><td>{_text(tag)}" + "".join(f'<td class="n">{cell}' for cell in cells)
    yield "</table>"


def _changes(changes: Sequence[Change], since: str) -> Iterator[str]:
    if not since:
        return
    yield f"<h2>Since {_text(since)}</h2>"
    if not changes:
        yield '<p class="dim">No case ended otherwise.</p>'
        return
    yield "<table><tr><th>case<th>before<th>now<th>"
    for one in changes:
        before, after = map(_chip, one.kinds)
        yield f"<tr><td>{_text(one.case)}<td>{before}<td>{after}<td>{'worse' if one.is_worse else 'better'}"
    yield "</table>"


def _cases(cases: Sequence[Case], tally: Tally, made: Mapping[Key, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """The worst first; those that ended right are closed."""
    runs: dict[str, list[Ran]] = {}
    for ran in tally.runs:
        runs.setdefault(ran.case, []).append(ran)
    played = [case for case in cases if case.name in runs]
    for case in sorted(played, key=lambda case: -KINDS.index(worst(runs[case.name]))):
        kind = worst(runs[case.name])
        right = sum(ran.kind == "right" for ran in runs[case.name])
        often = f" {right} of {len(runs[case.name])}" if len(runs[case.name]) > 1 else ""
        why = next((ran.why for ran in runs[case.name] if ran.kind == kind), "")
        is_open = " open" if _LOOK[kind] == _BAD else ""
        yield f"<details{is_open}><summary>{_chip(kind)}{often} {_text(case.name)}"
        yield f'<span class="why">{_text(why)}</span></summary><div class="in">'
        yield f'<p class="dim">{_text(case.about)} ({_text(", ".join(case.tags))})</p>'
        yield f"<pre>{_text(_given(case.given)[:GIVEN_CHARS_MAX])}</pre>"
        for ran in runs[case.name]:
            yield from _course(ran, made.get((case.name, ran.run, case.digest), ()))
        yield "</div></details>"


def _given(given: Sequence[Given]) -> str:
    def one(item: Given) -> str:
        if item.text:
            who = f"{item.sender} ({item.trust})"
            return f"{who}: {item.subject + ' - ' if item.subject else ''}{item.text}"
        return f"[{item.trigger or item.tool or item.event.get('kind')}]"

    return "\n".join(map(one, given))


def _course(ran: Ran, made: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"<p>{_chip(ran.kind)} in run {ran.run}</p><ol>"
    for one in made:
        words = f' <span class="dim">{_text(str(one.get("words")))}</span>' if one.get("words") else ""
        yield f"<li><code>{_text(str(one.get('step')))}</code> {_text(str(one.get('fate')))}{words}"
    yield "</ol>"
