"""How every command line ends: a message for what the user can mend, a traceback for our own defects."""

import sys
from collections.abc import Callable
from typing import NoReturn


def run(main: Callable[[], object]) -> NoReturn:
    """Call `main`, which imports the package itself, and exit."""
    try:
        main()
    except ImportError as error:
        hint = "" if type(error).__name__ == "InstallError" else "\nInstall the package: pip install -e ."
        sys.exit(f"error: {error}{hint}")
    except Exception as error:
        from vireid_plugins.errors import UserError

        if not isinstance(error, UserError):
            raise
        sys.exit(f"error: {error}")
    sys.exit(0)
