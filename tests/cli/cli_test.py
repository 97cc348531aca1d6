#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program from outside: every command, its exit codes, what it prints where, what it leaves.

Usage: cli_test.py PROGRAM [unittest arguments]
"""

import json
import os
import pty
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
COMMANDS = ["run", "chat", "quantize", "dequantize", "convert", "inspect", "eval", "bench",
            "compare"]


class CliTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="nibble-cli-"))
        cls.model = tiny_model.write_model(cls.shared / "model")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="nibble-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def nibble(self, *arguments, code=0, stdin=""):
        done = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, text=True,
                              capture_output=True, timeout=120)
        self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def json_of(self, *arguments, **options):
        done = self.nibble(*arguments, "--json", "--quiet", **options)
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)

    def fails(self, *arguments, code=1, says=()):
        """Fails with one line on stderr that holds every string of `says`, and an empty stdout."""
        done = self.nibble(*arguments, code=code)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("nibble: "), lines[0])
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(str(text), lines[0])
        return lines[0]

    def wide_model(self):
        """A model whose matrices have a shape that every packing takes."""
        folder = self.folder / "wide"
        if not folder.exists():
            tiny_model.write_model(folder, hidden=128, layers=1)
        return folder

    def quantized(self, scheme="nf4", *options):
        destination = self.folder / scheme
        self.nibble("quantize", self.model, destination, "--scheme", scheme, "--quiet", *options)
        return destination


class Usage(CliTest):
    def test_help_teaches_every_command(self):
        self.assertIn("Examples", self.nibble("--help").stdout)
        for command in COMMANDS:
            text = self.nibble(command, "--help").stdout
            self.assertIn("Examples:", text)
            self.assertIn(f"nibble {command}", text)
            self.assertIn("--threads", text)

    def test_version(self):
        self.assertRegex(self.nibble("--version").stdout, r"^nibble \d+\.\d+\.\d+\n$")

    def test_wrong_usage_is_2_and_one_line(self):
        run = ["run", self.model, "-p", "a"]
        for arguments, says in [
            ([], "--help"),
            (["dance"], "dance"),
            (["run"], "run --help"),
            (["run", self.model], "prompt"),
            ([*run, "--bogus"], "bogus"),
            ([*run, "--threads", "0"], "threads"),
            ([*run, "--threads", "many"], "threads"),
            ([*run, "--device", "toaster"], "toaster"),
            ([*run, "--temperature", "-1"], "temperature"),
            ([*run, "--top-p", "2"], "top_p"),
            ([*run, "--max-new-tokens", "0"], "max_new_tokens"),
            ([*run, "--dtype", "int8"], "dtype"),
            ([*run, "--load-in-4bit", "--load-in-8bit"], "load-in"),
            ([*run, "--load-in-4bit", "--bnb-4bit-quant-type", "nf5"], "nf5"),
            ([*run, "--bnb-4bit-use-double-quant"], "load-in-4bit"),
            ([*run, "--activation", "int4"], "int4"),
            ([*run, "--kv-cache-dtype", "bfloat16"], "bfloat16"),
            ([*run, "--system", "x"], "--chat"),
            ([*run, "--chat-template", "default"], "--chat"),
            ([*run, "--chat", "--tools", "/no/such/file"], "tools"),
            ([*run, "--chat", "--chat-template-kwargs", "[]"], "chat-template-kwargs"),
            (["eval", self.model], "perplexity"),
            (["eval", self.model, "--perplexity", "x", "--stride", "0"], "stride"),
        ]:
            with self.subTest(arguments=arguments):
                self.fails(*arguments, code=2, says=says)

    def test_a_scheme_that_is_not_there_lists_those_that_are(self):
        for scheme in ["gguf", "nf5"]:
            self.fails("quantize", self.model, self.folder / "x", "--scheme", scheme, code=2,
                       says=[scheme, "nf4, fp4, int8, gptq, awq"])
        for options in [["int8", "--double-quant"], ["int8", "--block-size", "64"],
                        ["nf4", "--llm-int8-threshold", "5"], ["nf4", "--block-size", "63"],
                        ["nf4", "--bits", "4"], ["int8", "--group-size", "64"], ["fp4", "--sym"],
                        ["nf4", "--format", "gptq"], ["gptq", "--block-size", "64"],
                        ["gptq", "--bits", "5"], ["gptq", "--format", "gemm"],
                        ["gptq", "--llm-int8-skip-modules", "lm_head"], ["awq", "--bits", "3"],
                        ["awq", "--group-size", "0"], ["awq", "--format", "gptq"],
                        ["nf4", "--max-shard-size", "5 apples"]]:
            self.fails("quantize", self.model, self.folder / "x", "--scheme", *options, code=2)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_device_that_is_not_there_fails(self):
        self.fails("run", self.model, "-p", "a", "--device", "cuda", says=["cuda", "--device cpu"])


class Run(CliTest):
    def test_prints_the_text_and_nothing_else_on_stdout(self):
        options = ["run", self.model, "-p", "Hello", "--max-new-tokens", "20"]
        done = self.nibble(*options)
        self.assertIn("tokens/s", done.stderr)
        self.assertEqual(done.stdout, self.json_of(*options)["text"] + "\n")
        self.assertEqual(self.nibble(*options, "--quiet").stderr, "")

    def test_json_has_prompt_ids_and_timings(self):
        result = self.json_of("run", self.model, "-p", "Hello", "--max-new-tokens", 20)
        self.assertEqual(result["prompt"], "Hello")
        self.assertEqual(result["prompt_ids"], [1] + [ord(c) - 32 + 3 for c in "Hello"])
        self.assertIn(result["finish_reason"], ["length", "eos"])
        self.assertLessEqual(len(result["ids"]), 20)
        self.assertEqual(result["timings"]["prompt_tokens"], 6)

    def test_same_text_for_any_threads_cache_and_seed(self):
        options = ["run", self.model, "-p", "Hello", "--max-new-tokens", "20"]
        ids = self.json_of(*options)["ids"]
        self.assertEqual(self.json_of(*options, "--threads", "1")["ids"], ids)
        self.assertEqual(self.json_of(*options, "--no-use-cache")["ids"], ids)
        drawn = [self.json_of(*options, "--temperature", "1.5", "--seed", seed)["ids"]
                 for seed in [1, 1, 2]]
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])

    def test_a_batch_gives_what_single_runs_give(self):
        prompts = ["Hello", "a", ""]
        batch = self.json_of("run", self.model, *(x for p in prompts for x in ("-p", p)),
                             "--max-new-tokens", 15)["results"]
        for prompt, result in zip(prompts, batch):
            single = self.json_of("run", self.model, "-p", prompt, "--max-new-tokens", 15)
            self.assertEqual(result["ids"], single["ids"])
            self.assertEqual(result["prompt"], prompt)

    def test_stop_string(self):
        free = self.json_of("run", self.model, "-p", "Hello", "--max-new-tokens", 20)["text"]
        stop = free[3:5]
        text = self.json_of("run", self.model, "-p", "Hello", "--max-new-tokens", 20, "--stop", stop)
        self.assertEqual(text["text"], free[:free.index(stop) + 2])
        self.assertEqual(text["finish_reason"], "stop")

    def test_options_take_one_value_each(self):
        result = self.json_of("run", "--stop", "~~", "--llm-int8-skip-modules", "lm_head,q_proj",
                              "-p", "Hi", self.model, "--max-new-tokens", 3)
        self.assertEqual(result["prompt"], "Hi")

    def test_chat_template(self):
        result = self.json_of("run", self.model, "--chat", "--system", "S", "-p", "Hi",
                              "--max-new-tokens", 3)
        rendered = "[system]S[user]Hi[assistant]"
        self.assertEqual(result["prompt_ids"], [1] + [ord(c) - 32 + 3 for c in rendered])

    def test_chat_template_of_choice(self):
        def prompt(*options):
            result = self.json_of("run", self.model, "--chat", "-p", "Hi", "--max-new-tokens", 1,
                                  *options)
            return "".join(chr(i - 3 + 32) for i in result["prompt_ids"] if i >= 3)

        template = self.folder / "mine.jinja"
        template.write_text("{{ tools | length }} {{ documents[0].title }} {{ mood }}")
        for name, content in [("tools", [{"name": "f"}]), ("documents", [{"title": "T"}])]:
            (self.folder / f"{name}.json").write_text(json.dumps(content))
        self.assertEqual(prompt("--chat-template", template, "--tools", self.folder / "tools.json",
                                "--documents", self.folder / "documents.json",
                                "--chat-template-kwargs", '{"mood": "good"}'), "1 T good")
        self.assertEqual(prompt("--chat-template", "default"), prompt())
        self.fails("run", self.model, "--chat", "-p", "Hi", "--chat-template", "nosuch",
                   says=["nosuch", "default"])

    def test_loading_options_quantize(self):
        for options in [["--load-in-4bit", "--bnb-4bit-quant-type", "nf4",
                         "--bnb-4bit-use-double-quant"],
                        ["--load-in-8bit", "--llm-int8-threshold", "4.5", "--activation", "float"],
                        ["--load-in-8bit"], ["--dtype", "bfloat16"]]:
            with self.subTest(options=options):
                result = self.json_of("run", self.model, "-p", "Hello", "--max-new-tokens", 5,
                                      *options)
                self.assertTrue(result["ids"])

    def test_the_context_is_a_limit(self):
        result = self.nibble("run", self.model, "-p", "x" * 250, "--max-new-tokens", 100)
        self.assertIn("context", result.stderr)
        self.fails("run", self.model, "-p", "x" * 300, "--quiet", says="context")

    def test_a_reader_that_leaves_ends_it_quietly(self):
        process = subprocess.Popen([PROGRAM, "run", self.model, "-p", "a", "--quiet"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60), 0)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs /dev/full")
    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([PROGRAM, "inspect", self.model], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr)


class Chat(CliTest):
    def test_lines_from_a_pipe_are_a_conversation(self):
        document = self.json_of("chat", self.model, "--max-new-tokens", 5, "--system", "Be brief",
                                stdin="Hello\n\nAgain\n")
        self.assertEqual([m["role"] for m in document["messages"]],
                         ["system", "user", "assistant", "user", "assistant"])
        text = self.nibble("chat", self.model, "--max-new-tokens", 5, "--system", "Be brief",
                           "--quiet", stdin="Hello\nAgain").stdout
        answers = [m["content"] for m in document["messages"] if m["role"] == "assistant"]
        self.assertEqual(text, "".join(answer + "\n" for answer in answers))
        # A turn reads what the one before did not.
        first, second = document["timings"]
        self.assertEqual(first["reused_tokens"], 0)
        self.assertGreaterEqual(second["reused_tokens"], first["prompt_tokens"])

    def test_a_model_without_a_template_says_so(self):
        bare = shutil.copytree(self.model, self.folder / "bare")
        (bare / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
        self.fails("chat", bare, says="chat template")

    def test_on_a_terminal(self):
        master, terminal = pty.openpty()
        process = subprocess.Popen(
            [PROGRAM, "chat", self.model, "--max-new-tokens", "5"], stdin=terminal,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        os.write(master, b"Hello\n/reset\nHello\n/exit\n")
        answers = process.communicate(timeout=60)[0].split(b"\n")
        os.close(master)
        os.close(terminal)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(len(answers), 3)
        self.assertEqual(answers[0], answers[1])  # /reset forgets


class Files(CliTest):
    def test_quantize_writes_a_model_that_runs(self):
        for scheme, options in [("nf4", ["--double-quant"]), ("fp4", ["--block-size", "128"]),
                                ("int8", ["--llm-int8-threshold", "4"])]:
            with self.subTest(scheme=scheme):
                folder = self.quantized(scheme, *options)
                settings = json.loads((folder / "config.json").read_text())
                self.assertEqual(settings["quantization_config"]["quant_method"], "bitsandbytes")
                self.assertTrue(self.json_of("run", folder, "-p", "Hi", "--max-new-tokens", 5)["ids"])

    def test_calibration_chooses_codes_and_says_what_it_left(self):
        texts = self.folder / "texts.json"
        texts.write_text(json.dumps([f"Once upon a time there were {n} foxes." for n in range(9)]))
        gptq = ["--scheme", "gptq", "--group-size", "32", "--calibration", texts]
        for options in [[], ["--static-groups", "--parity"],
                        ["--no-sym", "--desc-act", "--damp-percent", "0.02"]]:
            with self.subTest(options=options):
                folder = self.folder / f"calibrated{len(options)}"
                told = self.json_of("quantize", self.model, folder, *gptq, *options,
                                    "--calibration-samples", 5, "--calibration-seqlen", 30)
                self.assertEqual(told["modules_converted"], 14)
                modules = told["calibration"]["modules"]
                self.assertEqual(modules[0]["module"], "model.layers.0.self_attn.q_proj")
                self.assertEqual(len(modules), 14)
                settings = json.loads((folder / "config.json").read_text())["quantization_config"]
                self.assertEqual(settings["desc_act"], "--desc-act" in options)
                self.assertEqual(settings.get("static_groups", False), "--static-groups" in options)
                self.assertEqual(settings["act_group_aware"], not options)
                self.assertEqual(settings["meta"]["calibration"].get("parity", False),
                                 "--parity" in options)
                self.assertEqual(settings["meta"]["calibration"]["samples"], 5)
                self.assertTrue(self.json_of("run", folder, "-p", "a", "--max-new-tokens", 3)["ids"])
        shown = self.nibble("quantize", self.model, self.folder / "shown", *gptq)
        self.assertEqual(sum("_proj  " in line for line in shown.stderr.splitlines()), 14)

    def test_awq_scales_what_it_rounds(self):
        texts = self.folder / "texts.json"
        texts.write_text(json.dumps([f"Once upon a time there were {n} foxes." for n in range(9)]))
        awq = ["--scheme", "awq", "--group-size", "64"]

        def divergence(folder):
            told = self.json_of("eval", folder, "--perplexity", texts, "--kl", self.wide_model())
            return told["kl"]

        rounded = self.folder / "rounded"
        self.nibble("quantize", self.wide_model(), rounded, *awq, "--quiet")
        for format in ["gemm", "gemv", "gemv_fast", "llm-awq"]:
            with self.subTest(format=format):
                folder = self.folder / format
                told = self.json_of("quantize", self.wide_model(), folder, *awq, "--format", format,
                                    "--calibration", texts, "--calibration-seqlen", 30)
                modules = told["calibration"]["modules"]
                self.assertEqual(len(modules), 7)
                self.assertIn("ratio", modules[0])
                settings = json.loads((folder / "config.json").read_text())["quantization_config"]
                self.assertEqual(settings["meta"]["calibration"]["samples"], 9)
                self.assertLess(divergence(folder), divergence(rounded))
        shown = self.nibble("quantize", self.wide_model(), self.folder / "shown", *awq,
                            "--calibration", texts)
        self.assertIn("rounded to nearest", shown.stderr)
        self.assertEqual(sum("_proj  " in line for line in shown.stderr.splitlines()), 7)

    def test_a_calibration_that_cannot_be_is_refused(self):
        short = self.folder / "short.txt"
        short.write_text("short")
        calibrate = ["quantize", self.model, self.folder / "x", "--calibration", short, "--scheme"]
        self.fails(*calibrate, "gptq", "--group-size", "32", says=[short, "too short"])
        self.fails(*calibrate, "gptq", "--group-size", "48", says=["group_size", "64", "48"])
        self.fails(*calibrate, "nf4", code=2, says="--calibration")
        self.fails(*calibrate, "gptq", "--damp-percent", "1", code=2, says="damp_percent")
        self.fails(*calibrate, "awq", "--group-size", "32", says=[short, "too short"])
        self.fails(*calibrate, "awq", "--desc-act", code=2, says=["--desc-act", "awq"])
        self.fails(*calibrate, "gptq", "--format", "marlin", "--desc-act", code=2,
                   says=["--desc-act", "marlin"])
        self.fails("quantize", self.model, self.folder / "x", "--scheme", "gptq", "--desc-act",
                   code=2, says=["--desc-act", "--calibration"])
        self.assertEqual(list(self.folder.iterdir()), [short])

    def test_a_budget_chooses_bits_for_each_module(self):
        texts = self.folder / "texts.json"
        texts.write_text(json.dumps([f"Once upon a time there were {n} foxes." for n in range(9)]))
        for options in [[], ["--calibration", texts, "--calibration-seqlen", 30]]:
            with self.subTest(options=options):
                folder = self.folder / f"mixed{len(options)}"
                told = self.json_of("quantize", self.model, folder, "--budget", "7bpw", *options)
                plan = told["plan"]
                self.assertLessEqual(plan["bits_per_weight"], 7)
                self.assertEqual(plan["bytes"], told["bytes_after"])
                chosen = [module["choices"][module["chosen"]] for module in plan["modules"]]
                self.assertEqual(len(chosen), 14)
                self.assertAlmostEqual(sum(choice["error"] for choice in chosen), plan["error"])
                modules = self.json_of("inspect", folder)["modules"]
                stored = {m["name"]: m["bits_per_weight"] for m in modules if m.get("scheme")}
                for module, choice in zip(plan["modules"], chosen):
                    self.assertAlmostEqual(stored[module["module"]], choice["bits_per_weight"])
                self.assertTrue(self.json_of("run", folder, "-p", "a", "--max-new-tokens", 3)["ids"])
        half = self.folder / "half"
        shown = self.nibble("quantize", self.model, half, "--max-memory", "60KB")
        self.assertEqual(sum("_proj  " in line for line in shown.stderr.splitlines()), 14)
        self.assertLessEqual(self.json_of("inspect", half)["bytes"], 60_000)

    def test_a_budget_of_gptq_makes_rules_of_bits(self):
        texts = self.folder / "texts.json"
        texts.write_text(json.dumps([f"Once upon a time there were {n} foxes." for n in range(9)]))
        for options in [[], ["--calibration", texts, "--calibration-seqlen", 30]]:
            with self.subTest(options=options):
                folder = self.folder / f"mixed{len(options)}"
                told = self.json_of("quantize", self.model, folder, "--scheme", "gptq",
                                    "--group-size", 16, "--budget", "6bpw", *options)
                self.assertLessEqual(told["plan"]["bits_per_weight"], 6)
                self.assertEqual(told["plan"]["bytes"], told["bytes_after"])
                self.assertEqual("calibration" in told, bool(options))
                settings = json.loads((folder / "config.json").read_text())["quantization_config"]
                self.assertTrue(settings["dynamic"])
                modules = self.json_of("inspect", folder)["modules"]
                stored = {m["name"]: m["bits_per_weight"] for m in modules if m.get("scheme")}
                for module in told["plan"]["modules"]:
                    choice = module["choices"][module["chosen"]]
                    self.assertAlmostEqual(stored[module["module"]], choice["bits_per_weight"])
                self.assertTrue(self.json_of("run", folder, "-p", "a", "--max-new-tokens", 3)["ids"])

    def test_a_budget_that_cannot_be_is_refused(self):
        budget = ["quantize", self.model, self.folder / "x", "--quiet", "--budget"]
        self.fails(*budget, "1bpw", says=["at least", "1.000 bits per weight"])
        self.fails("quantize", self.model, self.folder / "x", "--quiet", "--max-memory", "10KB",
                   says=["at least", "got 10000 bytes"])
        self.fails(*budget, "4 apples", code=2, says=["--budget", "4 apples"])
        self.fails(*budget, "-1bpw", code=2, says="--budget")
        self.fails(*budget, "4bpw", "--scheme", "nf4", code=2, says="nf4")
        self.fails(*budget, "4bpw", "--bits", "4", code=2, says="--bits")
        self.fails(*budget, "4bpw", "--scheme", "gptq", "--format", "marlin", code=2, says="4 bits")
        self.fails("quantize", self.model, self.folder / "x", code=2, says=["--scheme", "--budget"])
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_quantized_file_equals_quantizing_on_loading(self):
        options = ["-p", "Hello", "--max-new-tokens", "20"]
        loaded = self.json_of("run", self.model, *options, "--load-in-4bit",
                              "--bnb-4bit-quant-type", "nf4")
        stored = self.json_of("run", self.quantized("nf4"), *options)
        self.assertEqual(loaded["ids"], stored["ids"])

    def test_json_report(self):
        report = self.json_of("quantize", self.model, self.folder / "q", "--scheme", "nf4")
        self.assertEqual(report["modules_converted"], 14)
        self.assertLess(report["bytes_after"], report["bytes_before"])

    def test_dequantize_undoes_the_packing(self):
        packed = self.quantized("nf4")
        self.nibble("dequantize", packed, self.folder / "plain", "--quiet")
        comparison = self.json_of("inspect", self.folder / "plain", "--compare", packed)
        self.assertEqual(comparison["error"]["max_abs"], 0)
        self.fails("dequantize", self.model, self.folder / "x", says="not quantized")

    def test_convert_rewrites(self):
        self.nibble("convert", self.model, self.folder / "half", "--dtype", "float16",
                    "--max-shard-size", "50KB", "--quiet")
        self.assertTrue((self.folder / "half/model.safetensors.index.json").exists())
        self.assertTrue(self.json_of("run", self.folder / "half", "-p", "a",
                                     "--max-new-tokens", 3)["ids"])

    def test_an_existing_folder_needs_overwrite(self):
        target = self.folder / "target"
        target.mkdir()
        self.nibble("convert", self.model, target, "--quiet")  # an empty folder is fine
        (target / "notes.txt").write_text("mine")
        before = (target / "model.safetensors").read_bytes()
        for command in [["quantize", self.model, target, "--scheme", "nf4"],
                        ["convert", self.model, target],
                        ["dequantize", self.quantized("int8"), target]]:
            self.fails(*command, says=["target", "overwrite"])
        self.assertEqual((target / "model.safetensors").read_bytes(), before)
        self.nibble("quantize", self.model, target, "--scheme", "nf4", "--overwrite", "--quiet")
        self.assertNotEqual((target / "model.safetensors").read_bytes(), before)
        self.assertEqual((target / "notes.txt").read_text(), "mine")

    def test_quantized_input_is_refused(self):
        self.fails("quantize", self.quantized("int8"), self.folder / "x", "--scheme", "nf4",
                   says="already")

    def test_the_files_quantization_wins_over_the_options(self):
        done = self.nibble("run", self.quantized("nf4"), "-p", "a", "--max-new-tokens", 3,
                           "--load-in-8bit", "--quiet")
        self.assertRegex(done.stderr, r"^nibble: warning: .*already")

    def test_broken_models_fail_in_one_line_and_leave_nothing(self):
        def broken(name, change):
            folder = shutil.copytree(self.model, self.folder / name)
            change(folder)
            return folder

        def cut(folder):
            data = (folder / "model.safetensors").read_bytes()
            (folder / "model.safetensors").write_bytes(data[:len(data) // 2])

        def config(**changes):
            return lambda folder: (folder / "config.json").write_text(
                json.dumps(tiny_model.config(**changes)))

        cases = [
            broken("cut", cut),
            broken("garbage", lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 100)),
            broken("empty", lambda f: (f / "model.safetensors").write_bytes(b"")),
            broken("weightless", lambda f: (f / "model.safetensors").unlink()),
            broken("nojson", lambda f: (f / "config.json").write_text("{")),
            broken("noconfig", lambda f: (f / "config.json").unlink()),
            broken("alien", config(model_type="alien", architectures=["AlienForCausalLM"])),
            broken("wider", config(hidden=128)),
            broken("deeper", config(layers=3)),
            broken("negative", config(num_hidden_layers=-1)),
            broken("huge", config(vocab_size=2**62)),
            self.folder / "missing",
            self.model / "config.json",
        ]
        before = sorted(self.folder.iterdir())
        for model in cases:
            with self.subTest(model=model.name):
                self.fails("run", model, "-p", "a", "--quiet")
                self.fails("quantize", model, self.folder / "out", "--scheme", "nf4", "--quiet")
        self.assertEqual(sorted(self.folder.iterdir()), before)

    def test_a_gguf_is_pointed_to_convert(self):
        fake = self.folder / "model.gguf"
        fake.write_bytes(b"GGUF")
        self.fails("run", fake, "-p", "a", says="nibble convert")
        self.fails("convert", fake, self.folder / "out", says="model.gguf")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["model.gguf"])

    def test_inspect(self):
        packed = self.quantized("nf4")
        document = self.json_of("inspect", packed, "--compare", self.model)
        rows = {module["name"]: module for module in document["modules"]}
        up = rows["model.layers.0.mlp.up_proj"]
        self.assertEqual((up["scheme"], up["shape"]), ("nf4", [128, 64]))
        self.assertGreater(up["error"]["relative_rms"], 0)
        self.assertEqual(rows["lm_head"]["tied_to"], "model.embed_tokens")
        text = self.nibble("inspect", packed, "--compare", self.model).stdout
        self.assertIn("relative rms", text)
        self.assertIn("memory footprint", text)
        self.assertIn("model.norm.weight", self.nibble(
            "inspect", self.model / "model.safetensors").stdout)
        self.fails("inspect", self.folder / "missing")

    def test_inspect_a_config_alone(self):
        config = json.loads((self.model / "config.json").read_text())
        lone = self.folder / "config.json"
        lone.write_text(json.dumps(config))
        plain = self.json_of("inspect", self.model)
        document = self.json_of("inspect", lone)
        self.assertEqual(document["format"], "config")
        self.assertEqual(document["tensors"], [])
        self.assertEqual(document["parameters"], plain["parameters"])
        self.assertEqual(document["memory_footprint"], plain["memory_footprint"])
        # What quantizing really gives is what was foretold.
        packed = self.json_of("inspect", self.quantized("nf4"))
        told = self.json_of("inspect", lone, "--load-in-4bit", "--bnb-4bit-quant-type", "nf4")
        self.assertEqual(told["memory_footprint"], packed["memory_footprint"])
        self.assertEqual(told["quantization"]["converted_modules"], 14)
        self.assertEqual(told["quantization"]["skip_modules"],
                         ["lm_head", "model.embed_tokens", "model.norm"])
        none_skipped = self.json_of("inspect", lone, "--load-in-8bit",
                                    "--llm-int8-skip-modules", "")
        self.assertEqual(none_skipped["quantization"]["skip_modules"], [])
        gptq = self.folder / "gptq.json"
        gptq.write_text('{"quant_method": "gptq", "bits": 4, "group_size": 32}')
        text = self.nibble("inspect", lone, "--quantization-config", gptq).stdout
        self.assertIn("14 of", text)
        self.fails("inspect", lone, "--compare", self.model, says="config.json")
        gptq.write_text('{"quant_method": "gptq", "bits": 5}')
        self.fails("inspect", lone, "--quantization-config", gptq, says="'bits'")

    def test_a_method_that_cannot_be_run_is_named_and_inspected(self):
        folder = self.folder / "gptq"
        shutil.copytree(self.model, folder)
        config = json.loads((folder / "config.json").read_text())
        config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 64,
                                         "checkpoint_format": "gptq_p"}
        (folder / "config.json").write_text(json.dumps(config))
        for command in (["run", folder, "-p", "a"], ["dequantize", folder, self.folder / "out"]):
            self.fails(*command, says="gptq_p")
        document = self.json_of("inspect", folder)
        self.assertEqual(document["quantization"]["method"], "gptq")
        self.assertEqual(document["quantization"]["group_size"], 64)
        self.assertIn("gptq_p", document["note"])
        config["quantization_config"]["bits"] = 5
        (folder / "config.json").write_text(json.dumps(config))
        self.fails("run", folder, "-p", "a", says="'bits'")
        self.assertIn("'bits'", self.json_of("inspect", folder)["note"])


class Interruption(CliTest):
    def interrupt(self, arguments, ready):
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while not ready(process) and time.monotonic() < deadline:
            self.assertIsNone(process.poll(), "ended before it could be interrupted")
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130, errors)
        return errors.decode()

    def test_run(self):
        # Without a cache each token costs all before it: this would take minutes.
        model = tiny_model.write_model(self.folder / "long", context=100000, eos_token_id=None)
        errors = self.interrupt(
            ["run", model, "-p", "a", "--no-use-cache", "--max-new-tokens", 50000, "--quiet"],
            lambda process: process.stdout.read(1))
        self.assertEqual(errors, "nibble: interrupted\n")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
