#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes packings.safetensors and packings.json beside this file: what the packers of AutoGPTQ
0.7.1 and AutoAWQ 0.2.9 make of integer codes, scales and zeros.

The packers are plain Python and run on a CPU, but the packages around them want CUDA builds and an
old torch. So they are installed without what they depend on (requirements-packings.txt) into a
folder that goes away, and their files are loaded one by one, with the few names that they import
from their packages stood in for. They take a matrix of floats and
round it back to codes; here that matrix is scale * (code - zero) in float32, which gives back the
codes.

GPTQModel is not run: its package imports compiled parts throughout. Its files of format gptq_v2 are
those of AutoGPTQ with the zeros as they are, which is added here.

    pip install -r requirements.txt && python make_packings_golden.py
"""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import types

import numpy as np
import safetensors.torch
import torch

HERE = pathlib.Path(__file__).resolve().parent
ROWS, COLS = 64, 128


def stand_in(name, **values):
    module = types.ModuleType(name)
    module.__dict__.update(values)
    module.__path__ = []
    sys.modules[name] = module


def load(folder, name):
    path = folder / (name.replace(".", "/") + ".py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_packers(folder):
    torch.cuda.get_device_capability = lambda *_: (8, 0)  # asked for by a constructor
    for name in ("awq", "awq.utils", "awq.modules", "awq.modules.linear"):
        stand_in(name)
    stand_in("awq.utils.module", try_import=lambda name: (None, "not here"))
    stand_in("awq.utils.utils", get_best_device=lambda: "cpu")
    stand_in("awq.utils.packing_utils", dequantize_gemm=None)
    packers = {name: load(folder, f"awq.modules.linear.{name}") for name in ("gemm", "gemv", "gemv_fast", "marlin")}
    packers["gptq"] = load(folder, "auto_gptq.nn_modules.qlinear.qlinear_cuda")
    packers["gptq_marlin"] = load(folder, "auto_gptq.nn_modules.qlinear.qlinear_marlin")
    return packers


class Golden:
    def __init__(self):
        self.rng = np.random.default_rng(20264)
        self.tensors, self.cases, self.numbers_held = {}, [], {}

    def numbers(self, bits, group_size, sym, rows=ROWS, cols=COLS, smallest_zero=1):
        groups = -(-cols // group_size)
        codes = self.rng.integers(0, 2**bits, (rows, cols))
        scales = torch.from_numpy(self.rng.uniform(0.001, 0.1, (rows, groups))).half()
        zeros = self.rng.integers(smallest_zero, 2**bits, (rows, groups))
        if sym:
            zeros[:] = 2 ** (bits - 1)
        return torch.from_numpy(codes), scales, torch.from_numpy(zeros)

    def linear(self, codes, scales, zeros, group_of):
        linear = torch.nn.Linear(codes.shape[1], codes.shape[0], bias=False)
        s, z = scales.float()[:, group_of], zeros.float()[:, group_of]
        linear.weight.data = s * (codes.float() - z)
        return linear

    def put(self, name, config, parts, codes, scales, zeros, group_of):
        """`parts`: the tensors of the module, by their names in files."""
        for suffix, tensor in parts.items():
            self.tensors[f"{name}.{suffix}"] = tensor.detach().clone().contiguous()
        # A byte a code; the same numbers in another format are held once.
        held = hash(codes.numpy().tobytes() + zeros.numpy().tobytes())
        numbers = self.numbers_held.setdefault(held, name)
        self.tensors[f"{numbers}/codes"] = codes.to(torch.uint8).contiguous()
        self.tensors[f"{numbers}/scales"] = scales.contiguous()
        self.tensors[f"{numbers}/zeros"] = zeros.to(torch.uint8).contiguous()
        self.tensors[f"{numbers}/groups"] = torch.tensor(group_of, dtype=torch.int32)
        self.cases.append({"name": name, "numbers": numbers, "rows": codes.shape[0], "cols": codes.shape[1],
                           "config": config, "order": list(parts)})  # fmt: skip


def add_gptq(golden, packers, name, bits, group_size, sym, act_order=False, smallest_zero=1):
    codes, scales, zeros = golden.numbers(bits, group_size, sym, smallest_zero=smallest_zero)
    group_of = np.arange(COLS) // group_size
    if act_order:
        group_of = golden.rng.permutation(group_of)
    linear = golden.linear(codes, scales, zeros, group_of)
    layer = packers["gptq"].QuantLinear(bits, group_size, COLS, ROWS, bias=False)
    layer.pack(linear, scales.float(), zeros.float(), torch.tensor(group_of, dtype=torch.int32))
    parts = {"qweight": layer.qweight, "qzeros": layer.qzeros,
             "scales": layer.scales.half(), "g_idx": layer.g_idx}  # fmt: skip
    config = {"quant_method": "gptq", "bits": bits, "group_size": group_size, "sym": sym,
              "desc_act": act_order, "checkpoint_format": "gptq"}  # fmt: skip
    golden.put(name, config, parts, codes, scales, zeros, group_of)
    if smallest_zero == 1 and not act_order:
        # The packer takes one from the zeros that it is given.
        v2 = packers["gptq"].QuantLinear(bits, group_size, COLS, ROWS, bias=False)
        v2.pack(linear, scales.float(), zeros.float() + 1, None)
        config = config | {"checkpoint_format": "gptq_v2"}
        golden.put(f"{name}_v2", config, parts | {"qzeros": v2.qzeros}, codes, scales, zeros, group_of)


def add_awq(golden, packers, name, version, group_size):
    sym = version == "marlin"
    codes, scales, zeros = golden.numbers(4, group_size, sym, smallest_zero=0)
    group_of = np.arange(COLS) // group_size
    linear = golden.linear(codes, scales, zeros, group_of)
    kind = {"gemm": "WQLinear_GEMM", "gemv": "WQLinear_GEMV", "gemv_fast": "WQLinear_GEMVFast",
            "marlin": "WQLinear_Marlin"}[version]  # fmt: skip
    packer = getattr(packers[version], kind)
    if version == "gemm":
        layer = packer.from_linear(linear, 4, group_size, False, scales.t().contiguous(), zeros.t().contiguous())
    elif version == "marlin":
        linear.weight.data = linear.weight.data.double()
        layer = packer.from_linear(linear, 4, group_size, False, scales.double(), None)
    else:
        layer = packer.from_linear(linear, 4, group_size, False, scales, zeros)
    names = ["qweight", "scales"] if sym else ["qweight", "qzeros", "scales"]
    parts = {suffix: getattr(layer, suffix) for suffix in names}
    config = {"quant_method": "awq", "bits": 4, "group_size": group_size, "version": version,
              "zero_point": not sym}  # fmt: skip
    golden.put(name, config, parts, codes, scales, zeros, group_of)


def add_gptq_marlin(golden, packers):
    rows, group_size = 256, 128
    codes, scales, zeros = golden.numbers(4, group_size, True, rows=rows)
    group_of = np.arange(COLS) // group_size
    linear = golden.linear(codes, scales, zeros, group_of)
    linear.weight.data = linear.weight.data.half()
    layer = packers["gptq_marlin"].QuantLinear(4, group_size, COLS, rows, bias=False)
    layer.pack(linear, scales)
    config = {"quant_method": "gptq", "bits": 4, "group_size": group_size, "is_marlin_format": True}
    golden.put("gptq_marlin", config, {"B": layer.B, "s": layer.s}, codes, scales, zeros, group_of)


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder,
                        "-r", HERE / "requirements-packings.txt"], check=True)  # fmt: skip
        packers = load_packers(pathlib.Path(folder))
    golden = Golden()
    for bits in (2, 3, 4, 8):
        add_gptq(golden, packers, f"gptq_{bits}_asym", bits, 64, False)
    add_gptq(golden, packers, "gptq_4_sym", 4, 32, True)
    add_gptq(golden, packers, "gptq_4_act_order", 4, 32, True, act_order=True)
    add_gptq(golden, packers, "gptq_3_act_order", 3, 32, False, act_order=True)
    add_gptq(golden, packers, "gptq_4_row", 4, COLS, False)
    add_gptq(golden, packers, "gptq_4_ruined", 4, 32, False, smallest_zero=0)
    add_gptq_marlin(golden, packers)
    for version, group_size in (("gemm", 128), ("gemv", 32), ("gemv", 128), ("gemv_fast", 32),
                                ("marlin", 64), ("marlin", COLS)):  # fmt: skip
        add_awq(golden, packers, f"awq_{version}_{group_size}", version, group_size)
    safetensors.torch.save_file(golden.tensors, HERE / "packings.safetensors")
    manifest = {"versions": {"auto_gptq": "0.7.1", "autoawq": "0.2.9", "torch": torch.__version__},
                "cases": golden.cases}  # fmt: skip
    (HERE / "packings.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
