#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Folders go both ways between nibble and transformers with bitsandbytes, on the CPU.

    make test-interop                                small models made here
    tests/interop/run MODEL ...                      and these folders

For every model and packing: nibble's folder opens in transformers with no weight missing or left
over; transformers' own opens in nibble; tensors, logits, greedy ids and memory footprints agree.
Prints one line per comparison and a table; exits with 1 when any failed.
"""

import argparse
import functools
import importlib.metadata
import json
import logging
import pathlib
import shutil
import sys
import tempfile

import numpy
import safetensors
import tokenizers
import torch
import transformers

import engines
import models
from schemes import FLOAT, SCHEMES

PROMPT = [1, 17, 300, 42, 5, 5, 260, 99, 12, 7, 64, 128, 31, 200, 3, 77, 150, 8, 21, 33]


class Report:
    def __init__(self):
        self.rows, self.failures = [], 0

    def add(self, model, packing, what, good, detail):
        self.rows.append((model, packing, what, "ok" if good else "FAILED", detail))
        self.failures += not good
        print(" | ".join(self.rows[-1]), flush=True)


def tensors_of(folder):
    """Every tensor of every shard, read by the strict reader of the safetensors package."""
    result = {}
    for file in sorted(pathlib.Path(folder).glob("*.safetensors")):
        with safetensors.safe_open(file, framework="pt") as shard:
            if shard.metadata() != {"format": "pt"}:
                raise RuntimeError(f"{file}: metadata {shard.metadata()}")
            for name in shard.keys():
                result[name] = shard.get_tensor(name)
    return result


def quant_state(tensor):
    """The JSON that a quant_state tensor holds. The mean of absmax is summed in the order of the
    device and the number of threads, so its last digits are nobody's."""
    state = json.loads(bytes(tensor.tolist()))
    if "nested_offset" in state:
        state["nested_offset"] = float(f"{state['nested_offset']:.4g}")
    return state


def differing_bytes(ours, theirs, negative_zero=False):
    """How many bytes differ, and of how many; a name, shape or quant state that differs raises.
    `negative_zero`: 4-bit codes 0 and 8 are the same."""
    if set(ours) != set(theirs):
        raise RuntimeError(f"names differ: {sorted(set(ours) ^ set(theirs))[:4]}")
    differing = total = 0
    for name, tensor in ours.items():
        other = theirs[name]
        if ".quant_state." in name:
            if quant_state(tensor) != quant_state(other):
                raise RuntimeError(f"{name}: {quant_state(tensor)} and {quant_state(other)}")
            continue
        if tensor.dtype != other.dtype or tensor.shape != other.shape:
            raise RuntimeError(f"{name}: {tensor.dtype}{list(tensor.shape)} and "
                               f"{other.dtype}{list(other.shape)}")
        a, b = (t.clone().reshape(-1).view(torch.uint8) for t in (tensor, other))
        if negative_zero and f"{name}.absmax" in ours:
            a, b = (torch.where(t >> 4 == 8, t & 15, t) for t in (a, b))
            a, b = (torch.where(t & 15 == 8, t & 240, t) for t in (a, b))
        differing += int((a != b).sum())
        total += a.numel()
    return differing, total


def compare(report, model, packing, what, one, other, tolerance):
    """Of two (logits, greedy ids)."""
    scale = numpy.abs(one[0]).max()
    difference = numpy.abs(one[0] - other[0]).max() / scale
    same = one[1] == other[1]
    report.add(model, packing, what, difference <= tolerance and same,
               f"logits {difference:.1e} of {scale:.1f}, greedy ids {'equal' if same else 'differ'}")


def check_files(report, name, packing, folder):
    """The Python libraries' own readers of everything that is not a weight."""
    transformers.AutoConfig.from_pretrained(folder)
    if (folder / "generation_config.json").exists():
        transformers.GenerationConfig.from_pretrained(folder)
    if (folder / "tokenizer.json").exists():
        tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        transformers.AutoTokenizer.from_pretrained(folder)
    report.add(name, packing, "config and tokenizer files open", True, "")


def check_plain(report, nibble, name, source, work):
    compare(report, name, "plain", "transformers' folder in both", nibble.compute(source, PROMPT),
            engines.compute(engines.load(source), PROMPT), FLOAT)


def check_pickle(report, nibble, name, source, work):
    """The same weights as a pickle, through `nibble convert` into several shards."""
    weights = tensors_of(source)
    pickled, converted = work / "pickled", work / "converted"
    pickled.mkdir()
    shutil.copy(source / "config.json", pickled)
    torch.save(weights, pickled / "pytorch_model.bin")
    size = sum(t.numel() * t.element_size() for t in weights.values())
    nibble.run("convert", pickled, converted, "--max-shard-size", size // 2 + 1)
    compare(report, name, "pickle", "converted, in both", nibble.compute(converted, PROMPT),
            engines.compute(engines.load(converted), PROMPT), FLOAT)
    differing, total = differing_bytes(tensors_of(converted), weights)
    report.add(name, "pickle", "tensors after convert", differing == 0, f"{differing} of {total} B")


def check_scheme(scheme, report, nibble, name, source, work):
    ours, theirs = work / "nibble", work / "transformers"
    nibble.run("quantize", source, ours, *scheme.options)
    model = engines.load(source, dtype="auto", quantization_config=scheme.config)
    model.save_pretrained(theirs)
    opened = engines.load(ours)
    check_files(report, name, scheme.name, ours)

    # docs/quantization.md lists where the CPU library departs from the CUDA rule that nibble has.
    differing, total = differing_bytes(tensors_of(ours), tensors_of(theirs), "fp4" in scheme.name)
    report.add(name, scheme.name, "tensors", differing <= total * 1e-3, f"{differing} of {total} B")
    compare(report, name, scheme.name, "nibble's folder in both", nibble.compute(ours, PROMPT),
            engines.compute(opened, PROMPT), scheme.tolerance)
    compare(report, name, scheme.name, "transformers' folder in both",
            nibble.compute(theirs, PROMPT), engines.compute(engines.load(theirs), PROMPT),
            scheme.tolerance)
    footprint = json.loads(nibble.run("inspect", ours, "--json"))["memory_footprint"]
    native = transformers.AutoModelForCausalLM.from_pretrained(ours, device_map="cpu")
    report.add(name, scheme.name, "memory footprint",
               footprint == native.get_memory_footprint(), f"{footprint}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binaries", default="build/cpu/bin", help="folder of nibble")
    parser.add_argument("model", nargs="*", type=pathlib.Path, help="further model folders")
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    for package in ("transformers", "bitsandbytes", "torch", "safetensors", "tokenizers"):
        print(f"{package} {importlib.metadata.version(package)}")

    report, nibble = Report(), engines.Nibble(arguments.binaries)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        sources = {name: models.make(name, scratch / name) for name in models.MODELS}
        sources |= {path.resolve().name: path for path in arguments.model}
        for name, source in sources.items():
            checks = [("plain", check_plain), ("pickle", check_pickle)]
            checks += [(scheme.name, functools.partial(check_scheme, scheme)) for scheme in SCHEMES]
            for packing, check in checks:
                work = scratch / "work"
                work.mkdir()
                try:
                    check(report, nibble, name, source, work)
                except Exception as failure:  # one broken folder must not hide the others
                    report.add(name, packing, "runs", False, str(failure).strip()[:400])
                shutil.rmtree(work)
    print(f"{len(report.rows)} comparisons, {report.failures} failed")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
