#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that every include of the project is one that tools/layers.txt allows.

Rules:
  - nibble/FOLDER includes itself and the folders that its line names, nothing else of the project;
  - nibble/nibble.h includes any folder of nibble/, but no folder inside one (a backend);
  - cli/, server/ and python/ include nibble/nibble.h and their own headers, nothing else;
  - tests/ and benchmarks/ include what they like;
  - a header of the project is named from the root of the repository, never by a relative path;
  - every folder with C++ files has its line, the lines make no cycle, and no CMake DEPS says more.

Usage: tools/check_layers.py [ROOT]     exit code 0 when all holds, 1 with one line per violation
"""

import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
SUFFIXES = {".h", ".cc", ".cu", ".cuh"}
PUBLIC_ONLY = ("cli", "server", "python")
UNRESTRICTED = ("tests", "benchmarks", "examples")


class Layers:
    """The allowed edges: folder -> folders it may include, and the same for single files."""

    def __init__(self, text):
        self.folders, self.files, self.problems = {}, {}, []
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            name, colon, seen = line.partition(":")
            name = name.strip()
            table = self.files if Path(name).suffix in SUFFIXES else self.folders
            if not colon or name in table:
                self.problems.append(f"tools/layers.txt:{number}: expected 'folder : folders', once")
                continue
            table[name] = set(seen.split())
        for name, seen in (self.folders | self.files).items():
            for folder in sorted(seen - self.folders.keys()):
                self.problems.append(f"tools/layers.txt: {name} names {folder}, which has no line")
        self.problems += self._cycles()

    def allowed(self, folder, file=None):
        return {folder} | self.folders.get(folder, set()) | self.files.get(file, set())

    def _cycles(self):
        done = set()

        def visit(folder, path):
            if folder in path:
                cycle = path[path.index(folder):] + [folder]
                return ["tools/layers.txt: cycle " + " -> ".join(cycle)]
            if folder in done or folder not in self.folders:
                return []
            done.add(folder)
            path = path + [folder]
            return [found for seen in sorted(self.folders[folder]) for found in visit(seen, path)]

        return [problem for folder in self.folders for problem in visit(folder, [])]


def includes(path):
    """The (line number, bracket, target) of every include outside comments."""
    text = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), path.read_text(encoding="utf-8"))
    for match in INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start(1)) + 1, match.group(1), match.group(2)


def layer_of(name):
    """'backend/cpu' for nibble/backend/cpu/dot.h, '' for nibble/nibble.h."""
    return "/".join(name.split("/")[1:-1])


def check_include(layers, name, target):
    """Why file `name` may not include `target`, or None."""
    top, target_top = name.split("/")[0], target.split("/")[0]
    if top in UNRESTRICTED:
        return None
    if top in PUBLIC_ONLY:
        if target == "nibble/nibble.h" or target_top == top:
            return None
        return f"{top}/ sees only nibble/nibble.h and its own headers"
    if target_top != "nibble":
        return f"nibble/ may not see {target_top}/"
    folder, target_folder = layer_of(name), layer_of(target)
    if not folder:
        return "the public header may not show a backend's inside" if "/" in target_folder else None
    if not target_folder:
        return "a layer may not include the umbrella header"
    if target_folder in layers.allowed(folder, name.removeprefix("nibble/")):
        return None
    return f"tools/layers.txt does not let {folder} see {target_folder}"


def check_sources(root, layers):
    for top in ("nibble",) + PUBLIC_ONLY + UNRESTRICTED:
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in SUFFIXES:
                continue
            name = path.relative_to(root).as_posix()
            for line, bracket, target in includes(path):
                in_project = (root / target).is_file()
                if not in_project and (bracket == '"' or target.startswith("nibble/")):
                    beside = (path.parent / target).is_file()
                    reason = "name it from the root of the repository" if beside else "no such header"
                    yield f"{name}:{line}: {target}: {reason}"
                elif in_project and bracket == "<" and target.startswith("nibble/"):
                    yield f"{name}:{line}: {target}: headers of the project stand in quotes"
                elif in_project and bracket == '"':
                    reason = check_include(layers, name, target)
                    if reason:
                        yield f"{name}:{line}: {target}: {reason}"


def check_folders(root, layers):
    found = {layer_of(p.relative_to(root).as_posix())
             for p in (root / "nibble").rglob("*") if p.suffix in SUFFIXES} - {""}
    for folder in sorted(found - layers.folders.keys()):
        yield f"nibble/{folder}: has no line in tools/layers.txt"


def check_cmake(root, layers):
    """The DEPS of each nibble_layer(NAME ...); NAME backend_cpu means folder backend/cpu."""
    known = {folder.replace("/", "_"): folder for folder in layers.folders}
    for path in sorted((root / "nibble").rglob("CMakeLists.txt")):
        name = path.relative_to(root).as_posix()
        text = re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))
        for call in re.findall(r"\bnibble_layer\s*\(([^)]*)\)", text):
            words = call.split()
            if not words or words[0] not in known:
                yield f"{name}: layer '{''.join(words[:1])}' has no line in tools/layers.txt"
                continue
            folder = known[words[0]]
            allowed = layers.allowed(folder)
            for file, seen in layers.files.items():
                if layer_of("nibble/" + file) == folder:
                    allowed |= seen
            part = None
            for word in words[1:]:
                if word in ("SOURCES", "DEPS", "LINK"):
                    part = word
                    continue
                if part == "LINK" and word.startswith("nibble_"):
                    word = word.removeprefix("nibble_")
                elif part != "DEPS":
                    continue
                if known.get(word) not in allowed:
                    dependency = known.get(word, word)
                    yield f"{name}: tools/layers.txt does not let {folder} depend on {dependency}"


def check(root):
    layers = Layers((root / "tools/layers.txt").read_text(encoding="utf-8"))
    return [*layers.problems, *check_folders(root, layers), *check_sources(root, layers),
            *check_cmake(root, layers)]


def main(arguments):
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent).resolve()
    problems = check(root)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
