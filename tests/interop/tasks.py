#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`nibble eval --tasks` against lm-evaluation-harness with transformers, on the CPU.

    tests/interop/tasks.py [--binaries build/cpu/bin] MODEL ...

Needs lm_eval[hf] 0.4.13 and torch. The questions are nonsense made here, in the fields of each data
set: long and short ones, other alphabets, spaces and brackets where they matter, more tokens than
the model's context. For every task the log-likelihood of every choice agrees and all metrics are
equal. Prints a line for each task; exits with 1 when any failed.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import datasets
import lm_eval
import lm_eval.evaluator
import lm_eval.tasks
import torch

QUESTIONS = 24
# Logits in float32 on both sides, summed over up to some hundred tokens.
TOLERANCE = 1e-3
WORDS = ("the girl went to a park with her red ball and saw two birds, but it did not rain when mom "
         "said Yes. straße naïve Ёлка 日本 🙂 can't 3.14 x_y").split(" ")


class Source:
    """Random words from a fixed seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, least, most):
        return " ".join(self.random.choices(WORDS, k=self.random.randint(least, most)))

    def texts(self, count, least=1, most=9):
        return [self.text(least, most) for _ in range(count)]

    def below(self, count):
        return self.random.randrange(count)


def arc(source):
    count = 3 + source.below(3)
    labels = [str(i + 1) for i in range(count)] if source.below(4) == 0 else list("ABCDE"[:count])
    return {"id": "q", "question": source.text(3, 40),
            "choices": {"text": source.texts(count), "label": labels},
            "answerKey": labels[source.below(count)]}


def openbookqa(source):
    question = arc(source)
    return {"question_stem": question["question"], "choices": question["choices"],
            "answerKey": question["answerKey"]}


def hellaswag(source):
    marks = ["", " [title] ", " [step] ", "  ", "   ", " [header] x [", "] "]
    mark = lambda: marks[source.below(len(marks))]  # noqa: E731
    endings = [text + mark() + source.text(1, 4) for text in source.texts(4)]
    return {"activity_label": source.text(1, 3), "ctx_a": " " + source.text(3, 20) + mark(),
            "ctx_b": ["", "éCOLE Was shut", "then SHE"][source.below(3)], "endings": endings,
            "label": str(source.below(4))}


def mmlu(source):
    return {"question": f" {source.text(3, 30)} ", "subject": "abstract_algebra",
            "choices": source.texts(4), "answer": source.below(4)}


def truthfulqa(source):
    def targets(count, right):
        return {"choices": source.texts(count), "labels": [int(i < right) for i in range(count)]}
    return {"question": source.text(3, 20), "mc1_targets": targets(4, 1),
            "mc2_targets": targets(6, 1 + source.below(4))}


def winogrande(source):
    blank = source.text(2, 9).replace("_", "") + " _"
    if source.below(6) == 0:
        blank = "_"
    return {"sentence": f"{blank} {source.text(2, 9)}.", "option1": source.text(1, 2),
            "option2": source.text(1, 2), "answer": str(1 + source.below(2))}


def piqa(source):
    return {"goal": source.text(2, 9), "sol1": source.text(1, 30), "sol2": source.text(1, 30),
            "label": source.below(2)}


def lambada(source):
    # Now and then more than fits into a small model's context, and now and then a single word.
    text = source.text(300, 400) if source.below(8) == 0 else source.text(4, 80)
    return {"text": "ball" if source.below(12) == 0 else text}


# nibble's name of a task, that of lm_eval where it differs, its questions, and how many examples:
# the harness draws them by chance but for MMLU.
TASKS = [
    ("arc_easy", None, arc, 0),
    ("arc_challenge", None, arc, 0),
    ("hellaswag", None, hellaswag, 0),
    ("lambada_openai", None, lambada, 0),
    ("lambada_standard", None, lambada, 0),
    ("mmlu", "mmlu_abstract_algebra", mmlu, 0),
    ("mmlu", "mmlu_abstract_algebra", mmlu, 5),
    ("openbookqa", None, openbookqa, 0),
    ("piqa", None, piqa, 0),
    ("truthfulqa_mc1", None, truthfulqa, 0),
    ("truthfulqa_mc2", None, truthfulqa, 0),
    ("winogrande", None, winogrande, 0),
]


def harness(model, manager, task, questions, examples):
    """The log-likelihoods of each question's choices, the metrics, and all about each question."""
    datasets.load_dataset = lambda *_, **__: datasets.DatasetDict(
        {split: datasets.Dataset.from_list(examples if split == "dev" else questions)
         for split in ("train", "validation", "test", "dev")})
    result = lm_eval.evaluator.simple_evaluate(model=model, tasks=[task],
                                               num_fewshot=len(examples),
                                               task_manager=manager, bootstrap_iters=100,
                                               log_samples=True)
    samples = sorted(result["samples"][task], key=lambda sample: sample["doc_id"])
    metrics = {name.removesuffix(",none"): value for name, value in result["results"][task].items()
               if name.endswith(",none")}
    return [[float(r[0][0]) for r in sample["resps"]] for sample in samples], metrics, samples


