# SPDX-License-Identifier: Apache-2.0
"""Broken safetensors files, folders and quantized weights."""

import json
import os
import struct

from bad_input import QUANTIZE, RUN, Case, config, file, nothing, weights, without
from file_bytes import with_length, zeros

INSPECT = "inspect x.safetensors"
UP = "model.layers.0.mlp.up_proj.weight"
SINGLE, INDEX = "model/model.safetensors", "model/model.safetensors.index.json"
SHARD = "model-00001-of-00001.safetensors"


def raw(content):
    return file("x.safetensors", content)


def header(text, data=b""):
    return raw(with_length(text) + data)


def entry(dtype="U8", shape="[4]", offsets="[0, 4]", name="a"):
    return f'"{name}": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}'


def entries(*texts, data=4):
    return header("{" + ", ".join(texts) + "}", bytes(data))


SAFETENSORS = [
    ("no bytes", raw(b""),
     "x.safetensors: file is too short for safetensors: expected at least 8 bytes, got 0; the "
     "download may be incomplete"),
    ("7 bytes", raw(b"1234567"),
     "x.safetensors: file is too short for safetensors: expected at least 8 bytes, got 7; the "
     "download may be incomplete"),
    ("a Git LFS pointer", raw("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
     "x.safetensors: file is a Git LFS pointer, not safetensors; run `git lfs pull`"),
    ("a header of 2^63 bytes", raw(struct.pack("<Q", 2**63) + b"{}"),
     "x.safetensors: safetensors header is too long: expected at most 100000000 bytes, got "
     "9223372036854775808 (at byte 0); this is probably no safetensors file"),
    ("a header past the end", raw(struct.pack("<Q", 1000) + b"{}"),
     "x.safetensors: safetensors header reaches past the end of the file: expected at least "
     "1008 bytes, got 10; the download may be incomplete"),
    ("an empty header", header(""),
     "x.safetensors: safetensors header is no JSON object: expected '{', got an empty header "
     "(at byte 8)"),
    ("a list as header", header("[]"),
     "x.safetensors: safetensors header is no JSON object: expected '{', got '[' (at byte 8)"),
    ("a header that is no JSON", header('{"a": '),
     "x.safetensors: safetensors header is not valid JSON: got The JSON document has an "
     "improper structure: missing or superfluous commas, braces, missing keys, etc. (at byte 8)"),
    ("a header that is no UTF-8", header(b'{"\xff": 1}'),
     "x.safetensors: safetensors header is not valid JSON: got The input is not valid UTF-8 "
     "(at byte 8)"),
    ("an entry that is a number", header('{"a": 1}'),
     "x.safetensors: tensor 'a': safetensors header entry is malformed: expected an object"),
    ("an entry without dtype", header('{"a": {"shape": [], "data_offsets": [0, 1]}}'),
     "x.safetensors: tensor 'a': dtype is missing or no string: expected a name like \"F32\""),
    ("an unknown dtype", entries(entry(dtype="F7")),
     "x.safetensors: tensor 'a': dtype is not supported: got F7"),
    ("a negative size", entries(entry(shape="[-1]")),
     "x.safetensors: tensor 'a': safetensors header entry is malformed: expected 'shape' with "
     "whole numbers from 0 up"),
    ("a shape of 2^64 elements", entries(entry(shape="[4294967296, 4294967296]")),
     "x.safetensors: tensor 'a': shape has more elements than 63 bits can count: got "
     "[4294967296, 4294967296]"),
    ("2^60 elements", entries(entry(shape="[1152921504606846976]",
                                    offsets="[0, 1152921504606846976]")),
     "x.safetensors: tensor 'a': data reaches past the end of the file: expected "
     "1152921504606846976 bytes of data, got 4 (at byte 104); the download may be incomplete"),
    ("a size of 2^64", entries(entry(shape="[18446744073709551615]")),
     "x.safetensors: tensor 'a': number in the safetensors header is too large: expected "
     "'shape' below 2^63, got 18446744073709551615"),
    ("a size that is a fraction", entries(entry(shape="[1.5]")),
     "x.safetensors: tensor 'a': safetensors header entry is malformed: expected 'shape' with "
     "whole numbers from 0 up"),
    ("three offsets", entries(entry(offsets="[0, 2, 4]")),
     "x.safetensors: tensor 'a': data_offsets are malformed: expected 2 numbers, got 3"),
    ("offsets from back to front", entries(entry(offsets="[4, 0]")),
     "x.safetensors: tensor 'a': data_offsets do not fit dtype and shape: expected 4 bytes for "
     "U8 [4], got [4, 0)"),
    ("offsets that do not fit the shape", entries(entry(shape="[5]")),
     "x.safetensors: tensor 'a': data_offsets do not fit dtype and shape: expected 5 bytes for "
     "U8 [5], got [0, 4)"),
    ("data past the end", entries(entry(), data=3),
     "x.safetensors: tensor 'a': data reaches past the end of the file: expected 4 bytes of "
     "data, got 3 (at byte 68); the download may be incomplete"),
    ("data behind the last tensor", entries(entry(), data=5),
     "x.safetensors: file goes on after the last tensor: expected 4 bytes of data, got 5 (at "
     "byte 72)"),
    ("overlapping tensors", entries(entry(), entry(name="b", offsets="[2, 6]"), data=6),
     "x.safetensors: tensor 'b': data overlaps the tensor before it: expected data_offsets "
     "from 4, got 2 (at byte 130)"),
    ("a hole between tensors", entries(entry(), entry(name="b", offsets="[6, 10]"), data=10),
     "x.safetensors: tensor 'b': data leaves a hole after the tensor before it: expected "
     "data_offsets from 4, got 6 (at byte 135)"),
    ("a name twice", entries(entry(), entry(offsets="[4, 8]"), data=8),
     "x.safetensors: tensor 'a': name comes twice in the safetensors header"),
    ("a name that steers the terminal", entries(entry(name="a\\n\\u001b[2J", shape="[5]")),
     "x.safetensors: tensor 'a\\x0a\\x1b[2J': data_offsets do not fit dtype and shape: "
     "expected 5 bytes for U8 [5], got [0, 4)"),
    ("metadata that is a number", entries('"__metadata__": {"a": 1}', entry()),
     "x.safetensors: __metadata__ of the safetensors header is malformed: expected a string "
     "for 'a'"),
]


def index(weight_map):
    """An index in place of the single file, which becomes its shard."""
    def write(folder):
        (folder / SINGLE).rename(folder / "model" / SHARD)
        file(INDEX, {"weight_map": weight_map})(folder)
    return write


def index_text(text):
    def write(folder):
        without(SINGLE)(folder)
        file(INDEX, text)(folder)
    return write


def in_place_of_weights(name, content):
    def write(folder):
        without(SINGLE)(folder)
        file(name, content)(folder)
    return write


def pipe(name):
    def make(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    return make


def link_to_itself(name):
    def make(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)
    return make


FOLDERS = [
    Case("a folder that is not there", "run nowhere -p a", nothing,
         "nowhere: no such model folder"),
    Case("a file as model folder", "run model/config.json -p a", nothing,
         "model/config.json: not a model folder: expected a folder with config.json and "
         "model.safetensors"),
    Case("no weights", RUN, without(SINGLE),
         "model: folder holds no weights in a format that is read here: expected "
         "model.safetensors or pytorch_model.bin, or the index of either with its shards"),
    Case("Keras weights", RUN, in_place_of_weights("model/tf_model.h5", b""),
         "model: folder holds no weights in a format that is read here: expected "
         "model.safetensors or pytorch_model.bin, or the index of either with its shards"),
    Case("a GGUF file in the folder", RUN, in_place_of_weights("model/x.gguf", b"GGUF"),
         "model: folder holds no weights in a format that is read here: expected "
         "model.safetensors or pytorch_model.bin, or the index of either with its shards, got "
         "x.gguf; turn the .gguf file into a folder with `nibble convert`"),
    Case("weights that are a named pipe", RUN, pipe(SINGLE),
         "model/model.safetensors: cannot map file: expected a regular file"),
    Case("weights that are a link to themselves", RUN, link_to_itself(SINGLE),
         "model: folder holds no weights in a format that is read here: expected "
         "model.safetensors or pytorch_model.bin, or the index of either with its shards"),
    Case("a config that is a named pipe", RUN, pipe("model/config.json"),
         "model/config.json: cannot map file: expected a regular file"),
    Case("a config that is a link to itself", RUN, link_to_itself("model/config.json"),
         "model/config.json: cannot open file: got Too many levels of symbolic links"),
    Case("an index that is no JSON", RUN, index_text("{"),
         "model/model.safetensors.index.json: file is not valid JSON: got line 1, column 2: "
         "syntax error while parsing object key - unexpected end of input; expected string "
         "literal (at byte 1)"),
    Case("an index without weight_map", RUN, index_text("{}"),
         "model/model.safetensors.index.json: index of shards is malformed: expected an object "
         "'weight_map' from tensor to file name"),
    Case("an index of numbers", RUN, index({UP: 1}),
         "model/model.safetensors.index.json: tensor 'model.layers.0.mlp.up_proj.weight': "
         "index of shards is malformed: expected a file name, got number"),
    Case("an index that leads out of the folder", RUN, index({UP: "../secret.safetensors"}),
         "model/model.safetensors.index.json: tensor 'model.layers.0.mlp.up_proj.weight': index "
         "of shards names a file that is not allowed: expected a .safetensors or .bin file in "
         "the same folder, got ../secret.safetensors"),
    Case("an index that names a missing shard", RUN,
         index({UP: "model-00002-of-00002.safetensors"}),
         "model/model-00002-of-00002.safetensors: shard that the index names is missing; the "
         "download may be incomplete"),
    Case("an index that places a tensor wrongly", RUN, index({"alien.weight": SHARD}),
         "model/model-00001-of-00001.safetensors: tensor 'alien.weight': shard lacks a tensor "
         "that the index places in it; index and shards belong to different downloads"),
    Case("an index nested 1000 deep", RUN, index_text("[" * 1000),
         "model/model.safetensors.index.json: JSON is nested too deeply: expected at most 16 "
         "levels"),
]


def retyped(dtype):
    return lambda tensors: tensors.update({UP: zeros(dtype, tensors[UP][1])})


def with_value(value):
    """The second row's third weight is this number."""
    def change(tensors):
        dtype, shape, data = tensors[UP]
        at = 4 * (shape[1] + 2)
        tensors[UP] = dtype, shape, data[:at] + struct.pack("<f", value) + data[at + 4:]
    return change


TENSORS = [
    Case("a missing tensor", RUN, weights(lambda t: t.pop(UP)),
         "model/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': no such tensor; "
         "the closest name is 'model.layers.0.mlp.down_proj.weight'"),
    Case("a tensor of another shape", RUN, weights(lambda t: t.update({UP: zeros("F32", [3, 4])})),
         "model/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': the tensor does "
         "not fit the model: expected a float dtype, shape [32, 16], got float32 [3, 4]; "
         "config.json does not belong to this checkpoint"),
    Case("a tensor of three dimensions", RUN,
         weights(lambda t: t.update({UP: zeros("F32", [32, 4, 4])})),
         "model/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': the tensor does "
         "not fit the model: expected a float dtype, shape [32, 16], got float32 [32, 4, 4]; "
         "config.json does not belong to this checkpoint"),
    Case("a weight of integers", RUN, weights(retyped("I32")),
         "model/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': the tensor does "
         "not fit the model: expected a float dtype, shape [32, 16], got int32 [32, 16]; the "
         "tensor is quantized, but config.json has no quantization_config: restore the "
         "config.json that was saved with it"),
    Case("fewer tokens in the table than in the config", QUANTIZE, config(vocab_size=97),
         "model/model.safetensors: tensor 'model.embed_tokens.weight': wrong shape: expected "
         "[97, 16], got [96, 16]"),
    Case("fewer tokens in the head than in the config", QUANTIZE,
         weights(lambda t: t.update({"lm_head.weight": zeros("F32", [95, 16])})),
         "model/model.safetensors: tensor 'lm_head.weight': wrong shape: expected [96, 16], got "
         "[95, 16]"),
    Case("no table of tokens", QUANTIZE, weights(lambda t: t.pop("model.embed_tokens.weight")),
         "model/model.safetensors: tensor 'model.embed_tokens.weight': no such tensor; the "
         "closest name is 'model.norm.weight'"),
    Case("a weight of booleans", QUANTIZE, weights(retyped("BOOL")),
         "model/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': cannot quantize "
         "this tensor: expected a matrix of float32, float16 or bfloat16, got bool [32, 16]"),
    Case("a weight that is not a number", QUANTIZE, weights(with_value(float("nan"))),
         "model/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': weights are not "
         "finite: got 1 of 512 elements NaN or infinite, the first nan at [1, 2]; the "
         "checkpoint is damaged or its training diverged"),
    Case("an infinite weight", "quantize model out --scheme int8 --quiet",
         weights(with_value(float("-inf"))),
         "model/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': weights are not "
         "finite: got 1 of 512 elements NaN or infinite, the first -inf at [1, 2]; the "
         "checkpoint is damaged or its training diverged"),
    Case("weights that make no sense of a text", RUN, weights(with_value(float("nan"))),
         "no token can follow: every logit is NaN or excluded; the weights may be damaged; "
         "`nibble inspect --compare` measures them"),
]

RUN_NF4, RUN_INT8 = "run nf4 -p a --quiet", "run int8 -p a --quiet"
STATE = UP + ".quant_state.bitsandbytes__nf4"
SCB = UP.removesuffix("weight") + "SCB"


def quant_state(**changes):
    """The quant state of a module with some fields changed."""
    def change(tensors):
        values = json.loads(tensors[STATE][2]) | changes
        tensors.update(text_tensor(STATE, json.dumps(values)))
    return change


def text_tensor(name, text):
    return {name: ("U8", [len(text)], text.encode())}


def nf4(name, change, message):
    return Case(f"nf4: {name}", RUN_NF4, weights(change, "nf4"), message)


def int8(name, change, message):
    return Case(f"int8: {name}", RUN_INT8, weights(change, "int8"), message)


UP_PROJ = UP.removesuffix("weight")
ALL_ONES = struct.pack("<I", 0xFFFFFFFF)


def gptq(name, change, message):
    return Case(f"gptq: {name}", "run gptq -p a --quiet", weights(change, "gptq"), message)


def awq(name, change, message):
    return Case(f"awq: {name}", "run awq -p a --quiet", weights(change, "awq"), message)


def groups_of(tensors, *columns):
    """The groups of columns of the module, the first ones replaced."""
    _, shape, data = tensors[UP_PROJ + "g_idx"]
    head = struct.pack(f"<{len(columns)}i", *columns)
    tensors[UP_PROJ + "g_idx"] = "I32", shape, head + data[len(head):]


def asymmetric(folder):
    """The symmetric model as an asymmetric one of AutoGPTQ with a zero of 0 somewhere."""
    config("gptq", quantization_config={"quant_method": "gptq", "bits": 4, "sym": False})(folder)
    weights(lambda t: t.update({UP_PROJ + "qzeros": ("I32", [1, 4], bytes(12) + ALL_ONES)}),
            "gptq")(folder)


GROUPS = [
    gptq("no scales", lambda t: t.pop(UP_PROJ + "scales"),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.scales': no such tensor; "
        "the closest name is 'model.layers.0.mlp.down_proj.scales'"),
    gptq("codes of another number of bits",
         lambda t: t.update({UP_PROJ + "qweight": zeros("I32", [4, 32])}),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.qweight': tensor has the "
        "wrong dtype or shape: expected int32 [2, 32], got int32 [4, 32]"),
    gptq("codes of another type",
         lambda t: t.update({UP_PROJ + "qweight": zeros("I64", [2, 32])}),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.qweight': tensor has the "
        "wrong dtype or shape: expected int32 [2, 32], got int64 [2, 32]"),
    gptq("scales of integers", lambda t: t.update({UP_PROJ + "scales": zeros("I16", [1, 32])}),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.scales': tensor has the "
        "wrong dtype or shape: expected float16, bfloat16 or float32 [1, 32], got int16 [1, 32]"),
    gptq("scales that are not numbers",
         lambda t: t.update({UP_PROJ + "scales": ("F16", [1, 32], b"\0\x7e" * 32)}),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.scales': tensor is not "
        "finite: got nan at index 0"),
    gptq("too few zeros", lambda t: t.update({UP_PROJ + "qzeros": zeros("I32", [1, 3])}),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.qzeros': tensor has the "
        "wrong dtype or shape: expected int32 [1, 4], got int32 [1, 3]"),
    gptq("a group that does not exist", lambda t: groups_of(t, 0, 1),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.g_idx': g_idx names a group "
        "that does not exist: expected groups of [0, 1), got 1 at 1"),
    gptq("a group before the first", lambda t: groups_of(t, 0, -2),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.g_idx': g_idx names a group "
        "that does not exist: expected groups of [0, 1), got -2 at 1"),
    gptq("groups of another number of columns",
         lambda t: t.update({UP_PROJ + "g_idx": zeros("I32", [15])}),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.g_idx': tensor has the "
        "wrong dtype or shape: expected int32 [16], got int32 [15]"),
    Case("gptq: zeros that AutoGPTQ ruined", "run gptq -p a --quiet", asymmetric,
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.qzeros': zero-points are "
        "ruined: got 1 of 4 words overwritten by a zero-point of 0; a fault of AutoGPTQ with "
        "asymmetric groups: quantize the model anew, as gptq_v2"),
    Case("gptq: no codes where the config says so", "run gptq -p a --quiet",
         weights(lambda t: t.pop(UP_PROJ + "qweight"), "gptq"),
        "gptq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': no such tensor; "
        "the closest name is 'model.layers.0.mlp.down_proj.qweight'"),
    awq("codes of another shape", lambda t: t.update({UP_PROJ + "qweight": zeros("I32", [4, 16])}),
        "awq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.qweight': tensor has the "
        "wrong dtype or shape: expected int32 [16, 4], got int32 [4, 16]"),
    awq("no zeros", lambda t: t.pop(UP_PROJ + "qzeros"),
        "awq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.qzeros': no such tensor; the "
        "closest name is 'model.layers.0.mlp.down_proj.qzeros'"),
    awq("scales that are infinite",
        lambda t: t.update({UP_PROJ + "scales": ("F16", [1, 32], b"\0\x7c" * 32)}),
        "awq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.scales': tensor is not "
        "finite: got inf at index 0"),
    Case("awq: the packing of another kernel", "run awq -p a --quiet",
         config("awq", quantization_config={"quant_method": "awq", "version": "gemv",
                                            "group_size": -1}),
        "awq/model.safetensors: tensor 'model.layers.0.self_attn.q_proj.qweight': this matrix "
        "cannot be packed for gemv: expected a group size of 32, 64, or 128 and more, got [16, "
        "16] in groups of 16"),
    Case("eetq: an order of bytes that is not known", "run eetq -p a --quiet",
         weights(lambda t: t.update({UP_PROJ + "weight_layout": ("U8", [], b"Z")}), "eetq"),
         "eetq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight_layout': the order "
         "of bytes is not known, or not for this shape: expected 0 (plain) or 75 (Turing to "
         "Ada, multiples of 64), got 90 for [32, 16]"),
    Case("eetq: codes of another shape", "run eetq -p a --quiet",
         weights(lambda t: t.update({UP: zeros("I8", [32, 16])}), "eetq"),
         "eetq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': tensor has the "
         "wrong dtype or shape: expected int8 [16, 32], got int8 [32, 16]"),
    Case("group-int8: codes of another type", "run group-int8 -p a --quiet",
         weights(lambda t: t.update({UP: zeros("U8", [32, 16])}), "group-int8"),
         "group-int8/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': tensor has "
         "the wrong dtype or shape: expected int8 [32, 16], got uint8 [32, 16]"),
    Case("group-int8: scales of other groups", "run group-int8 -p a --quiet",
         config("group-int8", quantization_config={"quant_method": "group-int8", "group_size": 8}),
         "group-int8/model.safetensors: tensor "
         "'model.layers.0.self_attn.q_proj.weight_scales': tensor has the wrong dtype or shape: "
         "expected float16, bfloat16 or float32 [16, 2], got float32 [16, 1]"),
    Case("hqq: groups that do not exist", "run hqq -p a --quiet",
         weights(lambda t: t.update({UP_PROJ + "group_size": zeros("I32", [])}), "hqq"),
         "hqq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.W_q': groups do not fit the "
         "weight: expected groups that divide a row (axis 1) or the rows (axis 0), got [32, 16] "
         "in groups of 0 along axis 1"),
    Case("hqq: codes of another number of bits", "run hqq -p a --quiet",
         weights(lambda t: t.update({UP_PROJ + "nbits": ("I32", [], b"\x08\0\0\0")}), "hqq"),
         "hqq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.W_q': tensor has the wrong "
         "dtype or shape: expected uint8 [32, 16], got uint8 [16, 16]"),
    Case("hqq: no zeros", "run hqq -p a --quiet",
         weights(lambda t: t.pop(UP_PROJ + "zero"), "hqq"),
         "hqq/model.safetensors: tensor 'model.layers.0.mlp.up_proj.zero': no such tensor; the "
         "closest name is 'model.layers.0.mlp.down_proj.zero'"),
    Case("awq: three bits to AWQ", "convert gptq out --to awq-gemm --quiet",
         config("gptq", quantization_config={"quant_method": "gptq", "bits": 3}),
        "gptq/config.json: AWQ files have codes of 4 bits: expected 4, got 3"),
]

PACKED = [
    nf4("no scales", lambda t: t.pop(UP + ".absmax"),
        "nf4/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight.absmax': no such "
        "tensor; the closest name is 'model.layers.0.mlp.down_proj.weight.absmax'"),
    nf4("scales of another number", lambda t: t.update({UP + ".absmax": zeros("F32", [3])}),
        "nf4/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight.absmax': tensor has "
        "the wrong dtype or shape: expected float32 [8], got float32 [3]"),
    nf4("scales of another type", lambda t: t.update({UP + ".absmax": zeros("F16", [8])}),
        "nf4/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight.absmax': tensor has "
        "the wrong dtype or shape: expected float32 [8], got float16 [8]"),
    nf4("scales that are not numbers",
        lambda t: t.update({UP + ".absmax": ("F32", [8], struct.pack("<f", float("nan")) * 8)}),
        "nf4/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight.absmax': tensor is "
        "not finite: got nan at index 0"),
    nf4("too few codes", lambda t: t.update({UP: zeros("U8", [255, 1])}),
        "nf4/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': packed weight does "
        "not fit its shape: expected 256 bytes as [bytes / itemsize, 1], got uint8 [255, 1]"),
    nf4("a codebook of 15 values", lambda t: t.update({UP + ".quant_map": zeros("F32", [15])}),
        "nf4/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight.quant_map': tensor "
        "has the wrong dtype or shape: expected float32 [16], got float32 [15]"),
    nf4("a quant state that is no JSON", lambda t: t.update(text_tensor(STATE, "{")),
        "nf4/model.safetensors: tensor "
        "'model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4': file is not valid "
        "JSON: got line 1, column 2: syntax error while parsing object key - unexpected end of "
        "input; expected string literal (at byte 1)"),
    nf4("a quant state without fields", lambda t: t.update(text_tensor(STATE, "{}")),
        "nf4/model.safetensors: tensor "
        "'model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4': quant state has a "
        "bad 'quant_type': expected \"nf4\" or \"fp4\", got nothing"),
    nf4("an unknown quant type", quant_state(quant_type="nf5"),
        "nf4/model.safetensors: tensor "
        "'model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4': quant state has a "
        "bad 'quant_type': expected \"nf4\" or \"fp4\", got \"nf5\""),
    nf4("a block size of 0", quant_state(blocksize=0),
        "nf4/model.safetensors: tensor "
        "'model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4': quant state has a "
        "bad 'blocksize': expected a positive integer, got 0"),
    nf4("a block size of 2^63 - 1", quant_state(blocksize=2**63 - 1),
        "nf4/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight.absmax': tensor has "
        "the wrong dtype or shape: expected float32 [1], got float32 [8]"),
    nf4("another shape in the quant state", quant_state(shape=[16, 32]),
        "nf4/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': quantized weight "
        "has the wrong shape: expected [32, 16], got [16, 32]"),
    nf4("a shape of 2^60 elements", quant_state(shape=[2**30, 2**30]),
        "nf4/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': quantized weight "
        "has the wrong shape: expected [32, 16], got [1073741824, 1073741824]"),
    int8("no scales", lambda t: t.pop(SCB),
         "int8/model.safetensors: tensor 'model.layers.0.mlp.up_proj.SCB': no such tensor; the "
         "closest name is 'model.layers.0.mlp.down_proj.SCB'"),
    int8("scales of another number", lambda t: t.update({SCB: zeros("F32", [31])}),
         "int8/model.safetensors: tensor 'model.layers.0.mlp.up_proj.SCB': tensor has the "
         "wrong dtype or shape: expected float32 [32], got float32 [31]"),
    int8("codes of another shape", lambda t: t.update({UP: zeros("I8", [16, 16])}),
         "int8/model.safetensors: tensor 'model.layers.0.mlp.up_proj.weight': tensor has the "
         "wrong dtype or shape: expected int8 [32, 16], got int8 [16, 16]"),
    int8("scales that are not numbers",
         lambda t: t.update({SCB: ("F32", [32], struct.pack("<f", float("nan")) * 32)}),
         "int8/model.safetensors: tensor 'model.layers.0.mlp.up_proj.SCB': tensor is not "
         "finite: got nan at index 0"),
]

CASES = [Case(f"safetensors: {name}", INSPECT, breaks, message)
         for name, breaks, message in SAFETENSORS] + FOLDERS + TENSORS + PACKED + GROUPS
