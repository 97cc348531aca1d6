#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`nibble eval` from outside: what it measures of texts and tasks, in each form, and what it
refuses. That the figures are right, tests/eval/ and tests/interop/ test.

Usage: eval_test.py PROGRAM [unittest arguments]
"""

import json
import sys
import unittest

import cli_test

PIQA = {"goal": "go", "sol1": "walk", "sol2": "run far", "label": 1}
LAMBADA = {"text": "she saw him"}
MMLU = {"question": "q", "choices": ["a", "b", "c", "d"], "answer": 0, "subject": "law"}


class EvalTest(cli_test.CliTest):
    def write(self, name, content):
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def lines(self, name, *values):
        return self.write(name, "".join(json.dumps(value) + "\n" for value in values))


class Texts(EvalTest):
    def test_perplexity_of_a_list_and_of_a_text(self):
        texts = self.write("texts.json", ["hello there", "good bye"])
        result = self.json_of("eval", self.model, "--perplexity", texts)
        self.assertEqual(result["tokens"], 19)
        self.assertEqual(result["convention"], "texts")
        self.assertEqual(self.json_of("eval", self.model, "--perplexity", texts, "--limit", 1)
                         ["tokens"], 11)
        plain = self.write("plain.txt", "hello there")
        self.assertEqual(self.json_of("eval", self.model, "--perplexity", plain)["tokens"], 11)
        self.assertRegex(self.nibble("eval", self.model, "--perplexity", plain).stdout,
                         r"^perplexity \d+\.\d+ \+/- \d+\.\d+ over 11 tokens\n"
                         r"counted    windows of \d+ tokens\n$")

    def test_how_tokens_are_counted_is_said(self):
        plain = self.write("plain.txt", "hello there, good bye")  # 22 tokens with BOS
        for options, tokens, convention, text in [
            (["--context", "8"], 22 - 3, "windows", "windows of 8 tokens"),
            (["--context", "8", "--stride", "4"], 21, "strided", "windows of 8 tokens, stride 4"),
            (["--context", "8", "--second-half"], 2 * 3, "second-half",
             "second half of windows of 8 tokens, as llama.cpp counts"),
        ]:
            with self.subTest(options=options):
                arguments = ["eval", self.model, "--perplexity", plain, *options]
                result = self.json_of(*arguments)
                self.assertEqual(result["tokens"], tokens)
                self.assertEqual(result["convention"], convention)
                self.assertEqual(result["context"], 8)
                self.assertIn(f"counted    {text}\n", self.nibble(*arguments).stdout)

    def test_the_dtype_of_the_cache_counts(self):
        plain = self.write("plain.txt", "hello there")
        of_cache = {dtype: self.json_of("eval", self.model, "--perplexity", plain,
                                        "--kv-cache-dtype", dtype)["nll"]
                    for dtype in ["auto", "float32", "float16", "int8"]}
        self.assertEqual(of_cache["auto"], of_cache["float32"])  # of a model in float32
        self.assertEqual(len(set(of_cache.values())), 3)
        self.assertAlmostEqual(of_cache["float16"], of_cache["float32"], delta=1e-3)
        self.assertAlmostEqual(of_cache["int8"], of_cache["float32"], delta=0.1)

    def test_divergence(self):
        texts = self.write("texts.json", ["hello there", "good bye"])
        against = ["eval", self.model, "--perplexity", texts, "--kl", self.model]
        same = self.json_of(*against)
        self.assertEqual([same["kl"], same["same_top"], same["tokens"]], [0, 1, 19])
        self.assertEqual(same["perplexity"], same["reference_perplexity"])
        self.assertGreater(self.json_of(*against, "--load-in-4bit")["kl"], 0)
        self.assertRegex(self.nibble(*against).stdout, r"^KL divergence  0\.00000 .*\nsame top token "
                         r"100\.00 %\nperplexity .*\ntokens/s .*\ncounted        each text by .*\n$")

    def test_what_cannot_be_read_fails(self):
        plain = self.write("plain.txt", "hello there")
        self.fails("eval", self.model, "--perplexity", self.folder / "no.txt", says="no.txt")
        self.fails("eval", self.model, "--perplexity", plain, "--context", "9999", "--quiet",
                   says="context")
        self.fails("eval", self.model, "--perplexity", plain, "--second-half", "--context", 100,
                   "--quiet", says="expected at least 100 tokens, got 12")


class Tasks(EvalTest):
    def test_a_table_and_a_document(self):
        self.lines("piqa.jsonl", PIQA, PIQA | {"label": 0})
        self.write("lambada_openai.json", [LAMBADA])
        arguments = ["eval", self.model, "--tasks", "piqa,lambada_openai", "--task-data",
                     self.folder]
        piqa, lambada = self.json_of(*arguments)["tasks"]
        self.assertEqual([piqa["task"], piqa["questions"], piqa["acc"]], ["piqa", 2, 0.5])
        self.assertEqual(piqa["acc_norm"], 0.5)
        self.assertEqual(piqa["acc_stderr"], 0.5)
        self.assertEqual([lambada["task"], lambada["questions"]], ["lambada_openai", 1])
        self.assertGreater(lambada["perplexity"], 1)
        text = self.nibble(*arguments).stdout
        self.assertRegex(text, r"^task +metric +value +\+/- +questions\npiqa +acc +0\.5000 +0\.5000 "
                         r"+2\npiqa +acc_norm .*\nlambada_openai +perplexity .*\nlambada_openai ")
        self.assertEqual(self.json_of(*arguments, "--limit", 1)["tasks"][0]["questions"], 1)

    def test_files_may_be_named_one_by_one(self):
        named = self.lines("piqa.validation.jsonl", PIQA)
        other = self.lines("test.jsonl", MMLU, MMLU | {"subject": "art"})
        tasks = self.json_of("eval", self.model, "--task", named, "--task", f"mmlu={other}")["tasks"]
        self.assertEqual([task["task"] for task in tasks], ["piqa", "mmlu"])
        self.assertEqual(list(tasks[1]["subjects"]), ["law", "art"])
        self.assertEqual(tasks[1]["subjects"]["art"]["questions"], 1)

    def test_tasks_stand_beside_perplexity(self):
        named = self.lines("piqa.jsonl", PIQA)
        plain = self.write("plain.txt", "hello there")
        result = self.json_of("eval", self.model, "--task", named, "--perplexity", plain)
        self.assertEqual(result["tokens"], 11)
        self.assertEqual(result["tasks"][0]["task"], "piqa")

    def test_samples_and_a_preamble(self):
        named = self.lines("piqa.jsonl", PIQA)
        samples = {}
        for name, options in [("plain", []),
                              ("shown", ["--preamble", self.write("p.txt", "Question: a\n\n")])]:
            log = self.folder / "samples.jsonl"
            self.nibble("eval", self.model, "--task", named, "--log-samples", log, "--quiet",
                        *options)
            (samples[name],) = map(json.loads, log.read_text().splitlines())
        self.assertEqual(samples["plain"]["where"], f"{named}:1")
        self.assertEqual(len(samples["plain"]["log_likelihoods"]), 2)
        self.assertEqual(samples["plain"]["greedy"], [False, False])
        self.assertIn(samples["plain"]["acc"], [0, 1])
        self.assertNotEqual(samples["plain"]["log_likelihoods"],
                            samples["shown"]["log_likelihoods"])

    def test_examples(self):
        arguments = ["eval", self.model, "--task", self.lines("mmlu.jsonl", MMLU), "--json"]
        shots = self.lines("shots.jsonl", MMLU | {"subject": "art"}, MMLU | {"question": "r"})
        self.nibble(*arguments, "--num-fewshot", 1, "--fewshot-data", shots)
        self.fails(*arguments, "--quiet", "--num-fewshot", 2, "--fewshot-data", shots,
                   says=["mmlu.jsonl:1: ", "too few examples of law", "got 1"])
        self.fails(*arguments, "--num-fewshot", 1, "--fewshot-data", self.folder / "gone.jsonl",
                   says="gone.jsonl")

    def test_broken_questions_fail_before_the_model_is_loaded(self):
        good = self.lines("piqa.jsonl", PIQA)
        bad = self.lines("winogrande.jsonl", PIQA)
        nowhere = self.folder / "no-model"
        self.fails("eval", nowhere, "--task", good, "--task", bad,
                   says=["winogrande.jsonl:1: ", "'sentence'"])
        self.fails("eval", nowhere, "--tasks", "arc_easy", "--task-data", self.folder,
                   says="arc_easy.jsonl or arc_easy.json")
        self.fails("eval", nowhere, "--task", good, says="no-model")

    def test_wrong_usage_is_2(self):
        good = self.lines("piqa.jsonl", PIQA)
        command = ["eval", self.model]
        for arguments, says in [
            (command, "--perplexity"),
            ([*command, "--task", "questions.jsonl"], "NAME=FILE"),
            ([*command, "--tasks", "chess", "--task-data", good], "chess"),
            ([*command, "--tasks", "piqa"], "--task-data"),
            ([*command, "--tasks", "piqa,mmlu", "--task-data", good], "folder"),
            ([*command, "--task", good, "--num-fewshot", "2"], "--fewshot-data"),
            ([*command, "--task", good, "--kl", self.model], "--perplexity"),
            ([*command, "--perplexity", good, "--second-half", "--stride", "4"], "--stride"),
        ]:
            with self.subTest(arguments=arguments):
                self.fails(*arguments, code=2, says=says)


if __name__ == "__main__":
    cli_test.PROGRAM = sys.argv.pop(1)
    unittest.main()
