#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of nibble, llama.cpp and transformers with bitsandbytes on one model, in one run.

    benchmarks/peers/setup                      # once
    benchmarks/peers/compare_models.py benchmarks/configs/llama-1.1b [--rounds N] ...

The model is a Hugging Face folder, or one with a config.json alone, for which random weights are
made. Each engine and weight type is a process that stays alive and works only when asked. In every
round all take turns, first in decoding (one token at a time behind a short prompt), then in reading
a prompt, and the machine's read bandwidth and multiply-add peak are probed between any two samples.
A sample with a probe below three quarters of the usual limits beside it is repeated, up to
--patience times, and otherwise left out. Prints a Markdown table of medians over the rounds; a ratio
is the median of the ratios within a round, against the fastest type of the same number of bits. What
rests on slow samples, because there are no others, stands in brackets.
Needs the standard library alone; setup makes what the engines need.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

import peer_statistics
from peer_models import gguf_files, hugging_face_folder
from turns import Driver, Turns, probe_of, take_turns

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NIBBLE = {"plain": 16, "int8": 8, "LLM.int8()": 8, "nf4": 4, "nf4-double": 4, "nf4-a8": 4}  # bits
WITH_HEAD = ["int8", "nf4"]  # also with a quantized output head, as llama.cpp's types have it
LLAMA_CPP = {"f16": 16, "q8_0": 8, "q4_0": 4, "iq4_nl": 4, "q4_k_m": 4}
TRANSFORMERS = {"f32": 16, "bf16": 16, "int8": 8, "nf4": 4}
PROBES_AT_START = 10


@dataclasses.dataclass(frozen=True)
class Candidate:
    engine: str
    weights: str
    bits: int
    command: tuple

    @property
    def name(self):
        return f"{self.engine} {self.weights}"


def candidates_of(options):
    models = ROOT / "build" / "peers" / "models"
    folder = hugging_face_folder(options.model, models, options.nibble_bin)
    destination = models / options.model.resolve().name
    files = gguf_files(folder, destination, options.python, options.llamacpp, options.threads)
    threads = options.threads
    schemes = dict(NIBBLE)
    if not json.loads((folder / "config.json").read_text()).get("tie_word_embeddings", False):
        schemes |= {f"{name}+head": NIBBLE[name] for name in WITH_HEAD}
    found = [Candidate("nibble", scheme, bits,
                       (options.nibble_bin / "model_samples", folder, scheme, threads))
             for scheme, bits in schemes.items()]
    found += [Candidate("llama.cpp", name.upper(), LLAMA_CPP[name],
                        (options.llamacpp, file, threads))
              for name, file in files.items()]
    found += [Candidate("transformers", scheme, TRANSFORMERS[scheme],
                        (options.python, HERE / "transformers_samples.py", folder, scheme, threads))
              for scheme in options.transformers.split(",") if scheme]
    return found


def measure(candidates, options):
    """(bytes per token by name, samples by kind and name, Turns)."""
    requests = [
        ("decode", options.generate, f"decode {options.generate} behind {options.behind}"),
        ("prefill", options.prompt, f"prefill {options.prompt}"),
    ]
    drivers = {}
    try:
        for candidate in candidates:
            print("loading", candidate.name, file=sys.stderr, flush=True)
            driver = drivers[candidate.name] = Driver(candidate.command)
            for text in (f"decode 4 behind {options.behind}", f"prefill {options.prompt}"):
                driver.ask(text)  # threads, caches, lazy set-up
        prober = next(iter(drivers.values()))  # nibble's first
        turns = Turns(lambda: probe_of(prober), options.patience)
        for _ in range(PROBES_AT_START):
            turns.probe()
        samples = take_turns(drivers, requests, options.rounds, turns)
        return {name: driver.bytes_per_token for name, driver in drivers.items()}, samples, turns
    finally:
        for driver in drivers.values():
            driver.close()


def against(engine, candidate, candidates, samples, limits):
    """Our speed by that of the engine's fastest type with as many bits: that type, the ratio, and in
    how many rounds both were at full speed."""
    theirs = {other.weights: samples[other.name] for other in candidates
              if other.engine == engine and other.bits == candidate.bits}
    if candidate.engine != "nibble" or not theirs:
        return None
    best = peer_statistics.best_of(theirs, limits)
    ratio, rounds = peer_statistics.median_ratio(samples[candidate.name], theirs[best], limits)
    return {"best": best, "ratio": ratio, "rounds_at_full_speed": rounds}


def rows_of(candidates, bytes_per_token, samples, limits):
    rows = []
    for candidate in candidates:
        row = {"engine": candidate.engine, "weights": candidate.weights,
               "bytes_per_token": bytes_per_token[candidate.name]}
        for kind, by_name in samples.items():
            own = by_name[candidate.name]
            row[kind] = {
                "tokens_per_second": peer_statistics.median_speed(own, limits),
                "rounds": len(own),
                "rounds_at_full_speed": peer_statistics.at_full_speed(own, limits),
                "llama.cpp": against("llama.cpp", candidate, candidates, by_name, limits),
                "transformers": against("transformers", candidate, candidates, by_name, limits),
            }
        row["share_of_bandwidth"] = peer_statistics.share_of_bandwidth(
            samples["decode"][candidate.name], bytes_per_token[candidate.name], limits)
        rows.append(row)
    return rows


