#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The packings of quantized folders from outside: `nibble quantize` writes them, `nibble convert`
turns one into another, and either says what a packing cannot hold.

Usage: packing_test.py PROGRAM [unittest arguments]
"""

import json
import sys
import unittest

import cli_test
import tiny_model


class Packings(cli_test.CliTest):
    def test_groups_are_written_in_every_format(self):
        for scheme, options, format in [
            ("gptq", [], "gptq"),
            ("gptq", ["--no-sym", "--bits", "3", "--group-size", "32"], "gptq_v2"),
            ("gptq", ["--bits", "8", "--group-size", "-1"], "gptq"), ("rtn", [], "gptq"),
            ("gptq", ["--format", "marlin"], "marlin"), ("awq", [], "gemm"),
            ("awq", ["--format", "gemv"], "gemv"), ("awq", ["--format", "gemv_fast"], "gemv_fast"),
            ("awq", ["--format", "llm-awq"], "llm-awq"), ("awq", ["--format", "marlin"], "marlin"),
            ("eetq", [], None), ("hqq", [], None), ("hqq", ["--bits", "3"], None),
            ("group-int8", [], None), ("group-int8", ["--group-size", "48"], None),
            ("fp8", [], "e4m3"), ("fp8", ["--format", "e5m2"], "e5m2"),
            ("fp8", ["--format", "compressed-tensors"], "float-quantized"),
        ]:
            with self.subTest(scheme=scheme, options=options):
                folder = self.folder / "groups"
                self.nibble("quantize", self.wide_model(), folder, "--scheme", scheme,
                            "--overwrite", "--quiet", *options)
                told = self.json_of("inspect", folder, "--compare", self.wide_model())
                self.assertEqual(told["quantization"].get("format"), format)
                self.assertEqual(told["quantization"]["converted_modules"], 7)
                self.assertLess(told["error"]["relative_rms"], 0.2)
                self.assertTrue(self.json_of("run", folder, "-p", "Hi", "--max-new-tokens", 5)["ids"])
                self.nibble("dequantize", folder, self.folder / "plain", "--overwrite", "--quiet")
                comparison = self.json_of("inspect", self.folder / "plain", "--compare", folder)
                self.assertEqual(comparison["error"]["max_abs"], 0)

    def test_modules_that_a_packing_cannot_hold_stay_plain(self):
        odd = self.folder / "odd"
        tiny_model.write_model(odd, intermediate_size=100)
        for scheme, misfits in [("gptq", 6), ("awq", 4), ("hqq", 2), ("eetq", 0), ("group-int8", 0),
                                ("fp8", 0)]:
            with self.subTest(scheme=scheme):
                folder = self.folder / scheme
                done = self.nibble("quantize", odd, folder, "--scheme", scheme, "--json", "--quiet")
                self.assertEqual(len(json.loads(done.stdout).get("misfits", [])), misfits)
                self.assertEqual(done.stderr.count("stay plain"), 1 if misfits else 0)
                ran = self.nibble("run", folder, "-p", "a", "--max-new-tokens", 3, "--quiet")
                self.assertEqual(ran.stderr, "")

    def test_packings_are_converted_without_loss(self):
        first = self.folder / "first"
        self.nibble("quantize", self.wide_model(), first, "--scheme", "gptq", "--quiet")
        last = first
        for to in ["gptq_v2", "awq-gemm", "awq-gemv", "awq-gemv-fast", "llm-awq", "awq-marlin",
                   "gptq-marlin", "gptq"]:
            with self.subTest(to=to):
                self.nibble("convert", last, self.folder / to, "--to", to, "--quiet")
                last = self.folder / to
                self.assertTrue(self.json_of("run", last, "-p", "a", "--max-new-tokens", 2)["ids"])
        self.assertEqual((last / "model.safetensors").read_bytes(),
                         (first / "model.safetensors").read_bytes())

    def test_calibrated_codes_go_into_marlin_at_once(self):
        texts = self.folder / "texts.json"
        texts.write_text(json.dumps([f"Once upon a time there were {n} foxes." for n in range(9)]))
        for scheme, options in [("gptq", []), ("awq", ["--sym"])]:
            with self.subTest(scheme=scheme):
                command = ["quantize", self.wide_model()]
                calibrate = ["--scheme", scheme, "--calibration", texts, "--group-size", 64,
                             "--calibration-seqlen", 30, "--quiet"]
                usual, once, twice = (self.folder / f"{scheme}-{n}" for n in range(3))
                self.nibble(*command, usual, *calibrate, *options)
                self.nibble(*command, once, *calibrate, "--format", "marlin")
                self.nibble("convert", usual, twice, "--to", f"{scheme}-marlin", "--quiet")
                self.assertEqual((once / "model.safetensors").read_bytes(),
                                 (twice / "model.safetensors").read_bytes())

    def test_groups_of_int8_go_to_gptq_and_back(self):
        first, second, third = (self.folder / name for name in ("first", "second", "third"))
        tiny_model.write_model(self.folder / "odd", intermediate_size=100)
        self.nibble("quantize", self.folder / "odd", first, "--scheme", "group-int8", "--quiet",
                    "--modules-to-not-convert", "lm_head,layers.0.mlp.up_proj")
        self.nibble("convert", first, second, "--to", "gptq", "--quiet", code=1)  # blocks differ
        self.nibble("quantize", self.folder / "odd", first, "--scheme", "group-int8", "--quiet",
                    "--overwrite", "--modules-to-not-convert", "lm_head,up_proj")
        self.nibble("convert", first, second, "--to", "gptq", "--quiet")
        settings = json.loads((second / "config.json").read_text())["quantization_config"]
        self.assertNotIn("mlp.up_proj", settings["modules_in_block_to_quantize"][0])
        self.assertTrue(self.json_of("run", second, "-p", "a", "--max-new-tokens", 2)["ids"])
        self.nibble("convert", second, third, "--to", "group-int8", "--quiet")
        self.assertEqual((third / "model.safetensors").read_bytes(),
                         (first / "model.safetensors").read_bytes())

    def test_a_packing_that_cannot_hold_the_numbers_is_refused(self):
        three = self.quantized("gptq", "--bits", "3", "--group-size", "64")
        self.fails("convert", three, self.folder / "x", "--to", "awq-gemm", says="4 bits")
        asymmetric = self.quantized("awq", "--group-size", "64")
        self.fails("convert", asymmetric, self.folder / "x", "--to", "awq-marlin",
                   says=["symmetric", "down_proj"])
        self.fails("convert", self.quantized("nf4"), self.folder / "x", "--to", "gptq",
                   says=["gptq, awq", "bitsandbytes"])
        hqq = self.quantized("hqq")
        self.fails("convert", hqq, self.folder / "x", "--to", "gptq_v2",
                   says="zeros that are codes")
        self.fails("convert", self.model, self.folder / "x", "--to", "gptq", says="not quantized")
        self.fails("convert", three, self.folder / "x", "--to", "gptq_v3", code=2, says="gptq_v3")
        self.fails("convert", three, self.folder / "x", "--to", "gptq", "--dtype", "float16",
                   code=2, says="--dtype")


if __name__ == "__main__":
    cli_test.PROGRAM = sys.argv.pop(1)
    unittest.main()
