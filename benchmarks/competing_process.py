#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decoding speed while another process takes one of the processors.

    benchmarks/competing_process.py MODEL [--scheme nf4] [--rounds N] [--tokens N]

One process decodes with all processors, another with one thread; both wait, except the one whose
turn it is. Each is measured alone, and beside a process that never sleeps and may run on the last
processor only. Prints medians of tokens per second, and what a second thread is worth in either
case: below 1, threads would wait for one that the system does not run.
"""
import argparse
import os
import pathlib
import signal
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))
from turns import Driver  # noqa: E402


class Competitor:
    """A process that keeps one processor busy, while it is let."""

    def __init__(self, processor):
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        os.sched_setaffinity(self.process.pid, {processor})
        self.stop()

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.process.kill()
        self.process.wait()


def measure(options, processors):
    """Tokens per second by (threads, competing?), a list over the rounds."""
    program = ROOT / "build/cpu/bin/model_samples"
    drivers = {threads: Driver([program, options.model, options.scheme, threads])
               for threads in (1, len(processors))}
    competitor = Competitor(processors[-1])
    speeds = {}
    try:
        request = f"decode {options.tokens} behind 16"
        for driver in drivers.values():
            driver.ask(request)  # threads, caches
        for _ in range(options.rounds):
            for competing in (False, True):
                if competing:
                    competitor.go_on()
                for threads, driver in drivers.items():
                    seconds = driver.ask(request)[0]
                    speeds.setdefault((threads, competing), []).append(options.tokens / seconds)
                competitor.stop()
    finally:
        competitor.close()
        for driver in drivers.values():
            driver.close()
    return speeds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--scheme", default="nf4", help="as benchmarks/model_samples.cc names them")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        parser.error("needs two processors")
    speeds = measure(options, processors)
    many = len(processors)
    print(f"| | 1 thread, tokens/s | {many} threads, tokens/s | {many} threads against 1 |")
    print("|---|---|---|---|")
    for competing, name in ((False, "alone"), (True, "one processor taken")):
        one, all_of_them = speeds[1, competing], speeds[many, competing]
        ratio = statistics.median(a / b for a, b in zip(all_of_them, one))
        print(f"| {name} | {statistics.median(one):.1f} | {statistics.median(all_of_them):.1f} "
              f"| {ratio:.2f} x |")


if __name__ == "__main__":
    main()
