#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gptqmodel_quantize.py SOURCE OUT TOKENS CONFIG [DTYPE]: GPTQModel quantizes a folder on the CPU.

TOKENS: a file with a JSON list of lists of ids to calibrate with. CONFIG: fields of GPTQModel's
QuantizeConfig as a JSON object. DTYPE: that of the model while it is quantized, by default what
GPTQModel finds best (bfloat16 on processors that have it). The number of threads is
OMP_NUM_THREADS. Prints one line: the seconds that quantizing and saving took, without imports and
without opening the model.
"""

import json
import os
import pathlib
import sys
import time

# Its default is half the processors, and with two of those it cannot build its own pool of threads.
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")

import torch  # noqa: E402
from gptqmodel import GPTQModel, QuantizeConfig  # noqa: E402


def main(source, out, tokens, config, dtype="auto"):
    texts = [{"input_ids": ids, "attention_mask": [1] * len(ids)}
             for ids in json.loads(pathlib.Path(tokens).read_text())]
    model = GPTQModel.load(source, QuantizeConfig(**json.loads(config)), device="cpu",
                           dtype=dtype if dtype == "auto" else getattr(torch, dtype))
    start = time.perf_counter()
    model.quantize(texts, batch_size=1)
    model.save(out)
    print(f"\nseconds {time.perf_counter() - start:.3f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
