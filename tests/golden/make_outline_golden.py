#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/outline_v5.json: what transformers says of models that it builds on the meta
device, from their configs alone. Per model: the number of parameters and the bytes of
get_memory_footprint() in float16, in 8 bits and in 4 (nf4), the automatic skip list, how many
modules are converted, and a hash of all parameter names and shapes in their order.

Linear layers are replaced by replace_with_bnb_linear() itself; the 4-bit weights, which are packed
only when they reach a device, are given their packed shape here.

Made with transformers 5.23.0, bitsandbytes 0.50.2, torch 2.15.0. Run: python3 make_outline_golden.py

With --release-4 FOLDER it writes outline_v4.json instead, with the transformers 4.46.3 that was
unpacked into FOLDER:
  pip download --no-deps transformers==4.46.3 && python3 -m zipfile -e transformers-*.whl FOLDER
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import sys
import warnings

OUT = pathlib.Path(__file__).parent
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")

GELU = {"hidden_act": "gelu"}


def model(model_type: str, architecture: str | None = None, /, **fields) -> dict:
    config = {"model_type": model_type}
    if architecture:
        config["architectures"] = [architecture]
    return config | fields


def opt(hidden: int, layers: int, heads: int, **more) -> dict:
    sizes = dict(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads)
    return model("opt", "OPTForCausalLM", **sizes, ffn_dim=4 * hidden, **more)


def bloom(hidden: int, layers: int, heads: int, architecture: str = "BloomForCausalLM") -> dict:
    return model("bloom", architecture, hidden_size=hidden, n_layer=layers, n_head=heads)


TINY = dict(vocab_size=96, hidden_size=64, intermediate_size=112, num_hidden_layers=3,
            num_attention_heads=4)
TINY_KV = TINY | {"num_key_value_heads": 2}
TINY_GPT = dict(vocab_size=96, n_embd=64, n_layer=3, n_head=4)
TEXT_OPT = dict(model_type="opt", hidden_size=2560, num_hidden_layers=32, num_attention_heads=32,
                ffn_dim=10240, word_embed_proj_dim=2560)
TEXT_T5 = dict(model_type="t5", d_model=64, d_ff=96, num_layers=2, num_heads=4, vocab_size=100)
TINY_LLAMA = dict(vocab_size=32000, hidden_size=2048, intermediate_size=5632,
                  num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4)

