"""The other kinds of plugin, each as small as it gets."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from millstream_api import (
    App,
    ClientConfigPolicy,
    Cluster,
    Config,
    ConfigProvider,
    Converter,
    Decode,
    Decoded,
    Encode,
    HeaderConverter,
    Long,
    OverrideRequest,
    PluginClass,
    PluginRef,
    Predicate,
    Problem,
    Provided,
    R,
    Record,
    RecordBatch,
    RestExtension,
    Schema,
    Short,
    Subject,
    Transformation,
    between,
    hookimpl,
    key,
)


class UpperConfig(Config):
    field: str | None = key(None, doc="Field to change; none: the value itself.")
    mode: Literal["upper", "lower"] = key("upper", doc="Which way.")
    limit: Long = key(2**40, doc="Longest text.")
    few: Short = key(3, doc="A few.")
    share: float = key(0.5, doc="Of all.", valid=between(0.0, 1.0))
    helper: PluginClass | None = key(None, doc="Another plugin.")

    def problems(self) -> Iterable[Problem]:
        if self.mode == "lower" and self.limit > 5:
            yield Problem("limit", "must be at most 5 with mode=lower")


class Upper(Transformation[UpperConfig]):
    config_class = UpperConfig

    def apply(self, record: R) -> R | None:
        return record.replace(value=str(record.value).upper()) if record.value is not None else record

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        return [batch.replace(values=[str(value).upper() for value in batch.values])]


class IsWeekend(Predicate[Config]):
    def test(self, record: Record) -> bool:
        return (record.timestamp or 0) // 86_400_000 % 7 in (2, 3)


class Reversing(Converter[Config], HeaderConverter[Config]):
    def encoder(self, subject: Subject) -> Encode:
        return lambda values, headers: [None if value is None else str(value)[::-1].encode() for value in values]

    def decoder(self, subject: Subject) -> Decode:
        return lambda data, headers: [Decoded(None, None, [None if one is None else one[::-1] for one in data])]

    def to_bytes(self, topic: str, name: str, value: Any, schema: Schema | None) -> bytes | None:
        return None if value is None else str(value)[::-1].encode()

    def from_bytes(self, topic: str, name: str, data: bytes | None) -> tuple[Schema | None, Any]:
        return None, data


class Vault(ConfigProvider[Config]):
    def get(self, path: str, keys: frozenset[str]) -> Provided:
        return Provided({name: f"{path}/{name}" for name in keys}, ttl_ms=1000)


class Nothing(ClientConfigPolicy[Config]):
    def validate(self, request: OverrideRequest) -> Iterable[Problem]:
        return [Problem(name, "overrides are not allowed here") for name in request.overrides]


class Audit(RestExtension[Config]):
    def guard(self, app: App) -> App:
        return app

    def resources(self, cluster: Cluster) -> tuple[str, App] | None:
        return None


@hookimpl
def register_transformations() -> Iterable[PluginRef]:
    yield PluginRef("parts:Upper", aliases=("org.example.Upper",), stands_for="4.3.1")
