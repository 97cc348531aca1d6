#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GPTQ calibration of nibble beside GPTQModel on the CPU: the same sequences, in turn.

    tests/interop/setup_gptq
    .venv-gptq/bin/python benchmarks/peers/gptq_speed.py MODEL TEXT ... [--samples 8 32] \\
        [--layers 2] [--seqlen 2048] [--rounds 3] [--threads 2] [--memory 64MB] \\
        [--peer-dtype float32]

Both quantize the first so many layers of MODEL to 4 bits in groups of 64, calibrated on the first
so many pieces of TEXT, each cut to the same tokens. Times are those of whole processes for nibble
and, for GPTQModel, of quantizing and saving alone, without imports and opening the model. Memory
is the peak of each process beyond mapped files; "blocks" is what two layers' weights take. One run
of GPTQModel on one short sequence goes ahead and is not counted: it compiles its packing code.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import tokenizers
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))
import peak_memory  # noqa: E402

PEER = ROOT / "tests/interop/gptqmodel_quantize.py"
GROUP_SIZE = 64  # divides the columns of every small model, SmolLM2's 576 among them
CHARACTERS = 6  # of text for a token: more than prose needs


def write_first_layers(model, layers, out):
    """A folder with the first `layers` layers of `model`; gives the bytes of one."""
    config = json.loads((model / "config.json").read_text())
    layers = min(layers or config["num_hidden_layers"], config["num_hidden_layers"])
    shutil.copytree(model, out, ignore=shutil.ignore_patterns("*.safetensors*"))
    (out / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    tensors = {}
    for path in sorted(model.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                layer = re.match(r"model\.layers\.(\d+)\.", name)
                if layer is None or int(layer[1]) < layers:
                    tensors[name] = file.get_tensor(name)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return layers, sum(t.nbytes for name, t in tensors.items() if name.startswith("model.layers.0."))


def write_sequences(model, texts, samples, seqlen, folder):
    """The same sequences as texts for nibble, which cuts them, and as ids for GPTQModel."""
    tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
    text = "\n".join(path.read_text() for path in texts)
    size = CHARACTERS * seqlen
    pieces = [text[i:i + size] for i in range(0, len(text) - size + 1, size)][:samples]
    ids = [tokenizer.encode(piece).ids[:seqlen] for piece in pieces]
    if len(ids) < samples or any(len(sequence) < seqlen for sequence in ids):
        sys.exit(f"{len(text)} characters hold no {samples} sequences of {seqlen} tokens")
    (folder / f"{samples}.json").write_text(json.dumps(pieces))
    (folder / f"{samples}.ids").write_text(json.dumps(ids))


class Runs:
    """Of one program: seconds and peak anonymous bytes, a list of each by number of samples."""

    def __init__(self, name):
        self.name, self.seconds, self.memory = name, {}, {}

    def add(self, samples, seconds, memory):
        print(f"{self.name}, {samples} samples: {seconds:.2f} s, {memory / 1e6:.0f} MB",
              file=sys.stderr, flush=True)
        self.seconds.setdefault(samples, []).append(seconds)
        self.memory.setdefault(samples, []).append(memory)


def run_nibble(arguments, source, scratch, samples):
    out = scratch / "nibble"
    command = [arguments.nibble, "quantize", source, out, "--scheme", "gptq", "--quiet",
               "--group-size", GROUP_SIZE,
               "--calibration", scratch / f"{samples}.json", "--calibration-samples", samples,
               "--calibration-seqlen", arguments.seqlen, "--threads", arguments.threads]
    if arguments.memory:
        command += ["--calibration-memory", arguments.memory]
    anonymous, _, seconds, code = peak_memory.run(list(map(str, command)))
    if code != 0:
        sys.exit(f"nibble: exit code {code}")
    shutil.rmtree(out)
    return seconds, anonymous


def run_peer(arguments, source, scratch, samples):
    out = scratch / "gptqmodel"
    command = [sys.executable, PEER, source, out, scratch / f"{samples}.ids",
               json.dumps({"bits": 4, "group_size": GROUP_SIZE}), arguments.peer_dtype]
    with tempfile.TemporaryFile("w+") as log:
        anonymous, _, _, code = peak_memory.run(
            list(map(str, command)), stdout=log, stderr=subprocess.STDOUT, cwd=scratch,
            env=os.environ | {"OMP_NUM_THREADS": str(arguments.threads)})
        log.seek(0)
        seconds = re.search(r"^seconds ([\d.]+)$", log.read(), re.MULTILINE)
    if code != 0 or seconds is None:
        sys.exit(f"GPTQModel: exit code {code}; run {' '.join(map(str, command))}")
    shutil.rmtree(out)
    return float(seconds[1]), anonymous


def print_table(ours, theirs, layers, arguments, block):
    print(f"{layers} layers of {arguments.model.name}, sequences of {arguments.seqlen} tokens, "
          f"{arguments.threads} threads, {arguments.rounds} rounds, two blocks' weights "
          f"{2 * block / 1e6:.0f} MB, --calibration-memory {arguments.memory or 'unlimited'}, "
          f"GPTQModel in {arguments.peer_dtype}\n")
    print("| samples | GPTQModel s | nibble s | ratio | GPTQModel MB | nibble MB |")
    print("|---|---|---|---|---|---|")
    for samples in arguments.samples:
        ratio = statistics.median(t / o for t, o in zip(theirs.seconds[samples],
                                                        ours.seconds[samples]))
        print(f"| {samples} | {statistics.median(theirs.seconds[samples]):.1f} | "
              f"{statistics.median(ours.seconds[samples]):.2f} | {ratio:.1f} x | "
              f"{max(theirs.memory[samples]) / 1e6:.0f} | {max(ours.memory[samples]) / 1e6:.0f} |")
    few, many = min(arguments.samples), max(arguments.samples)
    if few < many:
        slopes = [(statistics.median(runs.seconds[many]) - statistics.median(runs.seconds[few]))
                  / (many - few) / layers for runs in (theirs, ours)]
        print(f"\na sample more costs a layer {slopes[0]:.3f} s and {slopes[1]:.4f} s: "
              f"{slopes[0] / slopes[1]:.1f} x")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("texts", nargs="+", type=pathlib.Path)
    parser.add_argument("--nibble", default=ROOT / "build/cpu/bin/nibble", help="the program")
    parser.add_argument("--samples", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--layers", type=int, help="default: all")
    parser.add_argument("--seqlen", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-dtype", default="auto", help="GPTQModel's, bfloat16 by itself")
    parser.add_argument("--memory", default="", help="nibble's --calibration-memory")
    arguments = parser.parse_args()
    ours, theirs = Runs("nibble"), Runs("GPTQModel")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        source = scratch / "source"
        layers, block = write_first_layers(arguments.model, arguments.layers, source)
        for samples in arguments.samples:
            write_sequences(arguments.model, arguments.texts, samples, arguments.seqlen, scratch)
        write_sequences(arguments.model, arguments.texts, 1, 64, scratch)
        run_peer(arguments, source, scratch, 1)
        for _ in range(arguments.rounds):
            for samples in arguments.samples:
                ours.add(samples, *run_nibble(arguments, source, scratch, samples))
                theirs.add(samples, *run_peer(arguments, source, scratch, samples))
    print_table(ours, theirs, layers, arguments, block)


if __name__ == "__main__":
    main()
