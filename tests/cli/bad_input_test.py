#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program on bad input: the exact line that it says, its exit code, that it leaves every file as
it was and none of its own, and that no small file makes it take much memory.

Usage: bad_input_test.py PROGRAM [unittest arguments]
When a message was changed on purpose, update_bad_input.py rewrites the tables.
"""

import concurrent.futures
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple

import bad_gguf
import bad_pickles
import bad_texts
import bad_weights
import file_bytes
import tiny_model

PROGRAM = None
CASES = bad_weights.CASES + bad_pickles.CASES + bad_gguf.CASES + bad_texts.CASES
SECONDS = 60  # of processor time for one case
# Beyond what a sound model takes: all files are small, whatever they claim to hold. Templates may
# build values up to the limits of their own.
MEGABYTES = 64
TEMPLATE_MEGABYTES = 2048


class Outcome(NamedTuple):
    code: int
    output: bytes  # these two are short
    errors: bytes
    kilobytes: int  # the most memory held


def contents(folder):
    """What stands in a folder: hashes of files by name, None for what is no file."""
    return {str(path.relative_to(folder)):
            hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file() and not path.is_symlink() else None
            for path in folder.rglob("*")}


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sound = Path(tempfile.mkdtemp(prefix="nibble-sound-"))
        cls.addClassCleanup(shutil.rmtree, cls.sound)
        tiny_model.write_model(cls.sound / "model", hidden=16, layers=1, context=64)
        for scheme in ["nf4", "int8", "gptq", "awq", "eetq", "group-int8", "hqq"]:
            group_size = " --group-size 16" if scheme == "hqq" else ""
            cls.run_program(f"quantize model {scheme} --scheme {scheme} --quiet{group_size}",
                            cls.sound)
        cls.sound_kilobytes = cls.run_program("run model -p a --quiet", cls.sound).kilobytes

    @staticmethod
    def run_program(command, folder):
        with subprocess.Popen([PROGRAM, *command.split()], cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (SECONDS, SECONDS))
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            return Outcome(process.returncode, process.stdout.read(), process.stderr.read(),
                           usage.ru_maxrss)

    @classmethod
    def meet(cls, case):
        """What the program makes of a case, and whether all files are as they were."""
        with tempfile.TemporaryDirectory(prefix="nibble-bad-") as name:
            folder = Path(name) / "case"
            shutil.copytree(cls.sound, folder)
            case.breaks(folder)
            before = contents(folder)
            outcome = cls.run_program(case.command, folder)
            return outcome, contents(folder) == before and os.listdir(name) == ["case"]

    def difference(self, case):
        """What is wrong with how the program meets a case; "" when nothing is."""
        outcome, unchanged = self.meet(case)
        problems = []
        if outcome.code != case.code:
            problems.append(f"exit code {outcome.code} instead of {case.code}")
        if outcome.output:
            problems.append(f"stdout holds {outcome.output[:200]!r}")
        said = outcome.errors.decode(errors="backslashreplace")
        if said != f"nibble: {case.message}\n":
            problems.append(f"it says\n    {said}  instead of\n    nibble: {case.message}")
        most = TEMPLATE_MEGABYTES if case.name.startswith("chat template") else MEGABYTES
        if outcome.kilobytes > self.sound_kilobytes + 1024 * most:
            problems.append(f"it takes {outcome.kilobytes} kB, a sound model "
                            f"{self.sound_kilobytes} kB")
        if not unchanged:
            problems.append("files have changed")
        return "\n  ".join(problems)

    def test_every_case_is_met_with_its_line(self):
        self.assertEqual(len({case.name for case in CASES}), len(CASES), "a name comes twice")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for case, difference in zip(CASES, pool.map(self.difference, CASES)):
                with self.subTest(case.name):
                    self.assertFalse(difference, f"nibble {case.command}\n  {difference}")

    def test_names_in_sound_files_do_not_steer_the_terminal(self):
        name = "a\n\x1b[2J\u202eb"
        with tempfile.TemporaryDirectory(prefix="nibble-bad-") as folder:
            model = Path(folder) / "model"
            shutil.copytree(self.sound / "model", model)
            tensors = file_bytes.read_safetensors(model / "model.safetensors")
            tensors[name] = file_bytes.zeros("F32", [1])
            (model / "model.safetensors").write_bytes(file_bytes.safetensors(tensors))
            for command in ["inspect model/model.safetensors", "run model -p a --max-new-tokens 1"]:
                outcome = self.run_program(command, folder)
                said = (outcome.output + outcome.errors).decode()
                self.assertEqual(outcome.code, 0)
                self.assertIn("a\\x0a\\x1b[2J\\u202eb", said)
                self.assertNotIn("\x1b", said)
                self.assertNotIn("\u202e", said)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
