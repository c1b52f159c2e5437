"""What the scripts in this folder use from the command `vireid`; if it is missing, print what to install."""

import sys

try:
    from vireid_command import plain
except ModuleNotFoundError as error:
    sys.exit(f"error: vireid_plugins is not installed ({error}): pip install -e .")

__all__ = ["path", "plain", "positive", "run", "run_script", "write_json"]
_common = plain("vireid_plugins.cli._common")
run, path, positive, write_json = _common.run, _common.path, _common.positive, _common.write_json
run_script = plain("vireid_plugins.cli.main").run_script
