#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`nibble bench` from outside: what it prints in each form, and what it refuses. How fast the
machine is, no test can know; that slow samples are left out, tests/eval/ tests.

Usage: bench_test.py PROGRAM [unittest arguments]
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tiny_model

PROGRAM = None
SCHEMES = ["plain", "int8", "llm.int8", "nf4", "nf4-dq", "fp4"]
SHORT = ["--prompt", "12", "--generate", "4", "--repeats", "2", "--patience", "0"]


class BenchTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="nibble-bench-"))
        cls.model = tiny_model.write_model(cls.folder / "model", context=600)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def nibble(self, *arguments, code=0):
        done = subprocess.run([PROGRAM, *map(str, arguments)], text=True, capture_output=True,
                              timeout=300, check=False)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def bench(self, *options):
        """The rows of the JSON document, which is all that is on stdout."""
        done = self.nibble("bench", self.model, *options, "--json", "--quiet")
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)

    def fails(self, *arguments, code, says):
        done = self.nibble(*arguments, code=code)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(says, done.stderr)

    def test_json_says_what_was_measured_and_how(self):
        document = self.bench(*SHORT, "--threads", "1")
        self.assertEqual(document["threads"], 1)
        self.assertEqual(document["backend"], "cpu")
        self.assertEqual(document["repeats"], 2)
        self.assertGreater(document["best_read_bytes_per_second"], 0)
        self.assertGreater(document["best_flops_per_second"], 0)
        [row] = document["rows"]
        self.assertEqual((row["scheme"], row["batch"], row["prompt_tokens"], row["new_tokens"],
                          row["use_cache"]), ("plain", 1, 12, 4, True))
        for key in ["prefill_tokens_per_second", "prefill_of_peak", "decode_tokens_per_second",
                    "decode_of_bandwidth", "tokens_per_second", "seconds_per_pass"]:
            self.assertGreater(row[key], 0, key)
        self.assertAlmostEqual(row["seconds_per_pass"] * row["decode_tokens_per_second"], 1,
                               delta=0.5)  # medians of two
        self.assertEqual(row["samples"]["taken"], 2)
        self.assertLessEqual(row["samples"]["counted"], 2)
        self.assertEqual(row["slow"], row["samples"]["counted"] == 2 and row["samples"]["slow"] > 0)
        self.assertGreater(row["load_seconds"]["first"], 0)
        self.assertGreater(row["load_seconds"]["second"], 0)
        self.assertGreater(row["model_bytes"], 0)
        if row["peak_resident_bytes"] is not None:
            self.assertGreater(row["peak_resident_bytes"], row["model_bytes"])

    def test_weights_read_per_token_are_those_of_the_linear_layers(self):
        elements = sum(rows * columns for rows, columns in
                       (shape for shape in tiny_model.shapes(tiny_model.config()).values()
                        if len(shape) == 2))
        rows = self.bench(*SHORT, "--batch", "1,2")["rows"]
        # The output head is the embedding table again.
        self.assertEqual([row["weight_bytes_per_token"] for row in rows],
                         [4 * elements, 2 * elements])

    def test_every_scheme_has_its_row(self):
        rows = self.bench(*SHORT, "--schemes", ",".join(SCHEMES))["rows"]
        self.assertEqual([row["scheme"] for row in rows], SCHEMES)
        size = {row["scheme"]: row["model_bytes"] for row in rows}
        self.assertEqual(size["int8"], size["llm.int8"])
        self.assertEqual(size["nf4"], size["fp4"])
        self.assertGreater(size["plain"], size["int8"])
        self.assertGreater(size["int8"], size["nf4"])
        # With matrices as small as these, the tables of double quantization take more than they save.
        self.assertNotEqual(size["nf4"], size["nf4-dq"])

    def test_loading_options_name_the_scheme(self):
        for options, scheme in [
            (["--load-in-8bit"], "llm.int8"),
            (["--load-in-8bit", "--activation", "float"], "int8"),
            (["--load-in-4bit", "--bnb-4bit-quant-type", "nf4"], "nf4"),
            (["--load-in-4bit", "--bnb-4bit-quant-type", "nf4", "--bnb-4bit-use-double-quant"],
             "nf4-dq"),
            (["--load-in-4bit", "--bnb-4bit-quant-type", "fp4"], "fp4"),
        ]:
            with self.subTest(options=options):
                [row] = self.bench(*SHORT, *options)["rows"]
                self.assertEqual(row["scheme"], scheme)

    def test_a_quantized_model_is_measured_as_it_is(self):
        packed = self.folder / "nf4"
        self.nibble("quantize", self.model, packed, "--scheme", "nf4", "--quiet")
        document = json.loads(self.nibble("bench", packed, *SHORT, "--json", "--quiet").stdout)
        self.assertEqual(document["rows"][0]["scheme"], "nf4")
        self.fails("bench", packed, *SHORT, "--schemes", "plain,nf4", code=1, says="--schemes")

    def test_lists_give_all_combinations(self):
        rows = self.bench("--prompt", "8,16", "--generate", "0,2", "--batch", "1,3", "--repeats",
                          "1", "--patience", "0")["rows"]
        cases = [(row["prompt_tokens"], row["new_tokens"], row["batch"]) for row in rows]
        self.assertEqual(cases, [(p, g, b) for p in (8, 16) for g in (0, 2) for b in (1, 3)])
        for row in rows:
            self.assertEqual(row["decode_tokens_per_second"] is None, row["new_tokens"] == 0)

    def test_without_a_cache(self):
        [row] = self.bench(*SHORT, "--no-use-cache")["rows"]
        self.assertFalse(row["use_cache"])
        self.assertGreater(row["decode_tokens_per_second"], 0)
        self.assertIsNone(row["decode_of_bandwidth"])

    def test_presets(self):
        once = ["--repeats", "1", "--patience", "0", "--warmup", "0"]
        rows = self.bench("--preset", "prefill", *once)["rows"]
        self.assertEqual([(row["prompt_tokens"], row["new_tokens"], row["batch"]) for row in rows],
                         [(512, 0, 1), (512, 0, 16)])
        rows = self.bench("--preset", "generation", *once)["rows"]
        cases = [(row["prompt_tokens"], row["new_tokens"], row["batch"], row["use_cache"])
                 for row in rows]
        self.assertEqual(cases, [(30, new, batch, True) for new in (30, 512)
                                 for batch in (1, 2, 4, 8, 16)] + [(30, 30, 1, False)])
        self.assertIsNone(rows[0]["peak_resident_bytes"])  # seen in warm-up only
        rows = self.bench("--preset", "generation", "--generate", "3", "--batch", "2", *once)["rows"]
        self.assertEqual([(row["new_tokens"], row["batch"], row["use_cache"]) for row in rows],
                         [(3, 2, True), (3, 2, False)])

    def test_tables(self):
        options = ["bench", self.model, *SHORT, "--schemes", "plain,nf4"]
        done = self.nibble(*options, "--markdown", "--quiet")
        self.assertEqual(done.stderr, "")
        lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
        self.assertEqual(len(lines), 4)
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        self.assertEqual(len({len(row) for row in cells}), 1, lines)
        for title in ["scheme", "prefill tok/s", "of peak", "decode tok/s", "of bandwidth",
                      "MB/token", "against plain", "peak MB"]:
            self.assertIn(title, cells[0])
        self.assertTrue(all(re.fullmatch("-{3,}:?", cell) for cell in cells[1]), lines[1])
        self.assertEqual(cells[2][0].rstrip(" *"), "plain")
        self.assertEqual(cells[3][0].rstrip(" *"), "nf4")
        self.assertEqual(cells[2][cells[0].index("against plain")], "1.00 x")

        text = self.nibble(*options, "--quiet").stdout
        self.assertNotIn("|", text)
        self.assertRegex(text, r"GB/s and did .* GFLOP/s\n\nscheme .*\nplain.*\nnf4")
        prefill = self.nibble("bench", self.model, "--prompt", "9", "--generate", "0", "--repeats",
                              "1", "--patience", "0", "--quiet").stdout
        self.assertNotIn("decode", prefill)

    def test_wrong_usage_is_2(self):
        bench = ["bench", self.model]
        for arguments, says in [
            (["bench"], "model"),
            ([*bench, "--prompt", "0"], "--prompt"),
            ([*bench, "--prompt", "8,x"], "--prompt"),
            ([*bench, "--generate", "-1"], "--generate"),
            ([*bench, "--batch", "1,0"], "--batch"),
            ([*bench, "--repeats", "0"], "--repeats"),
            ([*bench, "--patience", "-1"], "--patience"),
            ([*bench, "--warmup", "-1"], "--warmup"),
            ([*bench, "--preset", "fast"], "--preset"),
            ([*bench, "--schemes", "plain,nf5"], "nf5"),
            ([*bench, "--schemes", "nf4", "--load-in-4bit"], "--schemes"),
            ([*bench, "--schemes", "int8", "--activation", "int8"], "--schemes"),
            ([*bench, "--markdown", "--json"], "--json"),
        ]:
            with self.subTest(arguments=arguments):
                self.fails(*arguments, code=2, says=says)

    def test_what_does_not_fit_fails_before_anything_is_loaded(self):
        self.fails("bench", self.model, "--prompt", "600", "--generate", "1", code=1,
                   says="at most 600 tokens")
        self.fails("bench", self.folder / "missing", code=1, says="missing")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
