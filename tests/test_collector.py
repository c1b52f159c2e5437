import gc

import pytest

from vireid_plugins.collector import collector_paused


def test_collector_paused_is_off_inside_and_on_after() -> None:
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collector_paused_after_an_error_is_on() -> None:
    with pytest.raises(ZeroDivisionError), collector_paused():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_collector_paused_where_it_was_off_leaves_it_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_collector_paused_to_forget_does_not_look_at_what_is_there() -> None:
    try:
        with collector_paused(forget=True):
            kept = [[]]
        assert gc.get_freeze_count() > 0
        assert not any(one is kept for one in gc.get_objects())
    finally:
        gc.unfreeze()