def write_lines(file, values):
    file.write_text("".join(json.dumps(value) + "\n" for value in values))


def nibble(binaries, folder, task, questions, examples, preamble):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        write_lines(scratch / "questions.jsonl", questions)
        write_lines(scratch / "examples.jsonl", examples)
        log = scratch / "samples.jsonl"
        command = [binaries / "nibble", "eval", folder, "--tasks", task, "--task-data",
                   scratch / "questions.jsonl",
                   "--kv-cache-dtype", "float32", "--log-samples", log, "--json", "--quiet"]
        if preamble:
            (scratch / "preamble.txt").write_text(preamble)
            command += ["--preamble", scratch / "preamble.txt"]
        if examples:
            command += ["--num-fewshot", len(examples), "--fewshot-data",
                        scratch / "examples.jsonl"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                              env=os.environ | {"NIBBLE_CPU": os.environ.get("NIBBLE_CPU", "scalar")})
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        samples = [json.loads(line) for line in log.read_text().splitlines()]
        return [sample["log_likelihoods"] for sample in samples], json.loads(done.stdout)["tasks"][0]


def compare(binaries, folder, model, manager, name, other, make, shots):
    source = Source(name)
    questions = [make(source) for _ in range(QUESTIONS)]
    examples = [make(source) for _ in range(shots)]
    wanted, metrics, samples = harness(model, manager, other or name, questions, examples)
    # The answered questions before TruthfulQA's own are the harness's; nibble is given them.
    prompt = samples[0]["arguments"][0][0] if isinstance(samples[0]["arguments"], list) else \
        samples[0]["arguments"]["gen_args_0"]["arg_0"]
    preamble = prompt.rpartition("\n\nQ: ")[0] if name.startswith("truthfulqa") else ""
    got, ours = nibble(binaries, folder, name, questions, examples, preamble)
    difference = max(abs(a - b) for x, y in zip(got, wanted, strict=True)
                     for a, b in zip(x, y, strict=True))
    # perplexity is no count: it follows the log-likelihoods, and its error is bootstrapped there.
    exact = [key for key in metrics if not key.startswith("perplexity")]
    equal = all(abs(ours[key] - metrics[key]) < (TOLERANCE if name == "truthfulqa_mc2" else 1e-9)
                for key in exact)
    if "perplexity" in metrics:
        equal &= abs(ours["perplexity"] / metrics["perplexity"] - 1) < TOLERANCE
    figures = ", ".join(f"{key} {ours[key]:.4f}" for key in metrics if not key.endswith("_stderr"))
    good = equal and difference <= TOLERANCE
    title = f"{name} {shots}-shot" if shots else name
    print(f"{title:17} {'ok' if good else 'FAILED':6} log-likelihoods differ by {difference:.1e}; "
          f"{figures}" + ("" if equal else f", not {metrics}"), flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binaries", default="build/cpu/bin", type=pathlib.Path)
    parser.add_argument("model", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    for package in ("lm_eval", "transformers", "torch"):
        print(f"{package} {importlib.metadata.version(package)}")
    manager, good = lm_eval.tasks.TaskManager(), True
    for folder in arguments.model:
        print(folder.name)
        model = lm_eval.api.registry.get_model("hf")(
            pretrained=str(folder), dtype="float32", device="cpu", batch_size=4)
        for name, other, make, shots in TASKS:
            try:
                good &= compare(arguments.binaries, folder, model, manager, name, other, make,
                                shots)
            except Exception as failure:  # one task must not hide the others
                print(f"{name:17} FAILED {type(failure).__name__}: {str(failure).strip()[:400]}")
                good = False
    return 0 if good else 1


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(main())
