# SPDX-License-Identifier: Apache-2.0
"""Small models that transformers makes and saves, one per architecture that nibble runs."""

import tokenizers
import torch
import transformers

SIZES = dict(
    vocab_size=384,
    hidden_size=128,
    intermediate_size=200,  # 200 * 128 is no multiple of 4096; rows of 200 straddle blocks of 64
    num_hidden_layers=2,
    num_attention_heads=8,
    num_key_value_heads=2,
    max_position_embeddings=512,
    bos_token_id=1,
    eos_token_id=None,  # greedy runs have their full length
    pad_token_id=0,
)

# name: model type, what differs from SIZES, dtype of the file.
MODELS = {
    "llama": ("llama", {}, torch.float32),
    "llama-bias": ("llama", {"attention_bias": True, "mlp_bias": True}, torch.float16),
    "mistral": ("mistral", {"head_dim": 32, "sliding_window": 16}, torch.bfloat16),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}, torch.bfloat16),
    "qwen3": ("qwen3", {"head_dim": 32, "tie_word_embeddings": True}, torch.float32),
}


def randomize(model):
    """Activations near 1 and logits far apart, so that no greedy choice hangs on rounding; a few
    large input columns, so that LLM.int8() meets outliers."""
    for name, parameter in model.named_parameters():
        values = torch.randn_like(parameter)
        if "norm" in name:
            values = 1 + 0.2 * values
            values[..., 3] *= 8
        elif parameter.dim() == 2 and "embed_tokens" not in name and "lm_head" not in name:
            values *= 1.2 / parameter.shape[1] ** 0.5
        parameter.data = values.to(parameter.dtype)


def make(name, folder, **sizes):
    """Writes MODELS[name] to `folder`, with these sizes in place of SIZES'."""
    model_type, changes, dtype = MODELS[name]
    torch.manual_seed(sum(name.encode()))
    config = transformers.AutoConfig.for_model(model_type, **{**SIZES, **changes, **sizes})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    randomize(model)
    model.save_pretrained(folder)
    return folder


def add_tokenizer(folder):
    """A word for every id: "w7" is 7."""
    words = {f"w{i}": i for i in range(SIZES["vocab_size"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="w0", pad_token="w0", bos_token="w1"
    ).save_pretrained(folder)
