"""Tests that make gpu has no time left for fail by name instead of holding up what comes after them."""

import os
import time

import pytest

SECONDS = float(os.environ.get("VIREID_GPU_SECONDS", "inf"))
START = time.monotonic()


def pytest_runtest_setup() -> None:
    if time.monotonic() - START > SECONDS:
        pytest.fail(f"not reached within {SECONDS:.0f} s", pytrace=False)
