"""The command line as people and scripts use it: real processes, a real server, a model server over HTTP."""
# ruff: noqa: ASYNC240 - the files are local and small

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.team.names import NO_AGENT
from tests.fakes.model_server import ModelServer, step
from tests.fakes.servers import Server
from tests.shop import MERGED
from tests.stories.program import BOT, Bot, forked

pytestmark = pytest.mark.slow


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    return Bot(tmp_path)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


def deploy(revision: str, environment: str = "production", quoted: str = "") -> dict[str, Any]:
    """`quoted`: words of the first message, as a waiver for what does not run on staging."""
    step: dict[str, Any] = {
        "intent": "deploy",
        "component": "backend",
        "environment": environment,
        "revision": revision,
    }
    return step | {"waiver": {"message": "m2", "words": quoted}} if quoted else step


def done(message: str = "All done.") -> dict[str, Any]:
    return {"intent": "done_for_now", "message": message}


def question(text: str, *choices: str) -> dict[str, Any]:
    options = {"urgency": "high", "format": "multiple_choice" if choices else "free_text", "choices": list(choices)}
    return {"intent": "request_human_input", "question": text, "context": "There are two.", "options": options}


# What was typed wrong


async def test_a_wrong_command_line_is_one_line_and_exit_code_2(bot: Bot) -> None:
    wrong = {
        ("sned", "hi"): ["'sned'", "'send'", "bot --help"],
        ("send",): ["TEXT", "bot send --help"],
        ("send", "   "): ["TEXT is empty"],
        ("send", "--nope", "hi"): ["--nope", "bot send --help"],
        ("send", "--place", "nowhere", "hi"): ["'nowhere'", "terminal:ops"],
        ("send", "--place", "terminal:", "hi"): ["'terminal:'", "terminal:ops"],
        ("send", "--thread", "t1", "--place", "terminal:x", "hi"): ["--thread", "--place"],
        ("send", "--thread", "t1", "--agent", "deploy", "hi"): ["--thread", "--agent"],
        ("send", "--as", " ", "hi"): ["--as"],
        ("approve", "t1", "--as", "n" * 600): ["--as"],
        ("answer", "t1", ""): ["TEXT is empty"],
        ("fork", "t1"): ["--at", "bot fork --help"],
        ("fork", "t1", "--at", "x"): ["--at", "integer"],
        ("threads", "--status", "happy"): ["'happy'", "waiting_for_approval"],
        ("threads", "--limit", "0"): ["--limit"],
        ("show", "t1", "--markdown", "--json"): ["--markdown"],
        ("run", "janitor"): ["'janitor'", "worker"],
    }
    for result, words in zip(await bot.all(*wrong), wrong.values(), strict=True):
        result.failed(*words, code=2)
    assert not bot.home.exists(), "nothing was begun"


async def test_help_says_what_there_is(bot: Bot) -> None:
    bare, general, of_send, version = await bot.all((), ("--help",), ("send", "-h"), ("--version",))
    assert (bare.code, bare.out) == (2, "")
    assert bare.err.strip() == general.out.strip()
    names = "demo run chat send threads show approve reject answer fork export verify doctor"
    for name in names.split():
        assert f"\n  {name} " in general.succeeded().out
    assert "..." not in general.out.partition("Commands:")[2], "each command's line is complete"
    assert "--wait" in of_send.succeeded().out
    assert version.succeeded().out.startswith("deploybot ")


# A newcomer's first minutes


async def test_before_anything_is_set_up_each_command_says_what_to_do(bot: Bot) -> None:
    async with bot.kept():
        listed, as_json, sent, ran, chatted, waited, unknown = await bot.all(
            ("threads",),
            ("threads", "--json"),
            ("send", "hi"),
            ("run",),
            ("chat",),
            ("send", "--wait", "hi"),
            ("show", "t0\x1b[31m", "--json"),
        )
    assert listed.succeeded().out == ""
    assert as_json.succeeded().document == []
    sent.failed(NO_AGENT)
    for result in (ran, chatted, waited):
        assert result.code == 1
        assert result.out == ""
        what_to_do, first, second = result.err.splitlines()
        assert NO_AGENT in what_to_do
        assert "OPENAI_MODEL" in first
        assert "OPENAI_API_KEY" in second
    unknown.failed("There is no thread", "bot threads")
    assert "\x1b" not in unknown.err
    assert stat.S_IMODE(bot.home.stat().st_mode) == 0o700


