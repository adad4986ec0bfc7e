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
    """One line a worker and way, medians of its rounds."""
    if not rates:
        return
    print(
        f"\n{'':34}{'records':>11}{'records/s':>11}{'CPU us':>8}{'broker us':>11}{'RSS MB':>8}{'PSS MB':>8}{'load':>13}"
    )
    found: dict[tuple[object, ...], list[Rate]] = {}
    for rate in sorted(rates, key=lambda rate: (*_case(rate), rate.worker)):
        found.setdefault((*_case(rate), rate.worker), []).append(rate)
    for own in found.values():
        one, loads = own[0], f"{min(r.load_before for r in own):.1f} - {max(r.load_after for r in own):.1f}"
        print(
            f"{_what(one):28}{one.worker:>6}{one.records:11,}{_median(own, 'records_per_s'):11,.0f}"
            f"{_median(own, 'cpu_us'):8.2f}{_median(own, 'broker_cpu_us'):11.2f}{_median(own, 'rss') / MB:8.0f}"
            f"{_median(own, 'pss') / MB:8.0f}{loads:>13}"
        )


def ratios(rates: Sequence[Rate]) -> None:
    """Ours against Java's in the same case and round, medians, with the least and the most; memory is PSS of all our
    processes against Java's RSS."""
    java: dict[tuple[int, str, str], list[Rate]] = {}
    ours: dict[tuple[int, str, str], list[Rate]] = {}
    for rate in rates:
        (java if rate.worker == "java" else ours).setdefault(_case(rate), []).append(rate)
    cases = sorted(java.keys() & ours.keys())
    if cases:
        print(f"\n{'ours / Java':28}{'rate':>18}{'asked':>7}{'CPU':>20}{'asked':>6}{'memory':>8}{'asked':>6}")
    for case in cases:
        pairs = list(zip(ours[case], java[case], strict=False))  # of a run that was ended, the whole rounds
        rate = [mine.records_per_s / theirs.records_per_s for mine, theirs in pairs]
        cpu = [mine.cpu_us / theirs.cpu_us for mine, theirs in pairs]
        memory = statistics.median(mine.pss / theirs.rss for mine, theirs in pairs)
        asked_rate, asked_cpu = ASKED[pairs[0][0].converter, pairs[0][0].way]
        missed = [
            what
            for what, good in (
                ("rate", statistics.median(rate) >= asked_rate),
                ("CPU", statistics.median(cpu) <= asked_cpu),
                ("memory", memory <= ASKED_MEMORY),
            )
            if not good
        ]
        verdict = f"  MISSED: {', '.join(missed)}" if missed else ""
        print(
            f"{_what(pairs[0][0]):28}{_within(rate, 1):>18}{asked_rate:6.1f}x{_within(cpu, 2):>20}{asked_cpu:6.2f}"
            f"{memory:8.2f}{ASKED_MEMORY:6.2f}{verdict}"
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
    return _within([getattr(start, name) for start in found], 2)


def _within(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _median(rates: Sequence[Rate], name: str) -> float:
    return statistics.median(getattr(rate, name) for rate in rates)


def _case(rate: Rate) -> tuple[int, str, str]:
    return rate.line_bytes, rate.converter, rate.way


def _what(rate: Rate) -> str:
    return f"{rate.converter} {rate.line_bytes} B, {rate.way}"
