#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How update_bad_input.py rewrites a table: what stands where, and that every text finds an end."""

import ast
import unittest

from update_bad_input import NARROWEST, WIDTH, literal, replace

LONG = "model/config.json: bad value of 'x': expected " + "some words and " * 12 + "a \"quote\""


class UpdateBadInput(unittest.TestCase):
    def test_a_text_is_wrapped_wherever_it_begins(self):
        for text in (LONG, LONG.replace(" ", "-"), "\\" * 300, "", "a"):
            for column in range(0, 2 * WIDTH):
                written = literal(text, column)
                self.assertEqual(ast.literal_eval(f"({written})"), text)
                if column < WIDTH - NARROWEST:
                    longest = max(len(line.strip()) for line in written.split("\n"))
                    self.assertLess(column + longest, WIDTH)

    def test_a_text_far_to_the_right_moves_below_the_first_of_its_items(self):
        far = "f(" + "1" * 86 + ")"
        source = f'CASES = [\n    ("name", {far}, "old"),\n]\n'
        lines = replace(source, "old", LONG).split("\n")
        self.assertEqual(lines[1], f'    ("name", {far},')
        self.assertTrue(lines[2].startswith('     "model/config.json'))
        self.assertLessEqual(max(len(line) for line in lines[2:]), WIDTH)
        self.assertEqual(ast.literal_eval("\n".join(lines).split("= ")[1].replace(far, "1")),
                         [("name", 1, LONG)])

    def test_a_text_that_fits_stays_in_its_line(self):
        self.assertEqual(replace('x = f("a", "old", g("old"))', "old", "new"),
                         'x = f("a", "new", g("new"))')


if __name__ == "__main__":
    unittest.main()
