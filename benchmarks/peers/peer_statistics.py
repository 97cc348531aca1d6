# SPDX-License-Identifier: Apache-2.0
"""What compare_models.py makes of its samples: which of them a slow spell of the machine spoilt,
medians, and ratios within rounds. No input or output, no clock."""
import dataclasses
import statistics

SLOW = 0.75  # of the usual limits; a virtual machine whose processors share a core is at 0.5


@dataclasses.dataclass(frozen=True)
class Probe:
    bandwidth: float  # bytes per second
    flops: float  # float operations per second


@dataclasses.dataclass(frozen=True)
class Sample:
    speed: float  # tokens per second
    before: Probe
    after: Probe

    @property
    def bandwidth(self):
        return (self.before.bandwidth + self.after.bandwidth) / 2


def usual_limits(probes):
    """The limits of the machine at its full speed: those that one probe in ten exceeds, so that a
    single probe that was too good does not condemn all others."""
    def high(values):  # place ceil(0.9 n) of n
        return sorted(values)[-(-9 * len(values) // 10) - 1]
    return Probe(high([probe.bandwidth for probe in probes]), high([probe.flops for probe in probes]))


def is_slow(probe, limits):
    return probe.bandwidth < SLOW * limits.bandwidth or probe.flops < SLOW * limits.flops


def is_spoilt(sample, limits):
    return is_slow(sample.before, limits) or is_slow(sample.after, limits)


def good_rounds(samples, limits):
    return [i for i, sample in enumerate(samples) if not is_spoilt(sample, limits)]


def kept(samples, limits):
    """The rounds whose sample counts: those at full speed; when there are none, all of them."""
    return good_rounds(samples, limits) or list(range(len(samples)))


def at_full_speed(samples, limits):
    """How many samples were taken at the machine's full speed."""
    return len(good_rounds(samples, limits))


def median_speed(samples, limits):
    return statistics.median(samples[i].speed for i in kept(samples, limits))


def share_of_bandwidth(samples, bytes_per_token, limits):
    """Median over the kept rounds; each sample is held against the probes around itself."""
    return statistics.median(samples[i].speed * bytes_per_token / samples[i].bandwidth
                             for i in kept(samples, limits))


def median_ratio(ours, theirs, limits):
    """The median over rounds of our speed by theirs, in rounds with both at full speed; when there
    is no such round, in all. Gives the ratio and the number of such rounds."""
    rounds = sorted(set(good_rounds(ours, limits)) & set(good_rounds(theirs, limits)))
    ratios = [ours[i].speed / theirs[i].speed for i in rounds or range(len(ours))]
    return statistics.median(ratios), len(rounds)


def best_of(candidates, limits):
    """The name with the highest median speed; `candidates` maps names to samples."""
    return max(candidates, key=lambda name: median_speed(candidates[name], limits))
