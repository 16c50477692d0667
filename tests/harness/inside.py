"""The process in which a container's command runs: run by `python -I -S`, as root, with what to do as JSON on stdin.

Namespaces of its own for mounts, processes and the host's name; an overlay over the unpacked image, so that nothing writes to that; the executor's
part is process 1, the command its child in a process group of its own. The descriptor `report` is closed when the command runs,
and holds text when it cannot.
"""

# pathlib costs more to import than all else here does.
# ruff: noqa: PTH102, PTH103, PTH108, PTH112, PTH120, PTH123, PTH211
import ctypes
import json
import os
import signal
import sys
from typing import Any

NEW_NAMESPACES = 0x00020000 | 0x20000000 | 0x04000000  # mounts, processes, host name
READ_ONLY, NO_SUID, NO_DEV, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
SET_DEATH_SIGNAL, SET_NO_NEW_PRIVILEGES = 1, 38
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
FAILED = 64
SHARED = "/dev/shm"  # noqa: S108  the container's
libc = ctypes.CDLL(None, use_errno=True)


def checked(code: int, what: str) -> None:
    if code != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    checked(
        libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()), f"mount {source} at {target}"
    )


def make_point(source: str, target: str) -> None:
    """What a mount needs at its place: a folder for a folder, a file for a file."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "a"):
            pass


def build_root(spec: dict[str, Any]) -> None:
    """Go to the container's files, at a place that no other process sees."""
    place: str = spec["place"]
    mount("none", "/", flags=PRIVATE | RECURSIVE)
    mount("tmpfs", place, "tmpfs")
    for name in ("upper", "work", "root"):
        os.mkdir(f"{place}/{name}")
    root = f"{place}/root"
    mount("overlay", root, "overlay", NO_DEV, f"lowerdir={spec['image']},upperdir={place}/upper,workdir={place}/work")
    for name in ("proc", "dev", "etc"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    mount("proc", f"{root}/proc", "proc")
    devices = [(f"/dev/{name}", f"/dev/{name}", False) for name in DEVICES]
    # Links of the image are the image's: paths are followed inside, sources are held from outside.
    held = [(os.open(source, os.O_PATH), path, read_only) for source, path, read_only in [*devices, *spec["mounts"]]]
    os.chroot(root)
    os.chdir("/")
    mount("tmpfs", "/dev", "tmpfs", NO_SUID, "mode=755")
    os.symlink("/proc/self/fd", "/dev/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")
    os.mkdir(SHARED)
    mount("tmpfs", SHARED, "tmpfs", NO_SUID | NO_DEV, "mode=1777,size=64m")
    for name, content in spec["files"].items():
        if os.path.lexists(name):
            os.unlink(name)
        with open(name, "w") as file:
            file.write(content)
    for source, path, read_only in held:
        make_point(f"/proc/self/fd/{source}", path)
        mount(f"/proc/self/fd/{source}", path, flags=BIND)
        os.close(source)
        if read_only:
            mount("none", path, flags=BIND | REMOUNT | READ_ONLY)
    if spec["read_only"]:
        mount("none", "/", flags=BIND | REMOUNT | READ_ONLY)


def become(spec: dict[str, Any]) -> None:
    """Turn into the command; return only by an error."""
    os.setpgid(0, 0)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.set_inheritable(spec["report"], False)
    os.chdir(spec["folder"])
    os.setgroups(spec["groups"])
    os.setgid(spec["gid"])
    os.setuid(spec["uid"])
    if not spec["may_gain"]:
        checked(libc.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no new privileges")
    for each in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    os.umask(0o022)
    os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606  that is what a container does


def run_first(spec: dict[str, Any]) -> int:
    """Process 1: start the command, wait for it and for what it leaves behind; return its exit code."""
    libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    checked(libc.sethostname(spec["hostname"].encode(), len(spec["hostname"])), "host name")
    build_root(spec)
    child = os.fork()
    if child == 0:
        try:
            become(spec)
        except OSError as error:
            os.write(spec["report"], f"failed to start {spec['argv'][0]!r} in {spec['folder']}: {error}".encode())
        os._exit(FAILED)
    os.close(spec["report"])
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main() -> int:
    spec = json.load(sys.stdin)
    try:
        libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        checked(libc.unshare(NEW_NAMESPACES), "unshare")
        first = os.fork()
        if first == 0:
            os._exit(run_first(spec))
    except OSError as error:
        os.write(spec["report"], str(error).encode())
        return FAILED
    os.close(spec["report"])
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) % 256


if __name__ == "__main__":
    os._exit(main())
