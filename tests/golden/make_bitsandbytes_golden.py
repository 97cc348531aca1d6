#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes bitsandbytes.safetensors and bitsandbytes.json beside this file.

They hold what the real bitsandbytes makes of small weights on the CPU, and what its CUDA kernels
would make of them. The CUDA rule is computed here in numpy from the kernels' constants and is held
against the library: outside the differences that `explained` and `check_nested` list, which are
those of docs/quantization.md, both must agree on every code.

    pip install -r requirements.txt && python make_bitsandbytes_golden.py
"""

import json
import pathlib

import bitsandbytes as bnb
import bitsandbytes.functional as F
import numpy as np
import safetensors.torch
import torch

HERE = pathlib.Path(__file__).resolve().parent
F32 = np.float32

# Constants of bitsandbytes' csrc/kernels.cu (dQuantizeNF4, dQuantizeFP4): a value above threshold
# i has a code above the i-th, in the order of the values (NF4) or of the magnitudes (FP4).
NF4_THRESHOLDS = np.array(
    [
        -0.8480964004993439, -0.6106329262256622, -0.4599952697753906, -0.33967943489551544,
        -0.23460740596055984, -0.13791173323988914, -0.045525018125772476, 0.03979014977812767,
        0.1202552504837513, 0.2035212516784668, 0.2920137718319893, 0.3893125355243683,
        0.5016634166240692, 0.6427869200706482, 0.8614784181118011,
    ],
    dtype=F32,
)  # fmt: skip
FP4_THRESHOLDS = np.array(
    [0.00260417, 0.0859375, 0.20833333, 0.29166667, 0.4166667, 0.583333, 0.8333333], dtype=F32
)
FP4_BY_MAGNITUDE = np.array([0, 1, 6, 7, 4, 5, 2, 3], dtype=np.uint8)
SMALLEST_NORMAL = np.finfo(F32).tiny


def scaled_blocks(x, block_size):
    """x * (1 / absmax) per block, NaN where the block counts as zero; and the absmax."""
    blocks = [x[i : i + block_size] for i in range(0, len(x), block_size)]
    absmax = np.array([np.abs(b).max() for b in blocks], dtype=F32)
    absmax[absmax < SMALLEST_NORMAL] = 0  # the kernels flush subnormals
    with np.errstate(divide="ignore", invalid="ignore"):
        reciprocal = F32(1) / absmax
        v = np.concatenate([b * r for b, r in zip(blocks, reciprocal)]).astype(F32)
    v[np.repeat(absmax == 0, block_size)[: len(v)]] = np.nan
    return v, absmax


def encode_4bit(quant_type, v):
    if quant_type == "nf4":
        return (v[:, None] > NF4_THRESHOLDS).sum(axis=1).astype(np.uint8)
    rank = (np.abs(v)[:, None] > FP4_THRESHOLDS).sum(axis=1)
    return FP4_BY_MAGNITUDE[rank] | np.where(v < 0, 8, 0).astype(np.uint8)


def pack(codes, filler):
    if len(codes) % 2:
        codes = np.append(codes, filler)
    return (codes[::2] << 4 | codes[1::2]).astype(np.uint8)


def unpack(packed, count):
    return np.stack([packed >> 4, packed & 15], axis=1).reshape(-1)[:count]


def explained(quant_type, v):
    """Elements for which the CPU library may choose another code than the CUDA kernels."""
    zero_block = np.isnan(v)
    # The library passes from code to code at the midpoints of its values. Between a midpoint and
    # the kernels' constant (FP4's have few digits), and two ulp around them for the division in a
    # short last block, either may be right; ties on the midpoint are included.
    values = np.sort(F.get_4bit_type(quant_type, "cpu").numpy())
    thresholds, magnitude = NF4_THRESHOLDS, v
    if quant_type == "fp4":
        values, thresholds, magnitude = values[values >= 0][1:], FP4_THRESHOLDS, np.abs(v)
    midpoints = (values[:-1] + values[1:]) / 2
    slack = 2 * np.spacing(np.abs(thresholds))
    low, high = np.minimum(midpoints, thresholds) - slack, np.maximum(midpoints, thresholds) + slack
    near = ((magnitude[:, None] >= low) & (magnitude[:, None] <= high)).any(axis=1)
    # Which of FP4's two zeros a value goes to.
    zero = (np.abs(v) <= high[0]) & (quant_type == "fp4")
    return zero_block | near | zero


def encode_nested(absmax, offset):
    """Exact nearest value of the dynamic map; midpoint ties go to the even index."""
    v, scales = scaled_blocks((absmax - offset).astype(F32), 256)
    table = F.create_dynamic_map(signed=True).numpy()
    midpoints = ((table[:-1] + table[1:]) * F32(0.5)).astype(F32)
    codes = (v[:, None] > midpoints).sum(axis=1)
    tie = (v[:, None] == midpoints).any(axis=1)
    codes = np.where(tie & (codes % 2 == 1), codes + 1, codes).astype(np.uint8)
    codes[np.isnan(v)] = 0
    return codes, scales, v, table


def check_nested(codes, cpu_codes, v, table):
    # The CPU library looks codes up in a table of 65536 steps over [-1, 1].
    known = ~np.isnan(v)
    extra = np.abs(table[cpu_codes] - v)[known] - np.abs(table[codes] - v)[known]
    assert (extra >= 0).all() and (extra <= 1 / 32768).all(), extra.max()


def weights():
    """Name and float64 values of each weight; they are rounded to every dtype."""
    rng = np.random.default_rng(20260)
    yield "normal", rng.standard_normal((33, 47))
    yield "heavy_tailed", rng.standard_t(2, (24, 64))
    yield "constant", np.full((5, 40), 0.37)
    yield "zero", np.zeros((3, 50))
    yield "tiny", rng.standard_normal((9, 30)) * 1e-6
    yield "subnormal", rng.standard_normal((3, 30)) * 1e-39
    yield "huge", rng.standard_normal((9, 30)) * 1e4
    yield "one_row", rng.standard_normal((1, 7))
    yield "one_column", rng.standard_normal((131, 1))
    yield "ties", np.concatenate([np.arange(-48, 49) / 48, [1 / 384, -1 / 384, 0.0]]).reshape(4, 25)
    holes = rng.standard_normal((12, 64))
    holes[2:5] = 0
    holes[7, 3:60] = -0.0
    yield "zero_blocks", holes


DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Golden:
    def __init__(self):
        self.tensors, self.cases_4bit, self.cases_nested, self.cases_int8 = {}, [], [], []

    def put(self, name, value):
        value = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
        self.tensors[name] = value.detach().clone().contiguous()

    def add_4bit(self, weight, quant_type, block_size):
        case = f"{weight}.{quant_type}.{block_size}"
        w = self.tensors[weight]
        packed, state = F.quantize_4bit(w, blocksize=block_size, quant_type=quant_type)
        x = w.float().numpy().reshape(-1)
        v, absmax = scaled_blocks(x, block_size)
        codes = encode_4bit(quant_type, v)
        cpu_codes = unpack(packed.numpy().reshape(-1), len(x))
        differs = codes != cpu_codes
        assert not (differs & ~explained(quant_type, v)).any(), case
        cpu_absmax = state.absmax.numpy()
        assert (absmax == np.where(cpu_absmax < SMALLEST_NORMAL, 0, cpu_absmax)).all(), case

        filler = encode_4bit(quant_type, np.array([np.nan if absmax[-1] == 0 else 0], dtype=F32))
        self.put(f"{case}.codes", pack(codes, filler))
        self.put(f"{case}.absmax", absmax)
        self.put(f"{case}.cpu_codes", packed.reshape(-1))
        self.put(f"{case}.cpu_absmax", state.absmax)
        self.put(f"{case}.quant_map", state.code)
        self.put(f"{case}.cpu_dequantized", F.dequantize_4bit(packed, state))
        self.put(f"{case}.quant_state", state.as_dict(packed=True)[f"quant_state.bitsandbytes__{quant_type}"])
        self.cases_4bit.append(
            {"name": case, "weight": weight, "quant_type": quant_type, "blocksize": block_size,
             "differs": int(differs.sum())}
        )  # fmt: skip

    def add_nested(self, weight, block_size):
        case = f"{weight}.nested.{block_size}"
        w = self.tensors[weight]
        _, plain = F.quantize_4bit(w, blocksize=block_size, quant_type="nf4")
        packed, state = F.quantize_4bit(w, blocksize=block_size, quant_type="nf4", compress_statistics=True)
        offset = F32(state.offset.item())
        codes, scales, v, table = encode_nested(plain.absmax.numpy(), offset)
        check_nested(codes, state.absmax.numpy(), v, table)
        assert (scales == state.state2.absmax.numpy()).all(), case

        self.put(f"{case}.absmax", plain.absmax)
        self.put(f"{case}.codes", codes)
        self.put(f"{case}.nested_absmax", scales)
        self.put(f"{case}.nested_quant_map", state.state2.code)
        self.put(f"{case}.offset", state.offset.reshape(1))
        self.put(f"{case}.cpu_codes", state.absmax)
        self.put(f"{case}.cpu_packed", packed.reshape(-1))
        self.put(f"{case}.cpu_dequantized", F.dequantize_4bit(packed, state))
        self.put(f"{case}.quant_state", state.as_dict(packed=True)["quant_state.bitsandbytes__nf4"])
        self.cases_nested.append({"name": case, "weight": weight, "blocksize": block_size})

    def add_int8(self, weight):
        codes, absmax, _ = F.int8_vectorwise_quant(self.tensors[weight].to(torch.float16))
        self.put(f"{weight}.int8.codes", codes)
        self.put(f"{weight}.int8.SCB", absmax)
        self.cases_int8.append({"name": f"{weight}.int8", "weight": weight})


def module_4bit(dtype, quant_type, nested, storage, shape=(24, 40)):
    module = bnb.nn.Linear4bit(
        shape[1], shape[0], bias=True, quant_type=quant_type, compress_statistics=nested, quant_storage=storage
    )
    module.weight.data = module.weight.data.to(dtype)
    return module.to("cpu")


def modules():
    """Name, config and module of each saved layer."""
    torch.manual_seed(20261)
    for quant_type in ("nf4", "fp4"):
        for nested in (False, True):
            for dtype_name, dtype in DTYPES.items():
                config = {"load_in_4bit": True, "bnb_4bit_quant_type": quant_type,
                          "bnb_4bit_use_double_quant": nested}  # fmt: skip
                name = f"module.{quant_type}_{'nested_' if nested else ''}{dtype_name}"
                yield name, config, module_4bit(dtype, quant_type, nested, torch.uint8)
    for storage in ("int8", "float16", "bfloat16", "float32", "float64"):
        config = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_quant_storage": storage}
        module = module_4bit(torch.bfloat16, "nf4", False, getattr(torch, storage))
        yield f"module.nf4_in_{storage}", config, module
    config = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    yield "module.nf4_odd", config, module_4bit(torch.float16, "nf4", False, torch.uint8, shape=(7, 13))
    int8 = bnb.nn.Linear8bitLt(40, 24, bias=True, has_fp16_weights=False, threshold=6.0)
    yield "module.int8", {"load_in_8bit": True}, int8.to("cpu")


def main():
    torch.set_num_threads(1)
    golden = Golden()
    block_sizes = (32, 128, 256, 512, 1024, 2048, 4096)
    turn = 0
    for name, values in weights():
        for dtype_name, dtype in DTYPES.items():
            weight = f"{name}.{dtype_name}"
            golden.put(weight, torch.from_numpy(values).to(dtype))
            for quant_type in ("nf4", "fp4"):
                golden.add_4bit(weight, quant_type, 64)
                golden.add_4bit(weight, quant_type, block_sizes[turn % len(block_sizes)])
                turn += 1 if quant_type == "fp4" else 0
            golden.add_int8(weight)
    rng = np.random.default_rng(20262)
    for name, values in {
        "many_blocks": rng.standard_normal((81, 128)) * rng.exponential(1.0, (81, 1)),
        "few_blocks": rng.standard_normal((5, 33)),
        "equal_blocks": np.full((4, 64), 0.5),
    }.items():
        golden.put(name, torch.from_numpy(values).to(torch.bfloat16))
        golden.add_nested(name, 32)

    saved = []
    for name, config, module in modules():
        order = []
        for key, value in module.state_dict(prefix=f"{name}.").items():
            golden.put(key, value)
            order.append(key)
        saved.append({"name": name, "config": config, "order": order, "bias": f"{name}.bias"})

    golden.put("dynamic_map_signed", F.create_dynamic_map(signed=True))
    rng = np.random.default_rng(20263)
    floats = np.concatenate([
        rng.integers(0, 2**32, 300, dtype=np.uint32).view(F32),
        np.array([0.0, -0.0, 1.0, -2.5, 0.1, 1e-4, 1e-5, 123456.0, 1e15, 1e16, 1.5e16, 3e38, 1e-38, 1e-45], dtype=F32),
    ])  # fmt: skip
    floats = floats[np.isfinite(floats)]
    golden.put("floats", floats)
    manifest = {
        "versions": {m.__name__: m.__version__ for m in (bnb, torch, np, safetensors)},
        "cases_4bit": golden.cases_4bit,
        "cases_nested": golden.cases_nested,
        "cases_int8": golden.cases_int8,
        "modules": saved,
        "float_reprs": [json.dumps(float(f)) for f in floats],
    }
    safetensors.torch.save_file(golden.tensors, HERE / "bitsandbytes.safetensors")
    (HERE / "bitsandbytes.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
