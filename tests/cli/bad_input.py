# SPDX-License-Identifier: Apache-2.0
"""What the tables of bad inputs are made of: one broken thing, a command that meets it, and the
line that the user must read.

Every case begins with a folder that holds a sound tiny model in `model` and its quantized copies in
`nf4`, `int8`, `gptq`, `awq`, `eetq`, `group-int8` and `hqq`, and runs in it, so that messages show
relative paths.
"""

import json
import sys
from pathlib import Path
from typing import Callable, NamedTuple

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import file_bytes  # noqa: E402
import tiny_model  # noqa: E402

RUN = "run model -p a --quiet"
CHAT = "run model --chat -p a --quiet"
QUANTIZE = "quantize model out --scheme nf4 --quiet"
CONVERT = "convert x.gguf out --quiet"


class Case(NamedTuple):
    name: str
    command: str
    breaks: Callable[[Path], object]  # makes the broken thing in the folder of the case
    message: str                      # all of stderr behind "nibble: ", without the line break
    code: int = 1


def nothing(_folder):
    pass


def file(name, content):
    """A file of these bytes, text or JSON value."""
    def write(folder):
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return write


def without(name):
    return lambda folder: (folder / name).unlink()


def config(model="model", **changes):
    """A config.json with some keys changed; a value of ... removes the key."""
    def write(folder):
        path = folder / model / "config.json"
        values = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))
    return write


def weights(change, model="model"):
    """The weights of a model after change(tensors)."""
    def write(folder):
        path = folder / model / "model.safetensors"
        tensors = file_bytes.read_safetensors(path)
        change(tensors)
        path.write_bytes(file_bytes.safetensors(tensors))
    return write


def tokenizer(change):
    """The model's tokenizer.json after change(document)."""
    def write(folder):
        document = tiny_model.tokenizer()
        change(document)
        (folder / "model/tokenizer.json").write_text(json.dumps(document))
    return write


def put(*path_and_value):
    """For tokenizer(): sets the value at a path of keys."""
    *path, last, value = path_and_value

    def change(document):
        for key in path:
            document = document[key]
        document[last] = value
    return change


def template(source):
    """A chat template in a file of its own."""
    return file("model/chat_template.jinja", source)
