#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantizing speed of nibble beside bitsandbytes' CPU backend, on the same tensors.

    python benchmarks/peers/quantize_speed.py build/cpu/bin/quantize_bench MODEL \\
        [--prefix model.layers.0.] [--rounds 5] [--threads 2]

Both take the matrices of MODEL whose names begin with the prefix, in memory, with the same number
of threads, in turn within every round; what is printed are medians over the rounds, of speeds in
GB of input per second and of the ratio within a round. Needs the packages of requirements.txt.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import time

import bitsandbytes.functional as bnb
import torch
from safetensors import safe_open

PEER = {
    "nf4": lambda x: bnb.quantize_4bit(x, quant_type="nf4"),
    "nf4 double": lambda x: bnb.quantize_4bit(x, quant_type="nf4", compress_statistics=True),
    "fp4": lambda x: bnb.quantize_4bit(x, quant_type="fp4"),
    "int8": lambda x: bnb.int8_vectorwise_quant(x.to(torch.float16)),  # as Linear8bitLt does
}


def matrices(model, prefix):
    tensors = []
    for path in sorted(pathlib.Path(model).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]
            tensors += [file.get_tensor(name) for name in names]
    return [tensor.clone() for tensor in tensors if tensor.ndim == 2]


def peer_seconds(scheme, tensors):
    start = time.perf_counter()
    for tensor in tensors:
        PEER[scheme](tensor)
    return time.perf_counter() - start


def nibble_runs(arguments):
    command = [arguments.bench, arguments.model, "--prefix", arguments.prefix, "--rounds", "3",
               "--threads", str(arguments.threads)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {run["scheme"]: run for run in map(json.loads, lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench")
    parser.add_argument("model")
    parser.add_argument("--prefix", default="model.layers.0.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tensors = matrices(arguments.model, arguments.prefix)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    for scheme in PEER:  # threads, caches and lazy set-up
        PEER[scheme](tensors[0])
    ours, theirs = {}, {}
    for _ in range(arguments.rounds):
        runs = nibble_runs(arguments)
        for scheme in PEER:
            assert runs[scheme]["bytes"] == size
            theirs.setdefault(scheme, []).append(peer_seconds(scheme, tensors))
            ours.setdefault(scheme, []).append(statistics.median(runs[scheme]["seconds"]))
    print(f"{len(tensors)} matrices, {size / 1e6:.1f} MB, {arguments.threads} threads")
    print("| scheme | bitsandbytes GB/s | nibble GB/s | ratio |")
    print("|---|---|---|---|")
    for scheme in PEER:
        ratio = statistics.median(t / o for t, o in zip(theirs[scheme], ours[scheme]))
        print(f"| {scheme} | {size / 1e9 / statistics.median(theirs[scheme]):.3f} | "
              f"{size / 1e9 / statistics.median(ours[scheme]):.2f} | {ratio:.0f} x |")


if __name__ == "__main__":
    main()
