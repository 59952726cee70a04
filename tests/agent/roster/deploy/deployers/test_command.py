"""Deployments by real commands, in real processes that are killed at the worst moments."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import uvloop
from pydantic import ValidationError

from agent.roster.deploy.deployers.base import Run, Running, TargetBusy
from agent.roster.deploy.deployers.command import CommandTarget
from agent.roster.deploy.deployers.process import last_lines
from agent.roster.deploy.deployers.runner import (
    OUTPUT,
    OUTPUT_BYTES_MAX,
    OUTPUT_HEAD_BYTES,
)
from agent.roster.deploy.deployers.status_command import parse_status
from agent.roster.deploy.end_to_end import EndToEnd
from agent.roster.deploy.site import ComponentConfig, DeployConfig, EnvironmentConfig, read_site
from agent.steps import ToolError
from tests.agent.roster.deploy.deployers.place import (
    GATED,
    ONE,
    PLAIN,
    THREE,
    TWO,
    Place,
    deployer_of,
    ended,
    open_gate,
    start,
    starter,
    until,
)
from tests.patience import PATIENCE_SECONDS


def test_a_deployment_runs_to_its_end(place: Place) -> None:
    async def story() -> None:
        deployer = place.gated(url="https://ci.example/{environment}/{sha}")
        run = await start(deployer)
        assert run.state == "running"
        assert run.url == f"https://ci.example/production/{ONE}"
        await until(lambda: place.printed(run) == f"began {ONE}\n")
        assert (await deployer.look(run.id)).output == f"began {ONE}"
        assert await deployer.status() is None
        open_gate(place)
        run = await ended(deployer, run)
        assert (run.state, run.exit_code, run.note) == ("succeeded", 0, "")
        assert run.output == f"began {ONE}\nended"
        assert (run.sha, run.name, run.by, run.thread_id) == (ONE, "v1", "Ann", "t1")
        assert run.ended_at is not None
        assert run.ended_at >= run.started_at
        assert await deployer.status() == Running(ONE)

    asyncio.run(story())
    uvloop.run(again_in_another_folder(place))


async def again_in_another_folder(place: Place) -> None:
    """The loop that the bot runs on."""
    deployer = Place(place.state / "uvloop").deployer()
    assert (await ended(deployer, await start(deployer))).state == "succeeded"
    assert await deployer.status() == Running(ONE)
    tests = EndToEnd({"production": ["/bin/sh", "-c", "sleep 600 & exit 3"]}, cwd=place.repository)
    assert (await tests.check("production")).exit_code == 3
    with pytest.raises(ToolError, match="cannot be started"):
        await EndToEnd({"production": ["/nowhere/tests"]}, cwd=place.repository).check("production")


async def test_the_same_key_runs_once_however_often_it_is_started(place: Place) -> None:
    deployer, other = place.gated(), place.gated()
    runs = await asyncio.gather(*(start(deployer) for _ in range(5)), *(start(other) for _ in range(5)))
    assert len({run.id for run in runs}) == 1
    open_gate(place)
    await ended(deployer, runs[0])
    assert (await start(deployer)).state == "succeeded"
    assert place.ran() == [ONE]


@pytest.mark.slow
def test_the_same_key_runs_once_over_processes(place: Place) -> None:
    deployer = place.gated()
    starters = [starter(place, place.config(GATED)) for _ in range(4)]
    said = [process.communicate(timeout=PATIENCE_SECONDS)[0].split() for process in starters]
    assert len({run_id for run_id, _ in said}) == 1
    assert {state for _, state in said} == {"running"}
    open_gate(place)
    run = asyncio.run(ended(deployer, asyncio.run(deployer.look(said[0][0]))))
    assert run.state == "succeeded"
    assert place.ran() == [ONE]


async def test_a_key_is_for_one_commit(place: Place) -> None:
    deployer = place.deployer()
    await ended(deployer, await start(deployer, ONE))
    with pytest.raises(ToolError, match=r"has already started run .*, with another commit"):
        await start(deployer, TWO)
    assert place.ran() == [ONE]


async def test_a_busy_target_says_with_what_since_when_and_by_whom(place: Place) -> None:
    deployer = place.gated()
    run = await start(deployer)
    since = run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    with pytest.raises(TargetBusy) as caught:
        await place.gated().start(TWO, key="t2/s1", by="Bob", thread_id="t2")
    assert str(caught.value) == (
        f"web production is busy with run {run.id} of 4af9ec0, started {since} by Ann. Wait for it to end."
    )
    assert isinstance(caught.value, ToolError)
    open_gate(place)
    await ended(deployer, run)
    run = await deployer.start(TWO, key="t2/s1", by="Bob", thread_id="t2")
    open_gate(place)
    assert (await ended(deployer, run)).state == "succeeded"
    assert place.ran() == [ONE, TWO]


async def test_of_many_at_once_one_gets_the_target(place: Place) -> None:
    deployer = place.gated()
    found = await asyncio.gather(*(start(deployer, key=f"t{n}/s1") for n in range(5)), return_exceptions=True)
    runs = [run for run in found if isinstance(run, Run)]
    assert len(runs) == 1
    assert sum(isinstance(error, TargetBusy) for error in found) == 4
    open_gate(place)
    await ended(deployer, runs[0])
    assert len(place.ran()) == 1


async def test_two_targets_are_deployed_side_by_side(place: Place, tmp_path: Path) -> None:
    one, other = place.gated(), Place(tmp_path / "other")
    two = deployer_of(other.config(GATED, component="api"), place.state, place.notes)
    os.mkfifo(other.target / "gate")
    runs = [await start(one), await start(two)]
    await until(lambda: bool(place.ran() and other.ran()))
    assert [(await deployer.look(run.id)).state for deployer, run in zip((one, two), runs, strict=True)] == [
        "running",
        "running",
    ]
    assert runs[0].id != runs[1].id
    open_gate(other)
    open_gate(place)
    assert (await ended(one, runs[0])).state == (await ended(two, runs[1])).state == "succeeded"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_a_deployment_outlives_the_worker_that_started_it(place: Place, number: signal.Signals) -> None:
    deployer = place.gated()
    worker = starter(place, place.config(GATED), "stays")
    assert worker.stdout is not None
    run_id, state = (await asyncio.to_thread(worker.stdout.readline)).split()
    os.killpg(worker.pid, number)
    await asyncio.to_thread(worker.wait, PATIENCE_SECONDS)
    worker.stdout.close()
    assert state == "running"
    assert (await deployer.look(run_id)).state == "running"
    open_gate(place)
    assert (await ended(deployer, await deployer.look(run_id))).state == "succeeded"
    assert place.ran() == [ONE]


@pytest.mark.slow
async def test_a_crash_between_the_record_and_the_runner_leaves_the_run_lost(place: Place) -> None:
    worker = starter(place, place.config(), "before the runner")
    await asyncio.to_thread(worker.communicate, timeout=PATIENCE_SECONDS)
    assert worker.returncode == -signal.SIGKILL
    deployer = place.deployer()
    run = await start(deployer)
    assert run.state == "lost"
    assert run.note == "It was recorded, but its runner died before the command was started."
    assert place.ran() == []
    run = await ended(deployer, await start(deployer, key="t1/s2"))
    assert run.state == "succeeded"


@pytest.mark.slow
async def test_a_crash_before_the_record_has_started_nothing(place: Place) -> None:
    worker = starter(place, place.config(), "before it is recorded")
    await asyncio.to_thread(worker.communicate, timeout=PATIENCE_SECONDS)
    assert worker.returncode == -signal.SIGKILL
    deployer = place.deployer()
    assert (await ended(deployer, await start(deployer))).state == "succeeded"
    assert place.ran() == [ONE]


@pytest.mark.slow
async def test_a_killed_runner_is_lost_and_its_target_locked_until_the_command_is_gone(place: Place) -> None:
    deployer = place.gated()
    run = await start(deployer)
    await until(lambda: "group" in place.processes(run) and place.printed(run) == f"began {ONE}\n")
    os.kill(place.processes(run)["runner"], signal.SIGKILL)
    run = await ended(deployer, run)
    assert run.state == "lost"
    assert run.note == "Its runner died before the command ended: its outcome is unknown."
    assert run.output == f"began {ONE}"
    with pytest.raises(TargetBusy, match=r"but its command still runs\. Ask a person to check"):
        await start(deployer, TWO, key="t1/s2")
    assert (await start(deployer)).state == "lost"
    os.killpg(place.processes(run)["group"], signal.SIGKILL)
    run = await start(deployer, TWO, key="t1/s2")
    open_gate(place)
    assert (await ended(deployer, run)).state == "succeeded"
    assert place.ran() == [ONE, TWO]


@pytest.mark.slow
async def test_a_runner_that_is_told_to_end_stops_the_command_and_says_so(place: Place) -> None:
    deployer = place.gated()
    run = await start(deployer)
    await until(lambda: "group" in place.processes(run) and bool(place.ran()))
    os.kill(place.processes(run)["runner"], signal.SIGTERM)
    run = await ended(deployer, run)
    assert (run.state, run.exit_code) == ("failed", -signal.SIGTERM)
    assert run.note == "Stopped, because its runner was told to stop."
    assert not (place.target / "now").exists()


async def test_a_failure_comes_with_the_exit_code_and_the_last_lines(place: Place) -> None:
    deployer = place.deployer('i=0; while [ $i -lt 100 ]; do echo "line $i"; i=$((i+1)); done; echo no >&2; exit 3')
    run = await ended(deployer, await start(deployer))
    assert (run.state, run.exit_code, run.note) == ("failed", 3, "Exit code 3.")
    assert run.output.split("\n")[-2:] == ["line 99", "no"]
    assert len(run.output.split("\n")) == 40
    deployer = place.deployer("kill -9 $$")
    run = await ended(deployer, await start(deployer, key="t1/s2"))
    assert (run.state, run.exit_code, run.note) == ("failed", -9, "Ended by SIGKILL.")


async def test_a_program_that_is_not_there_is_a_failure_and_not_lost(place: Place) -> None:
    deployer = place.deployer(deploy=["/nowhere/deploy", "{sha}"])
    run = await ended(deployer, await start(deployer))
    assert (run.state, run.exit_code) == ("failed", None)
    assert run.note == "The command could not be started: No such file or directory: '/nowhere/deploy'."
    shutil.rmtree(place.repository)
    run = await ended(deployer, await start(deployer, key="t1/s2"))
    assert run.state == "failed"
    assert str(place.repository) in run.note


@pytest.mark.parametrize(
    ("script", "grace_seconds", "exit_code", "last"),
    [
        ('trap "" TERM; sleep 600 & echo began; while :; do sleep 600; done', 0.3, -signal.SIGKILL, "began"),
        # It ends when it is told to, and would leave a child that does not listen.
        (
            '(trap "" TERM; while :; do sleep 600; done) & trap "echo cleaned up; exit 0" TERM; '
            "echo began; while :; do sleep 0.05; done",
            30,
            0,
            "cleaned up",
        ),
    ],
)
async def test_a_command_beyond_its_time_limit_is_stopped_with_all_its_children(
    place: Place, script: str, grace_seconds: float, exit_code: int, last: str
) -> None:
    os.mkfifo(place.target / "line")
    line = os.open(place.target / "line", os.O_RDONLY | os.O_NONBLOCK)
    deployer = place.deployer(f'exec 3> "$2/line"; {script}', timeout_seconds=1.5, grace_seconds=grace_seconds)
    run = await ended(deployer, await start(deployer))
    assert (run.state, run.exit_code) == ("timed_out", exit_code)
    assert run.note == "Stopped after 1.5 seconds, its time limit."
    assert run.output.split("\n")[0] == "began"
    assert run.output.split("\n")[-1] == last

    def nobody_writes() -> bool:
        try:
            return os.read(line, 1) == b""
        except BlockingIOError:
            return False

    await until(nobody_writes)
    os.close(line)


async def test_a_server_that_a_deployment_leaves_behind_holds_neither_the_run_nor_the_target(place: Place) -> None:
    script = '(trap "" HUP; exec sleep 600) & echo $! >> "$2/servers"; echo "$1" >> "$2/ran"'
    deployer = place.deployer(script)
    try:
        for sha in (ONE, TWO):
            assert (await ended(deployer, await start(deployer, sha, key=sha))).state == "succeeded"
        assert place.ran() == [ONE, TWO]
    finally:
        for pid in (place.target / "servers").read_text().split():
            os.kill(int(pid), signal.SIGTERM)


async def test_of_a_long_output_the_beginning_and_the_end_are_kept(place: Place) -> None:
    program = "for n in range(300_000): print('line', n, 'x' * 20)"
    deployer = place.deployer(deploy=[sys.executable, "-c", program, "{sha}"])
    run = await ended(deployer, await start(deployer))
    log = (place.folder(run) / OUTPUT).read_bytes()
    assert run.state == "succeeded"
    assert OUTPUT_HEAD_BYTES < len(log) <= OUTPUT_BYTES_MAX
    assert log.startswith(b"line 0 x")
    assert log.endswith(b"line 299999 " + b"x" * 20 + b"\n")
    note = next(line for line in log.split(b"\n") if line.startswith("[…".encode()))
    left_out = int(note.split()[1].replace(b",", b""))
    total = sum(len(f"line {n} ") + 21 for n in range(300_000))
    assert left_out + len(log) - len(note) - 2 == total
    assert run.output.split("\n")[-1] == "line 299999 " + "x" * 20


async def test_hostile_output_is_cleaned(place: Place) -> None:
    shown = r"\033]0;title\007\033[31mred\033[0m\r\nbar 1\rbar 2\n</tool>\000\377\n" + "y" * 5_000
    deployer = place.deployer(f"printf '{shown}\\n'")
    run = await ended(deployer, await start(deployer))
    *first, last = run.output.split("\n")
    assert first == ["red", "bar 1", "bar 2", "</tool>\ufffd"]
    assert last == "y" * 299 + "…"
    assert last_lines(b"\x1b") == last_lines(b"\n\n") == last_lines(b"") == ""


async def test_commands_see_none_of_the_bots_secrets(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "SLACK_BOT_TOKEN", "PYTHONPATH", "LD_PRELOAD_X"):
        monkeypatch.setenv(name, "sk-secret")
    show = f'"{sys.executable}" -I -c "import json, os; print(json.dumps(dict(os.environ)))"'
    deployer = place.deployer(
        show, env={"DEPLOY_TOKEN": "t0ken", "HOME": "/srv"}, status=["/bin/sh", "-c", "env >&2; false"]
    )
    run = await ended(deployer, await start(deployer))
    seen = json.loads((place.folder(run) / OUTPUT).read_bytes())
    # The shell and Python add the last ones by themselves.
    assert set(seen) <= {"PATH", "HOME", "LANG", "USER", "TMPDIR", "DEPLOY_TOKEN"} | {"PWD", "SHLVL", "_", "LC_CTYPE"}
    assert (seen["DEPLOY_TOKEN"], seen["HOME"]) == ("t0ken", "/srv")
    with pytest.raises(ToolError) as caught:
        await deployer.status()
    checked = await EndToEnd({"production": ["/bin/sh", "-c", "env"]}, cwd=place.repository).check("production")
    assert checked.passed
    kept = b"".join(file.read_bytes() for file in place.state.rglob("*") if file.is_file())
    for text in (str(caught.value), checked.output, kept.decode()):
        assert "sk-secret" not in text
    assert "DEPLOY_TOKEN" not in checked.output


async def test_placeholders_are_filled_once_and_each_stays_one_argument(place: Place) -> None:
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    deploy = [
        "{sha}",
        "{component} {environment}",
        "{name}",
        "{previous}",
        "{key}",
        '{"a": {}}',
        "$HOME;{sha}",
        "{ sha }",
    ]
    deployer = place.deployer(deploy=[sys.executable, "-c", program, *deploy])
    run = await deployer.start(ONE, name="v1", previous=TWO, key="t/1", by="Ann", thread_id="t1")
    assert json.loads((await ended(deployer, run)).output) == [
        *(ONE, "web production", "v1", TWO, run.id, '{"a": {}}', f"$HOME;{ONE}", "{ sha }")
    ]
    run = await start(deployer, key="t/2", name="")
    assert json.loads((await ended(deployer, run)).output)[2:4] == [ONE, ""]


@pytest.mark.parametrize("name", ["--force", "v1;rm -rf /", "{key}", "v1\nv2", "v1\u202e", "x" * 10_000])
async def test_a_name_that_is_no_revision_never_reaches_the_command(place: Place, name: str) -> None:
    deployer = place.deployer(deploy=["/bin/sh", "-c", 'echo "$0"', "{name}", "{sha}"])
    run = await ended(deployer, await start(deployer, name=name))
    assert (run.output, run.name) == (ONE, "")


async def test_only_full_shas_are_deployed(place: Place) -> None:
    deployer = place.deployer()
    for bad in ("main", "4af9ec0", "", "-h", ONE.upper(), ONE + "\n", ONE + "0"):
        with pytest.raises(ToolError, match="full SHAs"):
            await start(deployer, bad)
    with pytest.raises(ToolError, match="full SHAs"):
        await deployer.start(ONE, previous="main", key="t1/s1", by="Ann", thread_id="t1")
    assert not place.state.exists()


async def test_a_hostile_display_name_comes_out_as_one_clean_line(place: Place) -> None:
    deployer = place.gated()
    run = await deployer.start(ONE, key="k", by="Eve\n\x1b[2J</tool>" + "e" * 1_000, thread_id="t1")
    assert run.by.startswith("Eve \ufffd[2J</tool>")
    assert len(run.by) == 100
    with pytest.raises(TargetBusy) as caught:
        await start(deployer)
    assert "\n" not in str(caught.value)
    open_gate(place)
    await ended(deployer, run)


async def test_looking_for_a_run_that_is_not_there(place: Place) -> None:
    deployer = place.deployer()
    for run_id in ("0" * 20, "", "../../x", "0" * 19 + "\n", "x" * 10_000):
        with pytest.raises(ToolError, match=r"No run '.*' of web on production"):
            await deployer.look(run_id)


async def test_a_record_that_cannot_be_written_starts_nothing(place: Place) -> None:
    place.state.write_text("a file where the folder should be")
    with pytest.raises(ToolError, match="Nothing was deployed: the bot cannot write the record of the run"):
        await start(place.deployer())
    assert place.ran() == []


async def test_history_is_newest_first(place: Place) -> None:
    deployer = place.deployer(PLAIN + f'; test "$1" != {THREE}')
    assert await deployer.history() == []
    for number, sha in enumerate([ONE, TWO, TWO, THREE]):
        await ended(deployer, await start(deployer, sha, key=f"t1/s{number}"))
    (place.state / "web-production/runs/.DS_Store").touch()
    runs = await deployer.history()
    assert [(run.sha, run.state) for run in runs] == [
        (THREE, "failed"),
        (TWO, "succeeded"),
        (TWO, "succeeded"),
        (ONE, "succeeded"),
    ]
    assert await deployer.history(2) == runs[:2]


@pytest.mark.parametrize(
    ("printed", "running"),
    [
        (ONE, Running(ONE)),
        (f"\n {ONE.upper()} \n", Running(ONE)),
        ("", None),
        (" \n", None),
        ('{"sha": null}', None),
        ('{"sha": ""}', None),
        (f'{{"sha": "{ONE}"}}', Running(ONE)),
        (
            f'{{"sha": "{ONE}",\n "since": "2026-01-02T10:00Z", "by": "Ann", "url": "https://x.example", "more": 1}}',
            Running(ONE, "2026-01-02T10:00Z", "Ann", "https://x.example"),
        ),
        (
            f'{{"sha": "{ONE}", "since": 5, "by": "A\\u001b\\nnn", "url": "javascript:x"}}',
            Running(ONE, "5", "A\ufffd nn"),
        ),
    ],
)
def test_a_status_is_a_sha_or_json(printed: str, running: Running | None) -> None:
    assert parse_status(printed.encode()) == running


@pytest.mark.parametrize(
    "printed",
    [
        "main",
        "4af9ec0",
        f"{ONE}\n{TWO}",
        f"{ONE} v1",
        f"sha: {ONE}",
        "x" * 50_000,
        "\x00\x1b[2J\xff",
        "{",
        "{}",
        '{"sha": 5}',
        '{"sha": "main"}',
        '{"sha": ["x"]}',
        f'["{ONE}"]',
        '{"a":' * 50_000,
        '{"sha": ' + "9" * 5_000 + "}",
    ],
)
def test_any_other_status_is_refused_in_one_line(printed: str) -> None:
    with pytest.raises(ToolError, match="neither a full SHA nor JSON with one") as caught:
        parse_status(printed.encode())
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


async def test_a_status_command_that_fails_hangs_or_is_missing_says_so(place: Place) -> None:
    failing = "echo out; echo first >&2; echo no route >&2; exit 7"
    for status, said, seconds in [
        (["/bin/sh", "-c", failing], "failed with exit code 7: no route", PATIENCE_SECONDS),
        (["/bin/sh", "-c", "sleep 600"], "took longer than 0.3 seconds", 0.3),
        (["/nowhere/status"], "cannot be started: No such file or directory: '/nowhere/status'", PATIENCE_SECONDS),
        (["/bin/sh", "-c", "yes"], "took longer than 0.3 seconds", 0.3),
    ]:
        place.status_seconds = seconds
        with pytest.raises(ToolError, match=f"[Aa]sk(ing)? what runs on web production.* {said}"):
            await place.deployer(status=status).status()


async def test_a_status_command_knows_its_target_and_may_leave_something_behind(place: Place) -> None:
    script = 'sleep 600 & test "$1/$2" = web/production && pwd -P > "$3/cwd" && echo ' + ONE
    status = ["/bin/sh", "-c", script, "status", "{component}", "{environment}", str(place.target)]
    assert await place.deployer(status=status).status() == Running(ONE)
    assert (place.target / "cwd").read_text().strip() == str(place.repository)


async def test_end_to_end_tests_pass_fail_or_take_too_long(place: Place) -> None:
    commands: Mapping[str, list[str]] = {
        "staging": ["/bin/sh", "-c", 'echo "$0"; echo fine >&2', "{environment}"],
        "production": ["/bin/sh", "-c", "echo 1 failed; exit 1"],
        "slow": ["/bin/sh", "-c", "echo began; sleep 600"],
    }
    tests = EndToEnd(commands, cwd=place.repository, timeout_seconds=1.0)
    passed, failed, slow = [await tests.check(name) for name in ("staging", "production", "slow")]
    assert (passed.passed, passed.exit_code, passed.note, passed.output) == (True, 0, "", "staging\nfine")
    assert (failed.passed, failed.exit_code, failed.note) == (False, 1, "Exit code 1.")
    assert failed.output == "1 failed"
    assert (slow.passed, slow.note, slow.output) == (False, "Stopped after 1 seconds, their time limit.", "began")
    with pytest.raises(ToolError, match="No end-to-end tests are configured for 'qa'"):
        await tests.check("qa")


def test_the_teams_configuration_is_read(place: Place) -> None:
    target = {"deploy": ["./deploy.sh", "{sha}"], "status": ["cat", "now"]}
    config = read_site(
        {
            "environments": {
                "staging": {"approval": "none", "test": ["./test.sh", "{environment}"]},
                "production": {"after": "staging"},
            },
            "components": {
                "web-app": {
                    "repository": str(place.repository),
                    "commit_url": "https://git.example/commit/{sha}",
                    "targets": {"staging": target, "production": {**target, "timeout_seconds": 60, "env": {"A": "1"}}},
                }
            },
        }
    )
    component = config.components["web-app"]
    assert component.name == "web-app"
    assert component.commit_link(ONE) == f"https://git.example/commit/{ONE}"
    staging = component.targets["staging"]
    assert isinstance(staging, CommandTarget)
    assert staging.timeout_seconds == 600
    assert all(field.description for model in (CommandTarget, ComponentConfig, EnvironmentConfig, DeployConfig)
               for name, field in model.model_fields.items() if name != "name")  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"deploy": ["deploy", "{tag}"]},
            r"unknown placeholder \{tag\}; known are component, environment, key",
        ),
        ({"deploy": ["deploy", "${HOME}"]}, r"unknown placeholder \{HOME\}"),
        ({"deploy": ["{name}", "{sha}"]}, "must not contain a placeholder"),
        ({"deploy": ["deploy", "{name}"]}, r"\{sha\} must stand in one of its arguments"),
        ({"deploy": ["deploy", "production"]}, r"\{sha\} must stand in one of its arguments"),
        ({"deploy": ["deploy", "sha"]}, r"\{sha\} must stand in one of its arguments"),
        ({"deploy": ["{sha}"]}, "must not contain a placeholder"),
        ({"deploy": []}, "at least 1 item"),
        ({"deploy": [" "]}, "must not be empty"),
        ({"deploy": "deploy {sha}"}, "deploy"),
        ({"deploy": ["deploy", "a\0b"]}, "deploy"),
        ({"status": ["status", "{sha}"]}, r"unknown placeholder \{sha\}"),
        ({"status": ["{environment}"]}, "must not contain a placeholder"),
        ({"url": "https://ci.example/{run}"}, r"unknown placeholder \{run\}"),
        ({"timeout_seconds": 0}, "greater than 0"),
        ({"env": {"A B": "1"}}, "env"),
        ({"shell": True}, "Extra inputs"),
        ({"kind": "ftp"}, "should be 'command'"),
    ],
)
def test_a_wrong_target_is_refused_when_it_is_read(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CommandTarget.model_validate({"deploy": ["deploy", "{sha}"], "status": ["status"], **change})


@pytest.mark.parametrize(
    ("component", "change", "said"),
    [
        ("Web", {}, "lower-case letters, digits"),
        ("../web", {}, "lower-case letters, digits"),
        ("web\n", {}, "lower-case letters, digits"),
        ("web", {"name": "api"}, "it is 'api', but the table's key says 'web'"),
        ("web", {"path": "../other"}, "inside the repository"),
        ("web", {"path": "/etc"}, "inside the repository"),
        ("web", {"commit_url": "https://git.example/commit/"}, r"must contain \{sha\}"),
        ("web", {"commit_url": "https://git.example/{id}"}, r"unknown placeholder \{id\}"),
        ("web", {"targets": {}}, "at least 1 item"),
        ("web-eu", {}, "would share a folder"),
    ],
)
def test_a_wrong_component_is_refused_when_it_is_read(component: str, change: dict[str, object], said: str) -> None:
    target = {"deploy": ["deploy", "{sha}"], "status": ["status"]}
    web = {"repository": "/srv/web", "targets": {"eu-production": target}}
    other = {"repository": "/srv/web", "targets": {"production": target}, **change}
    components = {"web": web, component: other} if component == "web-eu" else {component: other}
    with pytest.raises(ValidationError, match=said):
        read_site({"environments": {"production": {}, "eu-production": {}}, "components": components})
