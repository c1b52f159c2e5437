"""The command `vireid report`."""

from _run import run_script

if __name__ == "__main__":
    run_script("report")