# Models under their published sizes, by the names that tables of results use.
PUBLISHED = {
    "bloom-560m": bloom(1024, 24, 16),
    "bloom-1b7": bloom(2048, 24, 16),
    "gpt2": model("gpt2", "GPT2LMHeadModel"),
    "gpt2-xl": model("gpt2", "GPT2LMHeadModel", n_embd=1600, n_layer=48, n_head=25),
    "TinyLlama-1.1B": model("llama", "LlamaForCausalLM", **TINY_LLAMA),
    "opt-125m": opt(768, 12, 12),
    "opt-350m": opt(1024, 24, 16, word_embed_proj_dim=512, do_layer_norm_before=False),
    "Llama-2-7b": model("llama", "LlamaForCausalLM"),
    "Llama-3.2-1B": model(
        "llama", "LlamaForCausalLM", vocab_size=128256, hidden_size=2048, intermediate_size=8192,
        num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
        tie_word_embeddings=True, head_dim=64),
    "Mistral-7B": model("mistral", "MistralForCausalLM"),
    "Mixtral-8x7B": model("mixtral", "MixtralForCausalLM"),
    "Qwen2-0.5B": model(
        "qwen2", "Qwen2ForCausalLM", hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True),
    "Qwen3-0.6B": model(
        "qwen3", "Qwen3ForCausalLM", hidden_size=1024, intermediate_size=3072,
        num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8, head_dim=128,
        tie_word_embeddings=True),
    "gemma-2b": model(
        "gemma", "GemmaForCausalLM", hidden_size=2048, intermediate_size=16384,
        num_hidden_layers=18, num_attention_heads=8, num_key_value_heads=1),
    "gemma-2-2b": model(
        "gemma2", "Gemma2ForCausalLM", hidden_size=2304, intermediate_size=9216,
        num_hidden_layers=26, num_attention_heads=8, num_key_value_heads=4, head_dim=256),
    "gemma-3-1b": model(
        "gemma3_text", "Gemma3ForCausalLM", vocab_size=262144, hidden_size=1152,
        intermediate_size=6912, num_hidden_layers=26, num_attention_heads=4,
        num_key_value_heads=1),
    "phi-2": model(
        "phi", "PhiForCausalLM", hidden_size=2560, intermediate_size=10240, num_hidden_layers=32,
        num_attention_heads=32, partial_rotary_factor=0.4),
    "Phi-3-mini": model("phi3", "Phi3ForCausalLM"),
    "gpt-neo-125m": model(
        "gpt_neo", "GPTNeoForCausalLM", hidden_size=768, num_layers=12, num_heads=12,
        attention_types=[[["global", "local"], 6]]),
    "pythia-160m": model(
        "gpt_neox", "GPTNeoXForCausalLM", vocab_size=50304, hidden_size=768,
        intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
    "gpt-j-6b": model("gptj", "GPTJForCausalLM"),
    "starcoderbase-1b": model(
        "gpt_bigcode", "GPTBigCodeForCausalLM", vocab_size=49152, n_embd=2048, n_layer=24,
        n_head=16, n_inner=8192, n_positions=8192),
    "falcon-7b": model("falcon", "FalconForCausalLM"),
    "falcon-40b": model(
        "falcon", "FalconForCausalLM", hidden_size=8192, num_hidden_layers=60,
        num_attention_heads=128, num_kv_heads=8, new_decoder_architecture=True),
    "mpt-7b": model("mpt", "MptForCausalLM", d_model=4096, n_heads=32, n_layers=32,
                    vocab_size=50432),
    "t5-small": model("t5", "T5ForConditionalGeneration"),
    "flan-t5-base": model(
        "t5", "T5ForConditionalGeneration", d_model=768, d_ff=2048, num_layers=12, num_heads=12,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "bert-base": model("bert", "BertForMaskedLM"),
    "roberta-base": model(
        "roberta", "RobertaForMaskedLM", max_position_embeddings=514, type_vocab_size=1),
    "whisper-tiny": model("whisper", "WhisperForConditionalGeneration"),
    "vit-base": model("vit", "ViTForImageClassification",
                      id2label={str(i): str(i) for i in range(10)}),
    "clip-vit-base-patch32": model("clip", "CLIPModel"),
    "blip2-opt-2.7b": model("blip-2", "Blip2ForConditionalGeneration", text_config=TEXT_OPT),
}

# Other classes and the switches of each family, small.
SMALL = {
    "llama body": model("llama", "LlamaModel", **TINY_KV),
    "llama classifier": model("llama", "LlamaForSequenceClassification", **TINY_KV),
    "llama tagger": model("llama", "LlamaForTokenClassification", **TINY_KV),
    "llama biases": model("llama", "LlamaForCausalLM", **TINY_KV, attention_bias=True,
                          mlp_bias=True, tie_word_embeddings=True),
    "mistral head_dim": model("mistral", "MistralForCausalLM", **TINY_KV, head_dim=24),
    "qwen3 bias": model("qwen3", "Qwen3ForCausalLM", **TINY_KV, attention_bias=True, head_dim=32),
    "qwen2 classifier": model("qwen2", "Qwen2ForSequenceClassification", **TINY_KV),
    "mixtral experts": model("mixtral", "MixtralForCausalLM", **TINY_KV, num_local_experts=3,
                             max_position_embeddings=64),
    "gemma bias": model("gemma", "GemmaForCausalLM", **TINY_KV, head_dim=16, attention_bias=True),
    "gemma3 with full layers": model("gemma3_text", "Gemma3ForCausalLM", **TINY_KV, head_dim=16,
                                     layer_types=["sliding_attention", "full_attention",
                                                  "sliding_attention"]),
    "phi norms": model("phi", "PhiForCausalLM", **TINY_KV, qk_layernorm=True),
    "phi tied": model("phi", "PhiForCausalLM", **TINY, tie_word_embeddings=True),
    "phi3 grouped": model("phi3", "Phi3ForCausalLM", **TINY_KV, pad_token_id=0,
                          tie_word_embeddings=True),
    "opt no bias": opt(64, 3, 4, vocab_size=96, enable_bias=False,
                       layer_norm_elementwise_affine=False, word_embed_proj_dim=64),
    "opt classifier": model("opt", "OPTForSequenceClassification", hidden_size=64,
                            num_hidden_layers=2, ffn_dim=96, num_attention_heads=4,
                            word_embed_proj_dim=64),
    "bloom body": bloom(64, 3, 4, "BloomModel"),
    "bloom classifier": bloom(64, 3, 4, "BloomForSequenceClassification"),
    "gpt2 classifier": model("gpt2", "GPT2ForSequenceClassification", **TINY_GPT, num_labels=5),
    "gpt2 odd": model("gpt2", "GPT2LMHeadModel", vocab_size=97, n_embd=63, n_layer=2, n_head=3,
                      n_inner=65),
    "bigcode multi-head": model("gpt_bigcode", "GPTBigCodeForCausalLM", **TINY_GPT,
                                multi_query=False),
    "neox no bias": model("gpt_neox", "GPTNeoXForCausalLM", **TINY, attention_bias=False,
                          rotary_pct=0.5),
    "gptj all rotary": model("gptj", "GPTJForCausalLM", **TINY_GPT, rotary_dim=16, n_positions=32),
    "falcon alibi": model("falcon", "FalconForCausalLM", vocab_size=96, hidden_size=64,
                          num_hidden_layers=2, num_attention_heads=4, alibi=True, bias=True,
                          parallel_attn=False, multi_query=False),
    "falcon one norm": model("falcon", "FalconForCausalLM", vocab_size=96, hidden_size=64,
                             num_hidden_layers=2, num_attention_heads=4, num_kv_heads=2,
                             new_decoder_architecture=True, num_ln_in_parallel_attn=1,
                             ffn_hidden_size=80),
    "t5 encoder": model("t5", "T5EncoderModel", d_model=64, d_ff=96, num_layers=2, num_heads=4),
    "t5 body": model("t5", "T5Model", d_model=64, d_ff=96, num_layers=2, num_decoder_layers=3,
                     num_heads=4),
    "bert body": model("bert", "BertModel", **TINY),
    "bert classifier": model("bert", "BertForSequenceClassification", **TINY, num_labels=4),
    "bert tagger": model("bert", "BertForTokenClassification", **TINY),
    "bert answers": model("bert", "BertForQuestionAnswering", **TINY),
    "roberta body": model("roberta", "RobertaModel", **TINY),
    "roberta classifier": model("roberta", "RobertaForSequenceClassification", **TINY),
    "whisper body": model("whisper", "WhisperModel", d_model=64, encoder_layers=2,
                          decoder_layers=3, encoder_ffn_dim=96, decoder_ffn_dim=80,
                          encoder_attention_heads=4, decoder_attention_heads=4,
                          num_mel_bins=20),
    "vit body": model("vit", "ViTModel", hidden_size=64, intermediate_size=96,
                      num_hidden_layers=2, num_attention_heads=4, qkv_bias=False, image_size=32,
                      patch_size=8, num_channels=1),
    "clip small": model(
        "clip", "CLIPModel", projection_dim=48,
        text_config=dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                         num_attention_heads=4, vocab_size=90, max_position_embeddings=16),
        vision_config=dict(hidden_size=40, intermediate_size=56, num_hidden_layers=2,
                           num_attention_heads=4, image_size=32, patch_size=8)),
    "blip2 with t5": model(
        "blip-2", "Blip2ForConditionalGeneration", text_config=TEXT_T5, num_query_tokens=8,
        vision_config=dict(hidden_size=40, intermediate_size=56, num_hidden_layers=2,
                           num_attention_heads=4, image_size=28, patch_size=14),
        qformer_config=dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
                            intermediate_size=48, encoder_hidden_size=40)),
}

