#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the folder `models` beside this file.

Each folder in it is a tiny model with random weights, as transformers saves it, and what
transformers computes with it on the CPU in float32: expected.safetensors (ids, logits, greedy
continuations) and expected.json (names and sizes). rope.json holds rotary frequencies.

    pip install -r requirements.txt && python make_model_golden.py
"""

import json
import pathlib
import shutil
import tempfile

import safetensors.torch
import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.quantizers.base import get_keys_to_not_convert

import exact_int8  # noqa: F401

HERE = pathlib.Path(__file__).resolve().parent / "models"
NEW_TOKENS = 10
# A greedy choice that rounding could turn would make a test that fails by chance.
SMALLEST_MARGIN = 1e-3

SIZES = dict(
    vocab_size=128,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)


def rope(kind, **parameters):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **parameters}}


# name: model type, what differs from SIZES, and how the files differ from what transformers 5 saves.
# "old": rope_scaling and torch_dtype as transformers 4 wrote them, with the key in legacy_type.
MODELS = {
    "llama": ("llama", {}, {}),
    "llama_llama3": (
        "llama",
        rope(
            "llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=32,
        ),
        {},
    ),
    "llama_linear": ("llama", rope("linear", factor=4.0), {"old": True, "legacy_type": True}),
    "llama_dynamic": (
        "llama",
        {**rope("dynamic", factor=3.0), "max_position_embeddings": 16},
        {"old": True},
    ),
    "llama_yarn": (
        "llama",
        rope("yarn", factor=4.0, original_max_position_embeddings=64),
        {},
    ),
    "llama_bias": ("llama", {"attention_bias": True, "mlp_bias": True}, {}),
    "mistral": ("mistral", {"head_dim": 16, "sliding_window": 8}, {"bf16": True}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}, {"bf16": True}),
    "qwen3": (
        "qwen3",
        {
            "head_dim": 16,
            "tie_word_embeddings": True,
            "use_sliding_window": True,
            "sliding_window": 6,
            "max_window_layers": 1,
        },
        {"bf16": True},
    ),
}

QUANTIZED = {
    "llama_nf4": dict(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    ),
    "llama_fp4": dict(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
    "llama_int8": dict(load_in_8bit=True),
}


def randomize(model):
    """Weights that keep activations near 1 and logits far apart; norms and biases off their usual
    1 and 0, so that one forgotten shows."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data = 1 + 0.3 * torch.randn_like(parameter)
        elif name.endswith("bias"):
            parameter.data = 0.5 * torch.randn_like(parameter)
        elif "embed_tokens" in name or "lm_head" in name:
            parameter.data = torch.randn_like(parameter)
        else:
            parameter.data = 1.2 * torch.randn_like(parameter) / parameter.shape[1] ** 0.5


def rewrite_as_version_4(folder, legacy_type):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    if legacy_type:
        parameters["type"] = parameters.pop("rope_type")
    config["rope_scaling"] = parameters
    config["torch_dtype"] = config.pop("dtype")
    file.write_text(json.dumps(config, indent=2) + "\n")


