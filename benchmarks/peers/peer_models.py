# SPDX-License-Identifier: Apache-2.0
"""Makes the models that compare_models.py needs, once: random weights for a config.json without
weights, and GGUF files of the same shapes."""
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
GGUF_TYPES = ("f16", "q8_0", "q4_0", "iq4_nl", "q4_k_m")


def run(*command):
    print("+", *command, file=sys.stderr, flush=True)
    subprocess.run([str(word) for word in command], check=True)


def hugging_face_folder(path, models, nibble_bin):
    """`path` when it has weights, otherwise a folder of random weights for its config.json."""
    if list(path.glob("*.safetensors")):
        return path
    folder = models / path.name
    if not list(folder.glob("*.safetensors")):
        run(nibble_bin / "make_random_model", path / "config.json", folder)
    return folder


def gguf_types(folder):
    """Those that fit the shapes: k-quants take blocks of 256, and llama.cpp replaces them by other
    types where rows are no multiple of that."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    whole = config["hidden_size"] % 256 == 0 and config["intermediate_size"] % 256 == 0
    return [name for name in GGUF_TYPES if whole or name != "q4_k_m"]


def gguf_files(folder, destination, python, llamacpp_samples, threads):
    """{type: file}, made where they are missing."""
    destination.mkdir(parents=True, exist_ok=True)
    files = {name: destination / f"{name}.gguf" for name in gguf_types(folder)}
    for name, file in files.items():
        if file.is_file():
            continue
        part = file.with_suffix(".tmp")  # a broken file never has the final name
        if name == "f16":
            run(python, HERE / "write_gguf.py", folder, part)
        else:
            run(llamacpp_samples, "--quantize", files["f16"], part, name, threads)
        part.rename(file)
    return files
