#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/quantization_config.json: what transformers' config classes make of the
quantization_config objects below, as AutoQuantizationConfig reads them from a config.json: the dict
that is written back, or the name of the error.

A file of HqqConfig holds what its constructor made; the flat arguments go through the constructor.
Left out: what hqq takes at first and refuses when it quantizes (group sizes below 8, bits and sizes
as floats or booleans, a null skip_modules, an empty dynamic_config).

Made with transformers 5.23.0. Run: python3 make_quantization_config_golden.py
"""

import json
import os
import pathlib
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")

from transformers import HqqConfig  # noqa: E402
from transformers.quantizers.auto import AutoQuantizationConfig  # noqa: E402

OUT = pathlib.Path(__file__).parent / "quantization_config.json"


def bnb(**fields) -> dict:
    return {"quant_method": "bitsandbytes", "load_in_4bit": True} | fields


def gptq(**fields) -> dict:
    return {"quant_method": "gptq", "bits": 4} | fields


def awq(**fields) -> dict:
    return {"quant_method": "awq"} | fields


def eetq(**fields) -> dict:
    return {"quant_method": "eetq"} | fields


def hqq(**fields) -> dict:
    return {"quant_method": "hqq"} | fields


CASES = [
    {},
    {"quant_method": None},
    {"quant_method": "unheard-of"},
    {"load_in_8bit": False, "load_in_4bit": False},
    {"load_in_8bit": True},
    {"load_in_4bit": True, "quant_method": "gptq"},
    {"load_in_8bit": "yes"},
    {"load_in_4bit": 1},
    {"load_in_8bit": True, "load_in_4bit": True},
    bnb(),
    bnb(_load_in_4bit=False, _load_in_8bit=True),
    bnb(unknown_key=[1, 2]),
    bnb(bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    bnb(bnb_4bit_quant_type="int3"),
    bnb(bnb_4bit_quant_type=4),
    bnb(bnb_4bit_quant_type=None),
    bnb(bnb_4bit_compute_dtype="bfloat16", bnb_4bit_quant_storage="float16"),
    bnb(bnb_4bit_compute_dtype=None, bnb_4bit_quant_storage=None),
    bnb(bnb_4bit_compute_dtype=16),
    bnb(bnb_4bit_quant_storage="int64"),
    bnb(bnb_4bit_quant_storage=8),
    bnb(bnb_4bit_use_double_quant=1),
    bnb(llm_int8_threshold=6),
    bnb(llm_int8_threshold=0.0),
    bnb(llm_int8_threshold="6"),
    bnb(llm_int8_skip_modules=[]),
    bnb(llm_int8_skip_modules=["lm_head", "model.layers.(0|1)"]),
    bnb(llm_int8_skip_modules="lm_head"),
    bnb(llm_int8_enable_fp32_cpu_offload=True, llm_int8_has_fp16_weight=True),
    bnb(llm_int8_enable_fp32_cpu_offload=0),
    bnb(llm_int8_has_fp16_weight=None),
    {"quant_method": "gptq"},
    gptq(),
    *[gptq(bits=bits) for bits in (1, 2, 3, 5, 8, 16, "4")],
    *[gptq(group_size=size) for size in (-1, 0, -2, 1, 32)],
    *[gptq(damp_percent=damp) for damp in (0, 0.0, 1.0, 0.01, 0.999, -0.1)],
    gptq(desc_act=True),
    gptq(desc_act=True, act_group_aware=True),
    gptq(act_group_aware=False),
    *[gptq(dataset=name) for name in ("wikitext2", "c4", "c4-new", "ptb", 7, ["a", "b"], None)],
    gptq(checkpoint_format="GPTQ_v2"),
    gptq(format="gptq_v2"),
    gptq(format="gptq_v2", checkpoint_format="gptq"),
    gptq(backend="MARLIN", sym=False, true_sequential=False, tokenizer="name", batch_size=4),
    gptq(meta={"quantizer": ["optimum:1.2", "gptqmodel:4"], "a": {"z": 1, "b": None}}),
    gptq(model_seqlen=2048, max_input_length=4096, pad_token_id=0, cache_block_outputs=False),
    gptq(block_name_to_quantize="model.layers",
         module_name_preceding_first_block=["model.embed_tokens"]),
    gptq(use_exllama=True, exllama_config={"version": 1}, use_cuda_fp16=False),
    gptq(static_groups=False, model_name_or_path=None, model_file_base_name="model"),
    awq(),
    awq(version="GEMV", zero_point=False, bits=8, group_size=-1),
    awq(version=None, format="gemv_fast"),
    awq(backend="autoawq"),
    awq(backend="llm-awq"),
    awq(backend="exllama_v2"),
    awq(backend="nothing"),
    awq(modules_to_not_convert=["visual", "lm_head"]),
    awq(modules_to_not_convert=None, do_fuse=False, fuse_max_seq_len=None, modules_to_fuse=None,
        exllama_config=None),
    eetq(),
    eetq(weights="int4"),
    eetq(modules_to_not_convert=["lm_head"]),
    eetq(modules_to_not_convert=[], more=1),
    hqq(),
    *[hqq(nbits=bits) for bits in (1, 1.58, 2, 3, 4, 5, 6, 7, 8, 16, 0, "4", None)],
    *[hqq(group_size=size) for size in (8, 12, 32, 64, 128, 4, 1, None, "64")],
    *[hqq(axis=axis) for axis in (0, 1, 2, -1, None, "0")],
    hqq(view_as_float=True),
    hqq(nbits=3, group_size=128, axis=0, view_as_float=True, skip_modules=[]),
    hqq(skip_modules=["lm_head", "mlp.gate_proj"]),
    hqq(unknown_key=1),
    *[hqq(dynamic_config={"self_attn.q_proj": one, "mlp.up_proj": {"nbits": 4}})
      for one in ({}, {"nbits": 2, "group_size": 32}, {"axis": 0, "view_as_float": True},
                  {"nbits": 7}, {"group_size": 12}, {"group_size": None}, {"bits": 4},
                  {"quant_zero": False, "quant_scale": False, "offload_meta": False})],
    hqq(dynamic_config=4),
    hqq(dynamic_config={"self_attn.q_proj": 4}),
]


def record(fields: dict) -> dict:
    try:
        if fields.get("quant_method") == "hqq":
            config = HqqConfig(**{key: value for key, value in fields.items() if key != "quant_method"})
            config = AutoQuantizationConfig.from_dict(config.to_dict())
        else:
            config = AutoQuantizationConfig.from_dict(dict(fields))
    except (ValueError, TypeError, AttributeError, AssertionError) as error:
        return {"input": fields, "error": type(error).__name__}
    return {"input": fields, "output": json.loads(config.to_json_string(use_diff=False))}


def main() -> None:
    rows = ",\n".join(json.dumps(record(case), sort_keys=True) for case in CASES)
    OUT.write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    main()
