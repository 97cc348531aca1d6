# SPDX-License-Identifier: Apache-2.0
"""model_samples and make_random_model from outside, on a tiny model.

    model_samples_test.py MODEL_SAMPLES MAKE_RANDOM_MODEL
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}
# Of one layer, in weights: q and o, k and v, gate, up and down.
LAYER = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128
HEAD = 96 * 64


class ModelSamples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        folder = Path(cls.scratch.name)
        (folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
        cls.model = folder / "model"
        subprocess.run([RANDOM_MODEL, folder / "config.json", cls.model], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_with(self, scheme, requests):
        return subprocess.run([SAMPLES, self.model, scheme, "1"], input=requests,
                              capture_output=True, text=True)

    def test_each_scheme_answers_each_request_with_a_line(self):
        for scheme in ("plain", "int8", "LLM.int8()", "nf4", "nf4-double", "nf4-a8"):
            with self.subTest(scheme):
                done = self.run_with(scheme, "prefill 5\ndecode 2 behind 3\ndecode 1 behind 0\n")
                self.assertEqual(done.returncode, 0, done.stderr)
                ready, *seconds = done.stdout.splitlines()
                self.assertRegex(ready, r"^ready \d+$")
                self.assertEqual(len(seconds), 3)
                for text in seconds:
                    self.assertGreater(float(text), 0)

    def test_ready_tells_the_bytes_of_all_matrices(self):
        self.assertEqual(self.run_with("plain", "").stdout, f"ready {2 * (2 * LAYER + HEAD)}\n")
        nf4 = int(self.run_with("nf4", "").stdout.split()[1])
        # Of both layers: half a byte a weight, two bytes for the absmax of 64, which of bfloat16
        # weights is a bfloat16 number, and 16 floats for 7 matrices each.
        codes, scales, books = LAYER, 2 * LAYER // 64 * 2, 2 * 7 * 16 * 4
        self.assertEqual(nf4, codes + scales + books + 2 * HEAD)
        with_head = int(self.run_with("nf4+head", "").stdout.split()[1])
        head = HEAD // 2 + HEAD // 64 * 2 + 16 * 4
        self.assertEqual(with_head, codes + scales + books + head)

    def test_probe_tells_both_limits(self):
        done = self.run_with("plain", "probe\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        bandwidth, flops = map(float, done.stdout.splitlines()[1].split())
        self.assertGreater(bandwidth, 1e6)
        self.assertGreater(flops, 1e6)

    def test_what_is_no_request_and_no_scheme_fails_with_its_name(self):
        for requests in ("prefill\n", "prefill 0\n", "decode 2\n", "decode 2 after 3\n", "stop\n"):
            done = self.run_with("plain", requests)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"'{requests.strip()}' is no request", done.stderr)
        done = self.run_with("int3", "")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'int3' is none of plain", done.stderr)


if __name__ == "__main__":
    SAMPLES, RANDOM_MODEL = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
