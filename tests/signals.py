"""Signals that the run of the tests was started with ignored, as under nohup or in the background of a script.

The run goes on to ignore them, but hands none of it on: what a process ignores, the programs that it starts ignore from
their beginning, and tests that interrupt them would wait in vain.
"""

from __future__ import annotations

import signal


def hand_on_none_that_is_ignored() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # a handler is the default again in a program that is started