# Lists that a user can give, matched against a model of the two above.
LISTS = {
    "none": ("llama body", []),
    "leaf and path": ("llama biases", ["q_proj", "model.layers.1.mlp"]),
    "a number is no prefix": ("bloom-560m", ["transformer.h.1", "lm_head"]),
    "two components": ("gpt2", ["mlp.c_proj", "lm_head"]),
    "patterns": ("opt-350m", [r"model.decoder.layers.\d\.", ".*fc[12]", "lm_head"]),
    "alternatives": ("TinyLlama-1.1B", ["model.layers.(0|21)", "head$"]),
    "the end of a name": ("phi-2", ["proj", "model.layers.3.self_attn.dens"]),
}

FNV = 0xCBF29CE484222325


def fnv1a(text: str) -> str:
    value = FNV
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def use_release_4(folder: str) -> None:
    """That release refuses newer libraries, of which nothing is used here."""
    sys.path.insert(0, folder)
    import huggingface_hub

    old = {"tokenizers": "0.20.3", "huggingface-hub": "0.26.0", "transformers": "4.46.3"}
    version = importlib.metadata.version
    importlib.metadata.version = lambda name: old.get(name) or version(name)
    for name in ("HfFolder", "Repository", "cached_download"):
        if not hasattr(huggingface_hub, name):
            setattr(huggingface_hub, name, object)


