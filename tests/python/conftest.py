"""Tests of the Python package as it is installed. What needs torch is in test_live_*.py and skipped without it."""

import pytest


@pytest.fixture(scope="session")
def tiny():
    import pkv

    return pkv.Model("tiny-gpt2")