async def test_whatever_names_an_unknown_thread_says_so(bot: Bot, server: Server) -> None:
    bot.environment["REDIS_URL"] = server.url
    commands = (
        ("show", "t404"),
        ("approve", "t404"),
        ("reject", "t404"),
        ("answer", "t404", "yes"),
        ("pause", "t404"),
        ("stop", "t404"),
        ("resume", "t404"),
        ("cancel", "t404"),
        ("fork", "t404", "--at", "1"),
        ("send", "--thread", "t404", "hi"),
        ("show", ""),
    )
    not_utf8 = await bot.run("show", b"t\xff")
    for result in [not_utf8, *await bot.all(*commands)]:
        result.failed("There is no thread", "`bot threads`")
    assert server.command("DBSIZE") == 0, "asking leaves nothing behind"


async def test_the_first_command_starts_the_embedded_server_and_the_last_one_stops_it(bot: Bot, template: Path) -> None:
    sent = await bot.with_site(template).run("send", "status")
    await bot.nothing_is_left()
    listed, shown = await bot.all(("threads",), ("show", sent.succeeded().out.strip()))
    assert sent.out.strip() in listed.succeeded().out
    assert "status" in shown.succeeded().out
    await bot.nothing_is_left()


async def test_whoever_only_reads_needs_no_team_file_that_is_right(bot: Bot, template: Path, server: Server) -> None:
    bot.environment["REDIS_URL"] = server.url
    thread = (await bot.with_site(template).run("send", "status")).succeeded().out.strip()
    (bot.folder / "bot.toml").write_text("half a ta")
    for command in (("threads",), ("threads", "--json"), ("show", thread), ("export", thread)):
        assert thread in (await bot.run(*command)).succeeded().out
    (await bot.run("show", thread, "--prompt")).failed("bot.toml is not valid TOML")


# The whole of a thread


