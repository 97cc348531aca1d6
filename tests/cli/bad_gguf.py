# SPDX-License-Identifier: Apache-2.0
"""Broken GGUF files: what the format forbids, and what an import cannot use."""

import struct

from bad_input import CONVERT, Case, file
from file_bytes import (gguf, gguf_data, gguf_entry, gguf_head, gguf_string, gguf_tensor, padded)

TYPE_UINT8, TYPE_ARRAY = 0, 9
F32, Q4_0 = 0, 2


def one_tensor(dims=(32,), number=F32, offset=0, data=128, name="a"):
    return padded(gguf_head(1, 0) + gguf_tensor(name, dims, number, offset)) + bytes(data)


def one_value(number, content, key="k"):
    return gguf_head(0, 1) + gguf_string(key) + struct.pack("<I", number) + content


def array_head(number, count):
    return struct.pack("<IQ", number, count)


FORMAT = [
    ("no bytes", b"",
     "x.gguf: file ends within the GGUF header: expected 4 bytes, got 0 bytes (at byte 0); the "
     "download may be incomplete"),
    ("another magic number", gguf_head(0, 0, magic=b"GGML"),
     "x.gguf: file is no GGUF file: expected 'GGUF' at its start (at byte 0)"),
    ("version 1", gguf_head(0, 0, version=1),
     "x.gguf: GGUF version is not supported: expected 2 or 3, got 1 (at byte 4)"),
    ("version 4", gguf_head(0, 0, version=4),
     "x.gguf: GGUF version is not supported: expected 2 or 3, got 4 (at byte 4)"),
    ("big-endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
     "x.gguf: GGUF file is big-endian: expected a little-endian file (at byte 4); convert it "
     "with gguf-py's gguf-convert-endian"),
    ("2^60 tensors", gguf_head(2**60, 0),
     "x.gguf: file ends within the tensor infos: expected 1152921504606846976 items of at "
     "least 24 bytes, got 0 bytes (at byte 24); the download may be incomplete"),
    ("2^60 keys", gguf_head(0, 2**60),
     "x.gguf: file ends within the metadata: expected 1152921504606846976 items of at least 13 "
     "bytes, got 0 bytes (at byte 24); the download may be incomplete"),
    ("a key of 2^60 bytes", gguf_head(0, 1) + struct.pack("<Q", 2**60) + bytes(50),
     "x.gguf: file ends within a metadata key: expected 1152921504606846976 bytes, got 50 "
     "bytes (at byte 32); the download may be incomplete"),
    ("a key of 100 kB", one_value(TYPE_UINT8, b"\1", key="k" * 100_000),
     "x.gguf: a metadata key is too long: expected at most 65535 bytes, got 100000 (at byte 24)"),
    ("a value of unknown type", one_value(13, b"\0"),
     "x.gguf: metadata 'k' has an unknown type: expected 0 to 12, got 13 (at byte 37)"),
    ("an array of 2^60 numbers", one_value(TYPE_ARRAY, array_head(TYPE_UINT8, 2**60) + bytes(50)),

     "x.gguf: file ends within metadata 'k': expected 1152921504606846976 bytes, got 50 bytes "
     "(at byte 49); the download may be incomplete"),
    ("arrays nested 20 deep", one_value(TYPE_ARRAY, array_head(TYPE_ARRAY, 1) * 20),
     "x.gguf: metadata 'k' is nested too deeply: expected at most 8 levels (at byte 145)"),
    ("a key twice", gguf_head(0, 2) + gguf_entry("k", "uint8", 1) * 2,
     "x.gguf: metadata key comes twice: got k (at byte 38)"),
    ("a key that steers the terminal", one_value(13, b"\0", key="\x1b[2J\n"),
     "x.gguf: metadata '\\x1b[2J\\x0a' has an unknown type: expected 0 to 12, got 13 (at byte "
     "41)"),
    ("an alignment of 3", gguf_head(0, 1) + gguf_entry("general.alignment", "uint32", 3),
     "x.gguf: metadata 'general.alignment' is malformed: expected a power of two, got 3"),
    ("an alignment that is a text",
     gguf_head(0, 1) + gguf_entry("general.alignment", "string", "x"),

     "x.gguf: metadata 'general.alignment' has another type: expected an integer, got string "
     "(at byte 53)"),
    ("a tensor of unknown type", one_tensor(number=99),
     "x.gguf: tensor 'a': tensor has an unknown ggml type: got 99 (at byte 45)"),
    ("a tensor of a removed type", one_tensor(number=4),
     "x.gguf: tensor 'a': tensor has an unknown ggml type: got 4 (at byte 45)"),
    ("a tensor of 5 dimensions", one_tensor(dims=(1, 1, 1, 1, 1)),
     "x.gguf: tensor 'a': tensor has too many dimensions: expected at most 4, got 5 (at byte "
     "33)"),
    ("a tensor of 2^64 elements", one_tensor(dims=(2**32, 2**32)),
     "x.gguf: tensor 'a': shape has more elements than 63 bits can count: got [4294967296, "
     "4294967296]"),
    ("a tensor of -1 elements", one_tensor(dims=(2**64 - 1,)),
     "x.gguf: tensor 'a': shape has a negative dimension: got [-1]"),
    ("a row that is no whole number of blocks", one_tensor(dims=(33,), number=Q4_0),
     "x.gguf: tensor 'a': rows of the tensor are not whole blocks: expected a multiple of 32 "
     "columns for Q4_0, got 33"),
    ("data past the end", one_tensor(data=64),
     "x.gguf: tensor 'a': tensor data reaches past the end of the file: expected 128 bytes "
     "from byte 0 of the data, got 64 bytes of data; the download may be incomplete"),
    ("data off the alignment", one_tensor(dims=(4,), offset=16),
     "x.gguf: tensor 'a': tensor offset is malformed: expected a multiple of 32 within the "
     "file, got 16 (at byte 49)"),
    ("an offset of 2^63", one_tensor(offset=2**63),
     "x.gguf: tensor 'a': tensor offset is malformed: expected a multiple of 32 within the "
     "file, got 9223372036854775808 (at byte 49)"),
    ("overlapping tensors",
     padded(gguf_head(2, 0) + gguf_tensor("a", [32], F32, 0) + gguf_tensor("b", [32], F32, 32))
     + bytes(256),
     "x.gguf: tensor 'b': tensor data overlaps another tensor: expected data from byte 224, "
     "got 128 (at byte 128)"),
    ("a tensor twice",
     padded(gguf_head(2, 0) + gguf_tensor("a", [8], F32, 0) + gguf_tensor("a", [8], F32, 32))
     + bytes(64), "x.gguf: tensor 'a': tensor name comes twice (at byte 57)"),
]

