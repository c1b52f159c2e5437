"""A file system of a few KiB that commands can fill, where the system lets a user mount one (Linux, root or not).

Run as a script, this file holds the mount namespace: python small_disk.py FOLDER KIB. It mounts a file system over the
folder, says so, and stays until its input ends; the file system goes with it.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000


class SmallDisk:
    """A small file system at a folder, seen by the commands that `enter` it; to be closed.

    Raises:
        OSError: it cannot be mounted.
    """

    def __init__(self, folder: Path, kib: int) -> None:
        self.folder = folder
        self.holder = subprocess.Popen(
            [sys.executable, "-S", __file__, str(folder), str(kib)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.holder.stdout is not None
        if not self.holder.stdout.readline():
            self.close()
            raise OSError("no file system can be mounted")

    @property
    def seen(self) -> Path:
        """The folder with the file system, as processes outside reach it."""
        return Path(f"/proc/{self.holder.pid}/root{self.folder}")

    def fill(self, left: int = 0) -> None:
        """Leave so many KiB."""
        (self.seen / "fill").unlink(missing_ok=True)
        with contextlib.suppress(OSError), (self.seen / "fill").open("wb", buffering=0) as file:
            free = os.statvfs(self.seen)
            for _ in range(free.f_bavail * free.f_frsize // 1024 - left):
                file.write(bytes(1024))

    def close(self) -> None:
        """Unmount it."""
        self.holder.communicate()


def enter(holder: int) -> None:
    """Let this process, which has one thread, see the file system that a process holds."""
    libc = ctypes.CDLL(None, use_errno=True)
    for name in ("user", "mnt") if os.geteuid() else ("mnt",):
        namespace = os.open(f"/proc/{holder}/ns/{name}", os.O_RDONLY)
        if libc.setns(namespace, 0):
            raise OSError(ctypes.get_errno(), f"setns {name}")
        os.close(namespace)


def hold(folder: str, kib: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if user else 0)):
        sys.exit(1)
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, f"size={kib}k".encode()):
        sys.exit(1)
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    hold(*sys.argv[1:])
