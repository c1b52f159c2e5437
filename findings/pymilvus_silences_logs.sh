#!/usr/bin/env bash
# Importing pymilvus ends every log file that was opened with mode "w", without an error.
#
# Versions:  pymilvus 3.0.2, uvicorn 0.54.0 (seen with Python 3.11).
# Expected:  importing a client library, or building a server's configuration, leaves the log files of other loggers
#            alone. Neither sets `disable_existing_loggers`.
# Happens:   both call `logging.config.dictConfig`, which first closes *every* handler of the process, also those that
#            its dictionary does not name. A `FileHandler` of mode "a" opens its file again at the next line. One of
#            mode "w" must not, as that would empty the file, so it drops all further lines silently: the handler is
#            still attached, the logger still enabled, and no error is printed. A handler of your own that writes
#            through a file it opened itself fails at the next line, far from the cause.
# Matters:   training scripts of this field open `log.txt` with mode "w". An evaluation that imports the search engine
#            late, or a demo server started in the same process, leaves a log that stops in the middle of a run that
#            went on.
# Instead:   open logs with mode "a", import such libraries before opening them, and pass `log_config=None` to
#            uvicorn. A handler of your own should open its file again when it was closed while attached.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir pymilvus==3.0.2 uvicorn==0.54.0
cd "$folder"
cat > log.py <<'PYTHON'
import logging
import sys


def lines_after(disturb):
    log = logging.getLogger("training")
    log.setLevel(logging.INFO)
    log.propagate = False
    handlers = {mode: logging.FileHandler(f"{mode}.txt", mode=mode) for mode in "wa"}
    for handler in handlers.values():
        log.addHandler(handler)
    log.info("epoch 1")
    disturb()
    log.info("epoch 2")
    assert all(handler in log.handlers for handler in handlers.values()) and log.isEnabledFor(logging.INFO)
    return {mode: open(f"{mode}.txt").read().splitlines() for mode in "wa"}


def pymilvus():
    import pymilvus


def uvicorn(**keywords):
    from uvicorn import Config

    Config(app=None, **keywords)


disturb = {
    "pymilvus": pymilvus,
    "uvicorn": uvicorn,
    "uvicorn, log_config=None": lambda: uvicorn(log_config=None),
    "nothing": lambda: None,
}[sys.argv[1]]
seen = lines_after(disturb)
print(f'{sys.argv[1]:26} mode "w": {seen["w"]}, mode "a": {seen["a"]}')
whole = ["epoch 1", "epoch 2"]
assert seen == {"w": ["epoch 1"] if sys.argv[2] == "silent" else whole, "a": whole}
PYTHON
for disturb in pymilvus uvicorn; do rm -f ?.txt; "$folder/venv/bin/python" log.py "$disturb" silent 2>&1; done
for disturb in "uvicorn, log_config=None" nothing; do rm -f ?.txt; "$folder/venv/bin/python" log.py "$disturb" whole 2>&1; done
