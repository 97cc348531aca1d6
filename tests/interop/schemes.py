# SPDX-License-Identifier: Apache-2.0
"""Each packing under both names, and how closely the two engines must agree on it."""

import torch
import transformers


class Scheme:
    def __init__(self, name, options, tolerance, **config):
        self.name = name
        self.options = options  # of `nibble quantize`
        self.tolerance = tolerance  # of logits, as a share of the largest
        self.config = transformers.BitsAndBytesConfig(**config)


# Float arithmetic in another order of summation: 1e-6 is usual.
FLOAT = 2e-5
# Activations are rounded: a sum that differs in its last bit can turn an int8 code, by one step in
# 127. As a rule none turns, and the difference is that of FLOAT.
INT8 = 2e-2

_FOUR = dict(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
_NF4 = dict(_FOUR, bnb_4bit_quant_type="nf4")
_FP4 = dict(_FOUR, bnb_4bit_quant_type="fp4")
_DOUBLE = dict(bnb_4bit_use_double_quant=True)

SCHEMES = [
    Scheme("int8", ["--scheme", "int8"], INT8, load_in_8bit=True),
    Scheme("nf4", ["--scheme", "nf4"], FLOAT, **_NF4),
    Scheme("nf4 double", ["--scheme", "nf4", "--double-quant"], FLOAT, **_NF4, **_DOUBLE),
    Scheme("fp4", ["--scheme", "fp4"], FLOAT, **_FP4),
    Scheme("fp4 double", ["--scheme", "fp4", "--double-quant"], FLOAT, **_FP4, **_DOUBLE),
]
