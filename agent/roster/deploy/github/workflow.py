"""What a workflow's file must say, so that a deployment by it is that of the approved commit, and is found again. Pure.

GitHub publishes no inputs of a run, only its name: so the run's name must hold the commit, the environment and our key.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#run-name
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

CHARS_MAX = 300_000


def problem_in(text: str, *, given: Iterable[str], named: Iterable[str]) -> str:
    """What is wrong with the file; empty: nothing.

    `given`: the inputs that a dispatch will give. `named`: those that the run's name must hold.
    """
    try:
        document = yaml.safe_load(text[:CHARS_MAX])
    except yaml.YAMLError:
        return "it is not YAML"
    document = document if isinstance(document, Mapping) else {}
    # YAML 1.1 reads the key `on` as a truth value.
    triggers: Any = document.get("on", document.get(True))
    if isinstance(triggers, str | list):
        triggers = dict.fromkeys([triggers] if isinstance(triggers, str) else triggers)
    if not isinstance(triggers, Mapping) or "workflow_dispatch" not in triggers:
        return "it has no `workflow_dispatch` in its `on`"
    dispatch = triggers["workflow_dispatch"]
    declared = dispatch.get("inputs") if isinstance(dispatch, Mapping) else None
    declared = declared if isinstance(declared, Mapping) else {}
    if missing := [name for name in given if name not in declared]:
        return f"its `workflow_dispatch` has no input {' and '.join(missing)}"
    given = set(given)
    for name, about in declared.items():
        needs = isinstance(about, Mapping) and about.get("required") and about.get("default") in (None, "")
        if needs and name not in given:
            return f"it requires the input {name}, which nothing gives; add it to the target's `also`"
    run_name = str(document.get("run-name") or "")
    if absent := [name for name in named if not _holds(run_name, name)]:
        example = " ".join(f"${{{{ inputs.{name} }}}}" for name in absent)
        return f"its `run-name` must hold the input {' and '.join(absent)}: add {example}"
    return ""


def _holds(run_name: str, name: str) -> bool:
    asked = re.escape(name)
    return bool(re.search(rf"\$\{{\{{[^}}]*\binputs(?:\.{asked}\b(?!-)|\[\s*'{asked}'\s*\])[^}}]*\}}\}}", run_name))


def stands_in(word: str, title: str) -> bool:
    """Whether a run's name holds it as a word of its own: `prod` does not stand in `prod-eu`."""
    return bool(re.search(rf"(?<![\w./-]){re.escape(word)}(?![\w./-])", title))
