# SPDX-License-Identifier: Apache-2.0
"""Takes samples of several engines in turns, with the limits of the machine probed in between."""
import subprocess
import sys
import time

from peer_statistics import Probe, Sample, is_slow, usual_limits


class Driver:
    """One engine with one model: a process that answers requests (benchmarks/model_samples.cc)."""

    def __init__(self, command):
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.bytes_per_token = int(self._read("ready ").split()[1])

    def _read(self, start=""):
        line = self.process.stdout.readline()
        if not line.startswith(start) or not line.strip():
            self.close()
            raise RuntimeError(f"{' '.join(self.command)}: failed, it said '{line.strip()}'")
        return line

    def ask(self, request):
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, which reading reports
        return [float(word) for word in self._read().split()]

    def close(self):
        self.process.communicate()  # the end of its input is the end of its work


class Turns:
    """`ask_probe` gives a Probe. Its latest answer ends one sample and begins the next, so that
    nothing is probed twice."""

    def __init__(self, ask_probe, patience, pause=time.sleep):
        self._ask_probe = ask_probe
        self._patience = patience
        self._pause = pause
        self.probes = []

    @property
    def limits(self):
        return usual_limits(self.probes)

    def probe(self):
        self.probes.append(self._ask_probe())
        return self.probes[-1]

    def sample(self, tokens, seconds_of):
        """The speed of `seconds_of()`, which handles `tokens` tokens. While the machine is slow, it
        waits a second and probes again, and a sample that ended in the slow state is repeated:
        `patience` times in all. Then the machine is taken as it is."""
        before = self.probes[-1] if self.probes else self.probe()
        for left in range(self._patience, -1, -1):
            if left and is_slow(before, self.limits):
                self._pause(1)
                before = self.probe()
                continue
            seconds = seconds_of()
            taken = Sample(tokens / seconds, before, self.probe())
            if not is_slow(taken.after, self.limits):
                break
            before = taken.after
        return taken


def take_turns(drivers, requests, rounds, turns):
    """Samples of every driver (a dict by name) for every request in every round: {request: {name:
    [Sample of each round]}}. A request is (kind, tokens, text). Who goes first changes from round to
    round. Ctrl-C ends after the last whole round."""
    samples = {kind: {name: [] for name in drivers} for kind, _, _ in requests}
    names = list(drivers)
    try:
        for done in range(rounds):
            order = names[done % len(names):] + names[:done % len(names)]
            for kind, tokens, text in requests:
                for name in order:
                    samples[kind][name].append(
                        turns.sample(tokens, lambda: drivers[name].ask(text)[0]))
            print(f"round {done + 1} of {rounds}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        whole = min(len(own) for by_name in samples.values() for own in by_name.values())
        if not whole:
            raise
        samples = {kind: {name: own[:whole] for name, own in by_name.items()}
                   for kind, by_name in samples.items()}
    return samples


def probe_of(driver):
    return Probe(*driver.ask("probe"))
