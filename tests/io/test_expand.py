from pathlib import Path

import pytest

from vireid_plugins.io.expand import expand


def test_expand_replaces_home_and_variables_as_a_shell_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUN", "a b")
    monkeypatch.delenv("GONE", raising=False)
    assert expand("~/x/${RUN}/$RUN.pth") == f"{tmp_path}/x/a b/a b.pth"
    for path in ("", "x/~/y", "C:\\x", "a$", "$", "runs/"):
        assert expand(path) == path
    for path in ("$GONE/x", "x/${GONE}"):
        with pytest.raises(ValueError, match="the variable GONE is not set"):
            expand(path)
    with pytest.raises(ValueError, match="no home folder ~nobody_of_this_name"):
        expand("~nobody_of_this_name/x")


def test_expand_of_a_path_with_nul_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a path cannot hold the character NUL"):
        expand("a\0b")
