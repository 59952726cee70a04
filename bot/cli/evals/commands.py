"""`bot eval`: plays an agent's cases against the configured model, and says how many ended right.

Exit codes: 0 all was played, enough ended right and there was no wrong action; 1 otherwise. The same command goes on
where an earlier one stopped, unless what the model is shown has changed.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from agent.evals.case import Case, chosen
from agent.evals.tally import Ran, Tally, changes
from agent.model.base import DEFAULT as MODEL
from agent.model.base import Answer, Model, Prompt
from agent.model.choice import Models
from agent.roster import DEFAULT
from bot.app import model_of
from bot.cli import command, console, exits
from bot.cli.evals import adding, page, results, text
from bot.cli.evals.judge import Judge
from bot.cli.evals.results import Measured, Results
from bot.cli.evals.stage import Ready, ready
from bot.cli.evals.suite import Budget, Suite
from bot.cli.options import AsJson, ThreadId
from bot.setup import Setup
from bot.team.names import unknown
from channels.inbound import Refused
from store.text import one_line

FOLDER = "evals"
"""Of the results, under BOT_HOME."""


class _RunsByDefault(TyperGroup):
    """`bot eval deploy` is `bot eval run deploy`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunsByDefault,
    help="Play an agent's cases against the model. `bot eval [AGENT]` is `bot eval run [AGENT]`.",
    rich_markup_mode=None,
)


class _Chosen:
    """One of the models of the team file, whatever agent asks."""

    def __init__(self, models: Models, label: str) -> None:
        self._models, self._option = models, models.options[label]
        self.name = self._option.model.name

    async def answer(self, prompt: Prompt) -> Answer:
        return await self._models.answer_of(self._option, prompt)


@app.command()
def run(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="whose cases", show_default=True)] = DEFAULT,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="TAG|NAME", help="cases with this tag or name; repeatable")
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, max=100, help="how often each case is played")] = 1,
    at_once: Annotated[int, typer.Option("--at-once", min=1, max=64, help="cases under way at the same time")] = 1,
    held_out: Annotated[
        bool | None, typer.Option("--held-out/--no-held-out", help="only the cases held out, or only the others")
    ] = None,
    model: Annotated[str, typer.Option("--model", metavar="M", help="a model of the team file, by its table")] = "",
    judge: Annotated[
        str, typer.Option("--judge", metavar="M", help="a model that judges texts, where a case asks for it")
    ] = "",
    max_cost: Annotated[float | None, typer.Option("--max-cost", min=0, help="stop when it cost so much")] = None,
    max_seconds: Annotated[float | None, typer.Option("--max-seconds", min=0, help="stop after so long")] = None,
    right_min: Annotated[
        float, typer.Option("--right-min", min=0, max=1, help="the share that must end right for exit code 0")
    ] = 1.0,
    again: Annotated[bool, typer.Option("--again", help="begin anew instead of going on")] = False,
    as_json: AsJson = False,
) -> None:
    """Play the cases."""

    async def work(setup: Setup) -> None:
        with ready(setup, agent) as found:
            cases = chosen(found.cases, only or (), held_out=held_out)
            async with model_of(setup) as models:
                asked = _model(models, model)
                if max_cost is not None and not any(one.model.price for one in models.options.values()):
                    raise Refused("--max-cost has no effect without price_in and price_out of a model in [models].")
                kept = _results(setup, found, asked.name, f"{model} {judge}", cases, runs, again=again)
                budget = Budget(
                    float("inf") if max_cost is None else max_cost, float("inf") if max_seconds is None else max_seconds
                )
                by = Judge(_model(models, judge)) if judge else None
                suite = Suite(found.stage, kept, lambda _: asked, budget, _tell, by)
                await suite.play(cases, runs, at_once)
                modes = {one.model.name: one.model.client.mode for one in models.options.values()}
                modes.setdefault(models.name, models.options[MODEL].model.client.mode)
            kept.write_measured(replace(kept.measured, rung=modes.get(asked.name, "")))
        _report(setup, kept, cases, suite.stopped, right_min, as_json=as_json)

    command.run(work, model=True, agents=False)


