"""What the screen shows of a training: one line of progress, messages above it, nothing of it in a pipe."""

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastreid.utils.events import EventStorage

from vireid_plugins.engine import screen
from vireid_plugins.engine.hooks.progress import Progress
from vireid_plugins.engine.screen import ALWAYS, show_on_screen
from vireid_plugins.escape import FILE_ONLY

LOG = logging.getLogger("fastreid.vireid_plugins.test")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown() -> Iterator[None]:
    """A log with a screen of its own; afterwards as it was."""
    root = logging.getLogger("fastreid")
    before = root.handlers[:], root.level, root.propagate
    root.handlers = []
    show_on_screen(quiet=False)
    yield
    root.handlers, root.propagate = before[0], before[2]
    root.setLevel(before[1])


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Make both streams of the process one terminal of 100 columns; not a fixture, whose streams pytest replaces."""
    one = Terminal()
    monkeypatch.setattr(sys, "stdout", one)
    monkeypatch.setattr(sys, "stderr", one)
    monkeypatch.setenv("COLUMNS", "100")
    return one


def train(hook: Progress, epochs: int, steps: int, seconds: float = 0.5, during: Any = lambda: None) -> None:
    """Call a hook as a training does that takes `seconds` per step."""
    cfg = SimpleNamespace(MODEL=SimpleNamespace(DEVICE="cpu"))
    hook.trainer = trainer = SimpleNamespace(
        cfg=cfg, max_iter=epochs * steps, start_iter=0, iters_per_epoch=steps, max_epoch=epochs, epoch=0
    )
    with EventStorage(0) as trainer.storage:
        hook.before_train()
        for trainer.epoch in range(epochs):
            for step in range(steps):
                trainer.storage.iter = trainer.epoch * steps + step
                hook.before_step()
                trainer.storage.put_scalars(total_loss=2.5, loss_a=1.5, loss_b=1.0, lr=3e-4, time=seconds)
                hook.after_step()
            hook.after_epoch()
            during()
        hook.after_train()


def last_shown(text: str) -> list[str]:
    """The lines of a terminal as they are in the end: a carriage return overwrites."""
    lines = []
    for line in text.split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):
            cells[: len(part)] = part
        lines.append("".join(cells).rstrip())
    return lines


@pytest.mark.usefixtures("shown")
def test_progress_in_a_pipe_is_a_line_an_epoch_counted_from_one(capsys: pytest.CaptureFixture[str]) -> None:
    train(Progress(images=32), epochs=2, steps=4)
    said = capsys.readouterr()
    assert said.err == ""
    first, second = (line.partition(" ")[2] for line in said.out.splitlines())
    facts = "loss 2.5 (loss_a 1.5, loss_b 1), lr 3.00e-04, 64 images/s"
    assert first == f"epoch 1 of 2, step 4 of 4: {facts}, 0:00:02 left"
    assert second.startswith(f"epoch 2 of 2, step 4 of 4: {facts}, 0:00:00")
    assert said.out.isprintable() or set(said.out) - set("\n") <= set(map(chr, range(32, 127)))


@pytest.mark.parametrize(("steps", "said"), [(30, ["2", "11", "20", "29", "30"]), (29, ["2", "11", "20", "29"])])
@pytest.mark.usefixtures("shown")
def test_progress_in_a_pipe_says_within_a_long_epoch_where_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], steps: int, said: list[str]
) -> None:
    clock = iter(range(0, 10_000, 7))
    monkeypatch.setattr("vireid_plugins.engine.hooks.progress.time.monotonic", lambda: next(clock))
    train(Progress(images=32), epochs=1, steps=steps)
    found = [line.partition("step ")[2].partition(" ")[0] for line in capsys.readouterr().out.splitlines()]
    # After 10 seconds, then every 60, which are 9 of these steps, and at the end.
    assert found == said


@pytest.mark.usefixtures("shown")
def test_progress_on_a_terminal_is_one_line_below_the_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)

    def during() -> None:
        LOG.info("a message")
        warnings.warn("a warning", stacklevel=1)
        LOG.warning("another")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", before := warnings.showwarning)
        train(Progress(images=32), epochs=2, steps=3, during=during)
    lines = last_shown(terminal.getvalue())
    messages = [line.partition(" ")[2] for line in lines if line[2:3] == ":"]
    assert messages == ["a message", "WARNING: another"] * 2
    assert sum("UserWarning: a warning" in line for line in lines) == 2
    bars = [line for line in lines if "|" in line]
    assert len(bars) == 1
    assert bars[0].startswith("epoch 2 of 2 |")
    assert "100 %" in bars[0]
    assert len(bars[0]) <= 100
    assert warnings.showwarning is before


@pytest.mark.usefixtures("shown")
def test_progress_is_no_bar_where_the_log_goes_to_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """`vireid train | tee log.txt`: the pipe ends on the same terminal as the bar would."""
    terminal = terminal_of(monkeypatch)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    train(Progress(images=32), epochs=1, steps=2)
    assert terminal.getvalue() == ""
    assert "epoch 1 of 1, step 2 of 2" in sys.stdout.getvalue()


@pytest.mark.usefixtures("shown")
def test_screen_that_is_quiet_shows_warnings_and_what_is_always_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show_on_screen(quiet=True)
    LOG.info("usual")
    LOG.warning("bad \x1b[2J")
    LOG.info("table", extra=ALWAYS)
    assert [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "WARNING: bad \\x1b[2J",
        "table",
    ]
    assert not screen.shows_a_bar()


@pytest.mark.usefixtures("shown")
def test_screen_shows_what_is_meant_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    LOG.info("for log.txt", extra=FILE_ONLY)
    LOG.info("a wide table", extra={"on_screen": "a narrow\ntable\x07"})
    logging.getLogger("fastreid.engine.hooks").info("Overall training speed")
    logging.getLogger("fastreid.evaluation.evaluator").info("Total inference time")
    logging.getLogger("fastreid.evaluation.evaluator").info("Inference done 5/10")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[2] or line for line in lines] == ["a narrow", "table\\x07", "Inference done 5/10"]


def test_show_on_screen_leaves_a_log_that_somebody_else_has_set_up(shown: None) -> None:
    root = logging.getLogger("fastreid")
    own = logging.StreamHandler(io.StringIO())
    root.handlers = [own]
    root.setLevel(logging.INFO)
    show_on_screen()
    assert root.handlers == [own]
