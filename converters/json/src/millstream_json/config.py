"""Settings of the JSON converter."""

from millstream_api import Config, Importance, Width, key, one_of, one_of_ignoring_case

SCHEMAS = "Schemas"
SERIALIZATION = "Serialization"


class JsonConverterConfig(Config):
    """Source: JsonConverterConfig, Kafka 4.3.1; `json.lenient.numbers` is ours."""

    converter_type: str = key(
        doc="What the converter is used for; the worker sets it.",
        valid=one_of("key", "value", "header"),
        importance=Importance.LOW,
    )
    schemas_enable: bool = key(
        True,
        doc='Whether each message carries its schema: `{"schema": …, "payload": …}` instead of the payload alone.',
        importance=Importance.HIGH,
        group=SCHEMAS,
        order=0,
        width=Width.MEDIUM,
        display_name="Enable Schemas",
    )
    schemas_cache_size: int = key(
        1000,
        doc="How many schemas are kept for reading, those not used for longest forgotten first.",
        importance=Importance.HIGH,
        group=SCHEMAS,
        order=1,
        width=Width.MEDIUM,
        display_name="Schema Cache Size",
    )
    schema_content: str | None = key(
        None,
        doc="A schema in JSON that every message read has; the whole message is then payload. "
        "Counts only with schemas.enable=true, and not for writing.",
        importance=Importance.HIGH,
        group=SCHEMAS,
        order=2,
        width=Width.MEDIUM,
        display_name="Schema Content",
    )
    decimal_format: str = key(
        "BASE64",
        doc="How decimals are written: BASE64, their bytes, or NUMERIC, JSON numbers with all digits. Both are read.",
        valid=one_of_ignoring_case("NUMERIC", "BASE64"),
        importance=Importance.LOW,
        group=SERIALIZATION,
        order=0,
        width=Width.MEDIUM,
        display_name="Decimal Format",
    )
    replace_null_with_default: bool = key(
        True,
        doc="Whether a null becomes the default of its field, where there is one, in reading and in writing.",
        importance=Importance.LOW,
        group=SERIALIZATION,
        order=1,
        width=Width.MEDIUM,
        display_name="Replace null with default",
    )
    json_lenient_numbers: bool = key(
        False,
        doc="Whether what does not fit its schema is bent as Java bends it, without a word: text for an int32 is "
        "read as 0, 9223372036854775808 wraps to the lowest long, 1e400 is Infinity. Otherwise it is a data error.",
        importance=Importance.LOW,
        group=SERIALIZATION,
        order=2,
        width=Width.MEDIUM,
        display_name="Lenient numbers",
    )
