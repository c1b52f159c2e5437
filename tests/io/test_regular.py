from pathlib import Path

import pytest
from no_files import KINDS, make

from vireid_plugins.io.regular import open_regular, read_bytes, read_text, require_regular


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("read", [require_regular, open_regular, read_bytes, read_text])
def test_read_of_what_is_no_file_says_what_it_is(tmp_path: Path, kind: str, read: object) -> None:
    file = make(tmp_path / "x", kind)
    with pytest.raises(OSError, match=f"it is a {kind}, not a ") as raised:
        read(file)  # type: ignore[operator]
    assert raised.value.filename == str(file)


def test_read_follows_links_to_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").symlink_to("a")
    assert read_text(tmp_path / "b") == "x"


def test_read_bytes_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_bytes(tmp_path / "a", 4)


@pytest.mark.parametrize(("name", "message"), [("gone", "No such file"), ("a\0b", "null")])
def test_read_bytes_of_a_path_that_leads_nowhere_is_an_os_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(OSError, match=message):
        read_bytes(tmp_path / name)


def test_read_text_is_without_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf1 \r\n2")
    assert read_text(tmp_path / "a") == "1 \r\n2"
