#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/model_samples.cc is for nibble, for transformers with bitsandbytes: loads a model
and answers the same requests but "probe".

    python benchmarks/peers/transformers_samples.py FOLDER SCHEME THREADS

SCHEME: f32, bf16, int8 (bitsandbytes' LLM.int8()) or nf4 (computing in bfloat16).
"""
import logging
import os
import sys
import time

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"
import torch  # noqa: E402  (reads the environment)
import transformers  # noqa: E402

QUANTIZATION = {
    "f32": {},
    "bf16": {},
    "int8": {"load_in_8bit": True},
    "nf4": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": torch.bfloat16,
    },
}


def load(folder, scheme):
    options = {}
    if QUANTIZATION[scheme]:
        options["quantization_config"] = transformers.BitsAndBytesConfig(**QUANTIZATION[scheme])
    dtype = torch.float32 if scheme == "f32" else torch.bfloat16
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, device_map="cpu", **options)
    return model.eval()


def bytes_per_token(model):
    """Every Linear is read once for each token: codes and the scales that belong to them."""
    total = 0
    for module in model.modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        state = getattr(module.weight, "quant_state", None)
        scales = getattr(module.weight, "SCB", None) if state is None else state.absmax
        parts = [module.weight, module.bias, scales]
        total += sum(part.numel() * part.element_size() for part in parts if part is not None)
    return total


@torch.inference_mode()
def seconds(model, behind, tokens, steps):
    """Seconds of `steps` passes over `tokens` new tokens each, behind `behind` tokens."""
    cache = transformers.DynamicCache(config=model.config)

    def forward(count):
        ids = torch.randint(model.config.vocab_size, (1, count))
        model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

    if behind > 0:
        forward(behind)
    start = time.perf_counter()
    for _ in range(steps):
        forward(tokens)
    return time.perf_counter() - start


def answer(model, line):
    match line.split():
        case ["prefill", count]:
            return seconds(model, 0, int(count), 1)
        case ["decode", count, "behind", behind]:
            return seconds(model, int(behind), 1, int(count))
    raise ValueError(f"'{line.strip()}' is no request")


def main():
    folder, scheme, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # int8 warns once a layer and token
    model = load(folder, scheme)
    print("ready", bytes_per_token(model), flush=True)
    for line in sys.stdin:
        print(f"{answer(model, line):.9f}", flush=True)


if __name__ == "__main__":
    main()
