"""Paths that lead to something else than a regular file."""

import os
import socket
from pathlib import Path

KINDS = ("pipe", "socket", "device", "folder")


def make(file: Path, kind: str) -> Path:
    """Make a pipe, a socket, a link to a device or a folder, and return its path."""
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(file))
    return file
