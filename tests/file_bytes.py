# SPDX-License-Identifier: Apache-2.0
"""Bytes of small files in the formats that nibble reads, with the standard library only.

Nothing is checked: the tests of bad input and the seeds of the fuzz targets are made with it.
"""

import json
import struct

DTYPE_SIZE = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2,
              "I16": 2, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1}


def with_length(text):
    """A safetensors header: its length, then itself."""
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(text)) + text


def safetensors(tensors, metadata=None):
    """`tensors`: {name: (dtype, shape, data)}, laid out in the order given."""
    header = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header)
    return with_length(text + " " * (-len(text) % 8)) + data


def read_safetensors(path):
    """The tensors of a file as safetensors() takes them."""
    content = path.read_bytes()
    begin = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:begin])
    header.pop("__metadata__", None)
    return {name: (info["dtype"], info["shape"],
                   content[begin + info["data_offsets"][0]:begin + info["data_offsets"][1]])
            for name, info in header.items()}


def zeros(dtype, shape):
    """A tensor of zeros for safetensors()."""
    count = 1
    for size in shape:
        count *= size
    return dtype, shape, bytes(count * DTYPE_SIZE[dtype])


def varint(number):
    """A number as protobuf writes it."""
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def protobuf(fields):
    """A message of {field: int, float (32 bits), text or bytes}."""
    out = b""
    for field, value in fields.items():
        if isinstance(value, int):
            out += varint(field << 3) + varint(value)
        elif isinstance(value, float):
            out += varint(field << 3 | 5) + struct.pack("<f", value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(field << 3 | 2) + varint(len(value)) + value
    return out


# --- GGUF ----------------------------------------------------------------------------------------

GGUF_FORMATS = {"uint8": (0, "<B"), "int8": (1, "<b"), "uint16": (2, "<H"), "int16": (3, "<h"),
                "uint32": (4, "<I"), "int32": (5, "<i"), "float32": (6, "<f"), "bool": (7, "<?"),
                "uint64": (10, "<Q"), "int64": (11, "<q"), "float64": (12, "<d")}
GGUF_STRING, GGUF_ARRAY = 8, 9
# name: (number, elements of a block, bytes of a block)
GGML_TYPES = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20),
              "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q2_K": (10, 256, 84),
              "Q3_K": (11, 256, 110), "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176),
              "Q6_K": (14, 256, 210), "IQ4_NL": (20, 32, 18), "BF16": (30, 1, 2)}


def gguf_string(text):
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(text)) + text


def gguf_value(kind, value):
    """(type number, bytes) of a value; `kind` "string", ["string"] for an array of them, ..."""
    if isinstance(kind, list):
        items = [gguf_value(kind[0], item) for item in value]
        number = GGUF_STRING if kind[0] == "string" else \
            GGUF_ARRAY if isinstance(kind[0], list) else GGUF_FORMATS[kind[0]][0]
        return GGUF_ARRAY, struct.pack("<IQ", number, len(items)) + b"".join(i[1] for i in items)
    if kind == "string":
        return GGUF_STRING, gguf_string(value)
    number, form = GGUF_FORMATS[kind]
    return number, struct.pack(form, value)


def gguf_entry(key, kind, value):
    number, content = gguf_value(kind, value)
    return gguf_string(key) + struct.pack("<I", number) + content


def gguf_tensor(name, dims, number, offset):
    """A tensor info; `dims` from the innermost, as in the file."""
    return gguf_string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, number, offset)


def gguf_head(tensors, entries, version=3, magic=b"GGUF"):
    return magic + struct.pack("<IQQ", version, tensors, entries)


def padded(content, alignment=32):
    return content + bytes(-len(content) % alignment)


def gguf(metadata, tensors, alignment=32):
    """`metadata`: {key: (kind, value)}; `tensors`: {name: (type, shape, data)}, row-major shapes."""
    head = gguf_head(len(tensors), len(metadata))
    head += b"".join(gguf_entry(key, *entry) for key, entry in metadata.items())
    data = b""
    for name, (kind, shape, content) in tensors.items():
        head += gguf_tensor(name, shape[::-1], GGML_TYPES[kind][0], len(data))
        data = padded(data + content, alignment)
    return padded(head, alignment) + data


def gguf_data(kind, shape, byte=1):
    """A tensor of equal bytes for gguf()."""
    count = 1
    for size in shape:
        count *= size
    _, elements, size = GGML_TYPES[kind]
    return kind, shape, bytes([byte]) * (count // elements * size)
