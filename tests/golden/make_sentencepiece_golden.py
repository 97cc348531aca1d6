#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes sentencepiece/: small SentencePiece models trained here, and what transformers' tokenizer
classes make of them. tests/text/sentencepiece_golden_test.cc reads them.

The ids of the sentencepiece library itself stand beside where no class changes what a model means.

Usage: make_sentencepiece_golden.py [FOLDER]   (default: the folder of this script)
Needs: transformers, sentencepiece, protobuf. The file names the versions that made it.
"""
import contextlib
import io
import json
import pathlib
import shutil
import sys
import tempfile

import sentencepiece
import tokenizers
import transformers
from transformers import AutoTokenizer

from make_tokenizer_golden import CORPUS

transformers.logging.set_verbosity(transformers.logging.CRITICAL)

TEXTS = [
    "", " ", "  ", "\n", "\t", " \n \r\n\t ", "a", " a", "a ", "  a  ", "Hello world", " Hello  world ",
    "the quick brown fox jumps over the lazy dog", "The Quick BROWN Fox", "the the the   the",
    "They're here, aren't they? I'LL say 'tis so.", "``quoted'' text, 1,234,567 and 3.14 1e10",
    "x" * 40, "ab" * 60, " " * 12 + "end", "end" + " " * 12, "tab\tand\nline\r\nends\n",
    "def f(x):\n    return x\n\n\n\ty = 2", "½ Ⅷ ٣٤ ² ﬁ ﬀ Ⅳ", "ｆｕｌｌ ｗｉｄｔｈ　ｓｐａｃｅ",
    "Größe naïve façade señor", "Gro\u0308ße nai\u0308ve fac\u0327ade", "e\u0301\u0323 q\u0307\u0323",
    "\u1112\u1161\u11ab 한국어 문장", "Å \u212b \u2126", "日本語の文章。中文,句子", "カﾞｶﾞ ㌀ ㍍ ㈱",
    "😀👩\u200d👩\u200d👧🇩🇪", "Быстрая ЛИСА прыгает", "ΑΣ ας İ ẞ ǅ", "\u0e01\u0e33 \U00010348 \u07ff",
    "zero\u200bwidth soft\u00adhyphen joiner\u2060", "nbsp\u00a0here ideographic\u3000space",
    "nel\u0085 mvs\u180e line\u2028para\u2029", "\ufeffbom \u0000nul \u0007bell \u001b[0m",
    "▁already▁marked ▁ ▁▁", "a▁b", "<0x41><0xE2>", "<unk> <s> </s> <pad>", "<s>start</s> <s> mid </s>tail",
    "a<sep>b <sep> c<sep>", "<sep> <sep>", "hash#tagging #tag", "[CLS] a [SEP] b [MASK] c",
    "<mask> word <mask>word", "word<extra_id_0> and <extra_id_99>", "<bos>x<eos> <pad>",
    "<unk_2> <mask_1> <mask_2>", "<s>NOTUSED <madeupword0> en_XX", "\u2581\u2581<sep>\u2581",
    "words... and, more; words! (x) [y] {z}", "a-b--c d_e f/g", "line one\nline two\r\nline three\n\n\n",
    "\ufdfa \ufb2c \u0344", "日 本 語", "www.example.org/?q=a&b=c#d", "a\u0300\u0301\u0302\u0303\u0304 b",
]

# What the models are trained on: all scripts of the texts, and enough English for some 300 pieces.
LINES = [line for text in CORPUS for line in text.split("\n")]
LINES += (pathlib.Path(__file__).resolve().parents[2] / "LICENSE").read_text().split("\n")

# Normalizations of a few lines: the large ones of SentencePiece take 250 KB each.
SMALL_RULES = "41\t61\n" "66 69\tFB01\n" "FB01\t66 69\n" "3000\t20\n" "E9\t65 301\n" "200B\t\n"

BPE_IDS = dict(unk_id=0, bos_id=1, eos_id=2, pad_id=-1)
T5_IDS = dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
ALBERT_IDS = dict(pad_id=0, unk_id=1, bos_id=2, eos_id=3, bos_piece="[CLS]", eos_piece="[SEP]",
                  control_symbols=["[MASK]"])
GEMMA_IDS = dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3, bos_piece="<bos>", eos_piece="<eos>",
                 control_symbols=["<mask>"])
MODELS = {
    "bpe_llama": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                      remove_extra_whitespaces=False, user_defined_symbols=["<sep>", "#tag"],
                      vocab_size=460, **BPE_IDS),
    "bpe_gemma": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                      remove_extra_whitespaces=False, add_dummy_prefix=False,
                      user_defined_symbols=["<sep>", "\n", "▁▁", "▁▁▁▁"], vocab_size=460,
                      **GEMMA_IDS),
    "bpe_rules": dict(model_type="bpe", rules=SMALL_RULES, vocab_size=300, **BPE_IDS),
    "unigram_t5": dict(model_type="unigram", normalization_rule_name="nmt_nfkc", vocab_size=300,
                       user_defined_symbols=["<sep>"], **T5_IDS),
    "unigram_cf": dict(model_type="unigram", normalization_rule_name="nfkc_cf", vocab_size=300,
                       **ALBERT_IDS),
    "unigram_rules": dict(model_type="unigram", rules=SMALL_RULES, vocab_size=320,
                          user_defined_symbols=["<sep>", "#tag"], **BPE_IDS),
    "unigram_bytes": dict(model_type="unigram", byte_fallback=True, add_dummy_prefix=False,
                          normalization_rule_name="identity", remove_extra_whitespaces=False,
                          vocab_size=480, user_defined_symbols=["<sep>"], **BPE_IDS),
}

# What transformers opens a model with whose class it does not know. It leaves out the prefix and the
# removal of spaces: of models that have neither, it gives the ids of sentencepiece itself.
GENERIC = "TokenizersBackend"
RAW = ["bpe_gemma", "unigram_bytes"]
# Class, model, and what else tokenizer_config.json says.
CASES = [
    *[(GENERIC, model, {}) for model in MODELS],
    (GENERIC, "bpe_llama", {"add_bos_token": True, "add_eos_token": True}),
    *[("LlamaTokenizer", model, {"legacy": legacy})
      for model in ("bpe_llama", "bpe_gemma", "bpe_rules") for legacy in (True, False)],
    ("LlamaTokenizer", "bpe_llama", {"add_bos_token": True, "add_prefix_space": False}),
    ("LlamaTokenizer", "unigram_bytes", {}),
    ("Phi3Tokenizer", "bpe_llama", {"legacy": False}),
    ("GemmaTokenizer", "bpe_gemma", {}),
    ("GemmaTokenizer", "bpe_gemma", {"add_bos_token": True}),
    ("GemmaTokenizer", "bpe_llama", {}),
    ("T5Tokenizer", "unigram_t5", {}),
    ("T5Tokenizer", "unigram_t5", {"extra_ids": 3}),
    ("T5Tokenizer", "bpe_rules", {"extra_ids": 0}),
    ("XLMRobertaTokenizer", "unigram_rules", {}),
    ("XLMRobertaTokenizer", "unigram_rules", {"add_prefix_space": False}),
    ("XLMRobertaTokenizer", "unigram_t5", {}),
    ("AlbertTokenizer", "unigram_cf", {}),
    ("AlbertTokenizer", "unigram_cf", {"do_lower_case": False, "keep_accents": True}),
    ("Siglip2Tokenizer", "bpe_gemma", {}),
    ("ReformerTokenizer", "bpe_rules", {}),
    ("ReformerTokenizer", "bpe_llama", {}),
    ("CamembertTokenizer", "unigram_rules", {}),
    ("CamembertTokenizer", "unigram_bytes", {"mask_token": "<mask>", "add_prefix_space": False}),
    ("BarthezTokenizer", "unigram_rules", {}),
    ("BigBirdTokenizer", "unigram_rules", {}),
    ("BigBirdTokenizer", "unigram_cf", {}),
    ("DebertaV2Tokenizer", "unigram_cf", {}),
    ("DebertaV2Tokenizer", "unigram_rules", {"do_lower_case": True, "split_by_punct": True}),
    ("PegasusTokenizer", "unigram_t5", {}),
    ("RemBertTokenizer", "unigram_cf", {}),
    ("RemBertTokenizer", "unigram_t5", {"keep_accents": False, "do_lower_case": True}),
    ("UdopTokenizer", "unigram_t5", {}),
    ("XGLMTokenizer", "unigram_rules", {}),
    ("XLNetTokenizer", "unigram_rules", {}),
    ("XLNetTokenizer", "unigram_cf", {"do_lower_case": True}),
]


def train(options):
    options = dict(options)
    out = io.BytesIO()
    rules = options.pop("rules", None)
    # The model keeps the path of its rules: a short one, the same in every run.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        if rules is not None:
            pathlib.Path("rules.tsv").write_text(rules)
            options["normalization_rule_tsv"] = "rules.tsv"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(LINES), model_writer=out, character_coverage=1.0,
            num_threads=1, minloglevel=2, hard_vocab_limit=False, **options)
    return out.getvalue()


def file_name(name):
    if name == GENERIC:
        return "tokenizer.model"
    return getattr(transformers, name).vocab_files_names.get("vocab_file", "tokenizer.model")


def open_as(name, model, config):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / file_name(name)).write_bytes(model)
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": name, **config}))
        return AutoTokenizer.from_pretrained(folder)


def cases_of(name, model, config):
    tok = open_as(name, model, config)
    assert type(tok) is getattr(transformers, name), type(tok)
    out = []
    for text in TEXTS:
        ids = tok.encode(text)
        out.append({"ids": ids, "decoded": tok.decode(ids)})
        skipped = tok.decode(ids, skip_special_tokens=True)
        if skipped != out[-1]["decoded"]:
            out[-1]["skipped"] = skipped
    return out


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    folder = (folder if folder.is_dir() else folder.parent) / "sentencepiece"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    models = {name: train(options) for name, options in MODELS.items()}
    for name, model in models.items():
        (folder / f"{name}.model").write_bytes(model)
    cases = []
    for name, model, config in CASES:
        cases.append({"class": name, "model": model, "file": file_name(name), "config": config,
                      "texts": cases_of(name, models[model], config)})
    raw = {}
    for name in RAW:
        processor = sentencepiece.SentencePieceProcessor(model_proto=models[name])
        raw[name] = [processor.encode(text) for text in TEXTS]
    (folder / "golden.json").write_text(json.dumps(
        {"made_by": {"transformers": transformers.__version__,
                     "tokenizers": tokenizers.__version__,
                     "sentencepiece": sentencepiece.__version__},
         "texts": TEXTS, "cases": cases, "raw": raw}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
