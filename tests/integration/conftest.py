"""A stack at work."""

import pytest


@pytest.fixture
def running(stack):
    """Yield a stack with both workers at work."""
    stack.worker("scoring")
    stack.worker("patients")
    stack.wait_for_members("scoring", 1)
    stack.wait_for_members("patients", 1)
    return stack
