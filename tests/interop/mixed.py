#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The hqq library reads, module by module, the mixed bits that `nibble quantize --budget` writes.

    .venv-golden/bin/python tests/interop/mixed.py MODEL [--budget 4bpw] [--binaries build/cpu/bin]

Every module is loaded with HQQLinear.load_state_dict, decoded by the library and compared with what
`nibble dequantize` makes of it. Prints one line; exits with 1 where a weight differs by more than
a rounding of its dtype.
"""

import argparse
import collections
import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile

import safetensors.torch
import torch
from hqq.core.quantize import HQQLinear


def tensors_of(folder):
    result = {}
    for file in sorted(pathlib.Path(folder).glob("*.safetensors")):
        result |= safetensors.torch.load_file(file)
    return result


def decoded_by_hqq(tensors, module, dtype):
    """The matrix, and the number of bits that the library found."""
    state = {name[len(module) + 1:]: tensor for name, tensor in tensors.items()
             if name.startswith(module + ".")}
    linear = HQQLinear(None, None, compute_dtype=dtype, device="cpu", initialize=False)
    linear.load_state_dict(state)
    return linear.dequantize(), linear.meta["nbits"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--budget", default="4bpw")
    parser.add_argument("--binaries", type=pathlib.Path, default="build/cpu/bin")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        mixed, plain = pathlib.Path(scratch, "mixed"), pathlib.Path(scratch, "plain")
        for command in (["quantize", arguments.model, mixed, "--budget", arguments.budget],
                        ["dequantize", mixed, plain]):
            subprocess.run([arguments.binaries / "nibble", *command, "--quiet"], check=True,
                           stdout=subprocess.DEVNULL)
        dtype = getattr(torch, json.loads((mixed / "config.json").read_text())["dtype"])
        tensors, expected = tensors_of(mixed), tensors_of(plain)
    bits, worst = collections.Counter(), 0.0
    for module in sorted(name[:-len(".W_q")] for name in tensors if name.endswith(".W_q")):
        matrix, nbits = decoded_by_hqq(tensors, module, dtype)
        wanted = expected[f"{module}.weight"].float()
        worst = max(worst, float((matrix.float() - wanted).abs().max() / wanted.abs().max()))
        bits[nbits] += 1
    # hqq subtracts and multiplies in the compute dtype, nibble rounds once.
    tolerance = 4 * torch.finfo(dtype).eps
    print(f"hqq {importlib.metadata.version('hqq')}: {sum(bits.values())} modules, bits "
          f"{dict(sorted(bits.items()))}, largest difference {worst:.1e} of {tolerance:.1e}")
    return 0 if bits and worst <= tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
