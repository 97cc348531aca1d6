# SPDX-License-Identifier: Apache-2.0
"""Pickled weights that attack or are broken: nothing in them is ever run."""

import os
import pickle
import struct

from bad_input import Case, file

# What opens the format before archives: PyTorch's magic number, its version, the machine.
LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
REFUSED = "; pickles can run code: only what torch.save writes for a state dict is read"


class Attack:
    """Runs a command when it is unpickled by Python."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


class Evaluation:
    def __reduce__(self):
        return eval, ("open('pwned', 'w')",)


PICKLES = [
    ("a command to run", LEGACY + pickle.dumps({"w": Attack()}, 2),
     "pickle asks for a class or function that is not allowed: got posix.system (at byte 40)"
     + REFUSED),
    ("an expression to evaluate", LEGACY + pickle.dumps(Evaluation(), 4),
     "pickle asks for a class or function that is not allowed: got builtins.eval (at byte 56)"
     + REFUSED),
    ("a text of 2^60 bytes", LEGACY + b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"abc",
     "file ends within a pickle: expected 1152921504606846976 bytes, got 3 bytes (at byte 38); "
     "the download may be incomplete"),
    ("an instruction that no state dict needs", LEGACY + b"\x80\x02}0h\x01.",
     "pickle has an instruction that is not read: got POP (at byte 30)" + REFUSED),
    ("no state dict", LEGACY + pickle.dumps([1, 2], 2) + pickle.dumps([], 2),
     "file holds no state dict: expected a dict from names to tensors, or one under 'state_dict' "
     "or 'model', got a list"),
    ("a pickle cut short", LEGACY[:20],
     "file ends within a pickle: expected 1 bytes, got 0 bytes (at byte 20); the download may be "
     "incomplete"),
    ("another magic number", pickle.dumps(7, 2) + LEGACY,
     "pickle is not one that torch.save writes: expected PyTorch's magic number first (at byte 0)"),
    ("an archive cut short", b"PK\x03\x04" + bytes(60),
     "zip archive has no directory at its end; the download may be incomplete"),
    ("no pickle", b"hello",
     "file is not one that torch.save writes: expected a zip archive or a pickle (at byte 0)"),
    ("lists nested 100000 deep", LEGACY + b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
     "file ends within a pickle: expected 1 bytes, got 0 bytes (at byte 200029); the download may "
     "be incomplete"),
]

CASES = [Case(f"pickle: {name}", "inspect x.bin", file("x.bin", content), f"x.bin: {message}")
         for name, content, message in PICKLES]
