#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz targets: make_seeds.py FOLDER makes FOLDER/TARGET/* and, with the
words of those, the dictionary FOLDER/TARGET.dict.

Seeds come from tests/golden and from the tables below: small valid files that use every feature of a
format, so that the fuzzer begins where the parsers end. Standard library only.
"""

import json
import re
import shutil
import struct
import sys
import zipfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
GOLDEN = TESTS / "golden"
sys.path[:0] = [str(TESTS), str(TESTS / "cli"), str(GOLDEN)]

import chat_template_snippets  # noqa: E402
import file_bytes  # noqa: E402
import tiny_model  # noqa: E402

HUGE = 2**60  # what small files claim to hold, so that running the seeds tests the bounds of memory
LARGEST = 12_000  # bytes of a seed: larger ones slow the fuzzer down more than they teach it
MOST_WORDS = 500

# --- tokenizers ----------------------------------------------------------------------------------

MARK = "\u2581"


def each(kind, *fields):
    return [{"type": kind, **changes} for changes in fields]


NORMALIZERS = [
    *({"type": kind} for kind in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt",
                                  "ByteLevel"]),
    *each("Strip", {"strip_left": True, "strip_right": False}),
    *each("Prepend", {"prepend": MARK}),
    *each("Replace", {"pattern": {"String": " "}, "content": MARK},
          {"pattern": {"Regex": " {2,}"}, "content": " "}),
    *each("BertNormalizer", {"clean_text": True, "handle_chinese_chars": True,
                             "strip_accents": None, "lowercase": True}),
    *each("Sequence", {"normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]}),
]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
GPT2 = r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PRE_TOKENIZERS = [
    *({"type": kind} for kind in ["Whitespace", "WhitespaceSplit", "BertPreTokenizer",
                                  "UnicodeScripts"]),
    *each("ByteLevel", {"add_prefix_space": True, "trim_offsets": True, "use_regex": True},
          {"add_prefix_space": False, "trim_offsets": False, "use_regex": False}),
    *each("Split", *({"pattern": {"Regex": GPT2}, "behavior": behavior, "invert": False}
                     for behavior in BEHAVIORS),
          {"pattern": {"String": "l"}, "behavior": "Isolated", "invert": True}),
    *each("Digits", {"individual_digits": True}),
    *each("Punctuation", *({"behavior": behavior} for behavior in BEHAVIORS)),
    *each("Metaspace", *({"replacement": MARK, "prepend_scheme": scheme, "split": scheme != "never"}
                         for scheme in ["always", "first", "never"])),
    *each("CharDelimiterSplit", {"delimiter": "-"}),
    *each("FixedLength", {"length": 3}),
    *each("Sequence", {"pretokenizers": [{"type": "WhitespaceSplit"},
                                         {"type": "Digits", "individual_digits": False}]}),
]
DECODERS = [
    *({"type": kind} for kind in ["ByteLevel", "ByteFallback", "Fuse"]),
    *each("Strip", {"content": " ", "start": 1, "stop": 1}),
    *each("Replace", {"pattern": {"String": MARK}, "content": " "}),
    *each("Metaspace", {"replacement": MARK, "prepend_scheme": "always", "split": True}),
    *each("BPEDecoder", {"suffix": "</w>"}),
    *each("WordPiece", {"prefix": "##", "cleanup": True}),
    *each("CTC", {"pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True}),
    *each("Sequence", {"decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}),
]
TEMPLATE = {
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]}
                       for i, name in enumerate(["<s>", "</s>"], 1)},
}
POST_PROCESSORS = [
    *each("TemplateProcessing", TEMPLATE),
    *each("ByteLevel", {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}),
    *each("BertProcessing", {"sep": ["</s>", 2], "cls": ["<s>", 1]}),
    *each("RobertaProcessing", {"sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": True,
                                "add_prefix_space": False}),
]
POST_PROCESSORS += each("Sequence", {"processors": POST_PROCESSORS[:2]})

WORDS = ["<unk>", "<s>", "</s>", MARK, "H", "e", "l", "o", "he", "ll", "hell", "hello", "w", "##o",
         "wo", "\u0120", "1", "2", "<0x0A>", "<0xE4>", "l</w>"]
VOCABULARY = {word: i for i, word in enumerate(WORDS)}
MODELS = [
    *each("BPE",
          {"vocab": VOCABULARY, "merges": [["l", "l"], ["w", "o"]], "unk_token": "<unk>",
           "byte_fallback": True, "fuse_unk": True, "dropout": None, "ignore_merges": True},
          {"vocab": VOCABULARY, "merges": ["l l", "w o"], "unk_token": None,
           "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>"}),
    *each("Unigram", {"vocab": [[word, -float(i)] for i, word in enumerate(WORDS)], "unk_id": 0,
                      "byte_fallback": True}),
    *each("WordPiece", {"vocab": VOCABULARY, "unk_token": "<unk>",
                        "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}),
    *each("WordLevel", {"vocab": VOCABULARY, "unk_token": "<unk>"}),
]
CONFIGS = [
    {"tokenizer_class": "LlamaTokenizer", "legacy": True, "bos_token": "<s>"},
    {"tokenizer_class": "LlamaTokenizerFast", "add_prefix_space": False, "add_bos_token": True,
     "add_eos_token": True, "eos_token": {"content": "</s>", "lstrip": False}},
    {"added_tokens_decoder": {"30": {"content": "<new>", "special": True, "rstrip": True}},
     "additional_special_tokens": ["<more>"], "pad_token": "<pad>",
     "chat_template": [{"name": "default", "template": "{{ messages }}"}]},
]


def added_token(i, **flags):
    return {"id": i, "content": WORDS[i], "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True} | flags


def tokenizer_seeds():
    def tokenizer(**parts):
        return {"version": "1.0", "truncation": None, "padding": None,
                "added_tokens": [added_token(0), added_token(1, lstrip=True, rstrip=True),
                                 added_token(11, normalized=True, special=False)],
                "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
                "model": MODELS[0]} | parts

    for name, values in [("normalizer", NORMALIZERS), ("pre_tokenizer", PRE_TOKENIZERS),
                         ("decoder", DECODERS), ("post_processor", POST_PROCESSORS),
                         ("model", MODELS)]:
        for value in values:
            yield json.dumps(tokenizer(**{name: value})).encode()
    for config in CONFIGS:
        yield json.dumps(tokenizer()).encode() + b"\0" + json.dumps(config).encode()
    yield json.dumps(tokenizer(
        truncation={"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        padding={"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None,
                 "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"})).encode()
    yield json.dumps(tiny_model.tokenizer()).encode()
    yield json.dumps({"model": {"type": "BPE", "vocab": {"a": HUGE}, "merges": []}}).encode()
    yield json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
                      "added_tokens": [added_token(0) | {"id": HUGE}]}).encode()


# --- weights -------------------------------------------------------------------------------------


def safetensors_seeds():
    for file in sorted((GOLDEN / "io").glob("*.safetensors")):
        yield file.read_bytes()
        yield file.read_bytes()[8:]  # see safetensors_input.h
    yield json.dumps({"a": {"dtype": "U8", "shape": [HUGE], "data_offsets": [0, HUGE]}}).encode()
    yield struct.pack("<Q", HUGE) + b"{}"
    yield file_bytes.safetensors({"odd": ("U8", [1], b"x"), "crooked": ("F32", [1], b"abcd"),
                                  "empty": ("F32", [0, 7], b""), "scalar": ("I64", [], bytes(8))},
                                 {"format": "pt"})


def state(**fields):
    text = json.dumps({"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [2, 64],
                       **fields}).encode()
    return "U8", [len(text)], text


def packed_weights_seeds():
    for content in packed_weights():
        yield content[8:]  # see safetensors_input.h


def packed_weights():
    floats = [i / 8 - 1 for i in range(16)]
    codebook = ("F32", [16], struct.pack("<16f", *floats))
    two = ("F32", [2], struct.pack("<2f", 1.5, 2.5))
    codes = ("U8", [64, 1], bytes(range(64)))
    yield file_bytes.safetensors({
        "m.weight": codes, "m.weight.absmax": two, "m.weight.quant_map": codebook,
        "m.weight.quant_state.bitsandbytes__nf4": state()})
    yield file_bytes.safetensors({
        "m.weight": ("BF16", [32, 1], bytes(range(64))), "m.weight.absmax": ("U8", [2], b"\1\2"),
        "m.weight.quant_map": codebook, "m.weight.nested_absmax": ("F32", [1], bytes(4)),
        "m.weight.nested_quant_map": ("F32", [256], bytes(1024)),
        "m.weight.quant_state.bitsandbytes__fp4": state(
            quant_type="fp4", nested_blocksize=256, nested_dtype="float32", nested_offset=0.1)})
    yield file_bytes.safetensors({
        "m.weight": ("I8", [2, 64], bytes(range(128))), "m.SCB": two,
        "m.weight_format": ("U8", [], b"\0")})
    yield file_bytes.safetensors({
        "m.weight": codes, "m.weight.absmax": two, "m.weight.quant_map": codebook,
        "m.weight.quant_state.bitsandbytes__nf4": state(shape=[2**30, 2**30])})
    yield file_bytes.safetensors({
        "m.weight": ("F8_E4M3", [2, 64], bytes(range(64)) * 2), "m.weight_scale": two})
    yield from group_packings()


def group_packings():
    """Modules [64, 64] of GPTQ and AWQ in groups of 32, of EETQ, group-int8 and HQQ
    (packed_weights.cc)."""
    def words(*shape):
        count = shape[0] * shape[1]
        return "I32", list(shape), struct.pack(f"<{count}I", *(0x76543210 + i for i in range(count)))

    def halves(*shape):
        return "F16", list(shape), b"\0\x3c" * (shape[0] * shape[1])

    act_order = struct.pack("<64i", *(c % 2 for c in range(64)))
    for bits in (4, 3):
        yield file_bytes.safetensors({
            "m.qweight": words(2 * bits, 64), "m.qzeros": words(2, 2 * bits),
            "m.scales": halves(2, 64), "m.g_idx": ("I32", [64], act_order)})
    yield file_bytes.safetensors({"m.B": words(4, 128), "m.s": halves(1, 64)})
    yield file_bytes.safetensors({"m.qweight": words(4, 128), "m.scales": halves(1, 64)})
    yield file_bytes.safetensors({
        "m.qweight": words(64, 8), "m.qzeros": words(2, 8), "m.scales": halves(2, 64)})
    yield file_bytes.safetensors({
        "m.qweight": words(64, 8), "m.qzeros": words(64, 4), "m.scales": halves(64, 32)})
    yield file_bytes.safetensors({
        "m.qweight": ("I16", [16, 64], bytes(range(256)) * 8), "m.qzeros": halves(32, 64),
        "m.scales": halves(32, 64)})
    yield file_bytes.safetensors({
        "m.weight": ("I8", [64, 64], bytes(range(256)) * 16), "m.weight_layout": ("U8", [], b"K"),
        "m.weight_scales": ("F16", [64], b"\0\x3c" * 64)})
    yield file_bytes.safetensors({
        "m.weight": ("I8", [64, 64], bytes(range(256)) * 16), "m.weight_scales": halves(64, 2)})
    for axis, bits, codes in ((0, 4, ("U8", [16, 128], bytes(range(256)) * 8)),
                              (1, 3, words(13, 32))):
        groups = [1, 128] if axis == 0 else [128, 1]
        yield file_bytes.safetensors({
            "m.W_q": codes, "m.scale": halves(*groups), "m.zero": halves(*groups),
            "m.shape": ("I64", [2], struct.pack("<2q", 64, 64)),
            "m.nbits": ("I32", [], struct.pack("<i", bits)),
            "m.axis": ("I32", [], struct.pack("<i", axis)),
            "m.group_size": ("I32", [], struct.pack("<i", 32))})


def pickle_seeds():
    for file in sorted((GOLDEN / "io/torch").glob("*.bin")):
        yield file.read_bytes()
        if zipfile.is_zipfile(file):  # see pickle.cc
            with zipfile.ZipFile(file) as archive:
                yield next(archive.read(name) for name in archive.namelist()
                           if name.endswith("/data.pkl"))


GGUF_MODEL = {
    "general.architecture": ("string", "llama"), "general.alignment": ("uint32", 32),
    "llama.embedding_length": ("uint32", 32), "llama.block_count": ("uint32", 1),
    "llama.attention.head_count": ("uint32", 4), "llama.attention.head_count_kv": ("uint32", 2),
    "llama.feed_forward_length": ("uint32", 64), "llama.context_length": ("uint32", 128),
    "llama.attention.layer_norm_rms_epsilon": ("float32", 1e-5),
    "llama.rope.freq_base": ("float32", 10000.0), "llama.rope.dimension_count": ("uint32", 8),
    "llama.rope.scaling.type": ("string", "linear"), "llama.rope.scaling.factor": ("float32", 2.0),
    "tokenizer.ggml.bos_token_id": ("uint32", 1), "tokenizer.ggml.eos_token_id": ("uint32", 2),
}


def gguf_model_seeds():
    data = file_bytes.gguf_data
    tensors = {"token_embd.weight": data("Q4_0", [4, 32]), "blk.0.attn_q.bias": data("F32", [32])}
    yield file_bytes.gguf(GGUF_MODEL, tensors)
    yield file_bytes.gguf(GGUF_MODEL, tensors | {"rope_freqs.weight": (
        "F32", [4], struct.pack("<4f", 1, 1, 1, 1))})
    yield file_bytes.gguf(  # a head far larger than the table of its frequencies
        GGUF_MODEL | {"llama.attention.key_length": ("uint32", 1 << 28),
                      "llama.attention.value_length": ("uint32", 1 << 28),
                      "llama.rope.dimension_count": ("uint32", 1 << 28)},
        tensors | {"rope_freqs.weight": ("F32", [4], struct.pack("<4f", 1, 1, 1, 1))})
    for architecture in ["qwen2", "qwen3"]:
        metadata = {key.replace("llama.", architecture + "."): value
                    for key, value in GGUF_MODEL.items()}
        yield file_bytes.gguf(metadata | {"general.architecture": ("string", architecture)}, tensors)


def gguf_seeds():
    data = file_bytes.gguf_data
    yield (GOLDEN / "io/blocks.gguf").read_bytes()
    yield file_bytes.gguf(
        {f"a.{kind}": ([kind], [1, 0, 1]) for kind in file_bytes.GGUF_FORMATS}
        | {f"s.{kind}": (kind, 1) for kind in file_bytes.GGUF_FORMATS}
        | {"strings": (["string"], ["a", "bc", ""]), "nested": ([["uint8"]], [[1, 2], [], [3]])},
        {"scalar": data("F32", []), "empty": data("F16", [0, 4])})
    for kind, (_, elements, _) in file_bytes.GGML_TYPES.items():
        yield file_bytes.gguf({"general.alignment": ("uint32", 8)},
                              {"t": data(kind, [2, elements], byte=0x5a)}, alignment=8)


    count = struct.pack("<Q", HUGE)
    for head in [file_bytes.gguf_head(HUGE, 0), file_bytes.gguf_head(0, HUGE),
                 file_bytes.gguf_head(0, 1) + count,
                 file_bytes.gguf_head(0, 1) + file_bytes.gguf_string("k")
                 + struct.pack("<II", file_bytes.GGUF_ARRAY, 0) + count,
                 file_bytes.gguf_head(1, 0) + file_bytes.gguf_tensor("t", [HUGE], 0, 0)]:
        yield file_bytes.padded(head) + bytes(64)


def gguf_vocabulary_seeds():
    for model, pre in [("llama", ""), ("gpt2", "default"), ("gpt2", "llama-bpe"), ("gpt2", "qwen2"),
                       ("gpt2", "gpt-2"), ("gpt2", "smollm")]:
        lines = [f"model {model}", f"pre {pre}"]
        for i, token in enumerate(["<unk>", "<s>", "</s>", "<0x0A>", MARK, "a", "b", "ab", "abab"]):
            lines += [f"token {token}", f"score {-i}",
                      f"type {[2, 3, 3, 6][i] if i < 4 else 1}"]
        lines += ["merge a b", "merge ab ab", "bos 1", "eos 2", "unk 0", "add_bos 1", "prefix 0"]
        yield "\n".join(lines).encode()


def sentencepiece_seeds():
    def pieces(special):
        return b"".join(file_bytes.protobuf({1: file_bytes.protobuf(
            {1: word, 2: -float(i), 3: special.get(word, 1)})}) for i, word in enumerate(WORDS))

    special = {"<unk>": 2, "<s>": 3, "</s>": 3, "<0x0A>": 6, "<0xE4>": 6, "hello": 4}
    for algorithm in [1, 2, 3]:
        yield pieces(special) + file_bytes.protobuf({
            2: file_bytes.protobuf({3: algorithm, 35: algorithm % 2, 40: 0, 41: 1, 42: 2, 45: "<unk>"}),
            3: file_bytes.protobuf({1: "nmt_nfkc", 3: 1, 4: 1, 5: 1})})


def checkpoint_seeds():
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    for weight_map in [{"a": first, "b.weight": first}, {"a": first}, {"c": first}, {"a": second},
                       {"a": "../x.safetensors"}, {}]:
        yield json.dumps({"metadata": {"total_size": HUGE}, "weight_map": weight_map}).encode()


# --- configs -------------------------------------------------------------------------------------

QUANTIZATION_CONFIGS = [
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "_load_in_4bit": True,
     "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True,
     "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_quant_storage": "uint8",
     "llm_int8_skip_modules": ["lm_head"], "llm_int8_threshold": 6.0,
     "llm_int8_enable_fp32_cpu_offload": False, "llm_int8_has_fp16_weight": False},
    {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 0.0,
     "llm_int8_skip_modules": None},
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "damp_percent": 0.1, "desc_act": False,
     "act_group_aware": True, "sym": True, "true_sequential": True, "dataset": None, "batch_size": 1,
     "checkpoint_format": "gptq", "block_name_to_quantize": "model.layers",
     "modules_in_block_to_quantize": [["self_attn.k_proj"]], "backend": None, "meta": {"a": 1}},
    {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm",
     "backend": "autoawq", "modules_to_not_convert": ["lm_head"], "do_fuse": False},
    {"quant_method": "eetq", "weights": "int8", "modules_to_not_convert": None},
    {"quant_method": "group-int8", "bits": 8, "group_size": 256, "modules_to_not_convert": None},
    {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["re:.*head$"],
     "kv_cache_scheme": None, "config_groups": {"group_0": {
         "targets": ["Linear"], "input_activations": None,
         "weights": {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": False,
                     "strategy": "block", "block_structure": [128, 128]}}}},
    {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0, "modules_to_not_convert": ["a"]},
    {"quant_method": "hqq", "skip_modules": ["lm_head"], "quant_config": {
        "weight_quant_params": {"nbits": 4, "group_size": 64, "channel_wise": True, "axis": 1,
                                "optimize": True, "round_zero": True, "view_as_float": False},
        "scale_quant_params": None, "zero_quant_params": None, "offload_meta": False}},
]
ROPE = [
    {"rope_type": "linear", "factor": 2.0}, {"type": "dynamic", "factor": 4.0},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
     "original_max_position_embeddings": 64},
    {"rope_type": "yarn", "factor": 4.0, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0,
     "mscale_all_dim": 0.8, "attention_factor": 1.0, "truncate": False},
]


def config_seeds():
    for file in sorted((GOLDEN / "models").glob("*/config.json")):
        yield file.read_bytes()
    for changes in [{"rope_scaling": rope} for rope in ROPE] + \
            [{"quantization_config": config} for config in QUANTIZATION_CONFIGS] + \
            [{"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 16,
              "max_window_layers": 1},
             {"model_type": "qwen3", "layer_types": ["full_attention", "sliding_attention"],
              "use_sliding_window": True, "sliding_window": 16},
             {"model_type": "mistral", "sliding_window": None, "eos_token_id": [2, 3]}]:
        yield json.dumps(tiny_model.config(**changes)).encode()


def generation_config_seeds():
    for config in [
        {"max_new_tokens": 20, "do_sample": True, "temperature": 0.7, "top_k": 50, "top_p": 0.9,
         "min_p": 0.1, "repetition_penalty": 1.1, "no_repeat_ngram_size": 3,
         "eos_token_id": [1, 2], "bos_token_id": 1, "pad_token_id": 0, "stop_strings": ["a", "b"],
         "use_cache": True},
        {"max_length": 100, "eos_token_id": 2, "stop_strings": "x", "num_beams": 4,
         "bad_words_ids": [[1]], "suppress_tokens": []},
    ]:
        yield json.dumps(config).encode()


def quantization_config_seeds():
    for config in QUANTIZATION_CONFIGS:
        yield json.dumps(config).encode()


# --- questions -----------------------------------------------------------------------------------


def questions_seeds():
    """An entry or two of each task of nibble/eval/tasks."""
    answers = {"text": ["so", "not"], "label": ["A", "B"]}
    targets = {"choices": ["no", "yes"], "labels": [1, 0]}
    for entries in [
        [{"question": "Why?", "choices": answers, "answerKey": key} for key in "AB"],
        [{"question_stem": "Ice is", "choices": answers, "answerKey": "A"}] * 2,
        [{"activity_label": "A", "ctx_a": "B [title] c", "ctx_b": "d", "label": label,
          "endings": ["[step] e", "f  g"]} for label in ("0", 1)],
        [{"text": "one two  three"}, {"text": "four"}],
        [{"question": f" {i} ", "subject": "a_b", "choices": ["1", "2", "3", "4"], "answer": i}
         for i in range(4)],
        [{"goal": "go", "sol1": "walk", "sol2": "run", "label": label} for label in (0, 1)],
        [{"question": "Q", "mc1_targets": targets, "mc2_targets": targets}] * 2,
        [{"sentence": "Al met Bo and _ left.", "option1": "Al", "option2": "Bo", "answer": answer}
         for answer in "12"],
    ]:
        yield "\n".join(json.dumps(entry) for entry in entries).encode()


# --- compressed texts ----------------------------------------------------------------------------


def zstd_block(kind, size, content, last):
    return (last | kind << 1 | size << 3).to_bytes(3, "little") + content


def zstd_frame(window_byte, *blocks):
    return struct.pack("<I", 0xFD2FB528) + b"\0" + bytes([window_byte]) + b"".join(blocks)


def compressed_text_seeds():
    """Raw blocks and repeated bytes, which need no compressor."""
    raw = zstd_frame(0, zstd_block(0, 5, b"one\nt", 0), zstd_block(0, 3, b"wo\n", 1))
    repeated = zstd_frame(0x50, zstd_block(1, 1000, b"x", 0), zstd_block(1, 2, b"\n", 1))
    skippable = struct.pack("<II", 0x184D2A50, 3) + b"abc"
    largest = zstd_frame(0x88, zstd_block(0, 1, b"y", 1))
    too_large = zstd_frame(0xA8, zstd_block(0, 1, b"y", 1))
    for seed in [raw, repeated, skippable + raw + repeated, largest, too_large, raw[:-1], b""]:
        yield seed


# --- templates -----------------------------------------------------------------------------------


def jinja_seeds():
    for file in sorted((GOLDEN / "chat_templates").glob("*.jinja")):
        yield file.read_bytes()
    for block in (chat_template_snippets.EXPRESSIONS, chat_template_snippets.STATEMENTS):
        lines = block.strip().splitlines() if isinstance(block, str) else list(block)
        expressions = block is chat_template_snippets.EXPRESSIONS
        for line in lines:
            yield (f"{{{{ {line} }}}}" if expressions else line).encode()


def dictionary(seeds):
    """The words and signs of the seeds, most frequent first, in libFuzzer's form."""
    counts = {}
    for content in seeds:
        for word in re.findall(rb'"[^"\\\\]{1,40}"|[A-Za-z_][\w.]{1,39}|[^\w\s\x00-\x1f]{1,3}', content):
            counts[word] = counts.get(word, 0) + 1
    words = sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS]
    return "".join('"%s"\n' % "".join(f"\\x{byte:02x}" for byte in word) for word in words)


def main():
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    for name, seeds in list(globals().items()):
        if not name.endswith("_seeds"):
            continue
        target = folder / name.removesuffix("_seeds")
        target.mkdir(parents=True)
        contents = [content for content in seeds() if len(content) <= LARGEST]
        for i, content in enumerate(contents):
            (target / f"{i:03}").write_bytes(content)
        target.with_suffix(".dict").write_text(dictionary(contents))


if __name__ == "__main__":
    main()
