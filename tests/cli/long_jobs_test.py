#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quantize, convert and dequantize as long jobs: killed, interrupted and resumed, and on a machine
with little memory.

Usage: long_jobs_test.py PROGRAM [unittest arguments]
"""

import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import tiny_model  # noqa: E402

PROGRAM = None


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class LongJobs(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="nibble-long-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "out"

    def start(self, *arguments, **options):
        return subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, **options)

    def finish(self, *arguments, code=0, **options):
        process = self.start(*arguments, **options)
        errors = process.communicate(timeout=120)[1].decode()
        self.assertEqual(process.returncode, code, errors)
        return errors

    def leftovers(self):
        return [path.name for path in self.folder.iterdir() if path.name.endswith(".tmp")]

    def kill_and_resume(self, job, destination, seconds):
        """Runs `job` in spans after which it is killed, until one is long enough."""
        expected = files(destination)
        rng = random.Random(1)
        kills = 0
        while True:
            process = self.start(*job, self.out, "--resume", "--quiet")
            try:
                errors = process.communicate(timeout=rng.uniform(0, seconds))[1].decode()
                # A job killed after its last step left a whole model and nothing to resume.
                if kills == 0 or "not empty" not in errors:
                    self.assertEqual(process.returncode, 0, errors)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
            seconds *= 1.1  # else a slow machine never comes to the end
        self.assertEqual(files(self.out), expected)
        self.assertEqual(self.leftovers(), [])
        return kills

    def test_kills_at_random_moments(self):
        model = tiny_model.write_model(self.folder / "model", hidden=64, layers=24)
        packed, plain = self.folder / "packed", self.folder / "plain"
        texts = self.folder / "texts.json"
        texts.write_text(json.dumps([f"Text {i} of some words and numbers, {i * 7919}."
                                     for i in range(12)]))
        calibrated = ["quantize", model, "--group-size", "32", "--calibration", texts]
        jobs = [(["quantize", model, "--scheme", "nf4", "--double-quant"], packed),
                (["quantize", model, "--scheme", "int8", "--max-shard-size", "30000"],
                 self.folder / "shards"),
                (["dequantize", packed, "--max-shard-size", "100000"], plain),
                (["convert", model, "--dtype", "float16", "--max-shard-size", "20000"],
                 self.folder / "halves"),
                ([*calibrated, "--scheme", "gptq", "--calibration-memory", "50KB"],
                 self.folder / "gptq"),
                ([*calibrated, "--scheme", "awq", "--max-shard-size", "30000"],
                 self.folder / "awq")]
        kills = 0
        for job, destination in jobs:
            start = time.monotonic()
            self.finish(*job, destination)
            seconds = time.monotonic() - start
            for _ in range(3):
                kills += self.kill_and_resume(job, destination, seconds)
                shutil.rmtree(self.out)
        self.assertGreater(kills, 0)

    def test_the_old_model_stands_until_the_new_one_is_there(self):
        model = tiny_model.write_model(self.folder / "model", hidden=64, layers=24)
        self.finish("quantize", model, self.folder / "new", "--scheme", "nf4")
        old, new = files(model), files(self.folder / "new")
        shutil.copytree(model, self.out)
        rng = random.Random(2)
        for _ in range(10):
            process = self.start("quantize", model, self.out, "--scheme", "nf4", "--overwrite",
                                 "--resume", "--quiet")
            time.sleep(rng.uniform(0, 0.1))
            process.kill()
            process.communicate()
            if not list(self.folder.glob(".out.*/replaced")):  # dead amid the last renames
                self.assertIn(files(self.out), (old, new))
        self.finish("quantize", model, self.out, "--scheme", "nf4", "--overwrite", "--resume")
        self.assertEqual(files(self.out), new)

    def test_an_interruption_is_resumed(self):
        model = tiny_model.write_model(self.folder / "model", zeros=True, hidden=1024, layers=12)
        job = ["quantize", model, self.out, "--scheme", "nf4"]
        process = self.start(*job)
        while not list(self.folder.glob(".out.*/built/*")) and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1].decode().splitlines()
        self.assertEqual(process.returncode, 130)
        self.assertEqual(errors[-2:], [
            "what is finished is kept: the same command with --resume continues",
            "nibble: interrupted"])
        self.assertFalse(self.out.exists())
        self.assertIn("another job", self.finish("quantize", model, self.out, "--scheme", "fp4",
                                                 "--resume", code=1))
        self.finish(*job, "--resume")
        self.assertEqual(self.leftovers(), [])
        self.assertIn("starting anew", self.interrupted_then_fresh(job))

    def journal_begun(self):  # its first line is there: a file without one tells of no job
        return any(journal.stat().st_size for journal in self.folder.glob(".out.*/journal"))

    def interrupted_then_fresh(self, job):
        shutil.rmtree(self.out)
        process = self.start(*job)
        while not self.journal_begun() and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.communicate()
        return self.finish(*job)

    @unittest.skipIf("asan" in sys.argv[1] or "tsan" in sys.argv[1],
                     "sanitizers take memory of their own")
    def test_memory_is_bounded_by_the_largest_tensor(self):
        # RLIMIT_DATA counts all private writable memory, touched or not, stacks included.
        model = tiny_model.write_model(self.folder / "model", zeros=True, hidden=2048, layers=2)
        largest = 4096 * 2048 * 4

        def limit():
            resource.setrlimit(resource.RLIMIT_DATA, (3 * largest, 3 * largest))

        for scheme in "nf4", "int8":
            self.finish("quantize", model, self.out, "--scheme", scheme, "--threads", 2,
                        preexec_fn=limit)
            self.finish("dequantize", self.out, self.folder / "back", "--dtype", "bfloat16",
                        "--threads", 2, preexec_fn=limit)
            shutil.rmtree(self.out)
            shutil.rmtree(self.folder / "back")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
