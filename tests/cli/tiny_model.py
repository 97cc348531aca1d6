# SPDX-License-Identifier: Apache-2.0
"""Writes model folders for the tests of the program, with the standard library only."""

import json
import random
import struct
from pathlib import Path

VOCABULARY = ["<unk>", "<s>", "</s>"] + [chr(c) for c in range(32, 125)]

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def config(context=256, hidden=64, layers=2, **changes):
    values = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(VOCABULARY),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": hidden // 4,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": "float32",
    }
    return values | changes


def shapes(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    result = {"model.embed_tokens.weight": [config["vocab_size"], hidden]}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        result |= {
            prefix + "input_layernorm.weight": [hidden],
            prefix + "mlp.down_proj.weight": [hidden, inner],
            prefix + "mlp.gate_proj.weight": [inner, hidden],
            prefix + "mlp.up_proj.weight": [inner, hidden],
            prefix + "post_attention_layernorm.weight": [hidden],
            prefix + "self_attn.k_proj.weight": [kv, hidden],
            prefix + "self_attn.o_proj.weight": [hidden, hidden],
            prefix + "self_attn.q_proj.weight": [hidden, hidden],
            prefix + "self_attn.v_proj.weight": [kv, hidden],
        }
    return result | {"model.norm.weight": [hidden]}


def tokenizer():
    special = [
        {"id": i, "content": VOCABULARY[i], "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for i in range(3)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>",
            "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(VOCABULARY)}, "merges": [],
        },
    }


def numbers(shape, rng):
    """Float32 bytes of one tensor: norms near 1, matrices that keep activations near 1."""
    count = 1
    for size in shape:
        count *= size
    mean, deviation = (1.0, 0.1) if len(shape) == 1 else (0.0, 1.5 / shape[1] ** 0.5)
    return struct.pack(f"<{count}f", *(rng.gauss(mean, deviation) for _ in range(count)))


def write_header(file, tensor_shapes):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensor_shapes):
        size = 4
        for dim in tensor_shapes[name]:
            size *= dim
        header[name] = {"dtype": "F32", "shape": tensor_shapes[name],
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    return offset


def write_model(folder, seed=1, zeros=False, **changes):
    """A whole model folder. `zeros`: weights as a hole in the file, for big models."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    settings = config(**changes)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer()))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "chat_template": CHAT_TEMPLATE}))
    rng = random.Random(seed)
    tensor_shapes = shapes(settings)
    with open(folder / "model.safetensors", "wb") as file:
        size = write_header(file, tensor_shapes)
        if zeros:
            file.truncate(file.tell() + size)
        else:
            for name in sorted(tensor_shapes):
                file.write(numbers(tensor_shapes[name], rng))
    return folder
