"""What the Python clients share: the command line, the input files, the dump.

Input: `lines` is a text file, one record a line; `chunks` is a file of
4-byte big-endian lengths, each followed by its record. Records are numbered
from 0 in file order. Keyed records have the key `k<number mod 1009>` and a
header `n` with the number in decimal.

Dump, per record, all big-endian: i32 partition, i64 offset, i64 timestamp, then
key, header `n` and value, each as i32 length (-1: absent) and bytes.
"""

import argparse
import struct

KEY_COUNT = 1009
_FIXED = struct.Struct(">iqqi")
_LENGTH = struct.Struct(">i")


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    produce = commands.add_parser("produce")
    produce.add_argument("--input", required=True)
    produce.add_argument("--mode", choices=["lines", "chunks"], required=True)
    produce.add_argument("--key", choices=["none", "keyed"], default="none")
    produce.add_argument("--codec", choices=["none", "gzip", "snappy", "lz4", "zstd"], default="none")
    produce.add_argument("--acks", choices=["0", "1", "all"], default="all")
    produce.add_argument("--idempotent", choices=["true", "false"], default="true")
    produce.add_argument("--timestamp-base", type=int, default=None)
    consume = commands.add_parser("consume")
    for command in (produce, consume):
        command.add_argument("--bootstrap", required=True)
        command.add_argument("--topic", required=True)
        command.add_argument("--partitions", type=int, required=True)
    return parser.parse_args()


def records(path, mode):
    with open(path, "rb", buffering=1 << 20) as file:
        if mode == "lines":
            for line in file:
                yield line[:-1] if line.endswith(b"\n") else line
            return
        while head := file.read(4):
            size = _LENGTH.unpack(head)[0]
            value = file.read(size)
            if len(value) != size:
                raise SystemExit(f"{path}: truncated record")
            yield value


def key_and_headers(number, key):
    if key == "none":
        return None, None
    return b"k%d" % (number % KEY_COUNT), [("n", b"%d" % number)]


def dump_record(out, partition, offset, timestamp, key, headers, value):
    number = next((v for k, v in headers or () if k == "n"), None)
    out.write(_FIXED.pack(partition, offset, timestamp, -1 if key is None else len(key)))
    if key is not None:
        out.write(key)
    for field in (number, value):
        out.write(_LENGTH.pack(-1 if field is None else len(field)))
        if field is not None:
            out.write(field)
