"""`python -m vireid_plugins` is the command `vireid`, but for --help: Python imports the package, and torch, first."""

from vireid_command import main

if __name__ == "__main__":
    main()
