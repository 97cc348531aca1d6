#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Folders of GPTQ and AWQ go both ways between nibble and transformers with GPTQModel, on the CPU.

    tests/interop/run                    among all comparisons
    .venv-gptq/bin/python tests/interop/gptq_awq.py [--binaries build/cpu/bin]

For every packing: nibble's folder opens in transformers with no weight missing or left over, and one
that GPTQModel quantized opens in nibble. Logits and greedy ids are compared with the weights that
GPTQModel decodes, in float32, and logits once more as its portable kernels run in float16. Prints
one line per comparison; exits with 1 when any failed.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # see gptqmodel_quantize.py

import engines  # noqa: E402
import models  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from gptqmodel import BACKEND, GPTQModel  # noqa: E402
from gptqmodel.nn_modules.qlinear.torch import TorchLinear  # noqa: E402
from gptqmodel.nn_modules.qlinear.torch_awq import AwqTorchLinear  # noqa: E402
from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm  # noqa: E402
from interop import PROMPT, Report, check_files, compare  # noqa: E402
from schemes import FLOAT  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
# GPTQModel's AWQ asks for rows in 64s, groups of 128 for columns in 128s.
SIZES = dict(hidden_size=256, intermediate_size=384, num_attention_heads=4, head_dim=64)
MISFIT = dict(intermediate_size=204)
DYNAMIC = {r"-:.*\.k_proj": {}, r".*\.down_proj": {"bits": 8, "group_size": 32},
           r"+:model\.layers\.1\..*up_proj": {"sym": False}}
SAMPLES, LENGTH = 16, 128
# Weights, inputs and outputs of every layer are rounded to 11 bits: 2^-11 = 4.9e-4 of each at most.
# The roundings of some 30 layers, norms and sums add up as random walks do, to about 5 x that.
HALF = 5e-3


@dataclasses.dataclass
class Packing:
    name: str
    method: str  # gptq or awq
    options: list | None  # of `nibble quantize`; None when it does not make these
    theirs: dict | None  # fields of GPTQModel's QuantizeConfig
    calibrated: bool = True
    alone: bool = False  # GPTQModel opens the folder without transformers
    sizes: dict = dataclasses.field(default_factory=dict)  # in place of SIZES'


PACKINGS = [
    Packing("gptq 4 bits", "gptq", ["--group-size", 128], dict(bits=4, group_size=128)),
    Packing("gptq 4 bits, rounded", "gptq", ["--group-size", 32], None, calibrated=False),
    Packing("gptq 4 bits, rows", "gptq", ["--group-size", -1], dict(bits=4, group_size=-1, act_group_aware=False)),
    Packing("gptq desc_act", "gptq", ["--group-size", 64, "--desc-act"],
            dict(bits=4, group_size=64, desc_act=True)),
    Packing("gptq asymmetric, v1", "gptq", ["--group-size", 64, "--no-sym", "--format", "gptq"],
            dict(bits=4, group_size=64, sym=False, format="gptq")),
    Packing("gptq asymmetric, v2", "gptq", ["--group-size", 64, "--no-sym"],
            dict(bits=4, group_size=64, sym=False, format="gptq_v2")),
    Packing("gptq 2 bits", "gptq", ["--group-size", 32, "--bits", 2], dict(bits=2, group_size=32)),
    Packing("gptq 3 bits", "gptq", ["--group-size", 64, "--bits", 3, "--desc-act"],
            dict(bits=3, group_size=64, desc_act=True)),
    Packing("gptq 3 bits, v2", "gptq", ["--group-size", 64, "--bits", 3, "--no-sym"],
            dict(bits=3, group_size=64, sym=False, format="gptq_v2")),
    Packing("gptq 8 bits", "gptq", ["--group-size", 128, "--bits", 8], dict(bits=8, group_size=128)),
    Packing("gptq 8 bits, v2", "gptq", ["--group-size", 128, "--bits", 8, "--no-sym"],
            dict(bits=8, group_size=128, sym=False, format="gptq_v2")),
    Packing("awq gemm", "awq", ["--group-size", 64], dict(bits=4, group_size=64, sym=False)),
    Packing("awq gemm, symmetric", "awq", ["--group-size", 128, "--sym"],
            dict(bits=4, group_size=128, sym=True)),
    Packing("awq gemm, rounded", "awq", ["--group-size", 32], None, calibrated=False),
    # Modules of 204 rows or columns stay plain, but for AWQ's of 204 columns: no words of 32 bits.
    Packing("gptq, some plain", "gptq", ["--bits", 3, "--group-size", 64], None, sizes=MISFIT),
    Packing("awq, some plain", "awq", ["--group-size", -1], None, sizes=MISFIT),
    # transformers passes these over; GPTQModel itself reads them.
    Packing("gptq dynamic", "gptq", None, dict(bits=4, group_size=64, dynamic=DYNAMIC), alone=True),
    Packing("gptq with head", "gptq", None, dict(bits=4, group_size=64, lm_head=True), alone=True,
            sizes=dict(tie_word_embeddings=False)),
]


