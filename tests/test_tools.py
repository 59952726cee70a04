"""What the tests are made with does what it says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from tests import ROOT
from tests.ports import HeldPort


def test_a_held_port_refuses_until_a_server_listens_on_it_and_again_after_that() -> None:
    port = HeldPort()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port.number))
        with (
            socket.create_server(("127.0.0.1", port.number)) as server,
            socket.create_connection(("127.0.0.1", port.number)),
        ):
            server.accept()[0].close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_the_run_ignores_are_not_ignored_by_what_it_starts(number: signal.Signals) -> None:
    started = f"import os, signal; os.kill(os.getpid(), {number:d}); print('it was ignored')"
    run = (
        "import signal, subprocess, sys\n"
        f"signal.signal({number:d}, signal.SIG_IGN)\n"
        "from tests.signals import hand_on_none_that_is_ignored\n"
        "hand_on_none_that_is_ignored()\n"
        f"signal.raise_signal({number:d})\n"
        f"done = subprocess.run([sys.executable, '-S', '-c', {started!r}], stdout=subprocess.PIPE)\n"
        "sys.exit(done.stdout or done.returncode == 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", run], cwd=ROOT, env=os.environ | {"PYTHONWARNINGS": "ignore"}, check=False
    )
    assert done.returncode == 0