def load(folder, dtype=torch.float32):
    """A fresh model: a dynamic rotary embedding remembers what it has seen."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager"
    ).eval()


def greedy(folder, ids, **options):
    model = load(folder)
    model.generation_config = transformers.GenerationConfig(pad_token_id=0)
    out = model.generate(
        ids,
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        **options,
    )
    for step in out.logits:
        best = step.topk(2, dim=-1).values
        assert (best[:, 0] - best[:, 1]).min() > SMALLEST_MARGIN, "choose another seed"
    return out.sequences[:, ids.shape[1] :].to(torch.int32)


def expectations(folder, seed, with_batch):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, SIZES["vocab_size"], (1, 24), generator=generator)
    prompt = ids[:, :9]
    tensors = {
        "ids": ids[0].to(torch.int32),
        "logits": load(folder)(ids).logits[0].float(),
        "greedy_cache": greedy(folder, prompt, use_cache=True)[0],
        "greedy_no_cache": greedy(folder, prompt, use_cache=False)[0],
    }
    if with_batch:
        # The batch is ids[:9] and ids[4:9], the shorter one padded on the left.
        short = torch.cat([torch.zeros(1, 4, dtype=torch.long), prompt[:, 4:]], dim=1)
        mask = torch.ones(2, 9, dtype=torch.long)
        mask[1, :4] = 0
        batch = torch.cat([prompt, short])
        tensors["greedy_batch"] = greedy(folder, batch, attention_mask=mask)
    safetensors.torch.save_file(tensors, folder / "expected.safetensors")


def write_json(file, value):
    file.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def make_model(seed, name, model_type, changes, files):
    folder = HERE / name
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(model_type, **{**SIZES, **changes})
    model = transformers.AutoModelForCausalLM.from_config(config)
    randomize(model)
    model.to(torch.bfloat16 if files.get("bf16") else torch.float32).save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    if files.get("old"):
        rewrite_as_version_4(folder, files.get("legacy_type", False))
    expectations(folder, seed, with_batch=name != "llama_dynamic")
    loaded = load(folder)
    stored = load(folder, dtype="auto")
    write_json(
        folder / "expected.json",
        {
            "skip_modules": sorted(get_keys_to_not_convert(loaded)),
            "parameter_bytes": stored.get_memory_footprint(return_buffers=False),
        },
    )


def make_quantized(seed, name, options):
    folder = HERE / name
    with tempfile.TemporaryDirectory() as temporary:
        source = pathlib.Path(temporary)
        shutil.copytree(HERE / "llama", source, dirs_exist_ok=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            dtype=torch.float32,
            device_map="cpu",
            quantization_config=transformers.BitsAndBytesConfig(**options),
        )
        model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    loaded = load(folder)
    ids = torch.randint(3, 128, (1, 24), generator=torch.Generator().manual_seed(seed))
    tensors = {"ids": ids[0].to(torch.int32), "logits": loaded(ids).logits[0].float()}
    safetensors.torch.save_file(tensors, folder / "expected.safetensors")
    write_json(
        folder / "expected.json",
        {"parameter_bytes": loaded.get_memory_footprint(return_buffers=False)},
    )


def rope_case(head_dim, positions, parameters, length=None):
    config = transformers.LlamaConfig(
        head_dim=head_dim,
        max_position_embeddings=positions,
        rope_parameters={"rope_theta": 10000.0, **parameters},
    )
    kind = parameters["rope_type"]
    if kind == "default":
        base = torch.tensor(config.rope_parameters["rope_theta"])
        inv_freq, scaling = 1.0 / base ** (torch.arange(0, head_dim, 2).float() / head_dim), 1.0
    else:
        seq_len = None if length is None else torch.tensor(length)
        inv_freq, scaling = ROPE_INIT_FUNCTIONS[kind](config, None, seq_len=seq_len)
    return {
        "head_dim": head_dim,
        "max_position_embeddings": positions,
        "length": length or positions,
        "parameters": {"rope_theta": 10000.0, **parameters},
        "inv_freq": inv_freq.tolist(),
        "attention_scaling": scaling,
    }


def make_rope():
    llama3 = dict(
        rope_type="llama3",
        rope_theta=500000.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    )
    yarn = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32768)
    dynamic = dict(rope_type="dynamic", factor=2.0)
    cases = [
        rope_case(64, 2048, dict(rope_type="default")),
        rope_case(128, 32768, dict(rope_type="default", rope_theta=1000000.0)),
        rope_case(128, 4096, dict(rope_type="linear", factor=2.5)),
        rope_case(128, 4096, dynamic),
        rope_case(128, 4096, dynamic, length=4096),
        rope_case(128, 4096, dynamic, length=4097),
        rope_case(64, 4096, dynamic, length=16000),
        rope_case(128, 131072, {**llama3, "factor": 8.0}),
        rope_case(64, 131072, {**llama3, "factor": 32.0}),
        rope_case(128, 131072, {**yarn, "rope_theta": 1000000.0}),
        rope_case(64, 131072, {**yarn, "truncate": False}),
        rope_case(64, 131072, {**yarn, "attention_factor": 0.75, "beta_fast": 16.0}),
        rope_case(64, 131072, {**yarn, "mscale": 0.7, "mscale_all_dim": 0.3}),
    ]
    # One line per case: long lists of numbers are not for reading.
    text = ",\n".join(json.dumps(case, sort_keys=True) for case in cases)
    (HERE / "rope.json").write_text(f"[\n{text}\n]\n")


def main():
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    with torch.no_grad():
        for seed, (name, spec) in enumerate(MODELS.items(), start=1):
            make_model(seed, name, *spec)
        for seed, (name, options) in enumerate(QUANTIZED.items(), start=101):
            make_quantized(seed, name, options)
        make_rope()


if __name__ == "__main__":
    main()
