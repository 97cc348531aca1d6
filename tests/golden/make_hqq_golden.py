#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes hqq.safetensors and hqq.json beside this file: state dicts of HQQLinear on the CPU, as
transformers saves them, and what they decode to in float32, which hqq itself does in the compute
dtype.

    pip install -r requirements.txt && python make_hqq_golden.py
"""

import json
import pathlib
import warnings

import numpy as np
import safetensors.torch
import torch

warnings.filterwarnings("ignore")

from hqq.core.quantize import BaseQuantizeConfig, HQQLinear, Quantizer  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROWS, COLS = 32, 48


def codes_of(layer):
    """Codes of the matrix, a byte each, and scale and zero of each element."""
    meta = layer.meta
    unpacked = Quantizer.unpack[meta["packing"]](layer.W_q.data.view(meta["unpack_view_dtype"]), dtype=torch.uint8)
    group_size = meta["group_size"]
    rows = group_size if meta["axis"] == 0 else ROWS * COLS // group_size
    return unpacked[:rows]


def main():
    rng = np.random.default_rng(20265)
    weight = torch.from_numpy(rng.standard_normal((ROWS, COLS)) * 0.05).float()
    tensors, cases = {"weight": weight}, []
    for nbits in (8, 6, 4, 3, 2, 1.58, 1):
        for axis in (0, 1):
            for dtype in (torch.float16, torch.float32) if nbits == 4 else (torch.float16,):
                name = f"hqq_{nbits}_{axis}_{str(dtype).removeprefix('torch.')}".replace("1.58", "ternary")
                config = BaseQuantizeConfig(nbits=nbits, group_size=16, axis=axis)
                linear = torch.nn.Linear(COLS, ROWS, bias=False)
                linear.weight.data = weight.to(dtype)
                layer = HQQLinear(linear, config, compute_dtype=dtype, device="cpu")
                order = []
                for key, value in layer.state_dict().items():
                    tensors[f"{name}.{key}"] = value.detach().clone().contiguous()
                    order.append(key)
                decoded = (codes_of(layer).float() - layer.meta["zero"].float()) * layer.meta["scale"].float()
                tensors[f"{name}/decoded"] = decoded.reshape(ROWS, COLS)
                params = dict(config["weight_quant_params"])
                cases.append({"name": name, "order": order, "params": params})
    safetensors.torch.save_file(tensors, HERE / "hqq.safetensors")
    (HERE / "hqq.json").write_text(json.dumps({"versions": {"hqq": "0.2.8.post1"}, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
