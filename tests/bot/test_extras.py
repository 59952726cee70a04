"""An installation without the libraries that only some channels need, such as one without any under the GPL."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.extras import LIBRARIES
from tests import ROOT
from tests.patience import PATIENCE_SECONDS
from tests.stories.program import Bot

SLACK = {"SLACK_BOT_TOKEN": "xoxb-for-tests", "SLACK_APP_TOKEN": "xapp-for-tests"}
EMAIL = {
    "EMAIL_ADDRESS": "bot@example.com",
    "IMAP_URL": "imaps://bot:secret@imap.example.com/INBOX",
    "SMTP_URL": "smtps://bot:secret@smtp.example.com",
}
MODEL = {"OPENAI_MODEL": "none", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": "http://127.0.0.1:9"}
PROGRAM = "import sys; sys.argv[:] = ['bot', *sys.argv[1:]]; from bot.cli import main; main()"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All installed packages but those of the extras."""
    folder = tmp_path_factory.mktemp("core")
    others = {name for names in LIBRARIES.values() for name in names}
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if entry.name.partition(".")[0] not in others:
            (folder / entry.name).symlink_to(entry)
    return folder


def run(core: Path, folder: Path, program: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", "-c", program, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{core}:{ROOT}", "HOME": str(folder), **settings},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_extra_lists_what_its_channel_imports() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    packages = importlib.metadata.packages_distributions()
    named = {
        extra: {re.split(r"[\[<>=]", requirement)[0] for requirement in requirements}
        for extra, requirements in extras.items()
    }
    assert named == {
        extra: {packages[name][0].lower().replace("_", "-") for name in names} for extra, names in LIBRARIES.items()
    }


def test_all_but_the_channels_is_imported_without_them(core: Path, tmp_path: Path) -> None:
    heavy = ("channels/slack/", "channels/email/", "bot/web/mail_in.py", "bot/web/page/", "bot/desks/")
    paths = [
        path.relative_to(ROOT) for name in ("agent", "bot", "channels", "store") for path in (ROOT / name).rglob("*.py")
    ]
    names = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if not str(path).startswith(heavy) and path.name != "__main__.py"
    ]
    done = run(core, tmp_path, "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)", *names)
    assert done.returncode == 0, done.stderr


def test_doctor_says_that_the_channels_are_off(core: Path, tmp_path: Path) -> None:
    done = run(core, tmp_path, PROGRAM, "doctor")
    assert "Traceback" not in done.stderr
    for name in ("slack", "email"):
        assert re.search(rf"{name}\b.*set ", done.stdout), done.stdout


@pytest.mark.parametrize(("extra", "settings"), [("slack", SLACK), ("email", EMAIL)])
@pytest.mark.parametrize("command", [("run",), ("chat",), ("send", "hello"), ("doctor",)])
def test_a_channel_without_its_libraries_is_told_by_the_name_of_the_extra(
    core: Path, tmp_path: Path, template: Path, extra: str, settings: Mapping[str, str], command: tuple[str, ...]
) -> None:
    Bot(tmp_path).with_site(template)
    done = run(core, tmp_path, PROGRAM, *command, **MODEL, **settings)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert f"pip install '.[{extra}]'" in told
    assert "Traceback" not in told
    assert "bug" not in told


def test_the_agent_of_payments_without_its_library_is_told_by_the_name_of_the_extra(core: Path, tmp_path: Path) -> None:
    (tmp_path / "bot.toml").write_text('[agents.payments]\ncurrencies = ["usd"]\n')
    done = run(core, tmp_path, PROGRAM, "doctor", **MODEL)
    assert done.returncode == 1
    assert "pip install '.[payments]'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_the_api_is_served_without_them(core: Path, tmp_path: Path, template: Path) -> None:
    Bot(tmp_path).with_site(template)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{core}:{ROOT}", "HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-S", "-c", PROGRAM, "run", "web"],
        env=environment | {"BOT_API_TOKEN": "a-token-for-tests", "PORT": "0"},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        told = []
        for line in process.stderr:
            told.append(line)
            if "with the API under /api" in line:
                break
        process.terminate()
        told += process.stderr.readlines()
        assert process.wait(PATIENCE_SECONDS) == 0, told


@pytest.mark.slow
def test_the_demo_plays_without_them(core: Path, tmp_path: Path) -> None:
    done = run(core, tmp_path, PROGRAM, "demo")
    assert done.returncode == 0, done.stderr
