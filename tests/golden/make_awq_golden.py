#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes awq.json beside this file: scales, ranges and codes that AWQ (arXiv 2306.00978) finds for
two small matrices with the same inputs, by an implementation of its own in float64 that runs all
inputs through all candidates, with the settings of AutoAWQ 0.2.9.

    pip install -r requirements.txt && python make_awq_golden.py
"""

import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ROWS, COLS, TOKENS, LAST = (10, 6), 24, 20, 15  # LAST: the largest code


def rounded(weight, group):
    """What the codes of [rows, cols] decode to, and the codes."""
    parts = weight.reshape(len(weight), -1, group)
    low = np.minimum(parts.min(2, keepdims=True), 0)
    high = np.maximum(parts.max(2, keepdims=True), 0)
    scale = (np.maximum(high - low, 1e-5) / LAST).astype(np.float16).astype(np.float64)
    zero = np.clip(np.rint(-low / scale), 0, LAST)
    codes = np.clip(np.rint(parts / scale) + zero, 0, LAST)
    return (scale * (codes - zero)).reshape(weight.shape), codes.reshape(weight.shape)


def search(inputs, weight, group):
    x = np.abs(inputs).mean(0)
    parts = np.abs(weight).reshape(len(weight), -1, group)
    w = (parts / (parts.max(2, keepdims=True) + 1e-6)).reshape(weight.shape).mean(0)
    best = None
    for step in range(20):
        ratio = step / 20
        scales = np.maximum(x**ratio / (w ** (1 - ratio) + 1e-4), 1e-4)
        scales /= np.sqrt(scales.max() * scales.min())
        loss = np.mean((inputs @ (rounded(weight * scales, group)[0] / scales - weight).T) ** 2)
        if best is None or loss < best[0]:
            best = loss, ratio, scales
    return best[1:]


def clipped(inputs, weight, group):
    out = weight.copy()
    for row in out:
        for first in range(0, COLS, group):
            own, seen = row[first : first + group], inputs[:, first : first + group]
            losses = []
            for step in range(10):
                limit = np.abs(own).max() * (1 - step / 20)
                decoded = rounded(np.clip(own, -limit, limit)[None], group)[0][0]
                losses.append(np.mean((seen @ (decoded - own)) ** 2))
            limit = np.abs(own).max() * (1 - int(np.argmin(losses)) / 20)
            row[first : first + group] = np.clip(own, -limit, limit)
    return out


def main():
    random = np.random.default_rng(1)
    inputs = random.normal(size=(TOKENS, COLS)) * 24
    inputs[:, 1:] += 0.6 * inputs[:, :-1]
    inputs[:, ::5] *= 5
    weight = random.standard_t(4, size=(sum(ROWS), COLS)) * 24
    inputs, weight = np.rint(inputs).astype(int), np.rint(weight).astype(int)
    golden = {"inputs_of_16": inputs.tolist(), "weights_of_64": weight.tolist(), "rows": ROWS}
    x, w = inputs / 16, weight / 64
    golden["cases"] = []
    for group in (8, COLS):
        ratio, scales = search(x, w, group)
        cut = clipped(x / scales, w * scales, group)
        golden["cases"].append({
            "group_size": group,
            "ratio": ratio,
            "scales": [float(f"{s:.7g}") for s in scales],
            "codes": rounded(cut, group)[1].astype(int).tolist(),
        })
    (HERE / "awq.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
