#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`nibble compare` from outside: its table in each form, its plot, and what it refuses.

Usage: compare_test.py PROGRAM [unittest arguments]
"""

import html.parser
import itertools
import json
import sys
import unittest
import xml.etree.ElementTree as xml

import cli_test
import tiny_model

SVG = "{http://www.w3.org/2000/svg}"
PIQA = [{"goal": "go", "sol1": "walk", "sol2": "run", "label": label} for label in (0, 1)]
FAST = ["--prompt", "8", "--generate", "4", "--repeats", "1", "--quiet"]


class Page(html.parser.HTMLParser):
    """The texts of a page's cells, and the elements that it has."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.elements, self.inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.inside = tag
        for name, value in attrs:
            if name in ("src", "href"):
                raise AssertionError(f"the page needs {value}")

    def handle_data(self, data):
        if self.inside in ("td", "th") and data.strip():
            self.cells.append(data)


class CompareTest(cli_test.CliTest):
    def setUp(self):
        super().setUp()
        self.text = self.folder / "text.txt"
        self.text.write_text("hello there, good bye")

    def rows(self, *arguments):
        return self.json_of("compare", *arguments)["rows"]

    def table(self, *arguments):
        """The cells of the Markdown table, line by line, without its rule."""
        lines = [line for line in self.nibble("compare", *arguments).stdout.splitlines()
                 if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        self.assertEqual(len({len(row) for row in cells}), 1, lines)
        return [cells[0], *cells[2:]]


class Tables(CompareTest):
    def test_what_is_always_there(self):
        nf4 = self.quantized("nf4")
        title, plain, packed = self.table(self.model, nf4, "--no-speed")
        self.assertEqual(title, ["model", "scheme", "bits/weight", "size"])
        self.assertEqual(plain[:3], [str(self.model), "plain", "32.000"])
        self.assertEqual(packed[:2], [str(nf4), "nf4"])
        self.assertLess(float(packed[2]), 32)

    def test_figures_are_those_of_eval(self):
        tasks = self.folder / "piqa.jsonl"
        tasks.write_text("".join(json.dumps(question) + "\n" for question in PIQA))
        nf4 = self.quantized("nf4")
        measured = ["--perplexity", self.text, "--context", 8]
        plain, packed = self.rows(self.model, nf4, *measured, "--task", tasks, "--no-speed")
        self.assertEqual(plain["perplexity"],
                         self.json_of("eval", self.model, *measured)["perplexity"])
        self.assertNotIn("kl", plain)
        alone = self.json_of("eval", nf4, *measured, "--kl", self.model)
        self.assertEqual([packed[key] for key in ("perplexity", "kl", "same_top")],
                         [alone[key] for key in ("perplexity", "kl", "same_top")])
        self.assertEqual(packed["tasks"][0]["acc"],
                         self.json_of("eval", nf4, "--task", tasks)["tasks"][0]["acc"])
        title = self.table(self.model, nf4, *measured, "--task", tasks, "--no-speed")[0]
        self.assertEqual(title[4:], ["perplexity", "KL divergence", "same top token", "piqa acc",
                                     "piqa acc_norm"])

    def test_forms_that_are_made_while_loading(self):
        rows = self.rows(self.model, "--schemes", "int8,nf4-dq", "--no-speed", "--perplexity",
                         self.text)
        self.assertEqual([row["scheme"] for row in rows], ["plain", "int8", "nf4-dq"])
        self.assertGreater(rows[0]["bytes"], rows[1]["bytes"])
        self.assertGreater(rows[2]["kl"], 0)

    def test_loading_options_hold_for_all_but_the_first(self):
        nf4 = self.quantized("nf4")
        rows = self.rows(self.model, nf4, "--activation", "int8", "--no-speed")
        self.assertEqual([row["scheme"] for row in rows], ["plain", "nf4-a8"])
        rows = self.rows(self.model, self.model, "--load-in-8bit", "--no-speed")
        self.assertEqual([row["scheme"] for row in rows], ["plain", "llm.int8"])

    def test_codes_are_told_by_their_method(self):
        wide = self.wide_model()
        packed = self.folder / "awq"
        self.nibble("quantize", wide, packed, "--scheme", "awq", "--quiet")
        self.assertEqual(self.rows(wide, packed, "--no-speed")[1]["scheme"], "awq 4-bit g128")

    def test_speed(self):
        document = self.json_of("compare", self.model, "--schemes", "nf4", *FAST)
        self.assertEqual([document["speed"][key] for key in ("prompt_tokens", "new_tokens")], [8, 4])
        for row in document["rows"]:
            self.assertGreater(row["prefill_tokens_per_second"], 0)
            self.assertGreater(row["decode_tokens_per_second"], 0)
        self.assertEqual(self.table(self.model, *FAST)[0][4:], ["prefill tok/s", "decode tok/s"])

    def test_columns_are_explained(self):
        text = self.nibble("compare", self.model, "--schemes", "nf4", "--perplexity", self.text,
                           "--context", 8, "--second-half", *FAST).stdout
        self.assertIn("Perplexity on text.txt, second half of windows of 8 tokens", text)
        self.assertIn("against model.", text)
        self.assertIn("a prompt of 8 tokens, 4 new ones", text)


class Plots(CompareTest):
    def labels(self, svg):
        """Of each label: its text, left and right end at least, and the line that it stands on."""
        for text in svg.iter(f"{SVG}text"):
            if text.get("class") != "label":
                continue
            half = len(text.text) * 7 / 2  # a common width of letters at 13 pixels
            x, y = float(text.get("x")), float(text.get("y"))
            yield text.text, x - half, x + half, y

    def test_a_plot_that_can_be_read(self):
        # Schemes whose sizes are equal or almost, so that labels would cover each other.
        schemes = "int8,llm.int8,nf4,nf4-dq,fp4,nf4-a8,nf4-dq-a8,fp4-a8"
        plot = self.folder / "plot.svg"
        self.nibble("compare", self.model, "--schemes", schemes, "--perplexity", self.text, "--plot",
                    plot, "--no-speed", "--quiet")
        svg = xml.parse(plot).getroot()
        width, height = map(float, svg.get("viewBox").split()[2:])
        labels = list(self.labels(svg))
        self.assertEqual(sorted(label[0] for label in labels),
                         sorted([self.model.name, *schemes.split(",")]))
        self.assertEqual(len(list(svg.iter(f"{SVG}circle"))), 9)
        for _, left, right, y in labels:
            self.assertTrue(0 <= left and right <= width and 13 <= y <= height)
        for (one, left, right, y), (other, begin, end, line) in itertools.combinations(labels, 2):
            self.assertTrue(right <= begin or end <= left or abs(y - line) >= 13, (one, other))
        texts = [text.text for text in svg.iter(f"{SVG}text")]
        self.assertIn("perplexity (lower is better)", texts)
        self.assertIn("size in MB", texts)
        self.assertIn("prefers-color-scheme:dark", svg.find(f"{SVG}style").text)

    def test_names_are_no_markup(self):
        folder = tiny_model.write_model(self.folder / 'a<b>&"c"')
        plot = self.folder / "plot.svg"
        page = self.nibble("compare", folder, folder, "--perplexity", self.text, "--plot", plot,
                           "--html", "--no-speed", "--quiet").stdout
        self.assertEqual([label[0] for label in self.labels(xml.parse(plot).getroot())],
                         [folder.name, "plain"])
        self.assertNotIn("b", Page(page).elements)
        self.assertIn("a&lt;b&gt;&amp;&quot;c&quot;", page)

    def test_accuracy_is_plotted_where_there_is_no_text(self):
        tasks = self.folder / "piqa.jsonl"
        tasks.write_text("".join(json.dumps(question) + "\n" for question in PIQA))
        plot = self.folder / "plot.svg"
        self.nibble("compare", self.model, "--task", tasks, "--plot", plot, "--no-speed", "--quiet")
        self.assertIn("mean accuracy (higher is better)",
                      [text.text for text in xml.parse(plot).getroot().iter(f"{SVG}text")])

    def test_a_page_stands_alone(self):
        arguments = ["compare", self.model, "--schemes", "nf4", "--no-speed", "--quiet", "--html"]
        page = Page(self.nibble(*arguments, "--perplexity", self.text).stdout)
        self.assertIn("svg", page.elements)
        self.assertEqual(page.cells[:5], ["model", "scheme", "bits/weight", "size", "perplexity"])
        self.assertIn("nf4", page.cells)
        self.assertNotIn("script", page.elements)
        self.assertNotIn("svg", Page(self.nibble(*arguments).stdout).elements)


class Refusals(CompareTest):
    def test_wrong_usage_is_2(self):
        compare = ["compare", self.model]
        for arguments, says in [
            (["compare"], "models"),
            ([*compare, "--schemes", "nf5"], "nf5"),
            ([*compare, "--plot", "x.svg"], "--plot"),
            ([*compare, "--schemes", "nf4", "--load-in-4bit"], "--schemes"),
            ([*compare, "--html", "--json"], "--json"),
            ([*compare, "--no-speed", "--prompt", "5"], "--prompt"),
            ([*compare, "--tasks", "piqa"], "--task-data"),
        ]:
            with self.subTest(arguments=arguments):
                self.fails(*arguments, code=2, says=says)

    def test_what_cannot_be_compared_fails(self):
        self.fails("compare", self.model, self.folder / "gone", says="gone")
        self.fails("compare", self.model, "--perplexity", self.folder / "gone.txt", says="gone.txt")
        self.fails("compare", self.model, "--prompt", "9999", says="9999")
        self.fails("compare", self.model, "--perplexity", self.text, "--plot",
                   self.folder / "gone" / "plot.svg", says="gone/plot.svg")
        self.fails("compare", self.model, "--perplexity", self.text, "--context", 9999, "--quiet",
                   says=[f"{self.model}: ", "context"])
        packed = self.quantized("nf4")
        self.fails("compare", packed, "--schemes", "nf4", "--no-speed",
                   says=["quantized already", str(packed)])


if __name__ == "__main__":
    cli_test.PROGRAM = sys.argv.pop(1)
    unittest.main()
