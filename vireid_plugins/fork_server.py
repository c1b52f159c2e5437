"""Imported by the fork server of `vireid_plugins.processes` before it forks, and by nothing else."""

import signal

# A scheduler ends every process of a job. The run still needs those that read images, to finish its step and save, and
# they are taken for dead once their server is. It ends with the run.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
