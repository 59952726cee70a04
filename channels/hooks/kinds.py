"""The kinds of hooks that there are, by name. It knows nothing else about them."""

from __future__ import annotations

from collections.abc import Mapping

from channels.hooks import alertmanager, generic, github, grafana, mail, pagerduty, vercel
from channels.hooks.kind import Kind

KINDS: Mapping[str, Kind] = {
    module.KIND.name: module.KIND for module in (github, vercel, alertmanager, grafana, pagerduty, generic, mail)
}