async def test_a_thread_from_its_opening_to_its_end(
    bot: Bot, template: Path, server: Server, model: ModelServer
) -> None:
    bot.with_site(template).with_model(model).environment["REDIS_URL"] = server.url
    model.script(
        deploy(MERGED, quoted="to production"),
        deploy("v1.1.0"),
        done("**v1.1.0** is out."),
        question("Which\x1b[2J tag?", "a", "b"),
    )
    model.script(done("Very well."))

    # Opened: nothing is done yet, and everybody can see it.
    sent = (await bot.run("send", f"deploy {MERGED} to production", "--as", "Ann")).succeeded()
    thread = sent.out.strip()
    assert sent.out == f"{thread}\n"
    listed, as_json, shown, prompt, approved, answered = await bot.all(
        ("threads",),
        ("threads", "--json", "--status", "working"),
        ("show", thread),
        ("show", thread, "--prompt", "--json"),
        ("approve", thread),
        ("answer", thread, "yes"),
    )
    assert listed.succeeded().out.split()[:3] == [thread, "working", "deploy"]
    assert f"deploy {MERGED} to production" in listed.out
    assert [found["id"] for found in as_json.document] == [thread]
    assert "Ann:" in shown.succeeded().out
    assert f"{thread}: working, whose turn: agent, 2 events" in shown.out
    assert prompt.document["user"].startswith("<message>\nfrom: Ann (verified), m2\n")
    assert "deploybot" in prompt.document["system"]
    approved.failed(thread, "nothing to approve or reject", "working")
    answered.failed(thread, "no open question", "bot send")

    # Worked on until it is somebody's turn: one JSON document, and nothing else.
    waited = (await bot.run("send", "--thread", thread, "go on", "--wait", "--json")).succeeded()
    assert waited.document["status"] == "waiting_for_approval"
    assert waited.document["pending"]["intent"] == "deploy"
    assert waited.document["pending"]["facts"]["new"]["sha"] == bot.site.sha(MERGED)
    assert "events" not in waited.document
    digest = waited.document["pending"]["digest"]
    assert [said["kind"] for said in waited.document["said"]] == ["request"]
    assert bot.site.sha(MERGED) in waited.document["said"][0]["text"]
    assert waited.document["next"]["approve"].endswith(f"approve {thread} --digest {digest[:12]}")
    assert waited.document["next"]["reject"].endswith(f"reject {thread} --digest {digest[:12]} --reason WHY")
    asked_for = model.requests[0]["messages"][-1]["content"]
    assert "go on" in asked_for
    prompt, listed = await bot.all(("show", thread, "--prompt"), ("threads", "--status", "waiting_for_approval"))
    assert "waits_for_approval: deploy component=backend environment=production" in prompt.succeeded().out
    assert "Deploy backend" in listed.out

    # Another request than that one is not decided, however it is named.
    wrong = await bot.all(
        ("approve", thread, "--digest", "0" * 12),
        ("approve", thread, "--digest", digest[:7]),
        ("reject", thread, "--digest", digest[:-1] + "x"),
    )
    for result in wrong:
        result.failed("a different request", "Nothing was changed")
    words = ("--reason", "use v1.1.0", "--as", "Bob")
    rejected = await bot.run("reject", thread, "--digest", digest[:8], "--wait", *words)
    assert "Rejected: Deploy" in rejected.succeeded().out
    assert "asked for as: v1.1.0" in rejected.out
    assert "Show delivery dates in the basket" in rejected.out, "all that the new request shows"
    assert rejected.out.count("go on") == 1, "only the card says it: what was there before is not told again"
    assert rejected.out.endswith(f"{thread}: waiting_for_approval\n")
    assert f"bot reject {thread} --digest " in rejected.out.partition("\n  or: ")[2], "how to decide it"
    assert "use v1.1.0" in model.requests[1]["messages"][-1]["content"]
    assert bot.site.running("backend", "production") == bot.site.sha("v1.0.0")

    # Approved once; the second one, and the other way round, change nothing.
    approved = (await bot.approve(thread, "--wait", "--json", "--as", "Bob")).succeeded()
    assert approved.document["status"] == "done"
    assert approved.document["said"][0] == {"kind": "words", "text": "**v1.1.0** is out."}
    assert bot.site.running("backend", "production") == bot.site.sha("v1.1.0")
    for result in await bot.all(("approve", thread, "--as", "Cleo"), ("reject", thread, "--reason", "no")):
        result.failed("Already approved by Bob at", "Nothing was changed")
    assert len(bot.site.deployed()) == 5, "four that built the site, and this one"

    # A question, whose text cannot draw on the screen; its answer.
    shown = await bot.run("send", "--thread", thread, "--wait", "now staging")
    assert "Urgent: Which\\u{1b}[2J tag?" in shown.succeeded().out
    assert "\x1b" not in shown.out
    assert "  - a\n" in shown.out
    assert f"answer {thread} TEXT\n{thread}: waiting_for_answer\n" in shown.out
    as_json, listed = await bot.all(("show", thread, "--json"), ("threads", "--status", "waiting_for_answer"))
    assert as_json.document["question"]["question"] == "Which\x1b[2J tag?"
    assert "\\u001b" in as_json.out
    assert len(as_json.document["events"]) == as_json.document["version"]
    assert "Which" in listed.out
    answered = await bot.run("answer", thread, "-", "--wait", "--json", stdin="b, bitte \N{ROCKET}\n".encode())
    assert answered.succeeded().document["status"] == "done"
    (await bot.run("answer", thread, "b")).failed("no open question", "done")

    # Paused and resumed, each once.
    paused = await bot.run("pause", thread, "--as", "Ann")
    assert paused.succeeded().out.startswith("Paused.")
    again, shown, told = await bot.all(("pause", thread), ("show", thread), ("send", "--thread", thread, "hello?"))
    again.failed(thread, "paused already")
    assert f"{thread}: paused, whose turn: human" in shown.out
    told.succeeded()
    resumed = await bot.run("resume", thread, "--json")
    assert resumed.succeeded().document["status"] == "working", "it has something to read"
    (await bot.run("resume", thread)).failed(thread, "not paused")

    # A copy of its beginning, and nothing of the end.
    copied, markdown, *out_of_range = await bot.all(
        ("fork", thread, "--at", "2", "--json"),
        ("show", thread, "--markdown"),
        ("fork", thread, "--at", "0"),
        ("fork", thread, "--at", "-1"),
        ("fork", thread, "--at", "99999"),
        ("fork", thread, "--at", "2", "--place", "pigeon:1"),
    )
    assert copied.succeeded().document["status"] == "done"
    assert copied.document["id"] != thread
    assert copied.document["version"] == 3
    for result in out_of_range[:3]:
        result.failed("--at takes 1 to")
    out_of_range[3].failed("'pigeon'", "terminal")
    assert markdown.succeeded().out.startswith(f"# Thread {thread}\n")
    assert "\x1b" not in markdown.out

    # Ended, once.
    ended = await bot.run("cancel", thread, "--reason", "that will do")
    assert ended.succeeded().out.startswith("Cancelled.")
    for result in await bot.all(("cancel", thread), ("pause", thread), ("send", "--thread", thread, "hi")):
        result.failed(thread, "cancelled")
    shown = await bot.run("show", thread)
    assert "dex:         cancelled the thread: that will do" in shown.out
    assert f"{thread}: cancelled, whose turn: nobody" in shown.out
    assert "Cleo:        tried to approve it; it does not count: already approved by Bob at" in shown.out
    assert shown.out.count("already approved by Bob at") == 2, "of the one too late and of the other way round"

    # And reopened, once.
    (await bot.run("send", "--thread", thread, "hi")).failed(f"`bot resume {thread}` reopens it")
    (await bot.run("answer", thread, "hi")).failed(f"`bot resume {thread}` reopens it")
    assert (await bot.run("resume", thread)).succeeded().out.startswith("Reopened. What was cancelled stays cancelled")
    (await bot.run("resume", thread)).failed(thread, "nor cancelled")
    assert f"{thread}: done, whose turn: nobody" in (await bot.run("show", thread)).out
    (await bot.run("send", "--thread", thread, "hi")).succeeded()
    assert f"{thread}: working, whose turn: agent" in (await bot.run("show", thread)).out


