"""The demo's folder: which demo is under way in it, also after a start that was killed while it built the site."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.cli.demo import site
from bot.cli.demo.folder import Folder
from channels.inbound import Refused

pytestmark = pytest.mark.slow


def test_a_demo_is_under_way_once_its_site_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path / "demo")
    with folder.held():
        assert folder.place() is None
        place = folder.build()
        assert Folder(tmp_path / "demo").place() == place

        monkeypatch.setattr(folder.site, "build", stopped)
        with pytest.raises(KeyboardInterrupt):
            folder.build()
        assert folder.place() is None, "its site is not whole"


def test_a_site_of_another_version_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path / "demo")
    with folder.held():
        folder.build()
        monkeypatch.setattr(site, "_STATUS", site._STATUS + "# changed\n")
        assert folder.place() is None


def test_only_one_demo_holds_it(tmp_path: Path) -> None:
    other = Folder(tmp_path / "demo")
    with Folder(tmp_path / "demo").held(), pytest.raises(Refused, match="Another demo is running"), other.held():
        pass


def stopped() -> None:
    raise KeyboardInterrupt
