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
NARROWEST = 20  # a text has this much room in a line, even where the line gets longer than WIDTH


def quoted(text):
    """The text as a Python string."""
    quote = "'" if '"' in text and "'" not in text else '"'
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def room(column):
    """How long a string may be that begins at this column, with brackets and a comma behind it."""
    return max(WIDTH - column - 3, NARROWEST)


def literal(text, column):
    """The text as Python strings that begin at this column, wrapped at spaces."""
    lines, rest = [], text
    while len(quoted(rest)) > room(column):
        end = room(column)
        while len(quoted(rest[:end])) > room(column):
            end -= 1
        end = rest.rfind(" ", 0, end) + 1 or end
        lines.append(quoted(rest[:end]))
        rest = rest[end:]
    return ("\n" + " " * column).join([*lines, quoted(rest)])


def constants(tree, value):
    """The constants of this value, each with the first of the items that it stands among."""
    for parent in ast.walk(tree):
        items = getattr(parent, "elts", None) or getattr(parent, "args", None) or []
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.Constant) and child.value == value:
                yield child, items[0] if child in items else child


def replace(source, old, new):
    """The source with every string constant `old` replaced. One that stands behind others in a line
    which has no room for it goes to the next, below the first of them."""
    lines = source.split("\n")
    found = sorted(constants(ast.parse(source), old),
                   key=lambda pair: (-pair[0].lineno, -pair[0].col_offset))
    for node, before in found:
        first, last = node.lineno - 1, node.end_lineno - 1
        begin = lines[first].encode()[:node.col_offset].decode()
        end = lines[last].encode()[node.end_col_offset:].decode()
        if begin.strip() and before is not node and len(quoted(new)) > room(len(begin)):
            column = len(lines[before.lineno - 1].encode()[:before.col_offset].decode())
            begin = begin.rstrip() + "\n" + " " * column
        else:
            column = len(begin)
        lines[first:last + 1] = (begin + literal(new, column) + end).split("\n")
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
