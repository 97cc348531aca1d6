# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/peers makes of samples: which ones count, ratios, turns and the table."""

import sys
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "benchmarks" / "peers"))
sys.dont_write_bytecode = True
import compare_models  # noqa: E402
import peer_statistics as statistics  # noqa: E402
import turns  # noqa: E402
from peer_statistics import Probe, Sample  # noqa: E402

FULL = Probe(20e9, 200e9)
HALF = Probe(20e9, 100e9)  # as when two processors share a core
STARVED = Probe(10e9, 200e9)  # as when others read memory


def samples(*speeds, state=FULL):
    return [Sample(speed, state, state) for speed in speeds]


class Statistics(unittest.TestCase):
    def test_one_probe_that_is_too_good_does_not_make_the_others_slow(self):
        limits = statistics.usual_limits([FULL] * 19 + [Probe(90e9, 900e9)])
        self.assertEqual(limits, FULL)

    def test_limits_are_those_of_the_fast_state_when_most_probes_are_slow(self):
        self.assertEqual(statistics.usual_limits([HALF] * 8 + [FULL] * 2), FULL)

    def test_a_probe_below_either_limit_is_slow(self):
        self.assertTrue(statistics.is_slow(HALF, FULL))
        self.assertTrue(statistics.is_slow(STARVED, FULL))
        self.assertFalse(statistics.is_slow(Probe(16e9, 160e9), FULL))

    def test_a_slow_probe_on_either_side_drops_the_sample(self):
        own = [Sample(1, HALF, FULL), Sample(5, FULL, FULL), Sample(2, FULL, HALF)]
        self.assertEqual(statistics.median_speed(own, FULL), 5)
        self.assertEqual(statistics.at_full_speed(own, FULL), 1)

    def test_without_a_sample_at_full_speed_all_count(self):
        own = samples(1, 3, 2, state=HALF)
        self.assertEqual(statistics.median_speed(own, FULL), 2)
        self.assertEqual(statistics.at_full_speed(own, FULL), 0)

    def test_the_ratio_is_the_median_of_ratios_and_not_the_ratio_of_medians(self):
        ours, theirs = samples(10, 20, 90), samples(10, 40, 30)  # 1, 0.5, 3; medians 20 and 30
        self.assertEqual(statistics.median_ratio(ours, theirs, FULL), (1, 3))

    def test_only_rounds_that_are_good_for_both_enter_the_ratio(self):
        ours = samples(10, 20) + samples(70, state=HALF)
        theirs = samples(1, state=STARVED) + samples(10, 10)
        self.assertEqual(statistics.median_ratio(ours, theirs, FULL), (2, 1))

    def test_without_a_common_round_all_enter_the_ratio(self):
        ours = samples(10) + samples(40, state=HALF)
        theirs = samples(10, state=HALF) + samples(10)
        self.assertEqual(statistics.median_ratio(ours, theirs, FULL), (2.5, 0))

    def test_share_of_bandwidth_is_held_against_the_probes_of_the_sample(self):
        own = [Sample(10, Probe(16e9, 200e9), Probe(24e9, 200e9)), Sample(12, FULL, FULL)]
        self.assertAlmostEqual(statistics.share_of_bandwidth(own, 1e9, FULL), 0.55)

    def test_the_best_has_the_highest_median(self):
        found = statistics.best_of({"Q4_0": samples(5, 5, 99), "IQ4_NL": samples(6, 6, 6)}, FULL)
        self.assertEqual(found, "IQ4_NL")


class Machine:
    """Gives one probe after the other and counts the work done and the pauses."""

    def __init__(self, *probes):
        self.probes = list(probes)
        self.work = self.pauses = 0

    def turns(self, patience):
        made = turns.Turns(lambda: self.probes.pop(0), patience, self.pause)
        made.probe()
        return made

    def pause(self, seconds):
        self.pauses += 1

    def seconds(self):
        self.work += 1
        return 2.0