class Recorder:
    def __init__(self, release: int) -> None:
        import torch
        import transformers

        self.release, self.torch, self.transformers = release, torch, transformers

    def build(self, fields: dict):
        fields = dict(fields)
        (architecture,) = fields.pop("architectures", [None])
        config = self.transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
        cls = getattr(self.transformers, architecture)
        half = self.torch.float16
        kind = {"dtype": half} if self.release == 5 else {"torch_dtype": half}
        with self.torch.device("meta"):
            built = cls._from_config(config, **kind)
        built.tie_weights()
        return built

    def keep_fp32(self, built) -> None:
        """As loading does for the modules that a class keeps in float32."""
        if self.release == 5:
            from transformers.core_model_loading import build_glob_alternation

            plan = built._get_dtype_plan(self.torch.float16)
            if not plan:
                return
            pattern = build_glob_alternation(list(plan))[0]
            kept = lambda name: pattern.search(name)
        else:
            names = built._keep_in_fp32_modules or []
            kept = lambda name: any(part in name.split(".") for part in names)
        for name, parameter in built.named_parameters():
            if kept(name):
                parameter.data = parameter.data.float()

    def automatic(self, built) -> list[str]:
        if self.release == 5:
            from transformers.quantizers.base import get_keys_to_not_convert
        else:
            from transformers.integrations.bitsandbytes import get_keys_to_not_convert
        return sorted(set(get_keys_to_not_convert(built)))

    def convert(self, built, bits: int, skip: list[str]) -> int:
        import bitsandbytes as bnb
        from transformers import BitsAndBytesConfig
        from transformers.integrations import replace_with_bnb_linear

        flag = {"load_in_8bit": True} if bits == 8 else {"load_in_4bit": True}
        config = BitsAndBytesConfig(**flag, bnb_4bit_quant_type="nf4")
        skip = skip + list(built._keep_in_fp32_modules or [])
        more = {"pre_quantized": True} if self.release == 5 else {}
        # Release 4 wants lists that are not empty.
        replace_with_bnb_linear(built, modules_to_not_convert=skip or ["-"],
                                quantization_config=config, **more)
        converted = 0
        for module in built.modules():
            if isinstance(module, bnb.nn.Linear8bitLt):
                module.weight.data = module.weight.data.to(self.torch.int8)
            elif isinstance(module, bnb.nn.Linear4bit):
                packed = self.torch.empty(((module.weight.numel() + 1) // 2, 1),
                                          dtype=self.torch.uint8, device="meta")
                module.weight = bnb.nn.Params4bit(packed, requires_grad=False)
            else:
                continue
            converted += 1
            if module.bias is not None:  # of the dtype of the rest
                module.bias.data = module.bias.data.to(self.torch.float16)
        built.is_loaded_in_4bit = bits == 4
        built.tie_weights()
        return converted

    def record(self, fields: dict) -> dict:
        built = self.build(fields)
        self.keep_fp32(built)
        names = "".join(f"{name} {list(p.shape)}\n" for name, p in built.named_parameters())
        skip = self.automatic(built)
        result = {
            "config": fields,
            "parameters": built.num_parameters(),
            "float16": built.get_memory_footprint(),
            "names": fnv1a(names),
            "skip": skip,
        }
        for bits in (8, 4):
            built = self.build(fields)
            self.keep_fp32(built)
            result["converted"] = self.convert(built, bits, skip)
            result[f"parameters_{bits}bit"] = built.num_parameters()
            result[f"{bits}bit"] = built.get_memory_footprint()
        return result

    def match(self, fields: dict, entries: list[str]) -> dict:
        """Which modules are converted under this list."""
        import bitsandbytes as bnb

        built = self.build(fields)
        self.convert(built, 8, entries)
        # A tied head may have been replaced, and then holds the weight of the embedding again.
        names = [n for n, m in built.named_modules() if isinstance(getattr(m, "weight", None),
                                                                   bnb.nn.Int8Params)]
        return {"entries": entries, "converted": len(names), "names": fnv1a("\n".join(names))}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--release-4", metavar="FOLDER")
    folder = parser.parse_args().release_4
    if folder:
        use_release_4(folder)
    recorder = Recorder(4 if folder else 5)
    models, lists = {}, {}
    unknown = ("qwen3", "gemma3_text", "vit") if folder else ()
    for name, fields in (PUBLISHED | SMALL).items():
        if fields["model_type"] not in unknown:
            models[name] = recorder.record(fields)
    for name, (of, entries) in LISTS.items():
        lists[name] = {"model": of} | recorder.match((PUBLISHED | SMALL)[of], entries)
    path = OUT / f"outline_v{recorder.release}.json"
    rows = [f" {json.dumps(name)}: {json.dumps(row)}" for name, row in models.items()]
    path.write_text('{"models": {\n' + ",\n".join(rows) + '\n},\n"lists": '
                    + json.dumps(lists) + "}\n")


if __name__ == "__main__":
    main()
