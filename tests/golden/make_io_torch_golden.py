#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/io/torch/: files of torch.save, and for each NAME.bin a NAME.safetensors with
what torch.load reads from it (views made contiguous, shared storages copied apart), under the names
of the state dict. Also pickles that would run code when loaded, in files that torch.load refuses,
and a model with tied weights, pickled in tied_model/ and as save_pretrained writes it in
tied_model_saved/.

Made with torch 2.15.0, safetensors 0.8.0 and transformers 5.23.0. Run: python3 make_io_torch_golden.py
"""

import argparse
import io
import json
import os
import pathlib
import pickle
import zipfile
from collections import OrderedDict

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).parent / "io" / "torch"

OLD_DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64".split()
NEW_DTYPES = (
    "uint64 uint32 uint16 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu"
).split()


def values(dtype: str, *shape: int) -> torch.Tensor:
    dt = getattr(torch, dtype)
    size = torch.empty(shape, dtype=dt).numel() * dt.itemsize
    modulus = 2 if dtype == "bool" else 251
    return torch.tensor([7 * i % modulus for i in range(size)], dtype=torch.uint8).view(dt).view(shape)


def every_dtype() -> dict:
    return old_dtypes() | {dtype: values(dtype, 2, 3) for dtype in NEW_DTYPES}


def old_dtypes() -> dict:
    """Those that torch itself can load from the legacy format."""
    return {dtype: values(dtype, 2, 3) for dtype in OLD_DTYPES}


def views() -> dict:
    base = torch.arange(120, dtype=torch.float32)
    matrix = base.view(10, 12)
    return {
        "plain": matrix,
        "transposed": matrix.t(),
        "rows": matrix[3:5],
        "columns": matrix[:, 2:7],
        "steps": base[5::7],
        "deep": base.view(2, 3, 4, 5).permute(3, 1, 0, 2),
        "repeated": base[7:8].expand(3, 4),
        "half_repeated": base[:3].view(3, 1).expand(3, 2),
        "narrow.transposed": torch.arange(12).to(torch.int8).view(3, 4).t(),
        "wide.transposed": torch.arange(12, dtype=torch.float64).view(3, 4).t(),
        "short.transposed": torch.arange(12).to(torch.bfloat16).view(3, 4).t(),
        "one_column": matrix[:, :1],
        "scalar": torch.tensor(3.5),
        "scalar_view": base[77],
        "empty": torch.empty(0, 4),
        "empty_view": matrix[:, 3:3],
    }


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(5, 4)
        self.norm = torch.nn.LayerNorm(4)
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(4, 4) for _ in range(2))
        self.head = torch.nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("steps", torch.arange(6))


def tied() -> dict:
    torch.manual_seed(1)
    return Tied().state_dict()


def parameters() -> dict:
    torch.manual_seed(2)
    with_attribute = torch.nn.Parameter(torch.randn(2, 2))
    with_attribute.note = "kept by torch, of no meaning here"
    plain_with_attribute = torch.randn(3)
    plain_with_attribute.note = [1, 2]
    return OrderedDict(
        parameter=torch.nn.Parameter(torch.randn(2, 3)),
        frozen=torch.nn.Parameter(torch.arange(4), requires_grad=False),
        with_attribute=with_attribute,
        plain_with_attribute=plain_with_attribute,
    )


def training_state() -> dict:
    model = tied()
    return {
        "epoch": 3,
        "long": 1 << 70,
        "rate": 0.1,
        "bytes": b"\x00\xff",
        "more_bytes": bytearray(b"ab"),
        "done": False,
        "nothing": None,
        "sets": [{1, 2}, frozenset((3,))],
        "number": complex(1, 2),
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
        "state_dict": model,
    }


CASES = {
    # name: (what is saved, where in it the state dict is, further arguments of torch.save)
    "dtypes": (every_dtype, None, {}),
    "dtypes_legacy": (old_dtypes, None, {"_use_new_zipfile_serialization": False}),
    "views": (views, None, {}),
    "views_legacy": (views, None, {"_use_new_zipfile_serialization": False}),
    "tied": (tied, None, {}),
    "tied_legacy": (tied, None, {"_use_new_zipfile_serialization": False}),
    "parameters": (parameters, None, {}),
    "nested": (training_state, "state_dict", {}),
    "nested_legacy": (training_state, "state_dict", {"_use_new_zipfile_serialization": False}),
    "model_key": (lambda: {"model": tied(), "step": 1}, "model", {}),
    **{f"protocol{p}": (training_state, "state_dict", {"pickle_protocol": p}) for p in (3, 4, 5)},
}


class Runs:
    """Pickles to a call."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def write_hostile() -> None:
    """Each would print or run something under pickle.load."""
    hostile = {
        "os_system": Runs(os.system, "echo executed"),
        "eval": {"weight": Runs(eval, "print('executed')")},
        "namespace": {"args": argparse.Namespace(a=1), "state_dict": {}},
        "module": torch.nn.Linear(1, 1),
    }
    for name, value in hostile.items():
        for protocol in (2, 4):
            data = io.BytesIO()
            pickle.dump(value, data, protocol=protocol)
            with zipfile.ZipFile(OUT / f"hostile_{name}_{protocol}.bin", "w") as archive:
                for member, content in (("data.pkl", data.getvalue()), ("version", b"3\n")):
                    info = zipfile.ZipInfo(f"archive/{member}", (1980, 1, 1, 0, 0, 0))
                    archive.writestr(info, content)


def write_sharded() -> None:
    folder = OUT / "sharded"
    folder.mkdir(exist_ok=True)
    state = tied()
    names = list(state)
    weight_map = {}
    for shard, part in enumerate((names[:4], names[4:])):
        name = f"pytorch_model-{shard + 1:05}-of-00002.bin"
        torch.save({key: state[key] for key in part}, folder / name)
        weight_map |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_model() -> None:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(OUT / "tied_model_saved", max_shard_size="2KB")
    for name in ("config.json", "generation_config.json"):
        (OUT / "tied_model_saved" / name).unlink()
    folder = OUT / "tied_model"
    folder.mkdir(exist_ok=True)
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (make, key, arguments) in CASES.items():
        path = OUT / f"{name}.bin"
        torch.save(make(), path, **arguments)
        state = torch.load(path, weights_only=False)  # our own
        state = state[key] if key else state
        save_file({k: v.detach().clone().contiguous() for k, v in state.items()},
                  OUT / f"{name}.safetensors")
    write_hostile()
    write_sharded()
    write_model()


if __name__ == "__main__":
    main()
