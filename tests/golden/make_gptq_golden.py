#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes gptq.safetensors and gptq.json beside this file: codes, scales and zeros that GPTQ (arXiv
2210.17323, algorithm 1) chooses, by an implementation of its own in float64. Groups take their
scale from weights that the current block of 128 columns has not corrected, as the paper's code does.

    pip install -r requirements.txt && python make_gptq_golden.py
"""

import json
import pathlib

import numpy as np
import safetensors.numpy

HERE = pathlib.Path(__file__).resolve().parent
ROWS, COLS, TOKENS, BLOCK = 8, 160, 48, 128


def grid(group, bits, sym):
    """Scale and zero of each row of [rows, group]."""
    low, high = np.minimum(group.min(1), 0), np.maximum(group.max(1), 0)
    if sym:
        high = np.maximum(-low, high)
        low = np.where(low < 0, -high, low)
    scale = (high - low) / (2**bits - 1)
    zero = np.full(len(group), 2.0 ** (bits - 1)) if sym else np.rint(-low / scale)
    return scale, zero


def gptq(weight, inputs, bits, group, sym, desc_act, static, damp):
    w = weight.astype(np.float64)
    h = 2 / TOKENS * inputs.T @ inputs
    dead = np.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    static_grids = [grid(w[:, g : g + group], bits, sym) for g in range(0, COLS, group)]
    order = np.argsort(-np.diag(h), kind="stable") if desc_act else np.arange(COLS)
    w, h = w[:, order], h[np.ix_(order, order)]
    h += damp * np.mean(np.diag(h)) * np.eye(COLS)
    factor = np.linalg.cholesky(np.linalg.inv(h)).T
    codes, grids = np.zeros((ROWS, COLS), np.uint8), list(static_grids)
    for begin in range(0, COLS, BLOCK):
        end = min(begin + BLOCK, COLS)
        block, errors = w[:, begin:end].copy(), np.zeros((ROWS, end - begin))
        for k in range(begin, end):
            at = (order[k] if static else k) // group
            if not static and k % group == 0:
                grids[at] = grid(w[:, k : k + group], bits, sym)
            scale, zero = grids[at]
            column = block[:, k - begin]
            code = np.clip(np.rint(column / scale) + zero, 0, 2**bits - 1)
            errors[:, k - begin] = (column - scale * (code - zero)) / factor[k, k]
            block[:, k - begin :] -= np.outer(errors[:, k - begin], factor[k, k:end])
            codes[:, order[k]] = code
        w[:, end:] -= errors @ factor[begin:end, end:]
    scales, zeros = (np.stack(part, 1).astype(np.float32) for part in zip(*grids))
    return codes, scales.astype(np.float16), zeros.astype(np.uint8)


def main():
    rng = np.random.default_rng(20266)
    weight = (rng.standard_normal((ROWS, COLS)) * 0.05).astype(np.float16)
    weight[2, 32:64] = np.abs(weight[2, 32:64])  # a group without negative weights
    mixing = rng.standard_normal((COLS, COLS)) * 0.15 + np.eye(COLS)
    inputs = np.clip(np.rint(rng.standard_normal((TOKENS, COLS)) @ mixing * 16), -127, 127).astype(np.int8)
    inputs[:, 5] = 0  # a dead column
    tensors, cases = {"weight": weight, "inputs": inputs}, []
    for bits, group, sym, desc_act, static in (
        (4, 32, False, False, False),
        (4, 32, True, False, False),
        (3, 32, False, True, False),
        (4, 32, True, True, True),
        (2, 160, False, False, False),
        (8, 32, False, True, True),
    ):
        case = {"bits": bits, "group_size": group, "sym": sym, "desc_act": desc_act, "static_groups": static}
        case["damp_percent"] = 0.01
        name = str(len(cases))
        result = gptq(weight, inputs / 16.0, bits, group, sym, desc_act, static, case["damp_percent"])
        tensors |= {f"{name}.{part}": value for part, value in zip(("codes", "scales", "zeros"), result)}
        cases.append({"name": name} | case)
    safetensors.numpy.save_file(tensors, HERE / "gptq.safetensors")
    (HERE / "gptq.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
