#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tokenizer_corpus.json: checksums of what the Hugging Face tokenizers library makes of a
whole text file and of random Unicode, for real tokenizers that are not part of the project.
tests/text/tokenizer_corpus_test.cc compares.

Usage: make_tokenizer_corpus_golden.py [FOLDER]      (default: the folder of this script)
       make_tokenizer_corpus_golden.py --show NAME CORPUS CHUNK
The second form prints the texts and ids of one chunk, to look into a difference.
Needs: tokenizers; the shared data in $NIBBLE_SHARED_DATA or beside the project (../shared/data).
"""
import json
import os
import pathlib
import struct
import sys
import zlib

import tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks/peers"))
from library_json import library_json  # noqa: E402

DATA = pathlib.Path(os.environ.get("NIBBLE_SHARED_DATA", ROOT.parent / "shared/data"))
# The files of each tokenizer; without a tokenizer.json the library makes one of them.
FILES = {
    "clip": ["clip/tokenizer.json"],
    "llama2": ["llama2/tokenizer.json"],
    "llama3": ["llama3/tokenizer.json"],
    "qwen3": ["qwen3/tokenizer.json"],
    "t5-small": ["t5-small/tokenizer.json"],
    "whisper-tiny": ["whisper-tiny/tokenizer.json"],
    "gpt2": ["gpt2/gpt2.vocab", "gpt2/gpt2.merges.txt"],
    "bert-cased": ["bert/bert_base_cased_vocab.txt"],
    "bert-uncased": ["bert/bert_base_uncased_vocab.txt"],
}
CHUNK = 100  # texts per checksum
RANDOM_TEXTS = 20000
MASK = (1 << 64) - 1

# The classes that random characters come from, each as likely as the others. The same table is in
# the C++ test.
RANGES = (
    (0x61, 0x7A), (0x20, 0x7E), (0x00, 0x7F), (0x20, 0x20), (0x09, 0x0D), (0x30, 0x39),
    (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x58F), (0x590, 0x8FF), (0x900, 0xDFF), (0xE00, 0x10FF),
    (0x1100, 0x11FF), (0x1200, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x2BFF), (0x2C00, 0x303F),
    (0x3040, 0x30FF), (0x3100, 0x4DFF), (0x4E00, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7FF),
    (0xE000, 0xFAFF), (0xFB00, 0xFFFF), (0x10000, 0x11FFF), (0x12000, 0x1CFFF), (0x1D000, 0x1EFFF),
    (0x1F000, 0x1FAFF), (0x1FB00, 0x323FF), (0xE0000, 0xE01FF), (0x10FF00, 0x10FFFF))


class SplitMix64:
    """Steele, Lea and Flood 2014, as in the C++ test."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % limit


def random_texts(added):
    random = SplitMix64(2024)
    for _ in range(RANDOM_TEXTS):
        text = ""
        for _ in range(1 + random.below(12)):
            kind = random.below(len(RANGES) + 2)
            if kind >= len(RANGES):
                text += added[random.below(len(added))]
                continue
            first, last = RANGES[kind]
            for _ in range(1 + random.below(4)):
                text += chr(first + random.below(last - first + 1))
        yield text


def wiki_texts():
    text = (DATA / "wikitext2_raw/wiki.test.raw").read_bytes().decode("utf-8")
    return [line + "\n" for line in text.split("\n")]


def corpora(spec):
    added = [token["content"] for token in spec["added_tokens"]] or ["<|endoftext|>"]
    return {"wiki": list(wiki_texts()), "random": list(random_texts(added))}


def open_tokenizer(name):
    paths = [DATA / "tokenizers_hf" / file for file in FILES[name]]
    text = library_json(paths[0].parent if len(paths) > 1 else paths[0])
    crc = 0
    for path in paths:
        crc = zlib.crc32(path.read_bytes(), crc)
    return json.loads(text), tokenizers.Tokenizer.from_str(text), crc


def checksums(tokenizer, texts):
    out = {"ids": "", "text": "", "plain_text": ""}
    for start in range(0, len(texts), CHUNK):
        crc = dict.fromkeys(out, 0)
        for encoding in tokenizer.encode_batch(texts[start:start + CHUNK]):
            ids = encoding.ids
            crc["ids"] = zlib.crc32(struct.pack(f"<{len(ids)}Ii", *ids, -1), crc["ids"])
            for key, skip in (("text", False), ("plain_text", True)):
                decoded = tokenizer.decode(ids, skip_special_tokens=skip)
                crc[key] = zlib.crc32(decoded.encode("utf-8") + b"\0", crc[key])
        for key in out:
            out[key] += f"{crc[key]:08x}"
    return out


def show(name, corpus, chunk):
    spec, tokenizer, _ = open_tokenizer(name)
    texts = corpora(spec)[corpus][chunk * CHUNK:(chunk + 1) * CHUNK]
    for text in texts:
        print(json.dumps({"text": text, "ids": tokenizer.encode(text).ids}))


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "--show":
        return show(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    folder = folder if folder.is_dir() else folder.parent
    out = {"made_by": "make_tokenizer_corpus_golden.py with tokenizers " + tokenizers.__version__,
           "wiki_crc32": zlib.crc32((DATA / "wikitext2_raw/wiki.test.raw").read_bytes()),
           "tokenizers": {}}
    for name in FILES:
        spec, tokenizer, crc = open_tokenizer(name)
        entry = {"crc32": crc}
        for corpus, texts in corpora(spec).items():
            entry[corpus] = checksums(tokenizer, texts)
        out["tokenizers"][name] = entry
    (folder / "tokenizer_corpus.json").write_text(json.dumps(out, indent=0) + "\n", "utf-8")


if __name__ == "__main__":
    main()
