"""Imported only by the fork server of `vireid_plugins.processes`, before it forks."""

import signal

# A scheduler sends SIGTERM to every process of a job. The run still needs its data-loader workers, to finish the step
# and save a checkpoint, and workers count as dead once their server is. The server exits with the run.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