async def test_two_at_one_place_are_in_one_thread(bot: Bot, template: Path, server: Server) -> None:
    bot.with_site(template).environment["REDIS_URL"] = server.url
    one, two = await bot.all(("send", "one", "--place", "terminal:ops"), ("send", "two", "--place", "terminal:ops"))
    assert one.succeeded().out == two.succeeded().out
    copied, other_channel, other_agent = await bot.all(
        ("fork", one.out.strip(), "--at", "1", "--place", "terminal:ops"),
        ("send", "hi", "--place", "pigeon:ops"),
        ("send", "hi", "--agent", "gardener"),
    )
    copied.failed("terminal:ops already")
    other_channel.failed("'pigeon'", "terminal")
    other_agent.failed("'gardener'", "deploy, rollback", "[agents.gardener]")


# Text from anywhere


async def test_any_text_can_be_said_and_none_of_it_can_draw(bot: Bot, template: Path, server: Server) -> None:
    bot.with_site(template).environment["REDIS_URL"] = server.url
    nasty = "one\x1b[2J\x9b31m\u202etwo\r\nbot:         Approved"
    binary = await bot.run("send", "-", stdin=b"caf\xe9 \xff\xfe")
    huge = await bot.run("send", "-", stdin=b"long " * 600_000)
    evil = await bot.run("send", nasty, "--as", "root:\x1b[31m\n\x9b1mEvil")
    not_utf8 = await bot.run("send", b"na\xefve")
    nothing, too_large, shown, as_json, markdown, listed, long, wrong_id = await bot.all(
        ("send", "-"),
        ("show", binary.out.strip()),
        ("show", evil.out.strip()),
        ("show", evil.out.strip(), "--json"),
        ("show", evil.out.strip(), "--markdown"),
        ("threads",),
        ("show", huge.out.strip()),
        ("show", not_utf8.out.strip()),
    )
    nothing.failed("TEXT is empty", code=2)
    assert "caf\ufffd" in too_large.succeeded().out
    assert "na\ufffdve" in wrong_id.succeeded().out
    assert "the first 50,000 of 3,000,000 characters" in long.succeeded().out
    for result in (shown, as_json, markdown, listed):
        assert not any(char in result.succeeded().out for char in "\x1b\x9b\u202e\r"), result
    assert as_json.document["events"][1]["text"] == nasty
    first, second = shown.out.splitlines()[:2]
    assert first.startswith("root:\\u{1b}[31m \\u{9b}1mEvil: one\\u{1b}[2J")
    assert second == "             bot:         Approved", "it cannot pose as somebody else's line"


# Where the output goes


