#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/io/*.safetensors with the official serializer: what nibble must read, and
must write byte for byte. The values are those of golden_values() in tests/io/io_testing.h: byte i
of a tensor is (7 * i + 3 * (its place in the order of adding)) modulo 251 (booleans: modulo 2).

Made with safetensors 0.8.0 and torch 2.15.0. Run: python3 make_io_golden.py
"""

import pathlib

import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent / "io"

DTYPES = (
    "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 int64 int32 int16 int8 "
    "uint64 uint32 uint16 uint8 bool complex64 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu"
).split()


def tensor(place: int, dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    dt = getattr(torch, dtype)
    numel = 1
    for d in shape:
        numel *= d
    size = numel * torch.empty(0, dtype=dt).element_size()
    modulus = 2 if dtype == "bool" else 251
    raw = torch.tensor([(7 * i + 3 * place) % modulus for i in range(size)], dtype=torch.uint8)
    return raw.view(dt).reshape(shape) if size else torch.empty(shape, dtype=dt)


def write(name: str, specs: list[tuple[str, str, tuple[int, ...]]], metadata) -> None:
    tensors = {key: tensor(i, dtype, shape) for i, (key, dtype, shape) in enumerate(specs)}
    save_file(tensors, OUT / f"{name}.safetensors", metadata=metadata)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for dtype in DTYPES:
        write(dtype, [("weight", dtype, (2, 3)), ("bias", dtype, (3,))], {"format": "pt"})
    write("mixed", [(f"t{i:02}", d, (i % 4 + 1,)) for i, d in enumerate(DTYPES)], None)
    write(
        "shapes",
        [
            ("z.scalar", "float32", ()),
            ("empty.rows", "float32", (0, 3)),
            ("empty.both", "float16", (0,)),
            ("a.deep", "bfloat16", (1, 2, 1, 3)),
            ("B.upper", "bfloat16", (1,)),
            ("byte", "uint8", (5,)),
        ],
        {"format": "pt"},
    )
    float8 = {}
    for dtype in (d for d in DTYPES if d.startswith("float8")):
        float8[dtype] = torch.arange(256, dtype=torch.uint8).view(getattr(torch, dtype))
        float8[f"{dtype}.float32"] = float8[dtype].to(torch.float32)
        float8[f"{dtype}.float16"] = float8[dtype].to(torch.float16)
    save_file(float8, OUT / "float8_values.safetensors")
    write("metadata", [('quote " and \n and é', "float32", (1,))], {"key \\ é": 'tab\t"\x01\x7f'})


if __name__ == "__main__":
    main()
