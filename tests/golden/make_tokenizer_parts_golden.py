#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tokenizer_parts.json: what the Hugging Face tokenizers library makes of hostile texts with
each normalizer, pre-tokenizer, model, post-processor and decoder, with truncation and padding.
tests/text/tokenizer_parts_golden_test.cc reads it.

Usage: make_tokenizer_parts_golden.py [FOLDER]   (default: the folder of this script)
Needs: tokenizers, sentencepiece (its NFKC rules are the Precompiled charsmap). The file names the
versions that made it.
"""
import io
import json
import pathlib
import random
import sys
import tempfile

import sentencepiece
import tokenizers
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog doesn't care.",
    "She sells sea shells by the sea shore; they're her shells, aren't they?",
    "In 2024 there were 12345 lines of code, 678 of them empty.",
    "Größe, naïve façade, señor, smörgåsbord and Ångström.",
    "Быстрая лиса прыгает через ленивую собаку.",
    "日本語の文章と中文句子。한국어 문장도 있다.",
] * 4

# Combining marks, joiners, directions, all kinds of white space, control, private and unassigned
# characters, characters newer than the library's tables, long runs.
TEXTS = [
    "", " ", "\n", "\t\n \r\n", "Hello world", "  Hello,  WORLD!! ", "They're here, aren't they?",
    "e\u0301\u0327 o\u0308\u0304 \u0301 a\u0300\u0301\u0302\u0303", "\u1112\u1161\u11ab \ud55c\uae00 \u1100\u1100\u1161",
    "👩\u200d👩\u200d👧 👍🏽 🇩🇪🇫🇷🇯 ☺\ufe0f ✈", "\u0645\u0631\u062d\u0628\u0627 שָׁלוֹם \u202eabc\u202c", "日本語カタカナー漢字 한국어 中文",
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g\u180eh\u200bi\u1680j", "nul\x00bel\x07esc\x1bdel\x7f\x80\x8f\x9f",
    "\ufffd \ufeff \ue000 \U000f0000 \u0378 \U0001faf8 \U00010d40", "ﬁ ﬀ\u0301 Ⅳ ½ ² ｆｕｌｌ ㍻ ™\x1eg ㎏ ﷺ",
    "ǅ İ ß ẞ Σς ΑΣ Ꭰ Ⴀ Ა \u1c89", "3.14 1e10 ٣٤ ६७ \u2167 \U0001d7d8", "a-b--c,d!?e (f) [g] {h} «i» $5 `x` ~ | ^",
    "x" * 130, "ab" * 30, " " * 12 + "end", "-" * 9, "end\r\nline\n\n\n", "▁under▁ ▁ ▁▁score _",
    "don't do not , ' s n't", "ा\u0915\u094d\u0937\u093f क\u094d\u200dष", "\u0e33\u0e19\u0e49\u0e33 \u0f73 \u0344", "\u1100\U0001f1e6\u0301\U0001f1e7\u200d\u00a9",
    "<0x41>##ing [UNK] <unk>", "\u0589 \u061c \u1cf2 \u166d \U000111c9 \u1734 \u1885 \u08b6 \u1e900",
]


def random_texts():
    """Mixtures of code points from everywhere, the same each time."""
    rng = random.Random(7)
    pools = [(0x20, 0x7E), (0x80, 0x17F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF),
             (0x900, 0xDFF), (0x1100, 0x11FF), (0x1E00, 0x20CF), (0x2100, 0x27BF), (0x3000, 0x30FF),
             (0x4E00, 0x4EFF), (0xA640, 0xABFF), (0xAC00, 0xACFF), (0xF900, 0xFFFD),
             (0x10000, 0x11FFF), (0x1F1E6, 0x1F1FF), (0x1F300, 0x1FAFF), (0xE0000, 0xE01EF)]
    out = []
    for _ in range(40):
        text = ""
        for _ in range(rng.randint(3, 14)):
            low, high = rng.choice(pools)
            text += "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 4)))
            if rng.random() < 0.3:
                text += rng.choice([" ", "  ", "\u200d", "\u0301", "\r", "\n"])
        out.append(text)
    return out


def field(message, number):
    """The bytes of one length-delimited field of a protobuf message."""
    def varint(at):
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            shift += 7
            at += 1
            if message[at - 1] < 0x80:
                return value, at
    at = 0
    while at < len(message):
        tag, at = varint(at)
        if tag & 7 == 0:
            _, at = varint(at)
        elif tag & 7 == 5:
            at += 4
        elif tag & 7 == 1:
            at += 8
        else:
            size, at = varint(at)
            if tag >> 3 == number:
                return message[at:at + size]
            at += size
    raise ValueError(f"no field {number}")


def small_charsmap():
    """A charsmap of a handful of rules: the real ones have 300 KB."""
    rules = [("ﬁ", "fi"), ("ﬀ", "ff"), ("Ⅳ", "IV"), ("e\u0301", "\u00e9"), ("ｆ", "f"), ("\u3000", " "),
             ("™", "TM"), ("\x1e", ""), ("\u200b", " "), ("a", "A"), ("ab", "X"), ("\u212b", "\u00c5"),
             ("\u1100\u1161", "가"), ("👍", ":thumb:"), ("\u0308", "")]
    spell = lambda text: " ".join(f"{ord(c):X}" for c in text)
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as file:
        for source, target in rules:
            file.write(f"{spell(source)}\t{spell(target)}\n")
        file.flush()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=120, hard_vocab_limit=False,
            normalization_rule_tsv=file.name, minloglevel=2)
    return field(field(model.getvalue(), 3), 2)  # normalizer_spec, precompiled_charsmap


def spec_of(component):
    return json.loads(component.__getstate__())


def normalizer_cases(texts):
    bert = normalizers.BertNormalizer
    made = [bert(), bert(clean_text=False), bert(handle_chinese_chars=False), bert(lowercase=False),
            bert(strip_accents=False), bert(lowercase=False, strip_accents=True),
            normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD(),
            normalizers.Lowercase(), normalizers.Strip(), normalizers.Strip(left=False),
            normalizers.Strip(right=False), normalizers.StripAccents(), normalizers.Nmt(),
            normalizers.Replace("a", "bb"), normalizers.Replace(Regex(r"\s+|[!?]"), "_"),
            normalizers.Replace(Regex(r"\p{M}"), ""), normalizers.Prepend("▁"),
            normalizers.ByteLevel(), normalizers.Precompiled(small_charsmap()),
            normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(),
                                  normalizers.Lowercase(), normalizers.Strip()])]
    return [{"spec": spec_of(one), "outputs": [one.normalize_str(text) for text in texts]}
            for one in made]


def pre_tokenizer_cases(texts):
    p = pre_tokenizers
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    made = [p.BertPreTokenizer(), p.ByteLevel(), p.ByteLevel(add_prefix_space=False),
            p.ByteLevel(use_regex=False), p.CharDelimiterSplit("-"), p.CharDelimiterSplit("語"),
            p.Digits(), p.Digits(individual_digits=True), p.Metaspace(),
            p.Metaspace(prepend_scheme="first"), p.Metaspace(prepend_scheme="never"),
            p.Metaspace(replacement="_", split=False), p.UnicodeScripts(), p.Whitespace(),
            p.WhitespaceSplit(), p.FixedLength(1), p.FixedLength(3), p.FixedLength(100),
            p.Sequence([p.WhitespaceSplit(), p.Metaspace(), p.Digits(individual_digits=True)]),
            p.Sequence([p.Punctuation("contiguous"), p.Metaspace(prepend_scheme="first")])]
    made += [p.Punctuation(behavior) for behavior in behaviors]
    made += [p.Split(Regex(r"\p{L}+|\p{N}"), behavior, invert) for behavior in behaviors
             for invert in (False, True)]
    made += [p.Split("-", behavior) for behavior in behaviors]
    return [{"spec": spec_of(one),
             "outputs": [[piece for piece, _ in one.pre_tokenize_str(text)] for text in texts]}
            for one in made]


def decoder_cases():
    d = decoders
    made = [d.BPEDecoder(), d.BPEDecoder("@@"), d.ByteLevel(), d.ByteFallback(), d.CTC(),
            d.CTC(pad_token="_", word_delimiter_token=" ", cleanup=False), d.Fuse(), d.Metaspace(),
            d.Metaspace(prepend_scheme="never"), d.Replace("a", "bb"), d.Replace(Regex("[a-c]+"), "-"),
            d.Strip(" ", 1, 0), d.Strip("a", 2, 1), d.WordPiece(), d.WordPiece("@@", cleanup=False),
            d.Sequence([d.Replace("▁", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)]),
            d.Sequence([d.ByteFallback(), d.Metaspace()])]
    lists = [["Hello", "##world", "##!", "don", "'", "t", ",", "do", "not", "."],
             ["▁Hello", "▁wor", "ld", "▁", "▁▁x"], ["a", "a", "aab", "<pad>", "a", "|", "|", "b", "<pad>"],
             ["<0xE2>", "<0x82>", "<0xAC>", "x", "<0xFF>", "<0xE2>", "y", "<0x+1>", "<0x1>"],
             ["Ġhi", "Ã", "©", "Ġ", "日"], ["word</w>", "wo", "rd</w>", "</w>"], [" a ", "  ", "aaaa", " b"],
             ["_", "h", "h", " ", "h", "_", "h"], ["re@@", "@@al", "ly", "n't", "'s", "I", "'m"],
             ["x"], ["x ' y", "a .", "b n't", "c 's"]]
    out = []
    for one in made:
        results = []
        for tokens in lists:
            try:
                results.append(one.decode(tokens))
            except BaseException:  # the library panics where a token is shorter than what Strip cuts
                results.append(None)
        out.append({"spec": spec_of(one), "outputs": results})
    return {"tokens": lists, "cases": out}


def train(model, trainer, normalizer=None, pre_tokenizer=None):
    tok = Tokenizer(model)
    if normalizer:
        tok.normalizer = normalizer
    if pre_tokenizer:
        tok.pre_tokenizer = pre_tokenizer
    tok.train_from_iterator(CORPUS, trainer)
    return tok


def model_cases(texts):
    p, t = pre_tokenizers, trainers
    made = {}
    unigram = train(models.Unigram(), t.UnigramTrainer(
        vocab_size=150, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>",
        show_progress=False), normalizers.NFKC(), p.Metaspace())
    made["unigram"] = unigram
    spec = json.loads(unigram.to_str())
    pieces = spec["model"]["vocab"]
    pieces += [[f"<0x{b:02X}>", -20.0] for b in range(256)]
    spec["model"]["byte_fallback"] = True
    spec["added_tokens"] = []
    made["unigram_bytes"] = Tokenizer.from_str(json.dumps(spec))
    # Scores above 0, the same piece twice, unknown runs that are pieces, a piece equal to unk.
    odd = [["<unk>", 0.0], ["a", 3.0], ["b", 2.5], ["ab", 5.5], ["日本", -30.0], ["x", -1.0], ["x", -2.0],
           ["xx", -4.0], ["aba", 8.0], [" ", 0.5], ["語の", 40.0]]
    made["unigram_odd"] = Tokenizer(models.Unigram([tuple(x) for x in odd], 0, False))
    wordpiece = train(models.WordPiece(unk_token="[UNK]"), t.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[PAD]"], show_progress=False),
        normalizers.BertNormalizer(), p.BertPreTokenizer())
    made["wordpiece"] = wordpiece
    made["wordpiece_short"] = Tokenizer(models.WordPiece(
        {"[UNK]": 0, "a": 1, "b": 2, "@b": 3, "@a": 4, "@ab": 5, "@": 6, "@@b": 7, "語": 8}, unk_token="[UNK]",
        max_input_chars_per_word=8, continuing_subword_prefix="@"))
    made["wordpiece_short"].pre_tokenizer = p.WhitespaceSplit()
    made["wordlevel"] = train(models.WordLevel(unk_token="[UNK]"), t.WordLevelTrainer(
        special_tokens=["[UNK]"], show_progress=False), None, p.Whitespace())
    made["first"] = train(models.BPE(unk_token="<unk>"), t.BpeTrainer(
        vocab_size=150, special_tokens=["<unk>"], show_progress=False),
        normalizers.Sequence([normalizers.Strip(), normalizers.Nmt(), normalizers.Replace(Regex("^[-!]+"), "")]),
        p.Metaspace(prepend_scheme="first"))
    out = []
    for name, tok in made.items():
        tok.decoder = decoders.WordPiece() if name.startswith("wordpiece") else decoders.Metaspace()
        cases = [tok.encode(text).ids for text in texts]
        out.append({"name": name, "tokenizer": json.loads(tok.to_str()), "ids": cases,
                    "decoded": [tok.decode(ids) for ids in cases]})
    return out


def encoding_of(encoding, nested=False):
    out = [encoding.ids, encoding.type_ids, encoding.special_tokens_mask, encoding.attention_mask]
    if not nested:
        out.append([encoding_of(one, True) for one in encoding.overflowing])
    return out


def encoding_cases():
    """Post-processors with pairs, truncation and padding, over a tokenizer of words."""
    words = {w: i for i, w in enumerate(["[UNK]", "[CLS]", "[SEP]", "[PAD]"] + [f"w{i}" for i in range(20)])}
    template = processors.TemplateProcessing
    special = [("[CLS]", 1), ("[SEP]", 2)]
    made = [
        None, processors.ByteLevel(), processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
        processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1)),
        template(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special),
        template(single="$A:2 [SEP]:2", pair="$B:1 [SEP]:3 $A:0 [CLS]:4 $B:5", special_tokens=special),
        template(single="$A [SEP] $A", pair="$A $B:0", special_tokens=special),
        processors.Sequence([processors.ByteLevel(),
                             template(single="[CLS] $A", pair="[CLS] $A [CLS]:1 $B:1", special_tokens=special)]),
        processors.Sequence([processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
                             template(single="[CLS] $A", pair="[CLS] $A:3 $B:1", special_tokens=special)]),
        processors.Sequence([processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1)),
                             processors.RobertaProcessing(("w5", 9), ("w6", 10))]),
    ]
    first, second = "w1 w2 w3 w4 w5 w6 w7", "w8 w9 [UNK] w10 w11"
    inputs = [(first,), (first, second), (second, first), ("", second), ("w1",), ("w1", "w2")]
    settings = [{}]
    for strategy in ("longest_first", "only_first", "only_second"):
        for direction in ("right", "left"):
            settings.append({"truncation": {"max_length": 9, "stride": 2, "strategy": strategy,
                                            "direction": direction}})
    settings.append({"truncation": {"max_length": 6, "stride": 0, "strategy": "longest_first",
                                    "direction": "right"}})
    settings.append({"padding": {"direction": "left", "pad_id": 3, "pad_type_id": 7, "pad_token": "[PAD]",
                                 "length": None, "pad_to_multiple_of": 8}})
    settings.append({"padding": {"direction": "right", "pad_id": 3, "pad_type_id": 0, "pad_token": "[PAD]",
                                 "length": 5, "pad_to_multiple_of": None}})
    settings.append({"truncation": {"max_length": 7, "stride": 1, "strategy": "longest_first",
                                    "direction": "left"},
                     "padding": {"direction": "right", "pad_id": 3, "pad_type_id": 0, "pad_token": "[PAD]",
                                 "length": None, "pad_to_multiple_of": 4}})
    out = []
    for processor in made:
        runs = []
        for setting in settings:
            tok = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
            tok.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            if processor is not None:
                tok.post_processor = processor
            if "truncation" in setting:
                tok.enable_truncation(**setting["truncation"])
            if "padding" in setting:
                tok.enable_padding(**setting["padding"])
            spec = json.loads(tok.to_str())
            for add_special_tokens in (True, False):
                results = []
                for one in inputs:
                    try:
                        encoding = encoding_of(tok.encode(*one, add_special_tokens=add_special_tokens))
                        # Without room for the special tokens the library counts below zero and
                        # truncates nothing.
                        added = tok.num_special_tokens_to_add(len(one) == 2) if add_special_tokens else 0
                        no_room = "truncation" in setting and added > setting["truncation"]["max_length"]
                        results.append(None if no_room else encoding)
                    except BaseException:  # too short for the truncation; the library may panic
                        results.append(None)
                batch = None
                if "truncation" not in setting:
                    batch = [encoding_of(e) for e in tok.encode_batch(
                        [one if len(one) == 2 else one[0] for one in inputs],
                        add_special_tokens=add_special_tokens)]
                runs.append({"truncation": spec["truncation"], "padding": spec["padding"],
                             "add_special_tokens": add_special_tokens, "outputs": results,
                             "batch": batch})
        out.append({"post_processor": spec["post_processor"], "runs": runs})
        base = spec
    base.update(truncation=None, padding=None, post_processor=None)
    return {"tokenizer": base, "inputs": inputs, "cases": out}


def added_token_cases():
    tok = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "keyword": 3}, unk_token="[UNK]"))
    tok.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.Lowercase()])
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="_", prepend_scheme="first")
    tok.add_special_tokens([AddedToken("<S>", normalized=False), AddedToken("<Norm>", normalized=True),
                            AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True)])
    tok.add_tokens([AddedToken("keyword", single_word=True), AddedToken("Both", lstrip=True, rstrip=True),
                    AddedToken("bothways"), AddedToken("é", normalized=True), AddedToken("E\u0301", single_word=True),
                    AddedToken("<S>x", normalized=False)])
    texts = ["<S>a<s> <Norm> <norm>", "a  <l>  b <r>  a", "keyword keywords akeyword a-keyword_keyword",
             "a both b BOTH bothways", " é É e\u0301 E\u0301 E\u0301a", "<S>x <S>", "  <l><l>  <r><r>  ", "<l>", "",
             "a<r>\n\t<l>b", "日keyword語 keyword。", "  a", "<S>  a", "a <S> b<S>c"]
    runs = []
    for split in (False, True):
        tok.encode_special_tokens = split
        runs.append([tok.encode(text).ids for text in texts])
    tok.encode_special_tokens = False
    return {"tokenizer": json.loads(tok.to_str()), "texts": texts, "ids": runs[0], "plain_ids": runs[1],
            "decoded": [[tok.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
                        for ids in runs[0]]}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    folder = folder if folder.is_dir() else folder.parent
    texts = TEXTS + random_texts()
    out = {"made_by": f"make_tokenizer_parts_golden.py with tokenizers {tokenizers.__version__} and "
                      f"sentencepiece {sentencepiece.__version__}",
           "texts": texts, "normalizers": normalizer_cases(texts),
           "pre_tokenizers": pre_tokenizer_cases(texts), "decoders": decoder_cases(),
           "models": model_cases(texts), "encodings": encoding_cases(),
           "added_tokens": added_token_cases()}
    path = folder / "tokenizer_parts.json"
    path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