METADATA = {
    "general.architecture": ("string", "llama"), "llama.embedding_length": ("uint32", 16),
    "llama.block_count": ("uint32", 1), "llama.attention.head_count": ("uint32", 4),
    "llama.feed_forward_length": ("uint32", 32), "llama.context_length": ("uint32", 64),
    "llama.attention.layer_norm_rms_epsilon": ("float32", 1e-5),
    "tokenizer.ggml.model": ("string", "llama"),
    "tokenizer.ggml.tokens": (["string"], ["<unk>", "<s>", "</s>", "a"]),
    "tokenizer.ggml.scores": (["float32"], [0.0, 0.0, 0.0, -1.0]),
    "tokenizer.ggml.token_type": (["int32"], [2, 3, 3, 1]),
    "tokenizer.ggml.bos_token_id": ("uint32", 1),
}
TENSORS = {"token_embd.weight": gguf_data("F32", [4, 16]),
           "output_norm.weight": gguf_data("F32", [16])}
for name, rows, cols in [("attn_q", 16, 16), ("attn_k", 16, 16), ("attn_v", 16, 16),
                         ("attn_output", 16, 16), ("ffn_gate", 32, 16), ("ffn_up", 32, 16),
                         ("ffn_down", 16, 32)]:
    TENSORS[f"blk.0.{name}.weight"] = gguf_data("F32", [rows, cols])
for name in ["attn_norm", "ffn_norm"]:
    TENSORS[f"blk.0.{name}.weight"] = gguf_data("F32", [16])


def model(metadata=None, tensors=None):
    """A sound model with some metadata or tensors changed; None removes."""
    def merged(base, changes):
        return {k: v for k, v in (base | (changes or {})).items() if v is not None}
    return gguf(merged(METADATA, metadata), merged(TENSORS, tensors))


