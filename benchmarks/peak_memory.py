#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command and prints the peak of its memory: anonymous (RssAnon, what it needs) and in all
(VmHWM, with the pages of mapped files that the system could take back), its time and exit code.

    benchmarks/peak_memory.py build/cpu/bin/nibble quantize MODEL OUT --scheme nf4
"""
import re
import subprocess
import sys
import time


def read_status(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return {key: 1024 * int(size) for key, size in
                    re.findall(r"^(RssAnon|VmHWM):\s+(\d+) kB$", file.read(), re.MULTILINE)}
    except (FileNotFoundError, ProcessLookupError):
        return {}


def run(command, **options):
    """Peak RssAnon (sampled every millisecond) and VmHWM in bytes, seconds, exit code. `options`
    are those of subprocess.Popen."""
    start = time.monotonic()
    process = subprocess.Popen(command, **{"stdout": subprocess.DEVNULL} | options)
    peak = {"RssAnon": 0, "VmHWM": 0}
    while process.poll() is None:
        for key, size in read_status(process.pid).items():
            peak[key] = max(peak[key], size)
        time.sleep(0.001)
    return peak["RssAnon"], peak["VmHWM"], time.monotonic() - start, process.returncode


if __name__ == "__main__":
    anonymous, resident, seconds, code = run(sys.argv[1:])
    print(f"peak anonymous {anonymous / 1e6:.0f} MB, peak resident {resident / 1e6:.0f} MB, "
          f"{seconds:.2f} s, exit code {code}")
    sys.exit(code)
