#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`--cache-packed` from outside: weights that a load makes are kept, and mapped by the next.

Usage: packed_cache_test.py PROGRAM [unittest arguments]
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

import cli_test
import tiny_model

ANSWER = ["-p", "Hi", "--max-new-tokens", 8]
STORED = "packed weights of 7 modules are cached in "
NOTHING = "no packed weights to cache"


class PackedCache(cli_test.CliTest):
    def setUp(self):
        super().setUp()
        self.cache = self.folder / "cache"
        self.model = self.wide_model()

    def files(self, folder=None):
        return sorted((folder or self.cache).rglob("*.safetensors"))

    def run_model(self, *arguments):
        """The answer of a run, and what stands on stderr beside its timings."""
        done = self.nibble("run", *arguments, *ANSWER, "--json")
        answer = json.loads(done.stdout)
        del answer["timings"]
        return answer, [line for line in done.stderr.splitlines() if "tokens/s" not in line]

    def test_every_packing_answers_the_same_with_it(self):
        for scheme, options in [("gptq", []), ("gptq", ["--format", "marlin"]),
                                ("gptq", ["--bits", "3", "--group-size", "32"]), ("awq", []),
                                ("awq", ["--format", "gemv_fast"]), ("hqq", []), ("eetq", [])]:
            with self.subTest(scheme=scheme, options=options):
                folder = self.folder / "packed"
                self.nibble("quantize", self.model, folder, "--scheme", scheme, "--overwrite",
                            "--quiet", *options)
                plain, notes = self.run_model(folder)
                self.assertEqual(notes, [])
                first, notes = self.run_model(folder, "--cache-packed", self.cache)
                self.assertEqual(first, plain)
                self.assertEqual(len(notes), 1, notes)
                later, notes = self.run_model(folder, "--cache-packed", self.cache)
                self.assertEqual(later, plain)
                self.assertEqual(notes, [])

    def test_quantizing_while_loading(self):
        for options in [["--load-in-8bit"], ["--load-in-4bit"],
                        ["--load-in-4bit", "--bnb-4bit-quant-type", "nf4"],
                        ["--load-in-4bit", "--bnb-4bit-use-double-quant"]]:
            plain, _ = self.run_model(self.model, *options)
            for expected in [[STORED], []]:
                answer, notes = self.run_model(self.model, *options, "--cache-packed", self.cache)
                self.assertEqual(answer, plain)
                self.assertEqual([line[:len(STORED)] for line in notes], expected)
        self.assertEqual(len(self.files()), 4 * 7)

    def test_its_folder(self):
        """The one given, in either way; else that of the user's caches."""
        run = ["run", self.model, "--load-in-4bit", *ANSWER, "--quiet"]
        for arguments in [["--cache-packed", self.cache], [f"--cache-packed={self.cache}"]]:
            self.nibble(*run, *arguments)
            self.assertEqual(len(self.files()), 7)
            shutil.rmtree(self.cache)
        for variable, folder in [("XDG_CACHE_HOME", "nibble/packed"),
                                 ("HOME", ".cache/nibble/packed")]:
            environment = {key: value for key, value in os.environ.items()
                           if key not in ("XDG_CACHE_HOME", "HOME")}
            environment[variable] = str(self.folder / variable)
            for place in [["--cache-packed"], ["--cache-packed", "--threads", "1"]]:
                subprocess.run([cli_test.PROGRAM, *map(str, [*run, *place])], check=True,
                               capture_output=True, env=environment, timeout=120)
                self.assertEqual(len(self.files(self.folder / variable / folder)), 7)

    def test_a_model_is_no_folder_for_it(self):
        self.fails("eval", "--cache-packed", self.model, "--perplexity", "x", code=2, says="model")
        self.fails("compare", self.model, "--cache-packed", self.model, code=2,
                   says="name models before the option")

    def test_all_commands_that_open_a_model_have_it(self):
        text = self.folder / "text.txt"
        text.write_text("hello there, good bye")
        fast = ["--prompt", "4", "--generate", "2", "--repeats", "1"]
        options = ["--load-in-4bit", "--cache-packed", self.cache]
        for arguments in [["chat", self.model], ["eval", self.model, "--perplexity", text],
                          ["bench", self.model, *fast], ["compare", self.model, self.model, *fast]]:
            done = self.nibble(*arguments, *options, stdin="Hi\n" if arguments[0] == "chat" else "")
            self.assertEqual(done.stderr.count(STORED), 1, done.stderr)
            self.assertEqual(len(self.files()), 7)
            shutil.rmtree(self.cache)

    def test_schemes_share_what_is_the_same(self):
        self.nibble("bench", self.model, "--schemes", "plain,nf4,nf4-a8,int8,llm.int8", "--prompt",
                    "4", "--generate", "2", "--repeats", "1", "--cache-packed", self.cache)
        self.assertEqual(len(list(self.cache.iterdir())), 2)
        self.assertEqual(len(self.files()), 2 * 7)

    def test_a_model_made_anew_is_packed_anew(self):
        folder = self.folder / "packed"
        quantize = ["quantize", self.model, folder, "--scheme", "gptq", "--overwrite", "--quiet"]
        self.nibble(*quantize)
        self.run_model(folder, "--cache-packed", self.cache)
        stored = self.files()
        self.nibble(*quantize, "--bits", "8")
        plain, _ = self.run_model(folder)
        answer, notes = self.run_model(folder, "--cache-packed", self.cache)
        self.assertEqual(answer, plain)
        self.assertEqual(len(notes), 1)
        self.assertEqual(self.run_model(folder, "--cache-packed", self.cache), (plain, []))
        # The same options again: another state of the same slot.
        time.sleep(0.02)
        self.nibble(*quantize)
        plain, _ = self.run_model(folder)
        answer, notes = self.run_model(folder, "--cache-packed", self.cache)
        self.assertEqual(answer, plain)
        self.assertEqual(len(notes), 1)
        self.assertIn("made again", notes[0])
        self.assertLessEqual(set(stored), set(self.files()))

    def test_damage_is_made_good(self):
        options = [self.model, "--load-in-4bit", "--cache-packed", self.cache]
        plain, _ = self.run_model(*options)
        cut, torn, other = self.files()[:3]
        cut.write_bytes(cut.read_bytes()[:-1])
        content = bytearray(torn.read_bytes())
        content[-100] ^= 1
        torn.write_bytes(content)
        other.write_text("not a file of tensors")
        answer, notes = self.run_model(*options)
        self.assertEqual(answer, plain)
        self.assertEqual(len(notes), 1, notes)
        self.assertTrue(notes[0].startswith("cached weights of 3 modules are made again: "))
        self.assertEqual(self.run_model(*options), (plain, []))

    def test_without_a_place_it_warns_and_runs(self):
        self.cache.write_text("a file")
        options = [self.model, "--load-in-4bit", "--cache-packed", self.cache]
        answer, notes = self.run_model(*options)
        self.assertEqual(len(notes), 1, notes)
        self.assertTrue(notes[0].startswith("nibble: warning: packed weights are not cached: "))
        self.assertIn(str(self.cache), notes[0])
        self.assertEqual(answer, self.run_model(self.model, "--load-in-4bit")[0])
        self.assertEqual(self.cache.read_text(), "a file")

    def test_mapped_models_have_nothing_to_keep(self):
        gemv = self.quantized("awq", "--format", "gemv")
        for folder in [self.model, self.quantized("nf4"), self.quantized("fp8"), gemv]:
            _, notes = self.run_model(folder, "--cache-packed", self.cache)
            self.assertEqual([line[:len(NOTHING)] for line in notes], [NOTHING])
        self.assertFalse(self.cache.exists())

    def test_processes_at_once(self):
        command = [cli_test.PROGRAM, "run", str(self.model), "--load-in-4bit", "-p", "Hi", "--quiet",
                   "--max-new-tokens", "8", "--cache-packed", str(self.cache)]
        several = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for _ in range(4)]
        outputs = [process.communicate(timeout=120) for process in several]
        self.assertEqual([process.returncode for process in several], [0] * 4)
        self.assertEqual(len(set(outputs)), 1, outputs)
        self.assertEqual(len(self.files()), 7)
        self.assertEqual([path for path in self.cache.rglob("*.tmp")], [])

    def test_a_killed_load_leaves_what_the_next_can_use(self):
        large = tiny_model.write_model(self.folder / "large", hidden=512, layers=4)
        command = [cli_test.PROGRAM, "run", str(large), "--load-in-4bit", "-p", "Hi", "--quiet",
                   "--max-new-tokens", "8", "--cache-packed", str(self.cache)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self.files() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        plain, _ = self.run_model(large, "--load-in-4bit")
        answer, notes = self.run_model(large, "--load-in-4bit", "--cache-packed", self.cache)
        self.assertEqual(answer, plain)
        self.assertNotIn("made again", "".join(notes))
        self.assertEqual(len(self.files()), 4 * 7)


if __name__ == "__main__":
    cli_test.PROGRAM = sys.argv.pop(1)
    unittest.main()