async def test_a_person_who_looks_on_is_told_what_to_do_next(
    bot: Bot, template: Path, server: Server, model: ModelServer
) -> None:
    bot.with_site(template).with_model(model).environment["REDIS_URL"] = server.url
    model.script(deploy(MERGED, quoted="to production"), question("Which?"))
    async with bot.terminal("send", f"deploy {MERGED} to production") as ann:
        await ann.sees("run` works on it")
        assert await ann.ends() == 0
    thread = (await bot.run("threads", "--json")).document[0]["id"]
    async with bot.terminal("send", "--thread", thread, "--wait", "please") as ann:
        card = await ann.sees(f"{thread}: waiting_for_approval")
        await ann.sees(f"approve {thread} --digest ")
        digest = (await ann.sees("\n")).strip()
        assert f"digest {digest}" in card
        await ann.sees(f"reject {thread} --digest {digest} --reason WHY")
        assert await ann.ends() == 0
    async with bot.terminal("threads") as ann:
        await ann.sees("ID ")
        row = await ann.sees("Deploy backend")
        assert f"{thread}  waiting_for_approval  deploy" in row
        assert await ann.ends() == 0
    async with bot.terminal("reject", thread, "--digest", digest, "--wait") as ann:
        await ann.sees("Rejected: Deploy")
        await ann.sees(f"answer {thread} TEXT")
        assert await ann.ends() == 0
    async with bot.terminal("pause", thread) as ann:
        await ann.sees(f"resume {thread}")
        assert await ann.ends() == 0


async def test_somebody_who_does_not_wait_any_longer_loses_nothing(
    bot: Bot, template: Path, server: Server, model: ModelServer
) -> None:
    bot.with_site(template).with_model(model).environment |= {"REDIS_URL": server.url, "BOT_LEASE_SECONDS": "1"}
    bot.environment["BOT_GRACE_SECONDS"] = "0.1"
    model.script(step(done("never"), after=asyncio.Event()), done("Here I am."))
    async with bot.terminal("send", "--wait", "hello") as ann:
        await model.arrived(1)
        ann.presses("C")
        await ann.sees("Nothing is lost. To look at it: ")
        assert await ann.ends() == 130
        assert "Traceback" not in ann.screen
    thread = (await bot.run("threads", "--json")).document[0]["id"]
    async with bot.started("run"):
        await model.arrived(2)
    assert "hello" in (await bot.run("show", thread)).out


async def test_output_that_nobody_takes(bot: Bot, template: Path, server: Server) -> None:
    bot.with_site(template).environment["REDIS_URL"] = server.url
    (await bot.run("send", "to the \N{ROCKET}")).succeeded()

    def in_shell(command: str) -> subprocess.CompletedProcess[str]:
        shell = ["sh", "-c", command.replace("bot", BOT)]
        return subprocess.run(shell, cwd=bot.folder, env=bot.env(), capture_output=True, text=True, check=False)

    commands = (
        "{ bot threads --json; echo $? >&2; } | true",
        "bot threads <&- >&- 2>&-",
        "bot send - <&-",
        "PYTHONIOENCODING=ascii bot threads",
        "bot threads --json > /dev/full",
        "bot --help > /dev/full",
    )
    left, all_closed, no_stdin, ascii_only, *full = await asyncio.gather(
        *(asyncio.to_thread(in_shell, command) for command in commands)
    )
    assert left.stderr == "0\n", "a reader that leaves is no failure"
    assert all_closed.returncode == 0
    assert (no_stdin.returncode, no_stdin.stdout) == (2, "")
    assert "TEXT is empty" in no_stdin.stderr
    assert "to the \\U0001f680" in ascii_only.stdout
    if Path("/dev/full").exists():
        said = "That did not work: No space left on device (OSError).\n"
        assert [(one.returncode, one.stderr) for one in full] == [(1, said)] * 2


async def test_a_reader_that_leaves_is_no_failure(bot: Bot, template: Path, model: ModelServer) -> None:
    async def unread(*arguments: str, lines: int = 0) -> tuple[int, str]:
        """As `bot … | head -N` does it. Gives the exit code, and all of stderr."""
        reads, writes = os.pipe()
        with tempfile.TemporaryFile() as nothing, tempfile.TemporaryFile() as errors:
            with os.fdopen(writes, "wb") as out:
                process = await forked(["bot", *arguments], bot.folder, bot.env(), (nothing, out, errors))
            with os.fdopen(reads) as reader:
                for _ in range(lines):
                    await asyncio.to_thread(reader.readline)
            code = await process.ends()
            return code, os.pread(errors.fileno(), 100_000, 0).decode()

    bot.with_site(template)
    for command in (["threads", "--json"], ["send", "hi"], ["send", "--help"], ["--help"], ["--version"]):
        assert await unread(*command) == (0, ""), command
    failed = "1 of 15 checks failed: model.\n"  # It is still said that a check failed, and nothing of the pipe.
    assert await unread("doctor", "--json") == (1, failed)
    bot.with_model(model)
    model.script(*[{"intent": "nothing_to_do"}] * 4)
    for lines in (0, 1, 4, 6):  # within the checks of the store, too
        assert await unread("doctor", lines=lines) == (0, ""), lines


