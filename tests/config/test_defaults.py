import re

from helpers import ROOT


def test_defaults_have_a_comment_for_every_key() -> None:
    lines = (ROOT / "vireid_plugins" / "config" / "defaults.py").read_text().splitlines()
    keys = [n for n, line in enumerate(lines) if re.match(r"    (cfg|losses)\.[A-Z0-9_.]+ = (?!CN)", line)]
    assert len(keys) > 30
    assert not [lines[n].strip() for n in keys if not lines[n - 1].strip().startswith("#")]
