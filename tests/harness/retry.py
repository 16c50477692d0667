"""Whether the controller runs a failed pod again (workflow/controller/operator.go, processNodeRetries)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.harness.errors import NodeError
from tests.harness.expressions import evaluate_bool
from tests.harness.outcome import Outcome

POLICIES = {"Always": ("Failed", "Error"), "OnError": ("Error",), "OnFailure": ("Failed",)}
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}


def decide(strategy: Mapping[str, Any], attempts: int, last: Outcome, seconds: float) -> str | None:
    """The message of a node that is not run again, None where it is; the first that speaks of policy, limit, expression.

    Raises NodeError for a policy that does not exist and an expression that cannot be evaluated.
    """
    expression = strategy.get("expression")
    policy = strategy.get("retryPolicy") or ("Always" if expression else "OnFailure")
    if policy not in POLICIES:
        raise NodeError(f"{policy} is not a valid RetryPolicy")
    if last.phase not in POLICIES[policy]:
        return last.message
    if strategy.get("limit") is not None and attempts > int(strategy["limit"]):
        return "No more retries left"
    if expression:
        exit_code = "-1" if last.exit_code is None else str(last.exit_code)
        retry = {"exitCode": exit_code, "status": last.phase, "message": last.message, "duration": str(seconds)}
        if not evaluate_bool(expression, {"lastRetry": retry, "retries": str(attempts - 1)}):
            return "retryStrategy.expression evaluated to false"
    return None


def backoff(strategy: Mapping[str, Any], attempts: int) -> float:
    """Seconds that the controller waits after so many attempts."""
    settings = strategy.get("backoff")
    if not settings:
        return 0
    if not settings.get("duration"):
        raise NodeError("no base duration specified for retryStrategy")
    waited = _seconds(settings["duration"]) * float(settings.get("factor") or 1) ** (attempts - 1)
    return min(waited, _seconds(settings["cap"])) if settings.get("cap") else waited


def is_too_long(strategy: Mapping[str, Any], attempts: int, elapsed: float) -> bool:
    """Whether the next wait would end after `maxDuration`; ``elapsed``: seconds from the first attempt's start to the last one's end."""
    most = (strategy.get("backoff") or {}).get("maxDuration")
    return bool(most) and elapsed + backoff(strategy, attempts) > _seconds(most)


def _seconds(duration: Any) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smhd]?)", str(duration))
    if found is None:
        raise NodeError(f"unable to parse {duration} as a duration")
    return float(found[1]) * UNITS[found[2]]
