"""How the worker's own Kafka clients log in. Source: SaslConfigs.java, SecurityConfig.java, Kafka 4.3."""

from millstream.settings.tls import HIGH, LOW, MEDIUM
from millstream_api.config import (
    Config,
    Long,
    PluginClass,
    Secret,
    Short,
    between,
    key,
    list_of,
    one_of_ignoring_case,
)


class LoginConfig(Config):
    """`security.protocol` and the `sasl.*` settings."""

    security_protocol: str = key(
        "PLAINTEXT",
        importance=MEDIUM,
        valid=one_of_ignoring_case("SASL_SSL", "PLAINTEXT", "SSL", "SASL_PLAINTEXT"),
        doc="How to talk to the brokers.",
    )
    sasl_kerberos_service_name: str | None = key(None, importance=MEDIUM, doc="Kerberos principal of the brokers.")
    sasl_kerberos_kinit_cmd: str = key("/usr/bin/kinit", importance=LOW, doc="Path of kinit.")
    sasl_kerberos_ticket_renew_window_factor: float = key(
        0.8, importance=LOW, doc="When, as a share of its life, a ticket is renewed."
    )
    sasl_kerberos_ticket_renew_jitter: float = key(
        0.05, importance=LOW, doc="Random share added to the time of renewal."
    )
    sasl_kerberos_min_time_before_relogin: Long = key(
        60_000, importance=LOW, doc="Least time between two logins, in milliseconds."
    )
    sasl_login_refresh_window_factor: float = key(
        0.8, importance=LOW, valid=between(0.5, 1.0), doc="When, as a share of its life, a token is renewed."
    )
    sasl_login_refresh_window_jitter: float = key(
        0.05, importance=LOW, valid=between(0.0, 0.25), doc="Random share added to the time of renewal."
    )
    sasl_login_refresh_min_period_seconds: Short = key(
        60, importance=LOW, valid=between(0, 900), doc="Least time before a token is renewed."
    )
    sasl_login_refresh_buffer_seconds: Short = key(
        300, importance=LOW, valid=between(0, 3600), doc="Least time before its end at which a token is renewed."
    )
    sasl_mechanism: str = key("GSSAPI", importance=MEDIUM, doc="SASL mechanism.")
    sasl_jaas_config: Secret | None = key(None, importance=MEDIUM, doc="Who to log in as, in the format of JAAS files.")
    sasl_client_callback_handler_class: PluginClass | None = key(
        None, importance=MEDIUM, doc="Java's SASL callback class."
    )
    sasl_login_callback_handler_class: PluginClass | None = key(
        None, importance=MEDIUM, doc="Java's login callback class."
    )
    sasl_login_class: PluginClass | None = key(None, importance=MEDIUM, doc="Java's login class.")
    sasl_login_connect_timeout_ms: int | None = key(
        None, importance=LOW, doc="How long connecting to the login service may take."
    )
    sasl_login_read_timeout_ms: int | None = key(
        None, importance=LOW, doc="How long the login service may take to answer."
    )
    sasl_login_retry_backoff_max_ms: Long = key(10_000, importance=LOW, doc="Most time before a login is tried again.")
    sasl_login_retry_backoff_ms: Long = key(100, importance=LOW, doc="Least time before a login is tried again.")
    sasl_oauthbearer_jwt_retriever_class: PluginClass = key(
        PluginClass("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
        importance=MEDIUM,
        doc="Java's class that gets tokens.",
    )
    sasl_oauthbearer_jwt_validator_class: PluginClass = key(
        PluginClass("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
        importance=MEDIUM,
        doc="Java's class that checks tokens.",
    )
    sasl_oauthbearer_scope: str | None = key(None, importance=MEDIUM, doc="Scope asked for.")
    sasl_oauthbearer_client_credentials_client_id: str | None = key(
        None, importance=MEDIUM, doc="Client id of the client credentials grant."
    )
    sasl_oauthbearer_client_credentials_client_secret: Secret | None = key(
        None, importance=MEDIUM, doc="Client secret of the client credentials grant."
    )
    sasl_oauthbearer_assertion_algorithm: str = key(
        "RS256", importance=MEDIUM, valid=one_of_ignoring_case("ES256", "RS256"), doc="How assertions are signed."
    )
    sasl_oauthbearer_assertion_claim_aud: str | None = key(None, importance=MEDIUM, doc="Audience of the assertion.")
    sasl_oauthbearer_assertion_claim_exp_seconds: int = key(
        300, importance=LOW, valid=between(0, 86400), doc="How long an assertion holds."
    )
    sasl_oauthbearer_assertion_claim_iss: str | None = key(None, importance=MEDIUM, doc="Issuer of the assertion.")
    sasl_oauthbearer_assertion_claim_jti_include: bool = key(
        False, importance=MEDIUM, doc="Whether an assertion has an id of its own."
    )
    sasl_oauthbearer_assertion_claim_nbf_seconds: int = key(
        60, importance=LOW, valid=between(0, 3600), doc="How long before now an assertion begins to hold."
    )
    sasl_oauthbearer_assertion_claim_sub: str | None = key(None, importance=MEDIUM, doc="Subject of the assertion.")
    sasl_oauthbearer_assertion_file: str | None = key(None, importance=MEDIUM, doc="File of a ready assertion.")
    sasl_oauthbearer_assertion_private_key_file: str | None = key(
        None, importance=MEDIUM, doc="File of the key that signs assertions."
    )
    sasl_oauthbearer_assertion_private_key_passphrase: Secret | None = key(
        None, importance=MEDIUM, doc="Passphrase of that key."
    )
    sasl_oauthbearer_assertion_template_file: str | None = key(
        None, importance=MEDIUM, doc="File of a template for assertions."
    )
    sasl_oauthbearer_scope_claim_name: str = key("scope", importance=LOW, doc="Claim that holds the scope.")
    sasl_oauthbearer_sub_claim_name: str = key("sub", importance=LOW, doc="Claim that holds the subject.")
    sasl_oauthbearer_token_endpoint_url: str | None = key(None, importance=MEDIUM, doc="URL that gives tokens.")
    sasl_oauthbearer_jwks_endpoint_url: str | None = key(
        None, importance=MEDIUM, doc="URL of the keys that tokens are checked with."
    )
    sasl_oauthbearer_jwks_endpoint_refresh_ms: Long = key(
        3_600_000, importance=LOW, doc="How often those keys are read again."
    )
    sasl_oauthbearer_jwks_endpoint_retry_backoff_max_ms: Long = key(
        10_000, importance=LOW, doc="Most time before those keys are asked for again."
    )
    sasl_oauthbearer_jwks_endpoint_retry_backoff_ms: Long = key(
        100, importance=LOW, doc="Least time before those keys are asked for again."
    )
    sasl_oauthbearer_clock_skew_seconds: int = key(30, importance=LOW, doc="Difference of clocks that is tolerated.")
    sasl_oauthbearer_expected_audience: list[str] = key(
        [], importance=HIGH, valid=list_of(), doc="Audiences accepted in a token."
    )
    sasl_oauthbearer_expected_issuer: str | None = key(None, importance=HIGH, doc="Issuer accepted in a token.")
    sasl_oauthbearer_header_urlencode: bool = key(
        False, importance=LOW, doc="Whether id and secret are URL-encoded in the header."
    )
