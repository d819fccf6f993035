"""The bpf(2) calls that BCC does not offer: pins, batches, test runs, memory-mapped arrays (linux/bpf.h)."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass

SYSCALL = {"x86_64": 321, "aarch64": 280}
MAP_LOOKUP, MAP_UPDATE, MAP_DELETE = 1, 2, 3
OBJ_PIN, OBJ_GET, PROG_TEST_RUN, OBJ_GET_INFO = 6, 7, 10, 15
LINK_CREATE, LINK_UPDATE, LINK_DETACH = 28, 29, 34
ATTACH_TYPE_XDP = 37
REPLACE = 4
"""BPF_F_REPLACE: only where the program is the one that is named."""
MAP_LOOKUP_BATCH, MAP_UPDATE_BATCH, MAP_DELETE_BATCH = 24, 26, 27
ATTR_BYTES = 144
PROG_NAME_MAX = 16
TEST_RUN_BYTES_MAX = 3_520
"""What fits into the one page of a test run beside its headroom and tailroom, with some to spare."""

_libc = ctypes.CDLL(None, use_errno=True)


class BpfError(OSError):
    """A bpf(2) call that failed, with what it was about."""


def call(command: int, attr: ctypes.Array[ctypes.c_char], what: str) -> int:
    """One bpf(2) call. Raises BpfError."""
    number = SYSCALL[platform.machine()]
    result = int(_libc.syscall(number, command, ctypes.byref(attr), ctypes.sizeof(attr)))
    if result < 0:
        code = ctypes.get_errno()
        raise BpfError(code, f"{what}: {os.strerror(code)}")
    return result


def attributes(layout: str, *values: int) -> ctypes.Array[ctypes.c_char]:
    """`union bpf_attr` with these fields at its beginning."""
    data = struct.pack(layout, *values)
    return ctypes.create_string_buffer(data + bytes(ATTR_BYTES - len(data)), ATTR_BYTES)


def address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    """Where a buffer lies; the caller keeps it alive."""
    return ctypes.addressof(buffer)


def pin(fd: int, path: str) -> None:
    """Gives a map or program a name in bpffs. Raises BpfError."""
    name = ctypes.create_string_buffer(path.encode())
    call(OBJ_PIN, attributes("=QII", address(name), fd, 0), f"pinning {path}")


def opened(path: str) -> int:
    """The descriptor of what is pinned there; the caller closes it. Raises BpfError."""
    name = ctypes.create_string_buffer(path.encode())
    return call(OBJ_GET, attributes("=QII", address(name), 0, 0), f"opening {path}")


def object_id(fd: int) -> int:
    """The kernel's number of a program or map. Raises BpfError."""
    info = ctypes.create_string_buffer(256)
    attr = attributes("=IIQ", fd, len(info), address(info))
    call(OBJ_GET_INFO, attr, "asking what a descriptor is")
    # bpf_prog_info and bpf_map_info both begin with their type and then their id.
    return int(struct.unpack_from("=II", info.raw)[1])


@dataclass(frozen=True)
class Link:
    """What the kernel says of an XDP link. `ifindex` 0: its interface is gone, or it was detached."""

    program_id: int
    ifindex: int


def link(fd: int) -> Link:
    """What a link is. Raises BpfError."""
    info = ctypes.create_string_buffer(256)
    call(OBJ_GET_INFO, attributes("=IIQ", fd, len(info), address(info)), "asking what a link is")
    _, _, program_id, ifindex = struct.unpack_from("=IIIxxxxI", info.raw)
    return Link(program_id, ifindex)


def link_xdp(program_fd: int, ifindex: int, flags: int) -> int:
    """Attaches a program to an interface; the descriptor of the link. Raises BpfError (EBUSY: somebody is there)."""
    attr = attributes("=IIII", program_fd, ifindex, ATTACH_TYPE_XDP, flags)
    return call(LINK_CREATE, attr, f"attaching to interface {ifindex}")


def replace_program(link_fd: int, new_fd: int, old_fd: int) -> None:
    """Puts another program into a link in one step, if it has `old_fd`'s now. Raises BpfError."""
    call(LINK_UPDATE, attributes("=IIII", link_fd, new_fd, REPLACE, old_fd), "replacing the attached program")


def replace_any_program(link_fd: int, new_fd: int) -> None:
    """Puts another program into a link, whatever it has now. Raises BpfError."""
    call(LINK_UPDATE, attributes("=IIII", link_fd, new_fd, 0, 0), "replacing the attached program")


def detach(link_fd: int) -> None:
    """Takes a link's program off its interface. Raises BpfError."""
    call(LINK_DETACH, attributes("=I", link_fd), "detaching")


def detach_quietly(link_fd: int) -> None:
    """Detaches and closes a link whose interface may be gone already."""
    try:
        detach(link_fd)
    except BpfError:
        # Nothing was attached any more, which is what was wanted.
        pass
    os.close(link_fd)


def close(fd: int) -> None:
    """Closes a descriptor; what it stands for stays where it is pinned or attached."""
    os.close(fd)


@dataclass(frozen=True)
class Shape:
    """What the kernel says that a map is. Sizes are bytes."""

    kind: int
    key_size: int
    value_size: int
    entries_max: int