def write_texts(folder):
    """Texts of random words for nibble, and the same as ids for GPTQModel."""
    generator = torch.Generator().manual_seed(7)
    texts = torch.randint(models.SIZES["vocab_size"], (SAMPLES, LENGTH), generator=generator).tolist()
    words, ids = folder / "texts.json", folder / "tokens.json"
    words.write_text(json.dumps([" ".join(f"w{i}" for i in text) for text in texts]))
    ids.write_text(json.dumps(texts))
    return words, ids


def load(packing, folder, dtype):
    if packing.alone:
        backend = BACKEND.GPTQ_TORCH
        model = GPTQModel.load(str(folder), device="cpu", backend=backend, dtype=torch.float16).model
        return model if dtype == torch.float16 else model.to(dtype)
    config = transformers.GPTQConfig if packing.method == "gptq" else transformers.AwqConfig
    backend = "gptq_torch" if packing.method == "gptq" else "torch_awq"
    return engines.load(folder, dtype, quantization_config=config(bits=4, backend=backend))


def decode_in_float32(model):
    """Every packed module becomes a Linear of the weights that GPTQModel's own code decodes from
    float32 scales, which hold the file's float16 exactly."""
    packed = [(name, module) for name, module in model.named_modules()
              if isinstance(module, (TorchLinear, AwqTorchLinear))]
    if not packed:
        raise RuntimeError("transformers chose other kernels than those asked for")
    for name, module in packed:
        module.scales = module.scales.float()
        if isinstance(module, TorchLinear):
            matrix = module.dequantize_weight()  # [cols, rows]
        else:
            matrix = dequantize_gemm(module.qweight, module.qzeros, module.scales, module.bits,
                                     module.group_size)
        linear = torch.nn.Linear(*matrix.shape, bias=module.bias is not None)
        linear.weight.data = matrix.T.contiguous()
        if module.bias is not None:
            linear.bias.data = module.bias.float()
        model.set_submodule(name, linear)
    return model


def compare_in_both(report, nibble, name, packing, whose, folder):
    ours = nibble.compute(folder, PROMPT)
    decoded = decode_in_float32(load(packing, folder, torch.float32))
    compare(report, name, packing.name, f"{whose} in both, float32", ours,
            engines.compute(decoded, PROMPT), FLOAT)
    logits, _ = engines.compute(load(packing, folder, torch.float16), PROMPT)
    # Whole texts hang on roundings here: where two ids are as likely, either may come.
    compare(report, name, packing.name, f"{whose} in both, float16", ours, (logits, ours[1]), HALF)


def quantize_with_gptqmodel(source, out, tokens, config):
    command = [sys.executable, HERE / "gptqmodel_quantize.py", source, out, tokens, json.dumps(config)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                          cwd=out.parent)  # where it leaves a folder of logs
    if done.returncode != 0:
        raise RuntimeError(f"GPTQModel: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def check_packing(report, nibble, name, packing, work, texts, tokens):
    source, ours, theirs = (work / folder for folder in ("source", "nibble", "gptqmodel"))
    models.make(name, source, **SIZES | packing.sizes)
    models.add_tokenizer(source)
    if packing.options is not None:
        calibration = ["--calibration", texts] if packing.calibrated else []
        nibble.run("quantize", source, ours, "--scheme", packing.method, *packing.options, *calibration)
        check_files(report, name, packing.name, ours)
        compare_in_both(report, nibble, name, packing, "nibble's folder", ours)
    if packing.theirs is not None:
        quantize_with_gptqmodel(source, theirs, tokens, packing.theirs | {"method": packing.method})
        compare_in_both(report, nibble, name, packing, "GPTQModel's folder", theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binaries", default="build/cpu/bin", help="folder of nibble")
    parser.add_argument("--models", nargs="*", default=["llama-bias", "qwen2"],
                        choices=models.MODELS, help="of models.py")
    parser.add_argument("--packings", default="", help="those whose name begins with this")
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    for package in ("transformers", "gptqmodel", "optimum", "torch"):
        print(f"{package} {importlib.metadata.version(package)}")

    report, nibble = Report(), engines.Nibble(arguments.binaries)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        texts, tokens = write_texts(scratch)
        for name in arguments.models:
            for packing in PACKINGS:
                if not packing.name.startswith(arguments.packings):
                    continue
                work = scratch / "work"
                work.mkdir()
                try:
                    check_packing(report, nibble, name, packing, work, texts, tokens)
                except Exception as failure:  # one broken folder must not hide the others
                    report.add(name, packing.name, "runs", False, str(failure).strip()[:400])
                shutil.rmtree(work)
    print(f"{len(report.rows)} comparisons, {report.failures} failed")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
