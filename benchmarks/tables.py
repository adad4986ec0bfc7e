"""What was measured, as tables: figures, what was asked of them, how they grow with tasks, starts."""

import statistics
from collections.abc import Sequence

from copies import INTO, OUT, Rate, Start
from workers import WORKERS

MB = 1 << 20
#: by converter and way: how many times Java's rate, and what part of its processor time
ASKED = {
    ("json", INTO): (3.5, 1 / 4),
    ("json", OUT): (3.0, 1 / 3),
    ("string", INTO): (3.5, 1 / 4),
    ("string", OUT): (2.0, 1 / 3),
}
ASKED_MEMORY = 1 / 3


def figures(rates: Sequence[Rate]) -> None:
    """One line a worker and way."""
    if not rates:
        return
    print(
        f"\n{'':34}{'records':>11}{'records/s':>11}{'CPU us':>8}{'broker us':>11}{'RSS MB':>8}{'PSS MB':>8}{'load':>13}"
    )
    for one in sorted(rates, key=lambda rate: (rate.line_bytes, rate.converter, rate.way, rate.worker)):
        loads = f"{one.load_before:.1f} - {one.load_after:.1f}"
        print(
            f"{_what(one):28}{one.worker:>6}{one.records:11,}{one.records_per_s:11,.0f}{one.cpu_us:8.2f}"
            f"{one.broker_cpu_us:11.2f}{one.rss / MB:8.0f}{one.pss / MB:8.0f}{loads:>13}"
        )


def ratios(rates: Sequence[Rate]) -> None:
    """Ours against Java's in the same case; memory is PSS of all our processes against Java's RSS."""
    java = {_case(rate): rate for rate in rates if rate.worker == "java"}
    pairs = [(rate, java[_case(rate)]) for rate in rates if rate.worker == "ours" and _case(rate) in java]
    if pairs:
        print(f"\n{'ours / Java':34}{'rate':>9}{'asked':>8}{'CPU':>9}{'asked':>8}{'memory':>9}{'asked':>8}")
    for ours, theirs in sorted(pairs, key=lambda pair: _case(pair[0])):
        rate, cpu, memory = (
            ours.records_per_s / theirs.records_per_s,
            ours.cpu_us / theirs.cpu_us,
            ours.pss / theirs.rss,
        )
        asked_rate, asked_cpu = ASKED[ours.converter, ours.way]
        missed = [
            what
            for what, good in (
                ("rate", rate >= asked_rate),
                ("CPU", cpu <= asked_cpu),
                ("memory", memory <= ASKED_MEMORY),
            )
            if not good
        ]
        verdict = f"  MISSED: {', '.join(missed)}" if missed else ""
        print(
            f"{_what(ours):34}{rate:8.1f}x{asked_rate:7.1f}x{cpu:9.2f}{asked_cpu:8.2f}{memory:9.2f}"
            f"{ASKED_MEMORY:8.2f}{verdict}"
        )


def growth(rates: Sequence[Rate]) -> None:
    """What more tasks give in sum, and what they cost."""
    if not rates:
        return
    print(
        f"\n{'several tasks, in sum':34}{'tasks':>6}{'records/s':>11}{'of one':>8}{'CPU us':>8}{'broker us':>11}"
        f"{'RSS MB':>8}{'PSS MB':>8}{'load':>13}"
    )
    one = {(*_case(rate), rate.worker): rate for rate in rates if rate.tasks == min(some.tasks for some in rates)}
    for rate in sorted(rates, key=lambda rate: (rate.converter, rate.way, rate.worker, rate.tasks)):
        loads = f"{rate.load_before:.1f} - {rate.load_after:.1f}"
        times = rate.records_per_s / one[*_case(rate), rate.worker].records_per_s
        print(
            f"{_what(rate):28}{rate.worker:>6}{rate.tasks:6}{rate.records_per_s:11,.0f}{times:7.2f}x{rate.cpu_us:8.2f}"
            f"{rate.broker_cpu_us:11.2f}{rate.rss / MB:8.0f}{rate.pss / MB:8.0f}{loads:>13}"
        )


def starts(found: Sequence[Start]) -> None:
    """Medians, with the least and the most."""
    if not found:
        return
    print(f"\n{'starts':34}{'REST s':>20}{'POST to RUNNING s':>20}{'POST to record s':>20}{'RSS MB':>8}{'PSS MB':>8}")
    for worker in WORKERS:
        own = [start for start in found if start.worker == worker]
        if not own:
            continue
        load = statistics.median(start.load for start in own)
        idle = [statistics.median(getattr(start, name) for start in own) / MB for name in ("idle_rss", "idle_pss")]
        print(
            f"{f'median of {len(own)}, load {load:.1f}':28}{worker:>6}"
            + "".join(f"{_spread(own, name):>20}" for name in ("rest_s", "running_s", "first_record_s"))
            + "".join(f"{memory:8.0f}" for memory in idle)
        )


def _spread(found: Sequence[Start], name: str) -> str:
    values = [getattr(start, name) for start in found]
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def _case(rate: Rate) -> tuple[int, str, str]:
    return rate.line_bytes, rate.converter, rate.way


def _what(rate: Rate) -> str:
    return f"{rate.converter} {rate.line_bytes} B, {rate.way}"
