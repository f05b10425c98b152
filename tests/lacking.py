"""lacking.py - run a command on a machine that lacks something: a filter of
system calls (seccomp), which all that it starts inherit, fails them as an
older kernel would.

    python3 lacking.py WHAT[,WHAT...] COMMAND...

As root only: without no_new_privs, which would change what is tested.
"""
import ctypes
import errno
import os
import platform
import struct
import sys

X86 = platform.machine() == "x86_64"
LANDLOCK = 444
PRCTL = 157 if X86 else 167
MLOCKALL = 151 if X86 else 230
MEMFD_CREATE = 319 if X86 else 279
PR_GET_SECCOMP, PR_SET_SECCOMP, FILTER = 21, 22, 2
NOEXEC_SEAL = 8

# what: (number, (argument, mask, value) that must match, errno)
LACKS = {
    "landlock": (LANDLOCK, None, errno.ENOSYS),
    "seccomp": (PRCTL, (0, 0xffffffff, PR_GET_SECCOMP), errno.EINVAL),
    "memory-lock": (MLOCKALL, None, errno.EPERM),
    "memfd-noexec": (MEMFD_CREATE, (1, NOEXEC_SEAL, NOEXEC_SEAL),
                     errno.EINVAL),
}

LD, AND, JEQ, RET = 0x20, 0x54, 0x15, 0x06      # of BPF
ALLOW, ERRNO = 0x7fff0000, 0x00050000


def program(names):
    code = []
    for name in names:
        number, match, error = LACKS[name]
        test = [] if match is None else [
            (LD, 0, 0, 16 + 8 * match[0]), (AND, 0, 0, match[1]),
            (JEQ, 0, 1, match[2])]
        code += [(LD, 0, 0, 0), (JEQ, 0, len(test) + 1, number), *test,
                 (RET, 0, 0, ERRNO | error)]
    return [*code, (RET, 0, 0, ALLOW)]


def install(code):
    octets = b"".join(struct.pack("HBBI", *c) for c in code)
    buf = ctypes.create_string_buffer(octets, len(octets))
    prog = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(buf))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, FILTER, prog, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    install(program(sys.argv[1].split(",")))
    os.execvp(sys.argv[2], sys.argv[2:])
