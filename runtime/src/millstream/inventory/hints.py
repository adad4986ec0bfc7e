"""Which first-party distribution has, or is to have, a class that is not here. Names only; nothing is imported."""

from collections.abc import Container

CONNECT = "org.apache.kafka.connect"

FIRST_PARTY: dict[str, tuple[str, ...]] = {
    "millstream-file": (f"{CONNECT}.file.FileStreamSourceConnector", f"{CONNECT}.file.FileStreamSinkConnector"),
    "millstream-json": (f"{CONNECT}.json.JsonConverter",),
    "millstream-jdbc": (
        "io.confluent.connect.jdbc.JdbcSourceConnector",
        "io.confluent.connect.jdbc.JdbcSinkConnector",
    ),
    "millstream-elasticsearch": ("io.confluent.connect.elasticsearch.ElasticsearchSinkConnector",),
    "millstream-avro": ("io.confluent.connect.avro.AvroConverter",),
    "millstream-transforms": (
        *(f"{CONNECT}.transforms.{name}" for name in ("DropHeaders", "Filter", "InsertHeader", "RegexRouter")),
        *(f"{CONNECT}.transforms.{name}" for name in ("TimestampRouter", "ValueToKey")),
        *(
            f"{CONNECT}.transforms.{name}${side}"
            for name in (
                *("Cast", "ExtractField", "Flatten", "HeaderFrom", "HoistField", "InsertField"),
                *("MaskField", "ReplaceField", "SetSchemaMetadata", "TimestampConverter"),
            )
            for side in ("Key", "Value")
        ),
        *(f"{CONNECT}.transforms.predicates.{name}" for name in ("HasHeaderKey", "RecordIsTombstone")),
        f"{CONNECT}.transforms.predicates.TopicNameMatches",
    ),
}
"""The Java class names by the distribution that stands in for them."""

BUILT = frozenset({"millstream-file", "millstream-json"})
"""Those that there are. The others are planned: nobody shall look for them at a package index."""


def hint(name: str, installed: Container[str] = ()) -> str:
    """Give `; DISTRIBUTION has it: pip install DISTRIBUTION`, or that it is not built yet, or nothing, for a class name
    or short name.

    installed: distributions that are here, and do not have it under this name.
    """
    wanted = name.strip()
    for distribution, classes in FIRST_PARTY.items():
        if distribution in installed:
            continue
        module = distribution.replace("-", "_")
        if wanted.partition(":")[0].partition(".")[0] == module and ":" in wanted:
            return _sentence(distribution)
        for full in classes:
            simple = full.rpartition(".")[2]
            if wanted in (full, simple, simple.removesuffix("Connector"), simple.removesuffix("Converter")):
                return _sentence(distribution)
    return ""


def _sentence(distribution: str) -> str:
    if distribution in BUILT:
        return f"; {distribution} has it: pip install {distribution}"
    return f"; {distribution} is to have it, and is not built yet"
