#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tokenizer_*.json: small tokenizers trained here, and what the Hugging Face tokenizers
library makes of hand-written texts with them. tests/text/tokenizer_golden_test.cc reads them.

Usage: make_tokenizer_golden.py [FOLDER]   (default: the folder of this script)
Needs: tokenizers. The files name the version that made them.
"""
import json
import pathlib
import sys

import tokenizers
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog doesn't care.",
    "She sells sea shells by the sea shore; they're her shells, aren't they?",
    "In 2024 there were 12345 lines of code, 678 of them empty.",
    "def add(left, right):\n    return left + right\n\n\nclass Thing:\n\tpass\n",
    "Größe, naïve façade, señor, smörgåsbord and Ångström.",
    "Быстрая лиса прыгает через ленивую собаку.",
    "日本語の文章と中文句子。한국어 문장도 있다.",
    "Numbers: 1 22 333 4444 55555, and words words words words.",
] * 4

TEXTS = [
    "", " ", "  ", "\n", "\t\n \r\n", "Hello world", " Hello  world ", "the the the",
    "They're here, aren't they? I'LL say 'tis so.", "x" * 40, "a" * 300, " " * 25 + "end",
    "2024 12345 3.14 1e10 ½ Ⅷ ٣٤", "def f(x):\n    return x\n\n\n\ty = 2",
    "Größe naïve e\u0301 \u1112\u1161\u11ab Å \u212b ﬁ", "日本語。中文,한국어 😀👩\u200d👩\u200d👧🇩🇪",
    "zero\u200bwidth nbsp\u00a0here ideographic\u3000space nel\u0085 mvs\u180e",
    "▁already▁marked ▁ ▁▁", "<0x41><0xE2>", "unknown: \u0e01 \U00010348 \u07ff",
    "<s>start</s> <s> middle </s>tail", "a<sep>b <sep> c<sep>", "keyword keywords akeyword keyword.",
    "  <pad>  x <pad>y", "<|im_start|>user\nHi<|im_end|>", "Mixed CASE Text", "ﬀ Ⅳ ｆｕｌｌ ｗｉｄｔｈ ²",
    "a-b--c,d!?e (f) [g] {h}", "line one\nline two\r\nline three\n\n\n",
]


def byte_level():
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(
            Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
                  r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.add_special_tokens(["<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    tok.add_tokens([AddedToken("<sep>", lstrip=True, rstrip=True, normalized=False),
                    AddedToken("keyword", single_word=True), AddedToken("<pad>", lstrip=True)])
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", tok.token_to_id("<s>")),
                                              ("</s>", tok.token_to_id("</s>"))])
    return tok


def sentencepiece():
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(),
                                     decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    tok.train_from_iterator(
        [line for text in CORPUS for line in text.split(" ")],
        trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False))
    # The trainer made added tokens of the bytes; real files list the first three only.
    spec = json.loads(tok.to_str())
    spec["added_tokens"] = [dict(t, normalized=False) for t in spec["added_tokens"][:3]]
    tok = Tokenizer.from_str(json.dumps(spec))
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tok


def metaspace():
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    tok.normalizer = normalizers.NFKC()
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tok.decoder = decoders.Metaspace(prepend_scheme="first")
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    return tok


def words():
    tok = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##",
                               end_of_word_suffix="</w>"))
    tok.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.Lowercase(),
                                           normalizers.NFD(), normalizers.Replace(Regex(r"\s+"), " ")])
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Punctuation("merged_with_previous")])
    tok.decoder = decoders.BPEDecoder("</w>")
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=260, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False,
        continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    tok.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tok


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    folder = folder if folder.is_dir() else folder.parent
    for make in (byte_level, sentencepiece, metaspace, words):
        tok = make()
        cases = []
        for text in TEXTS:
            ids = tok.encode(text).ids
            tok.encode_special_tokens = True
            plain_ids = tok.encode(text, add_special_tokens=False).ids
            tok.encode_special_tokens = False
            # BPEDecoder of the library fails on no tokens at all.
            decoded = [tok.decode(ids, skip_special_tokens=skip) if ids and len(plain_ids) else ""
                       for skip in (False, True)]
            if not plain_ids:
                decoded = None
            cases.append({"text": text, "ids": ids, "plain_ids": plain_ids, "decoded": decoded})
        out = {"made_by": f"make_tokenizer_golden.py with tokenizers {tokenizers.__version__}",
               "tokenizer": json.loads(tok.to_str()), "cases": cases}
        path = folder / f"tokenizer_{make.__name__}.json"
        path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
