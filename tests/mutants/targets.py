"""What is made faulty, and which tests have to notice: for each module the quick ones, the nearest first.

The changes are cosmic-ray's own. It was chosen over mutmut, which leaves alone constants of a module and all functions
that have a decorator (each property of a state is one), and can neither sample nor run other tests for each module.
Of its operators those are taken which change a decision; the others make code that cannot run, or change nothing.
"""

from __future__ import annotations

from tests import ROOT

_STORE = "tests/store"
_APPROVALS = f"{_STORE}/authority"
_FOLD = (
    *(f"{_STORE}/test_{part}.py" for part in ("fold", "thread", "outbox", "timers")),
    *("tests/agent/test_decide.py", "tests/agent/test_loop.py", "tests/agent/perform", _APPROVALS),
)
_LOOP = ("tests/agent/test_loop.py", "tests/agent/perform", _APPROVALS, "tests/agent/test_openings.py")
_LOSSES = "tests/bot/test_worker_losses.py"
_TEAM = "tests/bot/team"
_API = "tests/bot/web/api"
_IDENTITY = "tests/channels/email/identity"

TESTS: dict[str, tuple[str, ...]] = {
    "store/codec.py": (f"{_STORE}/test_events.py",),
    "store/index.py": (f"{_STORE}/test_index.py", f"{_STORE}/test_lists.py"),
    "store/recovery.py": (f"{_STORE}/test_recovery.py", _LOSSES),
    "store/rows.py": (f"{_STORE}/test_index.py", f"{_STORE}/test_lists.py", f"{_API}/test_lists.py"),
    "store/running.py": (f"{_STORE}/test_fold.py", "tests/agent/test_decide.py", _LOSSES, *_LOOP),
    "store/status.py": _FOLD,
    "store/fold.py": _FOLD,
    "store/keys.py": (f"{_STORE}/test_keys.py", *_FOLD, "tests/channels/email/test_outbox.py"),
    "store/moves.py": _FOLD,
    "store/outbox.py": _FOLD,
    "store/state.py": _FOLD,
    "store/thread.py": _FOLD,
    "store/timers.py": _FOLD,
    "store/authority/binding.py": ("tests/agent/test_loop.py", _APPROVALS),
    "store/authority/words.py": (f"{_STORE}/test_fold.py", _APPROVALS, f"{_TEAM}/test_policies.py"),
    "store/authority/terms.py": (f"{_STORE}/test_fold.py", _APPROVALS, f"{_TEAM}/test_policies.py"),
    "agent/decide.py": ("tests/agent/test_decide.py", *_LOOP),
    "agent/loop.py": _LOOP,
    **{
        f"agent/perform/{path.name}": (*_LOOP, "tests/bot/test_hold.py")
        for path in sorted((ROOT / "agent" / "perform").glob("[a-z]*.py"))
    },
    "bot/hold.py": ("tests/bot/test_hold.py", "tests/bot/test_worker.py", _LOSSES),
    "bot/memory.py": ("tests/bot/test_memory.py", _LOSSES),
    "bot/worker.py": ("tests/bot/test_worker.py", _LOSSES, "tests/bot/test_hanging_models.py"),
    "bot/deciding.py": (_APPROVALS, "tests/agent/test_loop.py", "tests/bot/web/page"),
    "bot/team/durations.py": (f"{_TEAM}/test_hours.py",),
    "bot/team/hours.py": (f"{_TEAM}/test_hours.py", f"{_TEAM}/test_policies.py"),
    "bot/team/people.py": (f"{_TEAM}/test_people.py", f"{_TEAM}/test_policies.py", _APPROVALS),
    "bot/team/policies.py": (f"{_TEAM}/test_policies.py", f"{_TEAM}/test_standing.py", _APPROVALS),
    "bot/team/conditions.py": (f"{_TEAM}/test_conditions.py", f"{_TEAM}/test_rules.py"),
    "bot/team/rule_effects.py": (*(f"{_TEAM}/test_{part}.py" for part in ("wrong", "policies", "rules")),),
    "bot/team/rules.py": tuple(f"{_TEAM}/test_{part}.py" for part in ("rules", "policies", "standing", "named_places")),
    "bot/team/schedules.py": (f"{_TEAM}/test_schedules.py", "tests/bot/test_clock.py", "tests/agent/test_openings.py"),
    "bot/team/standing.py": (f"{_TEAM}/test_standing.py", _APPROVALS),
    "bot/team/named_places.py": (f"{_TEAM}/test_named_places.py",),
    "bot/team/tokens.py": (f"{_TEAM}/test_tokens.py", f"{_API}/test_covered.py"),
    "bot/web/refusals.py": ("tests/bot/web/test_refusals.py", f"{_API}/test_covered.py"),
    "bot/web/sight.py": ("tests/bot/web/test_sight.py", f"{_API}/test_covered.py"),
    "channels/email/identity/proof.py": (f"{_IDENTITY}/test_proof.py", "tests/bot/desks/test_email_proof.py"),
    "channels/email/identity/receiver.py": (f"{_IDENTITY}/test_receiver.py", f"{_IDENTITY}/test_proof.py"),
    "channels/email/identity/results.py": (f"{_IDENTITY}/test_receiver.py", f"{_IDENTITY}/test_proof.py"),
    "channels/email/identity/senders.py": (f"{_IDENTITY}/test_senders.py", "tests/channels/email/test_recipients.py"),
    "channels/email/identity/signatures.py": (f"{_IDENTITY}/test_signatures.py",),
    "channels/email/identity/tokens.py": (f"{_IDENTITY}/test_tokens.py", "tests/bot/web/page"),
    "channels/email/replies.py": ("tests/channels/email/test_parse.py",),
}

OPERATORS = (
    *("AddNot", "ReplaceUnaryOperator_Delete_Not", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "NumberReplacer", "ExceptionReplacer", "ZeroIterationForLoop"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    # Of each comparison its opposite, and the one that differs at the limit.
    *("ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq"),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
    *("ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_Lt_GtE"),
    *("ReplaceComparisonOperator_LtE_Lt", "ReplaceComparisonOperator_LtE_Gt"),
    *("ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_Gt_LtE"),
    *("ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_GtE_Lt"),
    *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Div"),
    *("ReplaceBinaryOperator_FloorDiv_Mul", "ReplaceBinaryOperator_Mod_Mul"),
    *("ReplaceBinaryOperator_BitOr_BitAnd", "ReplaceBinaryOperator_BitAnd_BitOr"),
)
