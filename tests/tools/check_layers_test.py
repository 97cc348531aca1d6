# SPDX-License-Identifier: Apache-2.0
"""tools/check_layers.py finds each kind of violation, and nothing where the rules are kept."""

import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tools"))
sys.dont_write_bytecode = True
import check_layers  # noqa: E402

GOOD = {
    "tools/layers.txt": "base :\nops : base backend\nbackend : base\nbackend/cpu : base backend\n"
                        "backend/registry.cc : backend/cpu\n",
    "nibble/nibble.h": '#include "nibble/ops/add.h"\n',
    "nibble/base/error.h": "#include <string>\n",
    "nibble/base/CMakeLists.txt": "nibble_layer(base SOURCES error.cc LINK fmt::fmt)\n",
    "nibble/backend/backend.h": '#include "nibble/base/error.h"\n',
    "nibble/backend/registry.cc": '#include "nibble/backend/cpu/cpu.h"\n',
    "nibble/backend/cpu/cpu.h": '#include "nibble/backend/backend.h"\n',
    "nibble/ops/add.h": '// #include "nibble/backend/cpu/cpu.h"\n#include "nibble/base/error.h"\n',
    "nibble/ops/CMakeLists.txt": "nibble_layer(ops\n  SOURCES add.cc\n  DEPS base  # only\n)\n",
    "cli/run.h": "",
    "cli/run.cc": '#include "cli/run.h"\n#include "nibble/nibble.h"\n',
    "tests/ops/add_test.cc": '#include <gtest/gtest.h>\n#include "nibble/backend/cpu/cpu.h"\n',
}


class CheckLayers(unittest.TestCase):
    def problems(self, **changes):
        """What is wrong with the good tree after `changes` (a dict named files)."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (GOOD | changes.get("files", {})).items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return check_layers.check(Path(folder))

    def assert_one(self, files, *words):
        problems = self.problems(files=files)
        self.assertEqual(len(problems), 1, problems)
        for word in words:
            self.assertIn(word, problems[0])

    def test_a_tree_that_keeps_the_rules_passes(self):
        self.assertEqual(self.problems(), [])

    def test_an_include_upwards_is_found_with_its_line(self):
        self.assert_one({"nibble/base/error.cc": '\n#include "nibble/ops/add.h"\n'},
                        "nibble/base/error.cc:2", "base see ops")

    def test_a_folder_inside_a_folder_is_a_layer_of_its_own(self):
        self.assert_one({"nibble/ops/add.cc": '#include "nibble/backend/cpu/cpu.h"\n'}, "backend/cpu")

    def test_the_exception_holds_for_its_file_only(self):
        self.assert_one({"nibble/backend/other.cc": '#include "nibble/backend/cpu/cpu.h"\n'},
                        "nibble/backend/other.cc:1")

    def test_relative_paths_are_found(self):
        self.assert_one({"nibble/ops/add.cc": '#include "add.h"\n'}, "from the root")
        self.assert_one({"tests/ops/other_test.cc": '#include "../../nibble/ops/add.h"\n'}, "from the root")

    def test_angle_brackets_do_not_hide_an_include(self):
        self.assert_one({"nibble/base/error.cc": "#include <nibble/ops/add.h>\n"}, "quotes")

    def test_a_header_that_does_not_exist_is_found(self):
        self.assert_one({"nibble/ops/add.cc": '#include "nibble/ops/gone.h"\n'}, "no such header")

    def test_a_folder_without_a_line_is_found(self):
        self.assert_one({"nibble/train/tape.h": ""}, "nibble/train", "no line")

    def test_a_cycle_is_found(self):
        self.assert_one({"tools/layers.txt": GOOD["tools/layers.txt"].replace("backend : base", "backend : base ops")},
                        "cycle", "ops -> backend -> ops")

    def test_a_line_that_names_an_unknown_folder_is_found(self):
        self.assert_one({"tools/layers.txt": GOOD["tools/layers.txt"] + "eval : base opps\n"}, "opps")

    def test_cmake_may_not_depend_on_more(self):
        self.assert_one({"nibble/base/CMakeLists.txt": "nibble_layer(base SOURCES e.cc DEPS ops)\n"},
                        "base depend on ops")
        self.assert_one({"nibble/base/CMakeLists.txt": "nibble_layer(base SOURCES e.cc LINK nibble_ops)\n"},
                        "base depend on ops")

    def test_the_command_line_sees_the_public_header_only(self):
        self.assert_one({"cli/chat.cc": '#include "nibble/ops/add.h"\n'}, "cli/chat.cc:1")

    def test_the_public_header_shows_no_backend(self):
        self.assert_one({"nibble/nibble.h": '#include "nibble/backend/cpu/cpu.h"\n'}, "nibble/nibble.h:1")

    def test_a_layer_may_not_include_the_umbrella(self):
        self.assert_one({"nibble/ops/add.cc": '#include "nibble/nibble.h"\n'}, "umbrella")


if __name__ == "__main__":
    unittest.main()
