"""What a signal does to a run; that whole runs save and end is in `test_faults.py`."""

import os
import signal
import time
from argparse import Namespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from fastreid.utils import comm

from vireid_plugins.engine.hooks import stop_on_signal
from vireid_plugins.engine.hooks.stop_on_signal import REPEAT, SIGNALS, StopOnSignal, forwarded_signals
from vireid_plugins.errors import StoppedError


def hook(saved: list[int]) -> StopOnSignal:
    def save(done: int) -> str:
        saved.append(done)
        return "saved"

    stop = StopOnSignal(period=1, save=save)
    stop.trainer = Namespace(iter=3, iters_per_epoch=10, max_iter=100)
    return stop


def test_stop_on_signal_ends_after_the_step() -> None:
    saved: list[int] = []
    stop = hook(saved)
    stop.after_step()
    stop._ask(signal.SIGTERM, None)
    with pytest.raises(StoppedError, match=r"SIGTERM ended the run after iteration 3; saved"):
        stop.after_step()
    assert saved == [4]


def test_stop_on_signal_that_comes_while_processes_ask_each_other_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved: list[int] = []
    stop = hook(saved)

    def reduce_with_signal(asked: torch.Tensor, *_: Any) -> None:
        if not asked:
            stop._ask(signal.SIGINT, None)

    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "synchronize", lambda: None)
    monkeypatch.setattr(dist, "get_backend", lambda: "gloo")
    monkeypatch.setattr(dist, "all_reduce", reduce_with_signal)
    stop.after_step()
    assert not saved, "the other processes have not heard of it"
    with pytest.raises(StoppedError, match="SIGINT"):
        stop.after_step()
    assert saved == [4]


def test_stop_on_signal_twice_at_once_is_one_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches a process from the terminal and from the process that started it."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *given: killed.append(given))
    stop = hook([])
    stop._ask(signal.SIGINT, None)
    stop._ask(signal.SIGINT, None)
    assert not killed
    monkeypatch.setattr(stop, "since", stop.since - 2 * REPEAT)
    stop._ask(signal.SIGINT, None)
    assert killed == [(os.getpid(), signal.SIGINT)]


@pytest.mark.parametrize("elsewhere", ["parent", "torchrun"])
def test_stop_on_signal_that_is_forwarded_late_is_one_signal(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *given: killed.append(given))
    if elsewhere == "parent":
        monkeypatch.setattr(stop_on_signal, "started_as_own", lambda: True)
    else:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    stop = hook([])
    stop._ask(signal.SIGINT, None)
    monkeypatch.setattr(stop, "since", stop.since - 100 * REPEAT)
    stop._ask(signal.SIGINT, None)
    assert not killed
    with pytest.raises(StoppedError, match="SIGINT"):
        stop.after_step()


class Child:
    pid = 4242

    def __init__(self) -> None:
        self.killed = 0

    def kill(self) -> None:
        self.killed += 1


def test_forwarded_signals_forward_the_first_and_end_the_children_on_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    child, now = Child(), [100.0]
    monkeypatch.setattr(os, "kill", lambda *given: sent.append(given))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(stop_on_signal.multiprocessing, "active_children", lambda: [child])
    before = [signal.getsignal(number) for number in SIGNALS]
    with forwarded_signals():
        send: Any = signal.getsignal(signal.SIGINT)
        send(signal.SIGINT, None)
        now[0] += REPEAT / 2
        send(signal.SIGINT, None)
        assert (sent, child.killed) == ([(child.pid, signal.SIGINT)], 0)
        now[0] += 2 * REPEAT
        send(signal.SIGINT, None)
        assert (sent[1:], child.killed) == ([(os.getpid(), signal.SIGINT)], 1)
        assert [signal.getsignal(number) for number in SIGNALS] == before
    assert [signal.getsignal(number) for number in SIGNALS] == before