@app.command()
def add(
    thread: ThreadId,
    at: Annotated[
        int, typer.Option("--at", metavar="N", min=0, help="the first N events; default: before its last choice")
    ] = 0,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="of the case")] = "",
    wrong: Annotated[bool, typer.Option("--wrong", help="what it chose next was wrong")] = False,
    write: Annotated[bool, typer.Option("--write", help="write it beside the agent's cases")] = False,
) -> None:
    """Make a case of a thread, with names, addresses and revisions replaced. Prints it."""

    async def work(setup: Setup) -> None:
        print(await adding.add(setup, thread, at, name, wrong=wrong, write=write))

    command.run(work)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="a folder of results", exists=True, file_okay=False)],
    after: Annotated[Path, typer.Argument(metavar="B", help="another one", exists=True, file_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Compare two measurements, case by case."""
    try:
        found = [results.read(folder) for folder in (before, after)]
    except results.ResultsError as error:
        raise exits.Misused(str(error)) from None
    different = changes(*(one.ran.values() for one in found))
    tallies = [Tally(tuple(one.ran.values())) for one in found]
    if as_json:
        first, second = (text.document(one.measured, tally, []) for one, tally in zip(found, tallies, strict=True))
        console.print_json({"before": first, "after": second, "changes": text.changed(different)})
        return
    for one, tally in zip(found, tallies, strict=True):
        print(
            f"{one.folder.name}  {one.measured.model}: right {tally.right}; wrong actions in "
            f"{len(tally.by_case()) - tally.without_wrong_action.right} cases"
        )
    for line in text.lines_of(different):
        print(line)


def _model(models: Models, label: str) -> Model:
    """Raises Refused."""
    if not label:
        return models
    if label not in models.options:
        raise Refused(unknown(label, "model of the team file", [*models.options]))
    return _Chosen(models, label)


def _results(
    setup: Setup, found: Ready, model: str, chosen: str, cases: list[Case], runs: int, *, again: bool
) -> Results:
    """`chosen`: which models of the team file were named."""
    home = setup.settings.bot_home / FOLDER
    tables = {name: table.model_dump(mode="json") for name, table in setup.team.models.items()}
    fingerprint = results.fingerprint_of(found.agent, [tables, setup.settings.openai_base_url, chosen])
    measured = Measured(found.agent.name, model, fingerprint, runs, results.now())
    if not again and (before := results.unfinished(home, measured, cases)):
        console.say(f"Going on with {before.folder}")
        return before
    return results.begin(home, measured)


def _tell(ran: Ran) -> None:
    why = f": {one_line(ran.why, text.WHY_CHARS_MAX)}" if ran.why else ""
    console.say(f"{ran.kind.replace('_', ' '):<12} {ran.case} {ran.run} ({sum(ran.seconds):.1f} s){why}")


def _report(setup: Setup, kept: Results, cases: list[Case], stopped: str, right_min: float, *, as_json: bool) -> None:
    """Raises Failed."""
    tally = Tally(kept.of(cases))
    last = _before(setup, kept)
    different = changes(last.ran.values(), tally.runs) if last else []
    since = last.folder.name if last else ""
    shown = kept.write_page(page.page(kept.measured, tally, cases, kept.made, different, since))
    if as_json:
        console.print_json(text.document(kept.measured, tally, different))
    else:
        for line in text.lines(kept.measured, tally):
            print(line)
        if last:
            print(f"Since {last.folder.name}:")
            for line in text.lines_of(different):
                print(f"  {line}")
        print(f"Results: {shown}")
    if stopped:
        raise command.Failed(f"Not all was played, because {one_line(stopped, 300)}. The same command goes on.")
    if not text.has_passed(tally, right_min):
        failed = tally.kinds.get("failed", 0)
        again = f" {failed} runs say nothing of the model: the same command plays them again." if failed else ""
        raise command.Failed(f"{tally.right} ended right; wrong actions: {text.wrong_actions(tally)}.{again}")


def _before(setup: Setup, kept: Results) -> Results | None:
    """The measurement before this one."""
    home = setup.settings.bot_home / FOLDER
    older = (one for one in results.folders(home, kept.measured.agent) if one.name < kept.folder.name)
    with contextlib.suppress(results.ResultsError, StopIteration):
        return results.read(next(older))
    return None
