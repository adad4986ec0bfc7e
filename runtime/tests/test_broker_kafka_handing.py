"""Rows are handed to librdkafka in order, each once; what it refuses at once is known by its row."""

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.writing.flight import Pending
from millstream.broker.kafka.writing.handing import Hand
from millstream.broker.ports import Outgoing
from millstream.errors import BrokerError, RecordTooLargeError

EVE = Peer("127.0.0.1:1", "producer", principal="User:eve")
TOO_LARGE = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))


class Client:
    """Takes what is not among `refused`."""

    def __init__(self, *refused: bytes) -> None:
        self.taken: list[tuple[Any, ...]] = []
        self.refused = refused

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes,
        partition: int,
        report: Any,
        serialized: Any = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        if value in self.refused:
            raise TOO_LARGE
        self.taken.append((value, key, partition, timestamp))


def handed(client: Client, batch: Outgoing, partitions: int = 1, piece: int = 100) -> tuple[int, dict[int, Exception]]:
    hand = Hand(EVE, lambda *_: None, ignore_keys=False, report_each=False)
    pending = Pending(batch, lambda _: None, 0)
    hand.place(pending, partitions, 1_000)
    for stop in sorted({min(piece, len(batch.values)), len(batch.values)}):
        hand.over(client, pending, stop)  # type: ignore[arg-type]  # as much of one as is used
    return len(client.taken), pending.failures


VALUES = [b"%d" % number for number in range(6)]


@pytest.mark.parametrize("values", [VALUES, tuple(VALUES)])
@pytest.mark.parametrize("refused", [(), (0,), (5,), (2, 3), (0, 1, 2, 3, 4, 5)])
@pytest.mark.parametrize("piece", [1, 3, 6])
def test_the_rows_that_are_refused_are_known_and_the_others_go_in_order(
    values: Sequence[bytes], refused: tuple[int, ...], piece: int
) -> None:
    client = Client(*(VALUES[row] for row in refused))
    count, failures = handed(client, Outgoing("lines", values), piece=piece)
    assert sorted(failures) == list(refused)
    assert all(isinstance(error, RecordTooLargeError) for error in failures.values())
    assert [value for value, *_ in client.taken] == [value for row, value in enumerate(VALUES) if row not in refused]
    assert count == len(client.taken)


@pytest.mark.parametrize("piece", [1, 2, 5, 6])
def test_the_columns_stay_side_by_side_behind_a_row_that_was_refused(piece: int) -> None:
    client = Client(b"1")
    keys = [b"a", b"b", None, b"d", None, b"f"]
    stamps = [10, 11, None, 13, 0, 15]
    handed(client, Outgoing("lines", VALUES, keys, [0, 1, 2, 0, 1, 2], stamps), partitions=3, piece=piece)
    assert client.taken == [
        (b"0", b"a", 0, 10),
        (b"2", None, 2, 0),
        (b"3", b"d", 0, 13),
        (b"4", None, 1, 0),
        (b"5", b"f", 2, 15),
    ]


def test_what_else_goes_wrong_is_not_taken_for_a_refusal() -> None:
    class Broken(Client):
        def produce(self, *arguments: Any) -> None:
            raise TypeError("no")

    with pytest.raises(TypeError):
        handed(Broken(), Outgoing("lines", VALUES))


def test_a_refusal_for_another_reason_says_it() -> None:
    class Full(Client):
        def produce(self, *arguments: Any) -> None:
            raise KafkaException(KafkaError(KafkaError._STATE))

    count, failures = handed(Full(), Outgoing("lines", VALUES[:1]))
    assert count == 0
    assert isinstance(failures[0], BrokerError)
    assert "writing to topic 'lines'" in str(failures[0])


def test_who_may_not_write_to_a_topic_is_told_with_the_command_that_grants_it() -> None:
    """librdkafka refuses rows at once for a topic that the brokers have refused before."""

    class Refused(Client):
        def produce(self, *arguments: Any, **named: Any) -> None:
            raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    for headers in (None, [()]):
        _, failures = handed(Refused(), Outgoing("lines", VALUES[:1], headers=headers))
        said = str(failures[0])
        assert said.startswith("writing to topic 'lines': not authorized, as User:eve (")
        assert "--allow-principal User:eve --operation Write --operation Describe --topic lines --bootstrap" in said
