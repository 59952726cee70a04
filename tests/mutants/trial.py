"""Putting a fault into a copy of the tree and running the tests there. cosmic-ray does both, and takes it out again.

Every worker process has a copy of its own, stands in it, and tries one fault after the other.
"""

from __future__ import annotations

import compileall
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Literal

from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_item import MutationSpec, TestOutcome

from tests import ROOT
from tests.mutants.faults import Fault

Outcome = Literal["killed", "survived", "not_made"]
SECONDS_OF_A_TEST = 60

_NOTHING = Fault("tests/mutants/__init__.py", "NoOp", 0, (1, 0), (1, 1), "", "nothing")


def without_fault(tests: tuple[str, ...]) -> tuple[float, str]:
    """(seconds, what they said if they failed) of these tests in the copy, without a fault."""
    began = time.monotonic()
    outcome, said = _tried(_NOTHING, tests, timeout=600)
    return time.monotonic() - began, "" if outcome == "survived" else said


def tried(fault: Fault, tests: tuple[str, ...], seconds: float) -> Outcome:
    """What came of it; `seconds`: what all tests take without it, far more than the few of this fault."""
    return _tried(fault, tests, timeout=SECONDS_OF_A_TEST + seconds)[0]


def _tried(fault: Fault, tests: tuple[str, ...], timeout: float) -> tuple[Outcome, str]:
    spec = MutationSpec(Path(fault.file), f"core/{fault.operator}", fault.occurrence, fault.start, fault.end)
    result = mutate_and_test([spec], _command(tests), timeout)
    match result.test_outcome:
        case TestOutcome.KILLED:
            return "killed", result.output
        case TestOutcome.SURVIVED:
            return "survived", result.output
        case _:
            return "not_made", result.output or ""


def _command(tests: tuple[str, ...]) -> str:
    # A fault may make a test wait for ever. pytest ends it by itself, also when nobody is left to end pytest.
    options = f"-x -p no:cacheprovider -m 'not slow' --timeout={SECONDS_OF_A_TEST}"
    return f"{sys.executable} -m pytest {options} {' '.join(tests)}"


@contextmanager
def workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes, each in a copy of the tree as it is now."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [Path(folder) / str(number) for number in range(count)]
        _copy(ROOT, copies[0])
        _compile(copies[0])
        for copy in itertools.islice(copies, 1, None):
            shutil.copytree(copies[0], copy)
        context = get_context("spawn")
        free: SimpleQueue[str] = context.SimpleQueue()
        for copy in copies:
            free.put(str(copy))
        with ProcessPoolExecutor(count, context, _enter, (free,)) as pool:
            yield pool


def _enter(free: SimpleQueue[str]) -> None:
    os.chdir(free.get())


def _copy(tree: Path, to: Path) -> None:
    shutil.copytree(tree, to, ignore=shutil.ignore_patterns(".*", "__pycache__"))


def _compile(copy: Path) -> None:
    """Once for all runs: cosmic-ray lets none of them write what it compiled, or a fault could outlive its run."""
    compileall.compile_dir(copy, quiet=1)
    # What pytest makes of the tests is another thing than what Python does.
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", "tests"]
    subprocess.run(command, cwd=copy, check=True, stdout=subprocess.DEVNULL)