class Taking(unittest.TestCase):
    def test_the_probe_behind_a_sample_is_the_one_before_the_next(self):
        machine = Machine(FULL, STARVED, FULL)
        taking = machine.turns(patience=0)
        first, second = (taking.sample(10, machine.seconds) for _ in range(2))
        self.assertEqual(first, Sample(5, FULL, STARVED))
        self.assertEqual(second, Sample(5, STARVED, FULL))

    def test_it_waits_for_a_slow_spell_to_end_before_it_measures(self):
        machine = Machine(FULL, HALF, HALF, FULL, FULL)
        taking = machine.turns(patience=3)
        taking.probe()
        self.assertEqual(taking.sample(10, machine.seconds), Sample(5, FULL, FULL))
        self.assertEqual((machine.work, machine.pauses), (1, 2))

    def test_a_sample_that_ends_slow_is_repeated(self):
        machine = Machine(FULL, HALF, FULL, FULL)
        self.assertEqual(machine.turns(patience=2).sample(10, machine.seconds),
                         Sample(5, FULL, FULL))
        self.assertEqual((machine.work, machine.pauses), (2, 1))

    def test_patience_ends(self):
        machine = Machine(FULL, *[HALF] * 9)
        self.assertEqual(machine.turns(patience=2).sample(10, machine.seconds),
                         Sample(5, HALF, HALF))
        self.assertEqual(len(machine.probes), 6)

    def test_all_take_part_in_every_round_and_take_turns_in_going_first(self):
        asked = []

        class Engine:
            def __init__(self, name):
                self.name = name

            def ask(self, text):
                asked.append(f"{self.name} {text}")
                return [0.5]

        requests = [("decode", 4, "d"), ("prefill", 8, "p")]
        taking = turns.Turns(lambda: FULL, 0)
        found = turns.take_turns({"a": Engine("a"), "b": Engine("b")}, requests, 2, taking)
        self.assertEqual(asked, ["a d", "b d", "a p", "b p", "b d", "a d", "b p", "a p"])
        self.assertEqual([s.speed for s in found["decode"]["a"]], [8, 8])
        self.assertEqual([s.speed for s in found["prefill"]["b"]], [16, 16])

    def test_a_driver_that_fails_is_named(self):
        with self.assertRaisesRegex(RuntimeError, "echo nothing: failed, it said 'nothing'"):
            turns.Driver(["echo", "nothing"])


class Table(unittest.TestCase):
    CANDIDATES = [compare_models.Candidate(*row, ()) for row in (
        ("nibble", "nf4", 4), ("nibble", "plain", 16), ("llama.cpp", "Q4_0", 4),
        ("llama.cpp", "IQ4_NL", 4), ("llama.cpp", "Q8_0", 8), ("transformers", "nf4", 4))]

    def rows(self, speeds, state=FULL):
        by_name = {c.name: samples(speed, state=state)
                   for c, speed in zip(self.CANDIDATES, speeds, strict=True)}
        sizes = {name: 1e9 for name in by_name}
        return compare_models.rows_of(
            self.CANDIDATES, sizes, {"decode": by_name, "prefill": by_name}, FULL)

    def test_nibble_is_held_against_the_fastest_of_as_many_bits(self):
        rows = self.rows([12, 9, 8, 6, 50, 3])
        self.assertEqual(rows[0]["decode"]["llama.cpp"],
                         {"best": "Q4_0", "ratio": 1.5, "rounds_at_full_speed": 1})
        self.assertEqual(rows[0]["prefill"]["transformers"]["ratio"], 4)
        self.assertIsNone(rows[1]["decode"]["llama.cpp"])  # no 16-bit peer here
        self.assertIsNone(rows[2]["decode"]["transformers"])

    def test_its_lines(self):
        lines = compare_models.markdown(self.rows([12, 9, 8, 6, 50, 3]), 512).splitlines()
        self.assertEqual(lines[2], "| nibble | nf4 | 1000.0 | 12.0 | 60 % | 1.50 x Q4_0 | 4.00 x nf4 "
                                   "| 12 | 1.50 x Q4_0 | 4.00 x nf4 | 1 and 1 of 1 |")
        self.assertEqual({line.count("|") for line in lines}, {12})

    def test_slow_figures_stand_in_brackets(self):
        lines = compare_models.markdown(self.rows([12, 9, 8, 6, 50, 3], HALF), 512).splitlines()
        self.assertEqual(lines[2], "| nibble | nf4 | 1000.0 | (12.0) | (60 %) | (1.50 x Q4_0) "
                                   "| (4.00 x nf4) | (12) | (1.50 x Q4_0) | (4.00 x nf4) "
                                   "| 0 and 0 of 1 |")


if __name__ == "__main__":
    unittest.main()
