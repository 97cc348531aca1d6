#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/io/blocks.gguf with random raw blocks of every type that nibble decodes, and
tests/golden/io/blocks.bin with the floats that gguf-py's dequantize() gives for them: for each
tensor of the file, in its order, its elements as little-endian float32.

Made with gguf 0.19.0 and numpy. Run: python3 make_gguf_golden.py
"""

import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

OUT = pathlib.Path(__file__).parent / "io"

# Where the fp16 numbers stand in a block.
HALVES = {
    Type.Q4_0: [0],
    Type.Q4_1: [0, 2],
    Type.Q5_0: [0],
    Type.Q5_1: [0, 2],
    Type.Q8_0: [0],
    Type.IQ4_NL: [0],
    Type.Q2_K: [80, 82],
    Type.Q3_K: [108],
    Type.Q4_K: [0, 2],
    Type.Q5_K: [0, 2],
    Type.Q6_K: [208],
}


def random_rows(rng, kind: Type, rows: int, blocks: int) -> np.ndarray:
    """Random bytes with finite scales: of real size, and one subnormal."""
    _, size = gguf.GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (rows * blocks, size), dtype=np.uint8)
    for place in HALVES[kind]:
        halves = rng.normal(0, 0.02, rows * blocks).astype(np.float16)
        halves[0] = np.float16(3e-6)
        raw[:, place : place + 2] = halves.view(np.uint8).reshape(-1, 2)
    return raw.reshape(rows, blocks * size)


def main() -> None:
    rng = np.random.default_rng(20240607)
    OUT.mkdir(exist_ok=True)
    writer = gguf.GGUFWriter(OUT / "blocks.gguf", "llama")
    writer.add_uint32("test.uint32", 4_000_000_000)
    writer.add_int8("test.int8", -5)
    writer.add_uint64("test.uint64", 2**64 - 1)
    writer.add_float32("test.float32", 0.5)
    writer.add_float64("test.float64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "naïve")
    writer.add_array("test.strings", ["a", "", "ccc"])
    writer.add_array("test.ints", [1, -2, 3])
    writer.add_array("test.floats", [0.25, -1.5])
    writer.add_array("test.bools", [True, False])
    writer.add_array("test.nested", [[1, 2], [3]])
    expected = []
    for kind in HALVES:
        block, _ = gguf.GGML_QUANT_SIZES[kind]
        raw = random_rows(rng, kind, 2, 2 if block == 32 else 1)
        writer.add_tensor(f"rows.{kind.name}", raw, raw_dtype=kind)
        expected.append(gguf.quants.dequantize(raw, kind))
    for kind, dtype in ((Type.F32, np.float32), (Type.F16, np.float16), (Type.F64, np.float64)):
        values = rng.normal(0, 1, (3, 5)).astype(dtype)
        writer.add_tensor(f"rows.{kind.name}", values)
        expected.append(values)
    bits = rng.normal(0, 1, (3, 5)).astype(np.float32).view(np.uint32) >> 16
    writer.add_tensor("rows.BF16", bits.astype(np.uint16).view(np.uint8), raw_dtype=Type.BF16)
    expected.append((bits << 16).astype(np.uint32).view(np.float32))
    writer.add_tensor("ints", np.arange(4, dtype=np.int32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    floats = [np.ascontiguousarray(e).astype("<f4").tobytes() for e in expected]
    (OUT / "blocks.bin").write_bytes(b"".join(floats))


if __name__ == "__main__":
    main()
