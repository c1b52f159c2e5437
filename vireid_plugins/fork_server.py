"""Imported only by the fork server of `vireid_plugins.processes`, before it forks."""

import signal

from vireid_plugins.processes import signal_at_parents_end

# A scheduler sends SIGTERM to every process of a job. The run still needs its data-loader workers, to finish the step
# and save a checkpoint, and workers count as dead once their server is. The server exits with the run.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
# Until here the server would have ended with the thread that started it; from now on it ends with the whole process,
# when a pipe closes that only that process and the workers hold.
signal_at_parents_end(0)
