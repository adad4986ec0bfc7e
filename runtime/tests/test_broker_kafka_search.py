"""Topics that are found by a pattern, on a client that is asked and answers at once."""

import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.reading.search import LOOK_SECONDS, Search
from millstream.lifecycle import ManualClock

PEER = Peer("127.0.0.1:1")


class Client:
    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.topics: list[str] | None = []
        self.asked = 0

    def list_topics(self, timeout: float) -> Any:
        self.asked += 1
        if self.topics is None:
            self.clock.advance(timeout)
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata"))
        return SimpleNamespace(topics=dict.fromkeys(self.topics))


def test_whole_names_are_found_and_internal_ones_only_where_that_is_asked_for(clock: ManualClock) -> None:
    client, subscribed = Client(clock), []
    client.topics = ["a-1", "a-12", "__a"]
    for internal in (False, True):
        Search(re.compile("a-.|__a"), 300.0, internal, PEER, clock).look(client, subscribed.append)  # type: ignore[arg-type]
    assert subscribed == [["a-1"], ["__a", "a-1"]]


def test_while_nothing_matches_it_is_looked_for_each_second_and_later_as_seldom_as_metadata(clock: ManualClock) -> None:
    client, subscribed = Client(clock), []
    search = Search(re.compile("a"), 300.0, False, PEER, clock)
    for _ in range(10):
        search.look(client, subscribed.append)  # type: ignore[arg-type]
        clock.advance(0.5)
    assert (client.asked, subscribed) == (5, [])
    client.topics = ["a"]
    for _ in range(100):
        search.look(client, subscribed.append)  # type: ignore[arg-type]
        clock.advance(1.0)
    assert (client.asked, subscribed) == (6, [["a"]])


def test_brokers_that_are_away_are_said_once_again_every_30_seconds_and_once_when_they_are_back(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client, began = Client(clock), clock.monotonic()
    client.topics = None
    search = Search(re.compile("a.*"), 300.0, False, PEER, clock)
    while clock.monotonic() - began < 100.0:
        search.look(client, lambda topics: None)  # type: ignore[arg-type]
        clock.advance(1.0)
    assert client.asked >= 100 / (LOOK_SECONDS + 1)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4
    assert set(said) == {
        "looking for topics that match 'a.*': Failed to get metadata (bootstrap.servers 127.0.0.1:1). "
        "It is tried again until they answer"
    }
    client.topics = ["b"]
    for _ in range(3):
        search.look(client, lambda topics: None)  # type: ignore[arg-type]
        clock.advance(1.0)
    assert [record.getMessage() for record in caplog.records][4:] == ["topics that match 'a.*' can be looked for again"]
