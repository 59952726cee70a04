"""`bot run`: the process that listens, works and fires schedules until it is stopped.

It starts the roles and stops them in order. The roles themselves are `bot.web.listen`, `bot.worker` and `bot.clock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import Annotated

import structlog
import typer

from bot.app import App, model_of, opened
from bot.cli import command, exits
from bot.cli.doctor import wrong_with
from bot.cli.store_checks import judged
from bot.clock import ticking
from bot.setup import Setup
from bot.stores import facts_of
from bot.team.modules import where
from bot.team.rule_checks import rule_warnings
from bot.team.tokens import token_warnings
from bot.web.listen import listen
from bot.worker import Worker
from store.base import StoreAway

log = structlog.get_logger(__name__)

ROLES = ("web", "worker", "clock")
STORE_RETRY_SECONDS = 1.0
SECOND_SIGINT_SECONDS = 1.0
"""A second SIGINT aborts only after this time: a parent process may forward the first one, too."""


def run(
    roles: Annotated[
        list[str] | None, typer.Argument(metavar="[web] [worker] [clock]", help="default: all of them")
    ] = None,
) -> None:
    """Listen to channels and work on threads until SIGTERM.

    Roles scale independently: web listens to Slack, reads mail and serves HTTP, worker works on threads, clock fires
    the schedules. Any number of each may run. When stopped, it takes no new work, and finishes its work or hands it
    back.
    """
    for role in roles or []:
        if role not in ROLES:
            raise exits.Misused(f"There is no role {role!r}; there are: {', '.join(ROLES)}.")
    chosen = set(roles or ROLES)

    async def work(setup: Setup) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stopping = asyncio.Event()
            _stop_on_signals(stopping, setup.settings.bot_grace_seconds)
            bot = await _opened(setup, stack, stopping)
            if bot is None:
                log.info("stopped", text="Stopped.")
                return
            await _warn(bot)
            checking = asyncio.create_task(_check_agents(bot), name="check")
            stack.callback(checking.cancel)
            if "web" in chosen:
                await listen(bot, stack, always="web" in (roles or []))
            if "clock" in chosen:
                clock = bot.clock()
                if clock.names or "clock" in (roles or []):
                    names = ", ".join(clock.names) or "none; bot.toml has no [schedules.NAME]"
                    log.info("schedules", text=f"Schedules: {names}.", schedules=clock.names)
                await stack.enter_async_context(ticking(clock, stopping))
            if "worker" in chosen:
                settings = setup.settings
                model = await stack.enter_async_context(model_of(setup))
                worker = bot.worker(model)
                where = "REDIS_URL" if settings.redis_url else f"the embedded Redis under {settings.bot_home}"
                text = f"Working for {', '.join(bot.roster) or 'no agent'}, with {model.name}, on {where}."
                log.info("working", text=text, agents=[*bot.roster], model=model.name)
                await _until_stopped(worker, stopping)
            else:
                await stopping.wait()
        log.info("stopped", text="Stopped.")

    hooks = "web" in chosen
    command.run(work, model="worker" in chosen, any_agent=True, channels=True, hooks=hooks, serves=True)


async def _warn(bot: App) -> None:
    """Say at once what will keep something from being done, rather than when it is needed."""
    if facts := await facts_of(bot.store):
        for found in judged(facts, bot.setup.settings):
            if found.state == "failed":
                log.error("store_unsafe", text=f"{found.what}: {found.text}")
    texts = rule_warnings(bot.all_agents, bot.authority, bot.may_write)
    texts += token_warnings(bot.setup.team.tokens, bot.now())
    for text in texts:
        log.warning("setup_warning", text=text)


async def _check_agents(bot: App) -> None:
    """Say what keeps the agents' tools from working, while the program already runs."""
    for agent in bot.all_agents.values():
        try:
            found = await wrong_with(agent)
        except Exception as error:  # It is the team's code.
            found = [f"{agent.name}: its check failed: {where(error)}."]
        for text in found:
            log.warning("setup_warning", text=text)


async def _opened(setup: Setup, stack: contextlib.AsyncExitStack, stopping: asyncio.Event) -> App | None:
    """The program on its store. Waits for a store that is away or loading; None: stopped meanwhile."""
    said = ""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as attempts:

            async def give_up() -> None:
                await stopping.wait()
                attempts.reschedule(loop.time())

            giving_up = asyncio.create_task(give_up())
            try:
                while True:
                    try:
                        bot = await stack.enter_async_context(opened(setup, keeps_time=True))
                        break
                    except StoreAway as error:
                        if str(error) != said:
                            said = str(error)
                            log.warning("waiting_for_store", error=said)
                    await asyncio.sleep(STORE_RETRY_SECONDS)
            finally:
                giving_up.cancel()
    except TimeoutError:
        return None
    if said:
        log.info("store_reached")
    return bot


async def _until_stopped(worker: Worker, stopping: asyncio.Event) -> None:
    async def stop() -> None:
        await stopping.wait()
        worker.stop()

    stop_it = asyncio.create_task(stop())
    try:
        await worker.run()
    finally:
        stop_it.cancel()


def _stop_on_signals(stopping: asyncio.Event, grace_seconds: float) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    interrupted_at: list[float] = []

    def interrupt() -> None:
        stopping.set()
        interrupted_at.append(time.monotonic())
        if len(interrupted_at) == 1:
            text = f"Stopping, within {grace_seconds:g} s. Ctrl-C again aborts the work in progress."
            log.info("stopping", text=text, grace_seconds=grace_seconds)
        elif interrupted_at[-1] - interrupted_at[0] > SECOND_SIGINT_SECONDS:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, interrupt)
