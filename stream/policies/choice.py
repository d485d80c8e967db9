"""Which policy: by name, or by a site's data."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from stream.policies.longitudinal import Longitudinal, LongitudinalData
from stream.policies.protocol import Policy
from stream.policies.threshold import Threshold, ThresholdData

POLICIES: Final = (Longitudinal.NAME, Threshold.NAME)
"""The default comes first."""


class PolicyError(ValueError):
    """There is no such policy, or its data are not what it takes.

    Operator action: see docs/patients.md for the names and the data of each policy.
    """


def choose(name: str, changed: Mapping[str, Any] | None = None) -> Policy:
    """Return a policy with a site's data.

    Parameters
    ----------
    changed : what differs from the policy's own data.

    Raises
    ------
    PolicyError   no such policy, no such datum or rule.
    """
    policy: Policy
    try:
        if name == Longitudinal.NAME:
            policy = Longitudinal(LongitudinalData.model_validate(changed or {}))
        elif name == Threshold.NAME:
            policy = Threshold(ThresholdData.model_validate(changed or {}))
        else:
            raise PolicyError(f"no policy {name!r}; there are: {', '.join(POLICIES)}")
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or name}: {problem['msg']}"
            for problem in error.errors()
        )
        raise PolicyError(f"policy {name}: {problems}") from error
    strange = set(policy.data.priorities) - set(policy.RULES)
    if strange:
        raise PolicyError(
            f"policy {name} has no rule {', '.join(sorted(strange))}; it has: "
            + ", ".join(policy.RULES)
        )
    return policy
