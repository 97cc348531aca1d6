# SPDX-License-Identifier: Apache-2.0
"""Importing this corrects a constant in bitsandbytes.

Its own CPU kernel has 6.200124e-05 for 1 / 127^2 = 6.2000124e-05, which its CUDA kernels have. So
small a difference turns the rounding of later activations, and logits by 0.2.
"""

import bitsandbytes  # noqa: F401  (defines the op)
import torch
from torch import library


@library.register_kernel("bitsandbytes::int8_mm_dequant", "cpu")
def int8_mm_dequant(A, row_stats, col_stats, dtype=None, bias=None):
    out = A.view(-1, A.shape[-1]) * (row_stats.reshape(-1, 1) * col_stats.reshape(1, -1)) / 16129
    return (out if bias is None else out + bias).to(dtype or torch.float16)
