"""The program's log as it is written: JSON for programs, plain lines for a person, whoever the line comes from."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.fakes.model_server import ModelServer
from tests.patience import PATIENCE_SECONDS
from tests.stories.program import Bot

_PROGRAM = """
import logging, sys, threading, warnings
import structlog
from bot.logs import set_up_logging

class Terminal:
    def write(self, text): return sys.stderr.write(text)
    def flush(self): sys.stderr.flush()
    def isatty(self): return True

set_up_logging("info", Terminal() if "terminal" in sys.argv else sys.stderr)
log = structlog.get_logger()
log.debug("quiet")
log.info("greeted", person="Jörg\\u202e", error="one\\ntwo \\x1b[2J", thread="t1")
log.info("half", name="\\ud83d", at=object)
log.info("working", text="Working.\\x1b[2J", agents=["a"])
logging.getLogger("uvicorn.error").error("no %s\\nat all", "way")
logging.getLogger("asyncio").info("hidden")
logging.getLogger("strange").log(35, "odd")
warnings.warn("soon gone", DeprecationWarning)
try:
    raise ValueError("first\\nsecond")
except ValueError:
    log.exception("broke")
def fail(): raise KeyError("in a thread")
thread = threading.Thread(target=fail, name="aside"); thread.start(); thread.join()
class Bad:
    def __del__(self): raise OSError("at the end")
Bad()
"""


def written(*arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", _PROGRAM, *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_whatever_a_process_writes_is_a_line_of_json() -> None:
    lines = [json.loads(line) for line in written()]
    assert [line["event"] for line in lines] == [
        *("greeted", "half", "working", "library", "library", "library", "broke", "uncaught", "uncaught")
    ]
    greeted, half, _, uvicorn, odd, warned, broke, in_thread, at_the_end = lines
    assert list(greeted)[:3] == ["timestamp", "level", "event"]
    assert (greeted["person"], greeted["error"]) == ("Jörg\u202e", "one\ntwo \x1b[2J")
    assert (half["name"], half["at"]) == ("\ud83d", "<class 'object'>")
    assert (uvicorn["level"], uvicorn["logger"], uvicorn["said"]) == ("error", "uvicorn.error", "no way\nat all")
    assert (odd["level"], odd["said"]) == ("warning", "odd")
    assert (warned["level"], warned["logger"]) == ("warning", "py.warnings")
    assert "soon gone" in warned["said"]
    assert "ValueError: first\nsecond" in broke["exception"]
    assert "in a thread" in in_thread["exception"]
    assert "at the end" in at_the_end["exception"]


def test_readable_and_harmless() -> None:
    greeted = written()[0]
    assert "Jörg\\u202e" in greeted, "people's names are legible, and what hides is written out"
    assert "\x1b" not in greeted


def test_on_a_terminal_a_line_is_for_a_person() -> None:
    lines = written("terminal")
    assert lines[0][8:] == " info    greeted person=Jörg\\u{202e} error=one two \\u{1b}[2J thread=t1"
    assert lines[2] == "Working.\\u{1b}[2J"
    assert "\x1b" not in "".join(lines)
    assert "ValueError: first" in lines


# In the program itself


@pytest.fixture
async def model() -> Any:
    async with ModelServer() as server:
        yield server


@pytest.mark.slow
async def test_each_line_of_bot_run_is_json_from_the_first_to_the_last(
    tmp_path: Path, template: Path, model: ModelServer
) -> None:
    bot = Bot(tmp_path).with_site(template).with_model(model)
    model.script({"intent": "done_for_now", "message": "Hello."})
    async with bot.started("run", BOT_API_TOKEN="a-token-for-tests-0123456789", PORT="0") as process:
        await process.serves()
        thread = (await bot.run("send", "hello, \x1b[31mbot\u202e")).succeeded().out.strip()
        await process.told("message_sent")
        process.signal(signal.SIGINT)
        assert await process.ends() == 0
        lines = process.log
        assert process.out == ""
    assert all({"timestamp", "level", "event"} <= line.keys() for line in lines)
    names = [line["event"] for line in lines]
    assert names[:2] == ["serving", "working"]
    assert names[-2:] == ["stopping", "stopped"]
    of_thread = [line["event"] for line in lines if line.get("thread") == thread]
    assert of_thread[-2:] == ["step_chosen", "message_sent"]
    (chosen,) = [line for line in lines if line["event"] == "step_chosen" and line["by"] == "model"]
    assert chosen["milliseconds"] > 0


@pytest.mark.slow
async def test_a_start_that_fails_is_a_line_too(tmp_path: Path) -> None:
    done = await Bot(tmp_path).run("run", OPENAI_MODEL="", PORT="none")
    assert done.code == 1
    assert {json.loads(line)["event"] for line in done.err.splitlines()} == {"failed"}


@pytest.mark.slow
async def test_a_port_that_is_in_use_is_a_line_too(tmp_path: Path, template: Path, model: ModelServer) -> None:
    bot = Bot(tmp_path).with_site(template).with_model(model)
    async with bot.started("run", "web", PORT="0") as first:
        port = (await first.serves()).rpartition(":")[2]
        second = await bot.run("run", "web", PORT=port)
    assert second.code == 1
    assert [json.loads(line)["event"] for line in second.err.splitlines()] == ["failed"]
