"""Who we are at GitHub: an app's installation, or a token. Both come from the environment, never from `bot.toml`.

    GITHUB_TOKEN                        a fine-grained token, or
    GITHUB_APP_ID, GITHUB_APP_INSTALLATION_ID, GITHUB_APP_PRIVATE_KEY (or _FILE)
    GITHUB_API_URL                      of GitHub Enterprise; else GitHub's own
    GITHUB_API_VERSION                  where the server does not know the newest

No secret is shown by anything here.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agent import ToolError, setting

API_URL = "https://api.github.com"
API_VERSION = "2026-03-10"
"""With it, a dispatch is answered with the run that it begins. https://docs.github.com/rest/about-the-rest-api/api-versions"""
APP = ("GITHUB_APP_ID", "GITHUB_APP_INSTALLATION_ID", "GITHUB_APP_PRIVATE_KEY")
SEE = "docs/github.md says how"
_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Access:
    url: str
    version: str
    token: str = field(default="", repr=False)
    app_id: str = ""
    installation: int = 0
    private_key: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """For people: which of the two it is."""
        return "the app of GITHUB_APP_ID" if self.app_id else "the token in GITHUB_TOKEN"


def access() -> Access:
    """Read when it is used, so that a key that was replaced counts at once. Raises ToolError."""
    if importlib.util.find_spec("githubkit") is None:
        raise ToolError("The library for GitHub is not installed: run pip install '.[github]' in the program's folder.")
    token, url, version = (setting(name) for name in ("GITHUB_TOKEN", "GITHUB_API_URL", "GITHUB_API_VERSION"))
    app = [setting(name) for name in APP]
    url = (url or API_URL).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
        raise ToolError(f"GITHUB_API_URL must begin with https://, not {url[:60]!r}.")
    found = Access(url, version or API_VERSION, token)
    if token and any(app):
        raise ToolError(
            f"GITHUB_TOKEN and {next(n for n, v in zip(APP, app, strict=True) if v)} are both set: leave one out."
        )
    if token:
        return found
    if not any(app):
        raise ToolError(f"There is no access to GitHub: set GITHUB_TOKEN, or {', '.join(APP)}; {SEE}.")
    if missing := [name for name, value in zip(APP, app, strict=True) if not value]:
        raise ToolError(f"{' and '.join(missing)} must be set too, for the app; {SEE}.")
    number, installation, key = app
    for name, value in (("GITHUB_APP_INSTALLATION_ID", installation),):
        if not _NUMBER.fullmatch(value):
            raise ToolError(f"{name} must be a number; {SEE}.")
    _check_key(key)
    return Access(url, version or API_VERSION, app_id=number, installation=int(installation), private_key=key)


def _check_key(key: str) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError):
        how = "put the .pem file's path into GITHUB_APP_PRIVATE_KEY_FILE"
        raise ToolError(f"GITHUB_APP_PRIVATE_KEY is not the private key of an app: {how}.") from None
