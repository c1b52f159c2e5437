"""Names with control characters in errors, output and logs. The sequence used here sets a color."""

import errno
import io
import logging
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT

from vireid_plugins.cli._common import Parser, run, say, say_table
from vireid_plugins.errors import MAX_LINE, DataError, InstallError
from vireid_plugins.escape import EscapeFilter, Lines, escape_logs, escaped, escaped_lines

COLOR = "\x1b[31m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b/é中±.jpg", "a b/é中±.jpg"),
        (f"a{COLOR}b", "a\\x1b[31mb"),
        ("a\nerror: b\r\tc", "a\\nerror: b\\r\\tc"),
        ("\x00\x07\x7f\x85\x9b", "\\x00\\x07\\x7f\\x85\\x9b"),
        ("gpj\u202e.exe\u2066\u200b\ufeff\u2028", "gpj\\u202e.exe\\u2066\\u200b\\ufeff\\u2028"),
        ("\udcff", "\\udcff"),
        (Path("a\nb"), "a\\nb"),
    ],
)
def test_escaped_is_one_line_without_control_characters(text: object, shown: str) -> None:
    assert escaped(text) == shown
    assert escaped(escaped(text)) == shown


def test_escaped_lines_keeps_lines_and_tabs() -> None:
    assert escaped_lines(f"a\tb\n{COLOR}c") == "a\tb\n\\x1b[31mc"


def test_user_error_shows_names_escaped_and_keeps_its_own_lines() -> None:
    error = InstallError(f"'x{COLOR}\nerror: y' is missing:", "    pip install x")
    assert str(error) == "'x\\x1b[31m\\nerror: y' is missing:\n    pip install x"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.fixture
def shown() -> Iterator[io.StringIO]:
    """What a handler with the filter writes of the loggers of this package and of others."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(EscapeFilter())
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    log = logging.getLogger("fastreid")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def test_filter_of_logs_shows_each_argument_on_one_line(shown: io.StringIO) -> None:
    log = logging.getLogger("fastreid.vireid_plugins.x")
    log.warning("'%s' of %d and %.1f:\n%s", f"a{COLOR}\nERROR: b", 3, 0.5, Lines(f"1\n{COLOR}2"))
    log.warning("%(name)s", {"name": "a\nb"})
    log.warning("done")
    assert shown.getvalue() == (
        "WARNING: 'a\\x1b[31m\\nERROR: b' of 3 and 0.5:\n1\n\\x1b[31m2\nWARNING: a\\nb\nWARNING: done\n"
    )


def test_filter_of_logs_indents_further_lines_of_others_and_drops_their_colors(shown: io.StringIO) -> None:
    logging.getLogger("fastreid.data").warning("table\n%s1%s\nERROR: %s", COLOR, "\x1b[0m", "\x1b[2K")
    assert shown.getvalue() == "WARNING: table\n  1\n  ERROR: \\x1b[2K\n"


def test_escape_logs_filters_each_handler_once() -> None:
    escape_logs()
    escape_logs()
    for handler in logging.getLogger("fastreid").handlers:
        assert [type(one).__name__ for one in handler.filters].count("EscapeFilter") == 1


def test_say_and_parser_print_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    say("", f"a\n{COLOR}b")
    say_table(f"1\t2\n{COLOR}")
    parser = Parser(prog="x")
    parser.add_argument("--way", choices=["a"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--way", f"{COLOR}\nerror: b"])
    found = capsys.readouterr()
    assert found.out == "\na\\n\\x1b[31mb\n1\t2\n\\x1b[31m\n"
    assert "\x1b" not in found.err
    assert "\nerror" not in found.err


def test_run_shows_errors_and_tracebacks_without_control_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def main(error: Exception) -> None:
        raise error

    name = f"{COLOR}\nerror: b"
    for known in (DataError(f"'{name}' is wrong"), OSError(errno.ENOSPC, "No space left on device", name)):
        with pytest.raises(SystemExit) as ended:
            run(lambda known=known: main(known))  # type: ignore[misc]
        shown = f"{ended.value.code}{capsys.readouterr().err}"
        assert "'\\x1b[31m\\nerror: b'" in shown
        assert "\x1b" not in shown
    with pytest.raises(RuntimeError) as raised:
        run(lambda: main(RuntimeError(COLOR)))
    sys.excepthook(RuntimeError, raised.value, raised.value.__traceback__)
    assert capsys.readouterr().err.endswith("RuntimeError: \\x1b[31m\n")


def test_nothing_but_common_prints() -> None:
    prints = re.compile(r"\bprint\(|sys\.std(out|err)\.write")
    found = {file.name for file in (ROOT / "vireid_plugins").rglob("*.py") if prints.search(file.read_text())}
    assert found == {"_common.py", "collect_env.py"}


def test_user_error_of_a_very_long_line_keeps_its_beginning_and_its_end() -> None:
    said = str(DataError("'a.npz' cannot be read: " + "\0" * 10**5 + "; save paths as str", "second line"))
    assert said.startswith("'a.npz' cannot be read: ")
    assert said.endswith("; save paths as str\nsecond line")
    assert len(said) < 1.1 * MAX_LINE
    assert str(DataError("x" * MAX_LINE)) == "x" * MAX_LINE
