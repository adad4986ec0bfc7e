"""TLS settings, as REST listeners and Kafka clients have them. Source: SslConfigs.java, Kafka 4.3."""

from millstream_api.config import Config, Importance, PluginClass, Secret, key, list_of

LOW, MEDIUM, HIGH = Importance.LOW, Importance.MEDIUM, Importance.HIGH


class TlsConfig(Config):
    """The `ssl.*` settings, for the worker itself or under a prefix such as `listeners.https.`."""

    ssl_protocol: str = key("TLSv1.3", importance=MEDIUM, doc="Highest TLS version.")
    ssl_provider: str | None = key(None, importance=MEDIUM, doc="Java's security provider: accepted and not used.")
    ssl_cipher_suites: list[str] = key(
        [], importance=LOW, valid=list_of(), doc="Cipher suites allowed; empty: those of OpenSSL."
    )
    ssl_enabled_protocols: list[str] = key(
        ["TLSv1.2", "TLSv1.3"], importance=MEDIUM, valid=list_of(), doc="TLS versions allowed."
    )
    ssl_keystore_type: str = key("JKS", importance=MEDIUM, doc="Format of the key store: PEM, PKCS12, JKS.")
    ssl_keystore_location: str | None = key(None, importance=HIGH, doc="File of the key store.")
    ssl_keystore_password: Secret | None = key(None, importance=HIGH, doc="Password of the key store.")
    ssl_key_password: Secret | None = key(None, importance=HIGH, doc="Password of the private key.")
    ssl_keystore_key: Secret | None = key(None, importance=HIGH, doc="Private key as PEM text.")
    ssl_keystore_certificate_chain: Secret | None = key(None, importance=HIGH, doc="Certificate chain as PEM text.")
    ssl_truststore_certificates: Secret | None = key(None, importance=HIGH, doc="Trusted certificates as PEM text.")
    ssl_truststore_type: str = key("JKS", importance=MEDIUM, doc="Format of the trust store: PEM, PKCS12, JKS.")
    ssl_truststore_location: str | None = key(None, importance=HIGH, doc="File of the trust store.")
    ssl_truststore_password: Secret | None = key(None, importance=HIGH, doc="Password of the trust store.")
    ssl_keymanager_algorithm: str = key("SunX509", importance=LOW, doc="Java's key manager: accepted and not used.")
    ssl_trustmanager_algorithm: str = key("PKIX", importance=LOW, doc="Java's trust manager: accepted and not used.")
    ssl_endpoint_identification_algorithm: str = key(
        "https", importance=LOW, doc="https to check host names, empty not to."
    )
    ssl_secure_random_implementation: str | None = key(
        None, importance=LOW, doc="Java's random numbers: accepted and not used."
    )
    ssl_engine_factory_class: PluginClass | None = key(None, importance=LOW, doc="Java's class that makes TLS engines.")
