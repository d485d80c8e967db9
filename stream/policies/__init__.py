"""Policies: what is said of an assessment, as tables of data. Pure; chosen by setting.

``longitudinal`` judges studies against one another, ``threshold`` is the original rule on the
probability alone. A site changes a policy's data in a TOML file; ids contain name and version, and
the version contains the data.
"""

from stream.policies.choice import POLICIES, PolicyError, choose
from stream.policies.protocol import (
    RAISED,
    Answer,
    Case,
    Policy,
    PolicyData,
    order_of,
    question_about,
)

__all__ = [
    "POLICIES",
    "RAISED",
    "Answer",
    "Case",
    "Policy",
    "PolicyData",
    "PolicyError",
    "choose",
    "order_of",
    "question_about",
]
