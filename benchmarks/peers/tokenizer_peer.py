#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Encoding speed of nibble and of the Hugging Face tokenizers library, one thread each, in turns.

Usage: tokenizer_peer.py TEXT TOKENIZER [TOKENIZER ...] [--rounds N] [--bench PATH]

A TOKENIZER is a tokenizer.json, or a folder with one, with vocab.json and merges.txt or with a BERT
vocabulary (then the library first makes a tokenizer.json of it). Each round encodes the text once as
a whole and once line by line with every candidate, one after the other, so that a slow spell of the
machine touches all alike. Prints a Markdown table of medians: MB/s of both, and the ratio, which is
the median over the rounds of the ratios within a round. The library is measured by its fastest way
to encode many texts, encode_batch_fast (no offsets, no threads). Both keep their word caches between
rounds; "first" is nibble on a new tokenizer. Both must give the same number of ids.

Needs: tokenizers (requirements.txt), build/cpu/bin/tokenizer_bench (scripts/build cpu).
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402  (reads the environment)
from library_json import library_json  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Nibble:
    def __init__(self, bench, tokenizer, text):
        self.process = subprocess.Popen([bench, tokenizer, text, "--on-request"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, kind):
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 2:
            sys.exit("tokenizer_bench failed")
        return float(answer[0]), int(answer[1])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Library:
    def __init__(self, tokenizer, text):
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        whole = pathlib.Path(text).read_bytes().decode("utf-8", "replace")
        self.texts = {"whole": [whole], "lines": [x + "\n" for x in whole.split("\n")]}
        if self.texts["lines"][-1] == "\n":
            self.texts["lines"].pop()
        else:
            self.texts["lines"][-1] = self.texts["lines"][-1][:-1]

    def run(self, kind):
        start = time.perf_counter()
        encodings = self.tokenizer.encode_batch_fast(self.texts[kind], add_special_tokens=False)
        seconds = time.perf_counter() - start
        return seconds, sum(len(e) for e in encodings)


def compare(path, options, scratch):
    text = library_json(path)
    if text is None:
        print(f"{path}: no tokenizer that this script can read, passed over", file=sys.stderr)
        return
    source = pathlib.Path(scratch) / "tokenizer.json"  # both read the same file
    source.write_text(text, "utf-8")
    nibble = Nibble(options.bench, str(source), options.text)
    library = Library(source, options.text)
    size = pathlib.Path(options.text).stat().st_size * 1e-6
    first = statistics.median(nibble.run("first")[0] for _ in range(3))
    name = path.name if path.is_dir() else path.stem
    for kind in ("whole", "lines"):
        ours, theirs = [], []
        for round_number in range(options.rounds + 1):
            our_seconds, our_ids = nibble.run(kind)
            their_seconds, their_ids = library.run(kind)
            if our_ids != their_ids:
                print(f"{name}, {kind}: {our_ids} ids, but {their_ids} of the library",
                      file=sys.stderr)
            if round_number > 0:  # the first one warms up both
                ours.append(our_seconds)
                theirs.append(their_seconds)
        ratio = statistics.median(t / o for o, t in zip(ours, theirs))
        shown = f"{size / first:.1f}" if kind == "whole" else ""
        print(f"| {name} | {kind} | {size / statistics.median(ours):.1f} "
              f"| {size / statistics.median(theirs):.2f} | {ratio:.1f} x | {shown} |", flush=True)
    nibble.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("text")
    parser.add_argument("tokenizers", nargs="+", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bench", default=str(ROOT / "build/cpu/bin/tokenizer_bench"))
    options = parser.parse_args()
    print(f"tokenizers {tokenizers.__version__}, {options.text}, medians of {options.rounds} rounds")
    print("\n| tokenizer | text | nibble MB/s | tokenizers MB/s | ratio | nibble first MB/s |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for path in options.tokenizers:
            compare(path, options, scratch)


if __name__ == "__main__":
    main()
