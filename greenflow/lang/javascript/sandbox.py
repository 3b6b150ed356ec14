"""What a worker process gives up before it runs code: a second wall around V8 (BEHAVIOUR 15.11).

Lives here: `enter`, called once by worker.py. V8 keeps snippets from the machine; should one get
out of it, it is in an OS process that needs nothing but its wire, memory and threads, and so has
nothing else:

- descriptors: none but the wire and the three standard ones, which lead to /dev/null;
- privileges: no program that it could start would have more than it has (no_new_privs);
- limits: few files, none that grows, no core dump, and so much memory. It is RLIMIT_DATA that
  counts, what may be written to: of addresses alone V8 reserves more than a terabyte;
- system calls: a filter (seccomp(2)) refuses with EPERM what makes sockets, programs, OS processes
  and files, and what reaches others of those or the kernel's inside. What is not listed is allowed:
  a list of what V8 needs would be another for each version of it and of the C library.

A machine may refuse any of it; then the rest still holds, and the engine logs what there is.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h

#: Descriptors: the wire, what Python opens for a moment, and room.
FILES = 64

#: Bytes that V8 takes as a whole and for each isolate, stacks of threads included, while programs
#: keep nothing. Measured: 550 MB, and 10 MB.
PLATFORM, ISOLATE = 1 << 30, 16 << 20

# System calls by their numbers, of x86-64 (asm/unistd_64.h) and of AArch64 (asm-generic/unistd.h).
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # the network
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # programs and OS processes; `clone` is below, for threads are made by it
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    # files that change; `open` is below, for reading is allowed
    "openat2": (437, 437),
    "creat": (85, None),
    "truncate": (76, 45),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "link": (86, None),
    "linkat": (265, 37),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "memfd_create": (319, 279),
    "open_by_handle_at": (304, 265),
    # the kernel
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
}
_OPEN, _OPENAT = (2, None), (257, 56)
_CLONE, _CLONE3, _TGKILL, _SECCOMP = (56, 220), (435, 435), (234, 131), (317, 277)

# By `os.uname().machine`: which of the numbers, and AUDIT_ARCH_* (linux/audit.h).
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# linux/seccomp.h and linux/filter.h. Without SPEC_ALLOW old kernels would slow V8 down.
_SET_MODE_FILTER, _SPEC_ALLOW = 1, 4
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _RETURN = 0x20, 0x06
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45

# Where the number, the architecture and the low half of an argument stand (struct seccomp_data).
_NUMBER, _ARCHITECTURE = 0, 4
_X32 = 0x40000000  # calls of another ABI, whose numbers would not be looked for

_CLONE_THREAD = 0x00010000  # linux/sched.h
_EPERM, _ENOSYS = 1, 38


def enter(wire: int, memory: int, isolates: int) -> str:
    """Give all of it up. `memory` is the limit of a call in bytes. What could be given up, and what
    could not, in words. Call it with one thread, before V8 is loaded."""
    libc = ctypes.CDLL(None, use_errno=True)
    steps: dict[str, Callable[[], None]] = {
        "closed descriptors": lambda: _close_all_but(wire),
        "limits": lambda: _limit(PLATFORM + isolates * ISOLATE + 4 * memory),
        "no new privileges": lambda: _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
        "no network, programs, files to write": lambda: _filter(libc),
    }
    done, failed = list[str](), list[str]()
    for words, step in steps.items():
        try:
            step()
        except (OSError, ValueError) as error:
            failed.append(f"{words} ({error})")
        else:
            done.append(words)
    return ", ".join(done) + (f"; not possible here: {', '.join(failed)}" if failed else "")


def _close_all_but(wire: int) -> None:
    for descriptor in os.listdir("/proc/self/fd"):
        if int(descriptor) > 2 and int(descriptor) != wire:
            with suppress(OSError):  # that of the listing itself
                os.close(int(descriptor))


def _limit(memory: int) -> None:
    for which, most in (
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, memory),
    ):
        _, hard = resource.getrlimit(which)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def _filter(libc: ctypes.CDLL) -> None:
    machine = os.uname().machine
    if machine not in _MACHINES or sys.maxsize < 1 << 32:
        raise OSError(f"the numbers of system calls are not known on {machine}")
    which, architecture = _MACHINES[machine]
    program = b"".join(_program(which, architecture))
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions, and where they are.
    whole = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    number = _SECCOMP[which]
    _check(libc.syscall(number, _SET_MODE_FILTER, _SPEC_ALLOW, whole))


def _program(which: int, architecture: int) -> Iterator[bytes]:
    """The filter's instructions; `which` of the numbers are meant."""

    def step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
        return struct.pack("<HBBI", code, if_so, if_not, value)

    def argument(index: int) -> bytes:
        return step(_LOAD, 16 + 8 * index)

    def only(number: int | None, *then: bytes) -> list[bytes]:
        """What to do for a call. It ends in a return, so the number need not be loaded again."""
        return [] if number is None else [step(_EQUAL, number, 0, len(then)), *then]

    allow, kill = step(_RETURN, _ALLOW), step(_RETURN, _KILL)
    refuse, unknown = step(_RETURN, _REFUSE | _EPERM), step(_RETURN, _REFUSE | _ENOSYS)
    changes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    yield from (step(_LOAD, _ARCHITECTURE), step(_EQUAL, architecture, 1, 0), kill)
    yield from (step(_LOAD, _NUMBER), step(_AT_LEAST, _X32, 0, 1), kill)
    for numbers in _REFUSED.values():
        yield from only(numbers[which], refuse)
    for numbers, index in ((_OPEN, 1), (_OPENAT, 2)):
        writes = step(_ANY_BIT, changes, 0, 1)
        yield from only(numbers[which], argument(index), writes, refuse, allow)
    is_thread = step(_ANY_BIT, _CLONE_THREAD, 1, 0)
    yield from only(_CLONE[which], argument(0), is_thread, refuse, allow)
    # What it makes stands in memory, where no filter looks; the C library then asks by `clone`.
    yield from only(_CLONE3[which], unknown)
    # V8 ends its own process so when it gives up.
    is_own = step(_EQUAL, os.getpid(), 1, 0)
    yield from only(_TGKILL[which], argument(0), is_own, refuse, allow)
    yield allow


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
