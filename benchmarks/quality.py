#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each method of `nibble quantize` costs of a model's quality, as a Markdown table.

    benchmarks/quality.py MODEL --text wiki.test.raw --text-bytes 60000 \\
        --calibration c4.jsonl [--methods gptq-4,awq-4] [--list]

    benchmarks/quality.py --stories build/cpu/bin/nibble_calibrate_test

The second form prints what tests/calibrate/stories_test.cc measures, in memory, on stories260K.

The first form quantizes the model by each method into a folder that goes again. Bits per weight are
those of its quantized modules, with all that the file stores for them; perplexity and divergence
from the plain model are of the first bytes of the text. Times are those of the whole command.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CALIBRATED = "calibrated"  # stands for the options of calibration

_GROUPS = ["--group-size", "64"]
METHODS = {
    "int8": ["--scheme", "int8"],
    "eetq": ["--scheme", "eetq"],
    "group-int8": ["--scheme", "group-int8", *_GROUPS],
    "nf4": ["--scheme", "nf4"],
    "nf4-double": ["--scheme", "nf4", "--double-quant"],
    "fp4": ["--scheme", "fp4"],
    "rtn-4": ["--scheme", "rtn", "--no-sym", *_GROUPS],
    "rtn-4-sym": ["--scheme", "rtn", *_GROUPS],
    "rtn-3": ["--scheme", "rtn", "--bits", "3", "--no-sym", *_GROUPS],
    "gptq-4": ["--scheme", "gptq", "--no-sym", *_GROUPS, CALIBRATED],
    "gptq-4-sym": ["--scheme", "gptq", *_GROUPS, CALIBRATED],
    "gptq-3": ["--scheme", "gptq", "--bits", "3", "--no-sym", *_GROUPS, CALIBRATED],
    "awq-4": ["--scheme", "awq", *_GROUPS, CALIBRATED],
    "hqq-4": ["--scheme", "hqq", *_GROUPS],
    "hqq-3": ["--scheme", "hqq", "--bits", "3", *_GROUPS],
    "hqq-2": ["--scheme", "hqq", "--bits", "2", *_GROUPS],
    "budget-4.5": ["--budget", "4.5bpw", *_GROUPS, CALIBRATED],
    "budget-4": ["--budget", "4bpw", *_GROUPS, CALIBRATED],
    "budget-3.7": ["--budget", "3.71bpw", *_GROUPS, CALIBRATED],
    "budget-3.7-no-texts": ["--budget", "3.71bpw", *_GROUPS],
}


def run(*command):
    """The JSON document of a command; one that fails ends the script with its own line."""
    done = subprocess.run([*map(str, command), "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def bits_per_weight(inspection):
    """Of the quantized modules: all stored bits over all weights."""
    packed = [module for module in inspection["modules"] if module.get("scheme")]
    weights = [module["shape"][0] * module["shape"][1] for module in packed]
    bits = [module["bits_per_weight"] * count for module, count in zip(packed, weights)]
    return sum(bits) / sum(weights)


class Quality:
    def __init__(self, arguments, work):
        self.arguments, self.work = arguments, work
        self.text = work / "text.txt"
        with open(arguments.text, "rb") as file:
            text = file.read(arguments.text_bytes)
        self.text.write_bytes(text.decode(errors="ignore").encode())  # no half character

    def options(self, method):
        given = []
        for option in METHODS[method]:
            if option != CALIBRATED:
                given.append(option)
                continue
            given += ["--calibration", self.arguments.calibration]
            given += ["--calibration-samples", str(self.arguments.samples)]
            given += ["--calibration-seqlen", str(self.arguments.seqlen)]
        return given

    def evaluate(self, *options):
        return run(self.arguments.nibble, "eval", *options, "--perplexity", self.text,
                   "--context", self.arguments.context)

    def measure(self, method):
        out = self.work / method
        start = time.monotonic()
        run(self.arguments.nibble, "quantize", self.arguments.model, out, *self.options(method))
        seconds = time.monotonic() - start
        bits = bits_per_weight(run(self.arguments.nibble, "inspect", out))
        result = self.evaluate(out, "--kl", self.arguments.model)
        subprocess.run(["rm", "-r", str(out)], check=True)
        return {"method": method, "bits": bits, "seconds": seconds,
                **{key: result[key] for key in ("perplexity", "kl", "same_top", "tokens")}}


def print_stories(test):
    """The table of the properties that the tests record."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "stories.json"
        subprocess.run([test, "--gtest_filter=StoriesTest.*", f"--gtest_output=json:{file}"],
                       check=True, stdout=subprocess.DEVNULL)
        [suite] = json.loads(file.read_text())["testsuites"]
    row("method", "bits/weight", "perplexity", "time")
    row("---", "---:", "---:", "---:")
    for found in suite["testsuite"]:
        if "method" in found:
            row(found["method"], found["bits"], found["perplexity"], f"{found['seconds']} s")


def row(*cells):
    print(f"| {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--nibble", default="build/cpu/bin/nibble", help="the program")
    parser.add_argument("--text", type=Path, help="what perplexity is measured on")
    parser.add_argument("--text-bytes", type=int, default=-1, help="of its beginning (default all)")
    parser.add_argument("--context", type=int, default=2048, help="tokens of a window")
    parser.add_argument("--calibration", type=Path, help="texts to calibrate with")
    parser.add_argument("--samples", type=int, default=128, help="of them at most")
    parser.add_argument("--seqlen", type=int, default=512, help="tokens of each at most")
    parser.add_argument("--methods", default=",".join(METHODS), help="separated by commas")
    parser.add_argument("--stories", type=Path, metavar="TEST", help="the test of stories260K")
    parser.add_argument("--list", action="store_true", help="print the methods and their options")
    arguments = parser.parse_args()
    if arguments.stories:
        print_stories(arguments.stories)
        return
    if arguments.list:
        for method, options in METHODS.items():
            print(f"{method}: {' '.join(options).replace(CALIBRATED, '--calibration ...')}")
        return
    methods = arguments.methods.split(",")
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not (arguments.model and arguments.text and arguments.calibration):
        parser.error(f"there is no method {unknown[0]}" if unknown
                     else "MODEL, --text and --calibration are needed")
    with tempfile.TemporaryDirectory() as scratch:
        quality = Quality(arguments, Path(scratch))
        row("method", "bits/weight", "perplexity", "KL divergence", "same top token", "time")
        row("---", "---:", "---:", "---:", "---:", "---:")
        plain = quality.evaluate(arguments.model)
        row("plain", "16.000", f"{plain['perplexity']:.3f}", "-", "-", "-")
        for method in methods:
            found = quality.measure(method)
            row(method, f"{found['bits']:.3f}", f"{found['perplexity']:.3f}", f"{found['kl']:.4f}",
                f"{100 * found['same_top']:.1f} %", f"{found['seconds']:.1f} s")
        print(f"\n{plain['tokens']} tokens in windows of {arguments.context}")


if __name__ == "__main__":
    main()
