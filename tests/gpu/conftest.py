"""When the time limit of `make gpu` is reached, remaining tests fail by name instead of delaying what follows."""

import os
import time

import pytest

SECONDS = float(os.environ.get("VIREID_GPU_SECONDS", "inf"))
START = time.monotonic()


def pytest_runtest_setup() -> None:
    if time.monotonic() - START > SECONDS:
        pytest.fail(f"not reached within {SECONDS:.0f} s", pytrace=False)