# A store that is not there


async def test_a_store_that_cannot_be_reached_is_one_line(bot: Bot, tmp_path: Path) -> None:
    wrong = {
        "redis://127.0.0.1:1": ["Cannot reach Redis", "127.0.0.1:1", "REDIS_URL"],
        "redis://:hunter2@127.0.0.1:1/0": ["Cannot reach Redis", "REDIS_URL"],
        f"unix://{tmp_path}/none.sock": ["Cannot reach Redis", "none.sock"],
        "http://localhost": ["REDIS_URL", "redis://"],
        "redis://:hunter2/x@localhost": ["REDIS_URL", "%2F"],
    }
    results = await asyncio.gather(*(bot.run("threads", "--json", REDIS_URL=url) for url in wrong))
    for result, words in zip(results, wrong.values(), strict=True):
        result.failed(*words)
        assert "hunter2" not in result.err


async def test_a_home_that_cannot_be_written_is_one_line(bot: Bot, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for home in (str(file), f"{file}/under"):
        for command in ("threads", "demo"):
            (await bot.run(command, BOT_HOME=home)).failed("BOT_HOME", "file")


# The model


async def test_a_model_in_trouble_is_told_and_asked_again(
    bot: Bot, template: Path, server: Server, model: ModelServer
) -> None:
    bot.with_site(template).with_model(model).environment["REDIS_URL"] = server.url
    trouble = {"status": 400, "message": "no sk-secret here", "headers": {"Retry-After": "0.2"}}
    model.script({"error": trouble}, done("Back again."))
    sent = (await bot.run("send", "--wait", "hello")).succeeded()
    assert "no *** here I will ask again at" in " ".join(sent.out.split())
    assert sent.out.splitlines()[-2:] == ["bot:         Back again.", f"{sent.out.split()[0]}: done"]
    assert "sk-secret" not in sent.out


async def test_a_model_that_talks_nonsense_ends_with_a_person(
    bot: Bot, template: Path, server: Server, model: ModelServer
) -> None:
    bot.with_site(template).with_model(model).environment["REDIS_URL"] = server.url
    model.script(*["Certainly!"] * 6)
    sent = await bot.run("send", "--wait", "hello")
    assert (sent.code, sent.err) == (3, ""), "done so far, and a person has to go on"
    assert "I stopped and need a person" in sent.out
    assert sent.out.endswith(": handed_to_human\n")
    thread = sent.out.split()[0]
    as_json = await bot.run("send", "--wait", "--json", "--thread", thread, "and now?")
    assert (as_json.code, as_json.document["status"]) == (3, "handed_to_human")
    [said] = as_json.document["said"]
    assert (said["kind"], "I stopped and need a person" in said["text"]) == ("words", True)
    assert f"send --thread {thread} TEXT" in as_json.document["next"]["send"]


async def test_what_the_model_would_be_sent_is_what_it_is_sent(
    bot: Bot, template: Path, server: Server, model: ModelServer
) -> None:
    bot.with_site(template).with_model(model).environment["REDIS_URL"] = server.url
    model.script(question("Which?"), done())
    thread = (await bot.run("send", "hello", "--wait", "--json")).succeeded().document["id"]
    (await bot.run("send", "--thread", thread, "v1")).succeeded()
    prompt = (await bot.run("show", thread, "--prompt", "--json")).succeeded().document
    (await bot.run("resume", thread)).failed("not paused")
    assert (await bot.run("send", "--thread", thread, " ", "--wait")).code == 2
    async with bot.started("run") as worker:
        await model.arrived(2)
        worker.signal(signal.SIGTERM)
        assert await worker.ends() == 0
    system, user = model.requests[1]["messages"]
    shape = model.requests[1]["response_format"]
    assert prompt == {"system": system["content"], "user": user["content"], "response_format": shape}
    assert json.loads((await bot.run("threads", "--json")).out)[0]["status"] == "done"
