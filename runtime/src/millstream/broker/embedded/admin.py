"""Topics, ends and groups of the embedded log."""

from collections.abc import Collection, Iterable, Mapping

from millstream.broker.embedded import groups
from millstream.broker.embedded.catalog import FILE, Catalog
from millstream.broker.ports import NewTopic, TopicDescription
from millstream.errors import BrokerError, ConflictError
from millstream_api.records import TopicPartition


def cluster_id(catalog: Catalog) -> str:
    with catalog.data.reading() as connection:
        (found,) = connection.execute("select value from meta where key = 'cluster'").fetchone()
    return str(found)


class EmbeddedAdmin:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._closed = False

    def names(self) -> Collection[str]:
        return self._catalog.names()

    def topics(self, names: Collection[str] | None = None) -> Mapping[str, TopicDescription]:
        return {
            topic.name: TopicDescription(
                topic.name, len(topic.slots), {key: text for key, text in topic.config.items() if key != FILE}
            )
            for topic in self._catalog.topics(names)
        }

    def create_topics(self, topics: Iterable[NewTopic]) -> Mapping[str, Exception | None]:
        answers: dict[str, Exception | None] = {}
        for topic in topics:
            try:
                self._catalog.create(topic)
                answers[topic.name] = None
            except (BrokerError, ConflictError) as error:
                answers[topic.name] = error
        return answers

    def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {partition: groups.beginning_offset(self._catalog, partition) for partition in partitions}

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return {partition: groups.end_offset(self._catalog, partition) for partition in partitions}

    def group_offsets(self, group: str) -> Mapping[TopicPartition, int]:
        return groups.committed(self._catalog, group)

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        groups.commit(self._catalog, group, offsets)

    def delete_group_offsets(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        groups.delete_offsets(self._catalog, group, partitions)

    def delete_group(self, group: str) -> None:
        groups.delete_group(self._catalog, group)

    def cluster_id(self) -> str:
        return cluster_id(self._catalog)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._catalog.close()
