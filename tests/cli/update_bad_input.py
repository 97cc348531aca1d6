#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rewrites the lines in the tables bad_*.py that the program no longer says; read the difference
before it is committed: each line is what a user reads.

Usage: update_bad_input.py PROGRAM
"""

import ast
import os
import sys
from pathlib import Path

import bad_gguf
import bad_input_test
import bad_pickles
import bad_texts
import bad_weights

WIDTH = 100


def literal(text, column):
    """The text as Python strings that begin at this column, wrapped at spaces."""
    quote = "'" if '"' in text and "'" not in text else '"'

    def quoted(part):
        return quote + part.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote

    lines, rest = [], text
    while len(quoted(rest)) > WIDTH - column - 3:
        end = WIDTH - column - 3
        while len(quoted(rest[:end])) > WIDTH - column - 3:
            end -= 1
        end = rest.rfind(" ", 0, end) + 1 or end
        lines.append(quoted(rest[:end]))
        rest = rest[end:]
    return ("\n" + " " * column).join([*lines, quoted(rest)])


def replace(source, old, new):
    """The source with every string constant `old` replaced."""
    found = [node for node in ast.walk(ast.parse(source))
             if isinstance(node, ast.Constant) and node.value == old]
    lines = source.split("\n")
    for node in sorted(found, key=lambda node: -node.lineno):
        first, last = node.lineno - 1, node.end_lineno - 1
        begin = lines[first].encode()[:node.col_offset].decode()
        end = lines[last].encode()[node.end_col_offset:].decode()
        lines[first:last + 1] = (begin + literal(new, len(begin)) + end).split("\n")
    return "\n".join(lines)


def main():
    bad_input_test.PROGRAM = os.path.abspath(sys.argv[1])
    test = bad_input_test.BadInput
    test.setUpClass()
    for module in (bad_weights, bad_pickles, bad_gguf, bad_texts):
        path = Path(module.__file__)
        source = path.read_text()
        for case in module.CASES:
            said = test.meet(case)[0].errors.decode(errors="backslashreplace")
            line = said.removeprefix("nibble: ").removesuffix("\n")
            if line != case.message:
                print(f"{case.name}\n  - {case.message}\n  + {line}")
                source = replace(source, case.message, line)
        path.write_text(source)
    test.doClassCleanups()


if __name__ == "__main__":
    main()
