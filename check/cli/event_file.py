"""TensorBoard's event files, from the description of their format alone: records with checksums, and protobuf's fields.

export.sh reads what selfsame writes with it. import.sh and check/fuzz/seeds.py write files with it that selfsame reads.
"""
import struct


def checksum(data):
    """A CRC-32C, rotated and shifted as the format wants."""
    c = 0xFFFFFFFF
    for byte in data:
        c ^= byte
        for _ in range(8):
            c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    c ^= 0xFFFFFFFF
    return ((c >> 15 | c << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, data):
    """A field of bytes: a text or a message."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def record(data):
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", checksum(length)) + data + struct.pack("<I", checksum(data))


def event(step, body):
    return record(b"\x09" + struct.pack("<d", 1.7e9 + step) + b"\x10" + varint(step) + body)


def number(value):
    """The value of a scalar in the old form."""
    return b"\x15" + struct.pack("<f", value)


def tensor(value):
    """The value of a scalar in the new form."""
    return field(8, b"\x08\x01" + field(2, b"") + field(4, struct.pack("<f", value)))


def scalar(step, tag, value):
    return event(step, field(5, field(1, field(1, tag) + value)))


VERSION = record(b"\x09" + struct.pack("<d", 1.7e9) + field(3, b"brain.Event:2"))


def records(data):
    """What each record holds, with right checksums."""
    at = 0
    while at < len(data):
        length, check = struct.unpack_from("<QI", data, at)
        assert check == checksum(data[at:at + 8])
        held = data[at + 12:at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == checksum(held)
        yield held
        at += 16 + length


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """The number and the value of each field. A value of 4 or 8 bytes, or of a length, is bytes."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
        else:
            if key & 7 == 2:
                length, at = read_varint(data, at)
            else:
                length = {1: 8, 5: 4}[key & 7]
            value, at = data[at:at + length], at + length
            assert len(value) == length
        yield key >> 3, value
