#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a Llama checkpoint (a Hugging Face folder) as a GGUF file of float16 matrices without a
tokenizer, which is all that measuring speed needs.

    python benchmarks/peers/write_gguf.py FOLDER OUT.gguf
"""
import json
import pathlib
import sys

import gguf
import torch
from safetensors import safe_open

# The part of a layer's tensor name, in Hugging Face's folder and in GGUF.
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name):
    stem = name.removesuffix(".weight")
    if stem in TOP:
        return TOP[stem] + ".weight"
    _, _, index, part = stem.split(".", 3)  # model.layers.3.mlp.up_proj
    return f"blk.{index}.{LAYER[part]}.weight"


def interleaved(tensor, heads):
    """Rows of q and k in the order that GGUF's llama rotates them in: halves become pairs."""
    rows, cols = tensor.shape
    return tensor.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def converted(name, tensor, config):
    heads = config["num_attention_heads"]
    if name.endswith("q_proj.weight"):
        tensor = interleaved(tensor, heads)
    elif name.endswith("k_proj.weight"):
        tensor = interleaved(tensor, config.get("num_key_value_heads", heads))
    dtype = torch.float16 if tensor.ndim == 2 else torch.float32  # norms stay float32
    return tensor.to(dtype).contiguous().numpy()


def write(folder, out):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if config["model_type"] != "llama" or config.get("rope_scaling"):
        sys.exit(f"{folder}: only model_type llama without rope_scaling")
    heads = config["num_attention_heads"]
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_rope_dimension_count(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                writer.add_tensor(gguf_name(name), converted(name, file.get_tensor(name), config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write(sys.argv[1], sys.argv[2])