def markdown(rows, prompt):
    def marked(text, rounds):
        return text if rounds else f"({text})"

    def speed(part, digits):
        return marked(f"{part['tokens_per_second']:.{digits}f}", part["rounds_at_full_speed"])

    def ratio(pair):
        return marked(f"{pair['ratio']:.2f} x {pair['best']}",
                      pair["rounds_at_full_speed"]) if pair else ""

    lines = ["| engine | weights | MB per token | decode tokens/s | of bandwidth | against llama.cpp "
             f"| against transformers | prefill {prompt} tokens/s | against llama.cpp "
             "| against transformers | rounds at full speed |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        decode, prefill = row["decode"], row["prefill"]
        share = marked(f"{100 * row['share_of_bandwidth']:.0f} %", decode["rounds_at_full_speed"])
        lines.append(
            f"| {row['engine']} | {row['weights']} | {row['bytes_per_token'] / 1e6:.1f} "
            f"| {speed(decode, 1)} | {share} "
            f"| {ratio(decode['llama.cpp'])} | {ratio(decode['transformers'])} "
            f"| {speed(prefill, 0)} | {ratio(prefill['llama.cpp'])} "
            f"| {ratio(prefill['transformers'])} | {decode['rounds_at_full_speed']} and "
            f"{prefill['rounds_at_full_speed']} of {decode['rounds']} |")
    return "\n".join(lines)


def versions(options):
    """Of the peers, as one line."""
    pinned = (HERE / "llamacpp" / "requirements.txt").read_text("utf-8")
    names = ("transformers", "bitsandbytes", "torch") if options.transformers else ()
    code = f"import importlib.metadata as m; print(*(n + ' ' + m.version(n) for n in {names}), sep=', ')"
    found = subprocess.run([options.python, "-c", code], check=True, capture_output=True, text=True)
    llama = re.search(r"^llama-cpp-python==(\S+)", pinned, re.MULTILINE)[1]
    return ", ".join(filter(None, (f"llama.cpp of llama-cpp-python {llama}", found.stdout.strip())))


def processor():
    text = pathlib.Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"^model name\s*: (.*)", text, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)", text, re.MULTILINE)
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
    known = [flag for flag in wanted if flags and flag in flags[1].split()]
    return f"{model[1] if model else platform.machine()} ({', '.join(known)})"


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="a folder with config.json")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--generate", type=int, default=32, help="tokens of a decode sample")
    parser.add_argument("--behind", type=int, default=16, help="tokens that decoding stands behind")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of a prefill sample")
    parser.add_argument("--patience", type=int, default=3, help="repeats of a slow sample")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--transformers", default="bf16,nf4,int8", metavar="SCHEMES",
                        help="of f32, bf16, nf4, int8; '' for none (default: %(default)s)")
    parser.add_argument("--nibble-bin", type=pathlib.Path, default=ROOT / "build" / "cpu" / "bin")
    parser.add_argument("--llamacpp", type=pathlib.Path,
                        default=ROOT / "build" / "peers" / "llama" / "llamacpp_samples")
    parser.add_argument("--python", default=str(ROOT / ".venv-golden" / "bin" / "python"))
    parser.add_argument("--json", type=pathlib.Path, help="write all figures and samples here")
    options = parser.parse_args(arguments)
    if not (options.model / "config.json").is_file():
        parser.error(f"{options.model} has no config.json")
    unknown = set(filter(None, options.transformers.split(","))) - TRANSFORMERS.keys()
    if unknown:
        parser.error(f"--transformers: {', '.join(sorted(unknown))} is none of "
                     f"{', '.join(TRANSFORMERS)}")
    if min(options.rounds, options.generate, options.prompt, options.threads) < 1:
        parser.error("--rounds, --generate, --prompt and --threads are at least 1")
    for needed in (options.nibble_bin / "model_samples", options.llamacpp, options.python):
        if not pathlib.Path(needed).exists():
            parser.error(f"{needed} is missing; benchmarks/peers/setup makes it")
    return options


def main():
    options = parse(sys.argv[1:])
    candidates = candidates_of(options)
    bytes_per_token, samples, turns = measure(candidates, options)
    limits = turns.limits
    rows = rows_of(candidates, bytes_per_token, samples, limits)
    machine = (f"{options.threads} threads of {processor()}, at full speed "
               f"{limits.bandwidth / 1e9:.1f} GB/s and {limits.flops / 1e9:.0f} GFLOP/s; "
               f"{versions(options)}")
    print(machine, markdown(rows, options.prompt), sep="\n\n")
    if options.json:
        plain = {kind: {name: [dataclasses.asdict(sample) for sample in own]
                        for name, own in by_name.items()} for kind, by_name in samples.items()}
        settings = {key: str(value) for key, value in vars(options).items()}
        report = {"machine": machine, "limits": dataclasses.asdict(limits), "settings": settings,
                  "rows": rows, "samples": plain}
        options.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
