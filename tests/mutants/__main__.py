"""A sample of deliberate faults: `python -m tests.mutants [--seed 1] [--faults 400] [--minutes 55]`, or `make mutants`.

It says which faults no test noticed, and ends with 1 if they are more than one in ten, or one could not be made.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.mutants import trial
from tests.mutants.faults import Change, Fault, all_faults, equivalents, sample, stale
from tests.mutants.targets import TESTS
from tests.mutants.trial import Outcome

KILLED_MIN = 0.9
SAID_EVERY = 20


def main() -> int:
    options = _options()
    began = time.monotonic()
    every = all_faults([file for file in TESTS if not options.only or file.startswith(tuple(options.only))])
    taken = sample(every, options.seed, options.faults)
    known = equivalents()
    if gone := stale(known):
        sys.exit("\n".join(("These are in equivalent.toml, and no longer in the code:", *map(str, gone))))
    left = [fault for fault, change in taken.items() if not any(one.covers(change) for one in known)]
    same = len(taken) - len(left)
    print(f"{len(taken)} of {len(every)} faults, seed {options.seed}; {same} of them are known to be none", flush=True)
    with trial.workers(options.workers) as pool:
        seconds = _seconds_without_a_fault(pool, left)
        outcomes = _try_all(pool, left, taken, seconds, until=began + 60 * options.minutes)
    killed, survived = (sum(one == which for one in outcomes) for which in ("killed", "survived"))
    share = killed / max(len(outcomes), 1)
    if len(outcomes) < len(left):
        print(f"\nThe time was over: {len(left) - len(outcomes)} were not tried.")
    print(
        f"\n{len(outcomes)} tried in {(time.monotonic() - began) / 60:.0f} minutes, {same} are the same to every user"
    )
    print(f"{killed} were noticed ({share:.1%}), {survived} were not")
    return 0 if share >= KILLED_MIN and killed + survived == len(outcomes) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which faults are taken (%(default)s)")
    parser.add_argument("--faults", type=int, default=400, help="how many (%(default)s)")
    parser.add_argument("--minutes", type=float, default=55, help="none is begun after that (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="at once (%(default)s)")
    parser.add_argument("only", nargs="*", help="these modules, or folders of them")
    return parser.parse_args()


def _seconds_without_a_fault(pool: ProcessPoolExecutor, faults: Sequence[Fault]) -> float:
    """How long all of these tests take. They have to pass, or every fault would seem to be noticed."""
    tests = dict.fromkeys(test for fault in faults for test in TESTS[fault.file])
    seconds, said = pool.submit(trial.without_fault, tuple(tests)).result()
    if said:
        sys.exit("The tests fail without any fault.\n\n" + said)
    return seconds


def _try_all(
    pool: ProcessPoolExecutor,
    faults: Sequence[Fault],
    changes: Mapping[Fault, Change],
    seconds: float,
    *,
    until: float,
) -> list[Outcome]:
    runs = {pool.submit(trial.tried, one, TESTS[one.file], seconds): one for one in faults}
    outcomes: list[Outcome] = []
    for run in as_completed(runs):
        if run.cancelled():
            continue
        outcomes.append(outcome := run.result())
        if outcome != "killed":
            _tell(outcome, runs[run], changes[runs[run]])
        if len(outcomes) % SAID_EVERY == 0:
            print(f"{len(outcomes)} of {len(faults)} tried", flush=True)
        if time.monotonic() > until:
            for later in runs:
                later.cancel()
    return outcomes


def _tell(outcome: Outcome, fault: Fault, change: Change) -> None:
    print(f"\n{outcome}: {fault.file}:{fault.start[0]} {fault.inside}")
    for sign, text in (("-", change.was), ("+", change.becomes)):
        print("\n".join(f"  {sign} {line}" for line in text.splitlines()))
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
