# SPDX-License-Identifier: Apache-2.0
"""The two sides of the comparison: transformers with bitsandbytes, and the program nibble."""

import os
import pathlib
import subprocess
import sys
import tempfile

import bitsandbytes
import numpy
import torch
import transformers

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "golden"))
import exact_int8  # noqa: E402, F401

NEW_TOKENS = 24

# Where the processor has BF16 instructions, bitsandbytes multiplies 4-bit weights with activations
# rounded to bfloat16, and only shapes that are multiples of its blocks. Here float32 is compared.
bitsandbytes.nn.modules.has_avx512bf16 = lambda: False


class Nibble:
    """Runs the programs of one build folder."""

    def __init__(self, binaries):
        self.binaries = pathlib.Path(binaries)

    def run(self, *arguments):
        """Standard output; raises with the program's own line when it fails."""
        command = [str(self.binaries / "nibble"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr}")
        return done.stdout

    def compute(self, folder, ids):
        """Logits [tokens, vocab] of the prompt and the greedy continuation."""
        with tempfile.NamedTemporaryFile() as out:
            command = [self.binaries / "nibble_logits", folder, out.name, str(NEW_TOKENS)]
            # Floats throughout: kernels with SIMD take x and 4-bit codes as int16.
            environment = os.environ | {"NIBBLE_CPU": "scalar"}
            done = subprocess.run([*command, *map(str, ids)], capture_output=True, text=True,
                                  env=environment)
            if done.returncode != 0:
                raise RuntimeError(f"nibble_logits {folder}: {done.stderr}")
            logits = numpy.fromfile(out.name, dtype=numpy.float32).reshape(len(ids), -1)
        return logits, [int(i) for i in done.stdout.split()]


def load(folder, dtype=torch.float32, **options):
    """The model, with a complaint about every weight that was missing or left over."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, device_map="cpu", output_loading_info=True, **options
    )
    wrong = {key: value for key, value in info.items() if value}
    if wrong:
        raise RuntimeError(f"{folder}: transformers reports {wrong}")
    if dtype == torch.float32:
        compute_in_float32(model)
    return model.eval()


def compute_in_float32(model):
    """nibble's arithmetic. transformers leaves the plain weights of a quantized folder in 16 bits,
    whatever dtype it is asked for, and bitsandbytes rounds 4-bit weights to the dtype they had."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.float()
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            state.dtype = torch.float32


@torch.no_grad()
def compute(model, ids):
    """As Nibble.compute."""
    prompt = torch.tensor([ids])
    logits = model(prompt).logits[0].float().numpy()
    made = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return logits, made[0, len(ids) :].tolist()
