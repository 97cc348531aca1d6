# SPDX-License-Identifier: Apache-2.0
"""scaled_fp8.py NIBBLE: floats of 8 bits as compressed-tensors writes and reads them, and FBGEMM's.

Needs `pip install compressed-tensors` beside tests/golden/requirements.txt. Quantizes a small random
model with nibble, compares every code and scale with the library's and loads the folder in
transformers; then the library quantizes, per channel, tensor and block, and nibble decodes its
files; at last files in the way of FBGEMM, whose own code needs a GPU.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import compressed_tensors
import torch
import transformers
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import load_file, save_file

SIZES = dict(vocab_size=256, hidden_size=256, intermediate_size=384, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2)
LIBRARY = BaseCompressor.get_value_from_registry("float-quantized")


def scheme_of(strategy):
    block = {"block_structure": [128, 128]} if strategy == "block" else {}
    return QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(
        num_bits=8, type="float", symmetric=True, strategy=strategy, **block))


def scale_of(matrix, scheme):
    """The library's scale for the largest and smallest weights of what shares it."""
    rows, cols = matrix.shape
    parts = {"channel": (matrix, (1,)), "tensor": (matrix.reshape(1, -1), (1,))}
    if scheme.weights.strategy == "block":
        parts["block"] = (matrix.reshape(rows // 128, 128, cols // 128, 128), (1, 3))
    part, dims = parts[scheme.weights.strategy]
    least, most = part.amin(dims, keepdim=True), part.amax(dims, keepdim=True)
    scale = calculate_qparams(least, most, scheme.weights)[0]
    if scheme.weights.strategy == "tensor":
        return scale.reshape(1)
    return scale.reshape(least.shape[0], -1)


def compressed(matrix, scheme):
    return LIBRARY.compress({"weight": matrix, "weight_scale": scale_of(matrix, scheme)}, scheme)


def is_packed(name, tensor):
    return name.endswith(".weight") and tensor.dim() == 2 and "layers" in name


def write_folder(folder, plain, tensors, quantization):
    shutil.copytree(plain, folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": quantization}))


def same(folder, want):
    got = load_file(folder / "model.safetensors")
    for name, tensor in want.items():
        assert torch.equal(got[name], tensor), name


def nibble_writes(nibble, folder, plain, dense):
    packed, back = folder / "packed", folder / "back"
    subprocess.run([nibble, "quantize", plain, packed, "--scheme", "fp8", "--format",
                    "compressed-tensors", "--quiet"], check=True)
    subprocess.run([nibble, "dequantize", packed, back, "--quiet"], check=True)
    after = load_file(packed / "model.safetensors")
    modules = [name for name in after if name.endswith("_scale")]
    for name in modules:
        weight = name.removesuffix("_scale")
        want = compressed(dense[weight], scheme_of("channel"))
        assert torch.equal(after[weight].view(torch.uint8), want["weight"].view(torch.uint8)), weight
        assert torch.equal(after[name], want["weight_scale"]), name
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        packed, dtype=torch.bfloat16,
        quantization_config=transformers.CompressedTensorsConfig(dequantize=True))
    same(back, {name: tensor.data for name, tensor in loaded.named_parameters()})
    return len(modules)


def nibble_reads(nibble, folder, plain, dense, name, packed, quantization):
    """`packed` gives the tensors of a matrix and what they decode to."""
    tensors, want = {}, {}
    for key, tensor in dense.items():
        if not is_packed(key, tensor):
            tensors[key] = want[key] = tensor
            continue
        parts, want[key] = packed(tensor)
        for part, value in parts.items():
            tensors[key.removesuffix("weight") + part] = value
    write_folder(folder / name, plain, tensors, quantization)
    subprocess.run([nibble, "dequantize", folder / name, folder / f"{name}-back", "--quiet"],
                   check=True)
    same(folder / f"{name}-back", want)


def by_library(scheme):
    def packed(matrix):
        parts = compressed(matrix, scheme)
        return parts, LIBRARY.decompress(parts, scheme)["weight"]
    return packed


def by_rows(matrix):
    scale = matrix.float().abs().amax(1, keepdim=True) / 448
    codes = (matrix.float() / scale).to(torch.float8_e4m3fn)
    decoded = (codes.float() * scale).to(torch.bfloat16)
    return {"weight": codes, "weight_scale": scale}, decoded


def main(nibble, folder):
    torch.manual_seed(0)
    plain = folder / "plain"
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).to(torch.bfloat16)
    model.save_pretrained(plain)
    dense = load_file(plain / "model.safetensors")
    modules = nibble_writes(nibble, folder, plain, dense)
    for strategy in ("channel", "tensor", "block"):
        scheme = scheme_of(strategy)
        nibble_reads(nibble, folder, plain, dense, strategy, by_library(scheme), {
            "quant_method": "compressed-tensors", "format": "float-quantized",
            "ignore": ["lm_head"], "config_groups": {"group_0": json.loads(scheme.model_dump_json())}})
    nibble_reads(nibble, folder, plain, dense, "fbgemm", by_rows,
                 {"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["lm_head"]})
    print(f"{modules} modules: codes and scales are those of compressed-tensors "
          f"{compressed_tensors.__version__}, weights of all kinds those of transformers "
          f"{transformers.__version__}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1], Path(scratch))
