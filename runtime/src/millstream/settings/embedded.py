"""Settings of Kafka's clients on the embedded log, which has no such clients: most are tuning, and change nothing.

What Kafka's clients refuse is refused here, too, so that a file goes from the one to the other; what changes records,
or where they are, is named with what happens instead.
"""

from collections.abc import Iterable, Mapping

from millstream.errors import ConfigError
from millstream.settings.client import Client
from millstream.settings.librdkafka import UNUSED, is_unknown, meant, sound, trimmed

INSTEAD: Mapping[str, str] = {
    "bootstrap.servers": "connectors write to the embedded log, and read from it",
    **{name: UNUSED[name] for name in ("interceptor.classes", "partitioner.class")},
}


def check_client(client: Client, given: Mapping[str, str], names: Mapping[str, str]) -> None:
    """Raise ConfigError for what Kafka's client would not take, stores and logins aside: they are of no use here.

    names: the whole name of each setting, such as `producer.override.acks`.
    """
    try:
        sound(client, trimmed(given))
    except ConfigError as error:
        wrong = [(names.get(name, f"{client}.{name}"), name, problem) for name, problem in error.found]
        raise ConfigError([(whole, problem.replace(name, whole, 1)) for whole, name, problem in wrong]) from None


def not_followed(names: Iterable[tuple[str, str]]) -> list[str]:
    """A sentence on each setting that would change records on Kafka, and one on all that no client has.

    names: each setting without and with what stands before it.
    """
    known = list(names)
    said = [f"{whole} is not followed as it is written: {INSTEAD[name]}" for name, whole in known if name in INSTEAD]
    if unknown := [f"{whole}{meant(whole.partition('.')[0], name)}" for name, whole in known if is_unknown(name)]:
        said.append(f"Kafka's clients have no such settings; they are not used: {', '.join(unknown)}")
    return said
