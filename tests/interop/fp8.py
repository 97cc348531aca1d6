# SPDX-License-Identifier: Apache-2.0
"""fp8.py NIBBLE: blocks of 8-bit floats as transformers writes and reads them.

Quantizes a small random model with nibble, compares every code and scale with transformers'
Fp8Quantize, loads the folder in transformers (which decodes it on a CPU) and compares logits with
the decoded folder of `nibble dequantize`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
import transformers
from safetensors.torch import load_file
from transformers.integrations.finegrained_fp8 import Fp8Quantize

SIZES = dict(vocab_size=256, hidden_size=256, intermediate_size=320, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2)  # 320 is no whole number of blocks


def quantized(matrix, config):
    quantizer = SimpleNamespace(quantization_config=config)
    return Fp8Quantize(quantizer)._quantize_one("m.weight", matrix)


def main(nibble, folder):
    torch.manual_seed(0)
    plain, packed, back = (folder / name for name in ("plain", "packed", "back"))
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).to(torch.bfloat16)
    model.save_pretrained(plain)
    subprocess.run([nibble, "quantize", plain, packed, "--scheme", "fp8", "--quiet"], check=True)
    subprocess.run([nibble, "dequantize", packed, back, "--quiet"], check=True)

    before, after = load_file(plain / "model.safetensors"), load_file(packed / "model.safetensors")
    config = transformers.FineGrainedFP8Config()
    modules = [name for name in after if name.endswith("_scale_inv")]
    for name in modules:
        weight = name.removesuffix("_scale_inv")
        want = quantized(before[weight], config)
        assert torch.equal(after[weight].view(torch.uint8), want["m.weight"].view(torch.uint8)), weight
        assert torch.equal(after[name], want["m.weight_scale_inv"]), name

    ids = torch.arange(40).reshape(2, 20)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(packed, dtype=torch.bfloat16)
    decoded = transformers.AutoModelForCausalLM.from_pretrained(back, dtype=torch.bfloat16)
    for (name, a), (_, b) in zip(loaded.named_parameters(), decoded.named_parameters()):
        assert torch.equal(a, b), name
    assert torch.equal(loaded(ids).logits, decoded(ids).logits)
    print(f"{len(modules)} modules of 14: codes, scales and logits are those of transformers "
          f"{transformers.__version__}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1], Path(scratch))