def shape(fd: int) -> Shape:
    """The shape of a map. Raises BpfError."""
    info = ctypes.create_string_buffer(256)
    call(OBJ_GET_INFO, attributes("=IIQ", fd, len(info), address(info)), "asking what a map is")
    kind, _, key_size, value_size, entries = struct.unpack_from("=5I", info.raw)
    return Shape(kind, key_size, value_size, entries)


class Map:
    """One map by its descriptor, which it owns. Keys and values are bytes as they lie in it."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        self.shape = shape(fd)
        self._value_bytes = self.shape.value_size

    def per_cpu(self, cpus: int) -> Map:
        """The same map with room for a value of each possible CPU."""
        self._value_bytes = (self.shape.value_size + 7) // 8 * 8 * cpus
        return self

    def close(self) -> None:
        """Lets go of it."""
        os.close(self.fd)

    def lookup(self, key: bytes) -> bytes | None:
        """The value, None where there is none. Raises BpfError."""
        value = ctypes.create_string_buffer(self._value_bytes)
        try:
            self._element(MAP_LOOKUP, key, value, 0)
        except BpfError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return value.raw

    def update(self, key: bytes, value: bytes) -> None:
        """Writes one element. Raises BpfError (E2BIG where the map is full)."""
        self._element(MAP_UPDATE, key, ctypes.create_string_buffer(value, len(value)), 0)

    def delete(self, key: bytes) -> bool:
        """Whether it was there. Raises BpfError."""
        try:
            self._element(MAP_DELETE, key, None, 0)
        except BpfError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def _element(self, command: int, key: bytes, value: ctypes.Array[ctypes.c_char] | None, flags: int) -> None:
        name = ctypes.create_string_buffer(key, len(key))
        pointer = address(value) if value is not None else 0
        attr = attributes("=IIQQQ", self.fd, 0, address(name), pointer, flags)
        call(command, attr, f"map {self.name}")

    def items(self, chunk: int = 4_096) -> Iterator[tuple[bytes, bytes]]:
        """Every element of a hash or LPM map; one that comes or goes meanwhile may be missed. Raises BpfError."""
        key_bytes, value_bytes = self.shape.key_size, self._value_bytes
        for keys, values in self.batches(chunk):
            for i in range(len(keys) // key_bytes):
                yield keys[i * key_bytes : (i + 1) * key_bytes], values[i * value_bytes : (i + 1) * value_bytes]

    def batches(self, chunk: int = 4_096) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of the map, `chunk` at a time, joined. Raises BpfError."""
        cursors = [ctypes.create_string_buffer(max(self.shape.key_size, 8)) for _ in range(2)]
        keys = ctypes.create_string_buffer(self.shape.key_size * chunk)
        values = ctypes.create_string_buffer(self._value_bytes * chunk)
        begun, more = 0, True
        while more:
            attr = attributes(
                "=QQQQIIQQ", begun, address(cursors[1]), address(keys), address(values), chunk, self.fd, 0, 0
            )
            try:
                call(MAP_LOOKUP_BATCH, attr, f"reading map {self.name}")
            except BpfError as error:
                if error.errno == errno.ENOSPC:
                    # One hash bucket holds more than a chunk.
                    yield from self.batches(chunk * 2)
                    return
                if error.errno != errno.ENOENT:
                    raise
                more = False
            count = struct.unpack_from("=I", attr.raw, 32)[0]
            yield keys.raw[: count * self.shape.key_size], values.raw[: count * self._value_bytes]
            cursors.reverse()
            begun = address(cursors[0])

    def update_many(self, items: list[tuple[bytes, bytes]]) -> None:
        """Writes elements in one call. Raises BpfError; what was written before the one that failed stays."""
        if not items:
            return
        keys = ctypes.create_string_buffer(b"".join(key for key, _ in items))
        values = ctypes.create_string_buffer(b"".join(value for _, value in items))
        attr = attributes("=QQQQIIQQ", 0, 0, address(keys), address(values), len(items), self.fd, 0, 0)
        call(MAP_UPDATE_BATCH, attr, f"writing map {self.name}")

    def mapped(self) -> mmap.mmap:
        """The memory of an array that was made with BPF_F_MMAPABLE, to read and write. Raises OSError."""
        element = (self.shape.value_size + 7) // 8 * 8
        return mmap.mmap(self.fd, element * self.shape.entries_max, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


@dataclass(frozen=True)
class Run:
    """What a test run gave. `duration_ns` is the mean of the repeats."""

    result: int
    data: bytes
    duration_ns: int


def test_run(prog_fd: int, data: bytes, repeat: int = 1) -> Run:
    """Runs a program over `data`, at least 14 bytes. Raises BpfError."""
    given = ctypes.create_string_buffer(data, len(data))
    out = ctypes.create_string_buffer(len(data) + 256)
    attr = attributes("=IIIIQQII", prog_fd, 0, len(data), len(out), address(given), address(out), repeat, 0)
    call(PROG_TEST_RUN, attr, "running a program")
    _, result, _, size_out = struct.unpack_from("=4I", attr.raw)
    return Run(result, out.raw[:size_out], struct.unpack_from("=I", attr.raw, 36)[0])
