"""One round: a scene, one fault or two in the middle of its data, and what became of the lines."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from confluent_kafka.admin import AdminClient

from services.accounting import Account, accounted, file_rows, topic_rows
from services.faults import AROUND, BY_NAME, FAULTS, WITHIN, Fault
from services.kafka import Kafka
from services.scene import PATIENCE_S, SETTLE_S, Scene, Setting, StuckError

FIRST, LAST = 0.1, 0.9
TRIES = 4
LOOK_S = 0.5
SAY_S = 90.0  # a lasting failure is said every 30 s, and a busy machine has others to serve
#: lines of the log that a fault may cost: so many, and so many more a second while it lasts
LOG_LINES, LOG_LINES_A_SECOND = 120, 1.0
LOOKS_OFTEN = {"consumer_metadata_max_age_ms": "2000"}
LAYOUTS = ((1, 1), (4, 2))


@dataclass
class Round:
    """What happened. source, sink: the share of the data that either had done when the fault came.

    lasted_s: from the first fault to the end of the last.   recovered_s: from there until lines written then were in
    the sink's file.   settled_s: until everything ran and was committed.   log_lines: from the fault to recovery.
    said: the lines that told of it.   gone: lines that a deleted topic took along.
    """

    number: int
    seed: int
    faults: list[str]
    speed: str = ""
    partitions: int = 0
    tasks: int = 0
    lines: int = 0
    source: float = 0.0
    sink: float = 0.0
    lasted_s: float = 0.0
    recovered_s: float = 0.0
    settled_s: float = 0.0
    lost_topic: int = 0
    lost_file: int = 0
    repeats_topic: int = 0
    repeats_file: int = 0
    rewinds_topic: int = 0
    rewinds_file: int = 0
    behind_successor: int = 0
    gone: int = 0
    log_lines: int = 0
    said: list[str] = field(default_factory=list)
    human: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    misses: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return " + ".join(self.faults)


class MissedError(Exception):
    """The fault came too early or too late to count."""


def rounds(count: int, seed: int, only: Sequence[str] = (), first: int = 1) -> list[Round]:
    """Every fault as often as the others, a pair of them by chance after every fourth, in an order of the seed."""
    dice = random.Random(seed)
    names = list(only) or [fault.name for fault in FAULTS]
    drawn: list[list[str]] = []
    while len(drawn) < first - 1 + count:
        for place, name in enumerate(dice.sample(names, len(names))):
            drawn.append([name])
            if not only and place % 4 == 3:
                drawn.append([dice.choice(AROUND), dice.choice(WITHIN)])
    chosen = drawn[first - 1 : first - 1 + count]
    return [Round(number, seed * 1000 + number, faults) for number, faults in enumerate(chosen, first)]


def setting_of(kafka: Kafka, faults: Sequence[Fault], dice: random.Random) -> Setting:
    layout = next((fault.layout for fault in faults if fault.layout), None) or dice.choice(LAYOUTS)
    return Setting(
        kafka,
        "PROXIED" if any(fault.proxied for fault in faults) else "PLAINTEXT",
        *layout,
        witness=any(fault.witness for fault in faults),
        settings={name: text for fault in faults for name, text in fault.settings.items()},
    )


def run_round(folder: Path, done: Round, kafka: Kafka, lines: int) -> Round:
    """Do one round; a fault outside of 10 to 90 % of the data is not counted, and tried again."""
    began = time.monotonic()
    for attempt in range(TRIES):
        happening = Happening(folder / f"{done.number}-{attempt}", done, kafka, lines)
        try:
            happening.run(0.6**attempt)
            break
        except MissedError as missed:
            done.misses += 1
            if attempt == TRIES - 1:
                done.problems.append(str(missed))
        finally:
            happening.scene.close()
            if any(fault.proxied for fault in happening.faults):  # other rounds may go on beside this one
                kafka.proxy.heal()
    done.seconds = round(time.monotonic() - began, 1)
    return done


class Happening:
    """Runs a scene through its faults."""

    def __init__(self, folder: Path, done: Round, kafka: Kafka, lines: int) -> None:
        self.round = done
        self.faults = [BY_NAME[name] for name in done.faults]
        self.dice = random.Random(done.seed)
        setting = setting_of(kafka, self.faults, self.dice)
        if done.seed % 3 == 0:  # by the seed alone: a round that is done again has the same faults at the same places
            setting = replace(setting, pattern=True, settings={**LOOKS_OFTEN, **setting.settings})
        done.speed = self.dice.choice(("full", "paced"))
        done.partitions, done.tasks = setting.partitions, setting.tasks
        done.lines = lines if done.speed == "full" else lines // 5
        self.scene = Scene(folder, setting, self.dice, done.lines)
        self._look_at = 0.0  # monotonic seconds: when the file is read again

    def run(self, nearer: float) -> None:
        """nearer: how much earlier than drawn the fault is to come."""
        scene, done = self.scene, self.round
        lasts = [self.dice.uniform(*fault.lasts) for fault in self.faults]
        full = done.speed == "full"
        scene.begin(0.7 if full else 0.08, 8.0 + 0.8 * max(lasts))
        aim = self.dice.uniform(0.12, 0.6 if full else 0.75) * nearer
        scene.until(lambda: scene.share("sink") >= aim, f"{aim:.0%} of the data in the sink's file")
        done.source, done.sink = round(scene.share("source"), 3), round(scene.share("sink"), 3)
        if done.sink < FIRST or max(done.source, done.sink) > LAST:
            raise MissedError(f"the fault came when {done.source:.0%} were read, and {done.sink:.0%} written")
        since = len(scene.said)
        self.have_it_happen(lasts, since)
        self.recover(since)
        self.judge(since)

    def have_it_happen(self, lasts: Sequence[float], since: int) -> None:
        """All of them, one a moment after the other; once all is said that is to be, they end in another order."""
        scene, began = self.scene, time.monotonic()
        scene.supervised = any(fault.ends for fault in self.faults)
        lift_at = []
        for fault, seconds in zip(self.faults, lasts, strict=True):
            fault.inject(scene)
            lift_at.append(time.monotonic() + seconds)
            scene.rest(self.dice.uniform(0.0, 1.0) if len(self.faults) > 1 else 0.0)
        for fault, moment in self.dice.sample(list(zip(self.faults, lift_at, strict=True)), len(lift_at)):
            scene.rest(moment - time.monotonic())
            if len(self.faults) == 1:
                self.hear(fault.says, since, SAY_S)
            fault.lift(scene)
        self.round.lasted_s = round(time.monotonic() - began, 2)

    def hear(self, patterns: Sequence[str], since: int, patience: float) -> None:
        scene, done = self.scene, self.round
        for pattern in patterns:
            try:
                done.said.append(scene.until(lambda p=pattern: scene.tells(p, since), repr(pattern), patience))
            except StuckError:
                done.problems.append(f"nothing said {pattern!r}")

    def recover(self, since: int) -> None:
        """Nobody does anything now; the last lines of the file come when all is well again."""
        scene, done, began = self.scene, self.round, time.monotonic()
        assert scene.flow is not None
        scene.flow.finish()
        deletes = any(fault.deletes for fault in self.faults)
        scene.until(lambda: self.arrived(deletes), "the last lines in the sink's file", PATIENCE_S)
        done.recovered_s = round(time.monotonic() - began, 2)
        done.log_lines = scene.said[since:].count("\n")
        scene.until(scene.settled, f"it to settle; committed {scene.committed()} of {scene.ends()}", SETTLE_S)
        done.settled_s = round(time.monotonic() - began, 2)
        if len(self.faults) == 1:
            self.hear(self.faults[0].says_after, since, SAY_S)

    def arrived(self, deletes: bool) -> bool:
        """Cheap first: as many lines as there are; once a second, whether they are all."""
        scene, now = self.scene, time.monotonic()
        if not scene.copy.exists() or (not deletes and scene.sunk() < scene.lines) or now < self._look_at:
            return False
        self._look_at = now + LOOK_S
        rows, _ = file_rows(scene.copy, scene.setting.witness)
        came = {one.number for one in rows}
        return scene.lines - 1 in came if deletes else len(came) >= scene.lines

    def judge(self, since: int) -> None:
        scene, done = self.scene, self.round
        problem = done.problems.append
        done.human, done.ended = scene.human, scene.ended
        said = scene.said
        code = scene.end()
        if code != 0:
            problem(f"the worker ended with {code} when it was asked to")
        topic = topic_rows(scene.kafka, scene.topic)
        account = Account(scene.lines)
        account.gone = scene.gone
        done.gone = len(scene.gone.difference(*topic.values()))
        rows, account.foreign = file_rows(scene.copy, scene.setting.witness)
        accounted(account, topic, rows)
        for name in ("lost_topic", "lost_file", "repeats_topic", "repeats_file", "rewinds_topic", "rewinds_file"):
            setattr(done, name, getattr(account, name))
        done.behind_successor = account.behind_successor
        self._judge(account)
        assigned = said.count("Partitions assigned: ") - said.count("Partitions assigned: none")
        if account.rewinds_file > assigned:
            problem(
                f"a partition goes back {account.rewinds_file} times in the file, and was assigned {assigned} times"
            )
        bound = LOG_LINES + LOG_LINES_A_SECOND * (done.lasted_s + done.recovered_s)
        if done.log_lines > bound:
            problem(f"{done.log_lines} lines of the log for one fault, at most {bound:.0f}")
        if "Traceback" in said[since:]:
            problem("a traceback in the worker's log")

    def _judge(self, account: Account) -> None:
        problem = self.round.problems.append
        if account.lost_topic or account.lost_file:
            problem(f"lost: {account.lost_topic} lines of the topic, {account.lost_file} of the file")
        if account.foreign:
            problem(f"{len(account.foreign)} lines of the file are none of the data: {account.foreign[:3]}")
        if account.repeats_topic and not any(fault.topic_repeats for fault in self.faults):
            problem(f"{account.repeats_topic} lines are twice in the topic, and no source was started again")
        if account.repeats_file and not any(fault.file_repeats for fault in self.faults):
            problem(f"{account.repeats_file} lines are twice in the file, and no position was lost")
        scattered = any(  # lines of a partition that is gone come later, or by another client, perhaps twice
            sentence in self.scene.said
            for sentence in ("was deleted, and perhaps made anew: rows that waited", "Another one sends the")
        )
        if account.rewinds_topic > self.scene.restarts and not scattered:
            problem(
                f"a partition of the topic goes back {account.rewinds_topic} times, and the source was started again "
                f"{self.scene.restarts} times"
            )
        put = 500  # max.poll.records
        if account.behind_successor > put * (self.round.tasks - 1):
            problem(f"a member that was put out wrote {account.behind_successor} rows behind its successor")


def cleaned(kafka: Kafka) -> None:
    """Topics of rounds that are over, so that a broker of many rounds does not grow."""
    admin = AdminClient(kafka.client())
    old = [name for name in admin.list_topics(timeout=PATIENCE_S).topics if name.startswith("faults-")]
    for future in (admin.delete_topics(old) if old else {}).values():
        future.result(PATIENCE_S)