MODEL = [
    ("no architecture", model({"general.architecture": None}),
     "x.gguf: metadata 'general.architecture' is missing"),
    ("an unknown architecture", model({"general.architecture": ("string", "mamba")}),
     "x.gguf: this architecture is not supported: expected llama, qwen2 or qwen3, got mamba"),
    ("no block count", model({"llama.block_count": None}),
     "x.gguf: metadata 'llama.block_count' is missing"),
    ("a block count that is a text", model({"llama.block_count": ("string", "1")}),
     "x.gguf: metadata 'llama.block_count' has another type: expected an integer, got string "
     "(at byte 136)"),
    ("a block count of 0", model({"llama.block_count": ("uint32", 0)}),
     "x.gguf: llama.block_count: bad size: expected 1 to 2147483648, got 0"),
    ("a block count of 2^31", model({"llama.block_count": ("uint32", 2**31)}),
     "x.gguf: bad value of 'num_hidden_layers': expected an integer from 1 to 4096, got "
     "2147483648"),
    ("heads that do not divide", model({"llama.attention.head_count": ("uint32", 3)}),
     "x.gguf: llama.attention.key_length: bad head size: expected an even number of at least "
     "2, got 5"),
    ("a mixture of experts", model({"llama.expert_count": ("uint32", 8)}),
     "x.gguf: llama.expert_count: mixtures of experts are not supported: expected none, got 8"),
    ("an unknown rope scaling", model({"llama.rope.scaling.type": ("string", "warp"),
                                       "llama.rope.scaling.factor": ("float32", 2.0)}),
                                       "x.gguf: llama.rope.scaling.type: not supported: "
                                       "expected none, linear or yarn, got warp"),
    ("an epsilon that is no number",
     model({"llama.attention.layer_norm_rms_epsilon": ("float32", float("nan"))}),
     "x.gguf: bad value of 'rms_norm_eps': expected a number, got null"),
    ("a missing tensor", model(tensors={"blk.0.ffn_up.weight": None}),
     "x.gguf: tensor 'model.layers.0.mlp.up_proj.weight': the file has no tensor for this "
     "weight"),
    ("a tensor of another shape",
     model(tensors={"blk.0.ffn_up.weight": gguf_data("F32", [16, 16])}),
     "x.gguf: tensor 'blk.0.ffn_up.weight': wrong shape: expected [32, 16], got [16, 16]"),
    ("a tensor that no model has", model(tensors={"alien.weight": gguf_data("F32", [4])}),
     "x.gguf: tensor 'alien.weight': a llama model has no such tensor"),
    ("no vocabulary", model({"tokenizer.ggml.tokens": None}),
     "x.gguf: metadata 'tokenizer.ggml.tokens' is missing"),
    ("a vocabulary of numbers", model({"tokenizer.ggml.tokens": (["int32"], [1, 2])}),
     "x.gguf: metadata 'tokenizer.ggml.tokens' has another type: expected an array of strings, "
     "got array of int32 (at byte 403)"),
    ("an unknown kind of vocabulary", model({"tokenizer.ggml.model": ("string", "rwkv")}),
     "x.gguf: the GGUF vocabulary is of a kind that is not supported: expected gpt2, llama "
     "or bert, got rwkv"),
    ("an unknown pre-tokenizer", model({"tokenizer.ggml.model": ("string", "gpt2"),
                                        "tokenizer.ggml.pre": ("string", "alien")}),
                                        "x.gguf: the pre-tokenizer of the GGUF vocabulary is "
                                        "not known: got alien; known are default, gpt-2, "
                                        "phi-2, mpt, olmo, smollm, starcoder, refact, "
                                        "command-r, codeshell, falcon, llama-bpe, llama3, "
                                        "llama-v3, dbrx, smaug-bpe, qwen2, deepseek-r1-qwen, "
                                        "stablelm2, tekken, gpt-4o, llama4"),
    ("fewer scores than tokens", model({"tokenizer.ggml.scores": (["float32"], [0.0])}),
     "x.gguf: the GGUF vocabulary has another number of scores than of tokens"),
    ("a score that is no number",
     model({"tokenizer.ggml.scores": (["float32"], [0.0, 0.0, 0.0, float("nan")])}),
     "x.gguf: the GGUF vocabulary has a score that is no finite number"),
    ("a token that is no UTF-8",
     model({"tokenizer.ggml.tokens": (["string"], ["<unk>", "<s>", "</s>", b"\xff"])}),
     "x.gguf: the GGUF vocabulary has a token (3) that is no UTF-8"),
    ("a special token out of range", model({"tokenizer.ggml.bos_token_id": ("uint32", 9)}),
     "x.gguf: the GGUF vocabulary has a bos_token that is out of range: got 9"),
]

CASES = [Case(f"GGUF: {name}", CONVERT, file("x.gguf", content), message)
         for name, content, message in FORMAT + MODEL]
