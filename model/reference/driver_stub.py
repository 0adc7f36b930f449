"""A `libcuda.so.1` that says "no device", for a machine without a driver. Knows nothing of MXNet or CUDA beyond names.

The GPU builds of MXNet name NVIDIA's driver library among the libraries they cannot load without, and only a driver
brings it. Everything they do on the CPU never calls it, so a library of that name whose every function answers
CUDA_ERROR_NO_DEVICE is enough. It is written here byte by byte: a compiler is not there when it is needed.

The file is about the smallest shared object that the loader takes: a page with the headers, the dynamic section, a
hash table, the symbols and their names, and another with six bytes of x86-64 code.
"""

from __future__ import annotations

import ctypes
import os
import struct

SONAME = "libcuda.so.1"
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
# What libmxnet.so of mxnet-cu112 and mxnet-cu117 takes from the driver library.
FUNCTIONS = (
    "cuDeviceGet",
    "cuDevicePrimaryCtxRetain",
    "cuGetErrorString",
    "cuGraphKernelNodeGetParams",
    "cuGraphNodeGetType",
    "cuLaunchKernel",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleLoadDataEx",
    "cuModuleUnload",
)

_CODE = b"\xb8" + struct.pack("<i", NO_DEVICE) + b"\xc3"  # mov eax, NO_DEVICE; ret
_PAGE = 0x1000
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
_SEGMENT = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr
_SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym
_ENTRY = struct.Struct("<qQ")  # Elf64_Dyn

_SHARED_OBJECT, _X86_64 = 3, 62
_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_READ_EXECUTE, _READ_WRITE = 5, 6
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME = 4, 5, 6, 10, 11, 14
_GLOBAL_FUNCTION, _HERE = 1 << 4 | 2, 1


def load() -> None:
    """Makes the stub this process's `libcuda.so.1`. The loader matches libraries by that name, wherever they lie."""
    # In memory: nothing can be loaded from a /tmp that is mounted noexec, and containers mount it so.
    file = os.memfd_create(SONAME)
    try:
        os.write(file, shared_object())
        ctypes.CDLL(f"/proc/self/fd/{file}", mode=os.RTLD_GLOBAL | os.RTLD_NOW)  # what is mapped outlives the file
    finally:
        os.close(file)


def shared_object(soname: str = SONAME, functions: tuple[str, ...] = FUNCTIONS) -> bytes:
    """The bytes of a shared object named `soname`, each of whose functions returns NO_DEVICE."""
    names, offsets = b"\0", []
    for name in (*functions, soname):
        offsets.append(len(names))
        names += name.encode() + b"\0"
    *function_names, soname_at = offsets

    segments, entries, symbols = 4, 7, len(functions) + 1
    dynamic_at = _HEADER.size + segments * _SEGMENT.size
    hash_at = dynamic_at + entries * _ENTRY.size
    # One bucket: nbucket, nchain, the bucket, and the chain 0, 2, 3, … , 0 (symbol 0 is the undefined one).
    table = struct.pack(f"<{3 + symbols}I", 1, symbols, 1, 0, *range(2, symbols), 0)
    symbols_at = -(-(hash_at + len(table)) // 8) * 8
    names_at = symbols_at + symbols * _SYMBOL.size
    data_size = names_at + len(names)
    code_at = -(-data_size // _PAGE) * _PAGE

    header = _HEADER.pack(
        b"\x7fELF\x02\x01\x01", _SHARED_OBJECT, _X86_64, 1, 0, _HEADER.size, 0, 0,
        _HEADER.size, _SEGMENT.size, segments, 0, 0, 0,
    )  # fmt: skip
    dynamic_size = entries * _ENTRY.size
    program = (
        _SEGMENT.pack(_LOAD, _READ_WRITE, 0, 0, 0, data_size, data_size, _PAGE)  # the loader writes to `dynamic`
        + _SEGMENT.pack(_LOAD, _READ_EXECUTE, code_at, code_at, code_at, len(_CODE), len(_CODE), _PAGE)
        + _SEGMENT.pack(_DYNAMIC, _READ_WRITE, dynamic_at, dynamic_at, dynamic_at, dynamic_size, dynamic_size, 8)
        + _SEGMENT.pack(_STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16)  # no executable stack is asked for
    )
    dynamic = b"".join(
        _ENTRY.pack(tag, value)
        for tag, value in (
            (_SONAME, soname_at), (_HASH, hash_at), (_STRTAB, names_at), (_SYMTAB, symbols_at),
            (_STRSZ, len(names)), (_SYMENT, _SYMBOL.size), (0, 0),
        )
    )  # fmt: skip
    symbol_table = _SYMBOL.pack(0, 0, 0, 0, 0, 0) + b"".join(
        _SYMBOL.pack(at, _GLOBAL_FUNCTION, 0, _HERE, code_at, len(_CODE)) for at in function_names
    )
    image = bytearray(code_at + len(_CODE))
    placed = ((0, header + program + dynamic + table), (symbols_at, symbol_table), (names_at, names), (code_at, _CODE))
    for at, part in placed:
        image[at : at + len(part)] = part
    return bytes(image)
