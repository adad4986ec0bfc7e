"""What librdkafka's and the brokers' errors mean to the operator: the setting to change, the right to grant."""

import logging
import threading
from collections.abc import Mapping
from copy import copy
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from millstream.broker.complaint import Complaint
from millstream.broker.kafka.client.advertised import remark, unreached
from millstream.broker.kafka.client.peer import Peer
from millstream.broker.kafka.client.trust import OUT_OF_TIME, Inquiry
from millstream.errors import BrokerError, FencedError, RecordTooLargeError, UnknownTopicError
from millstream.lifecycle import Clock
from millstream.settings.client import NOWHERE

log = logging.getLogger(__name__)

LASTING_SECONDS = 1.0
APART_SECONDS = 60.0

MEMBER = frozenset(
    {
        *(KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS),
        *(KafkaError.STALE_MEMBER_EPOCH, KafkaError.FENCED_MEMBER_EPOCH, KafkaError._ASSIGNMENT_LOST),
    }
)
"""Of a member that its group has gone on without: it joins again."""
LEADER = frozenset(
    {
        *(KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.FENCED_LEADER_EPOCH),
        *(KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.UNSTABLE_OFFSET_COMMIT),
        *(KafkaError.UNKNOWN_TOPIC_ID, KafkaError.INCONSISTENT_TOPIC_ID, KafkaError.LISTENER_NOT_FOUND),
        *(KafkaError.PREFERRED_LEADER_NOT_AVAILABLE, KafkaError.ELIGIBLE_LEADERS_NOT_AVAILABLE),
        *(KafkaError.REPLICA_NOT_AVAILABLE, KafkaError.KAFKA_STORAGE_ERROR, KafkaError.NOT_CONTROLLER),
        *(KafkaError.FETCH_SESSION_ID_NOT_FOUND, KafkaError.INVALID_FETCH_SESSION_EPOCH),
        *(KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND),
    }
)
"""Of brokers that change places."""
AWAY = frozenset(
    {
        *(KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._DESTROY_BROKER),
        *(KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError._MSG_TIMED_OUT, KafkaError._RETRY),
        *(KafkaError._WAIT_COORD, KafkaError._WAIT_CACHE, KafkaError.REQUEST_TIMED_OUT, KafkaError.NETWORK_EXCEPTION),
        *(KafkaError.BROKER_NOT_AVAILABLE, KafkaError.REBOOTSTRAP_REQUIRED, KafkaError.THROTTLING_QUOTA_EXCEEDED),
        *(KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR),
        KafkaError.CONCURRENT_TRANSACTIONS,
    }
)
PASSING = MEMBER | LEADER | AWAY
"""What the same question may get by. Source: the subclasses of Kafka's RetriableException, librdkafka's own beside."""
NEW = LEADER | {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
}
"""Of a topic, or a group, that its brokers have just been given, or hand over to one another."""
UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
ODD = frozenset(
    {
        *(KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP, KafkaError.TOPIC_EXCEPTION),
        *(KafkaError.POLICY_VIOLATION, KafkaError.INVALID_MSG_SIZE),
    }
)
"""Of one record, where others would be taken."""
OF_A_BATCH = frozenset({KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_MSG_SIZE})
"""Of one record, for which brokers refuse all of its batch."""
UNREACHABLE = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}
)
FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})
TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
RIGHTS = frozenset(
    {
        *(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED),
        *(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED),
    }
)
ALERTS = tuple(
    f"alert {what}"
    for what in ("bad certificate", "certificate required", "certificate unknown", "certificate expired", "unknown ca")
)
"""What brokers say of a client's certificate, in OpenSSL's words."""
ON_TOPICS = {"consumer": ("Read", "Describe"), "producer": ("Write", "Describe"), "admin": ("Create", "Describe")}
IDEMPOTENT = (
    "or set producer.enable.idempotence=false in the worker (producer.override.enable.idempotence=false in the "
    "connector)"
)
NO_RESET = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})

SAME_INSTANCE = "each task is a member with the same {}: set tasks.max to 1, or leave that out"
OF_SESSIONS = "what the brokers take: from their group.min.session.timeout.ms to their group.max.session.timeout.ms"


def error_of(error: KafkaException | KafkaError) -> KafkaError:
    """The KafkaError inside whatever librdkafka's binding raised."""
    if isinstance(error, KafkaError):
        return error
    inner = error.args[0] if error.args else None
    return inner if isinstance(inner, KafkaError) else KafkaError(KafkaError._FAIL, str(error))


def explained(error: KafkaException | KafkaError, doing: str, peer: Peer, topic: str | None = None) -> BrokerError:
    """The error as one of ours; doing: what was tried, such as `writing to topic 'a'`.

    peer, topic: who does not answer, or who was refused, and what for, where rights may be missing.
    """
    found = error_of(error)
    code, said = found.code(), found.str()
    if code in UNKNOWN:
        return UnknownTopicError(f"{doing}: it does not exist ({said})")
    if code in FENCED:
        return FencedError(f"{doing}: a newer incarnation of this producer has taken over ({said})")
    if code in TOO_LARGE:
        return RecordTooLargeError(f"{doing}: {said}; {TOO_LARGE_REMEDY}")
    if code in RIGHTS:
        return BrokerError(_unauthorized(code, f"{doing}: not authorized", said, peer, topic))
    if code in NO_RESET:
        return BrokerError(f"{doing}: {said}; {NOWHERE}")
    if code == KafkaError.FENCED_INSTANCE_ID or (code == KafkaError._FATAL and "same group.instance.id" in said):
        return BrokerError(f"{doing}: {said}; {SAME_INSTANCE.format(peer.setting('group.instance.id'))}")
    if code == KafkaError.INVALID_SESSION_TIMEOUT:
        return BrokerError(f"{doing}: {said}; set {peer.setting('session.timeout.ms')} to {OF_SESSIONS}")
    if code in UNREACHABLE and peer.servers:
        said = f"{said} ({peer})"
    return BrokerError(f"{doing}: {said}", retriable=code in PASSING or found.retriable(), skippable=code in ODD)


def _unauthorized(code: int, doing: str, said: str, peer: Peer, topic: str | None) -> str:
    """The right that is missing, whose, and the command that grants it."""
    rights: tuple[str, ...]
    if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        rights, on = ON_TOPICS.get(peer.client, ("Read", "Write", "Describe")), f"topic {topic or 'TOPIC'}"
    elif code == KafkaError.GROUP_AUTHORIZATION_FAILED:
        rights, on = ("Read",), f"group {peer.group or 'GROUP'}"
    elif code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        rights, on = ("Write", "Describe"), "transactional-id ID"
    else:
        rights, on = ("Create",) if peer.client == "admin" else ("IdempotentWrite",), "cluster"
    operations = " ".join(f"--operation {right}" for right in rights)
    granted = f"--add --allow-principal {peer.principal or 'User:NAME'} {operations} --{on}"
    command = f"kafka-acls.sh {granted} --bootstrap-server {peer.servers or 'HOST:PORT'}"
    if peer.secured:
        command = f"{command} {AS_WHO_MAY}"
    who = f", as {peer.who}" if peer.who else ""
    instead = f"; {IDEMPOTENT}" if rights == ("IdempotentWrite",) else ""
    return f"{doing}{who} ({said}); grant {' and '.join(rights)} on the {on}: {command}{instead}"


AS_WHO_MAY = (
    "--command-config admin.properties; admin.properties holds security.protocol and the login of one who may grant it"
)
TOO_LARGE_REMEDY = (
    "raise max.message.bytes of the topic, message.max.bytes of the brokers or producer.max.request.size of the worker"
)

OTHER_PROTOCOL = "security.protocol may be another than that of the brokers' listener"


def was_cut(said: str) -> bool:
    """Whether the brokers cut a connection. librdkafka guesses at the protocol only where they close it in order."""
    return any(cut in said for cut in ("Broken pipe", "Connection reset"))


class Watch:
    """Hears of one client's troubles: says what is wrong while it is wrong, and what cannot pass by itself.

    `heard` is called on whatever thread polls the client.   clock: of a client that works unasked, a task's: that no
    broker answers it is in the log then.   met: brokers have answered it, or its like, at least once."""

    def __init__(self, client: str, peer: Peer | str, clock: Clock | None = None) -> None:
        self._client = client
        self.peer = Peer(peer) if isinstance(peer, str) else peer
        self.met = False
        self._outage = None if clock is None else Outage(str(self.peer), clock)
        self._lock = threading.Lock()
        self._problem: str | None = None
        self._hopeless: BrokerError | None = None
        self._distrust: Inquiry | None = None

    def heard(self, error: KafkaError) -> None:
        said, code = error.str(), error.code()
        hopeless: BrokerError | None = None
        if error.fatal():
            hopeless = explained(error, f"the client {self._client!r} can no longer be used", self.peer)
        elif code == KafkaError._AUTHENTICATION:
            settings = f"{self.peer.setting('sasl.jaas.config')} and {self.peer.setting('sasl.mechanism')}"
            hopeless = BrokerError(f"logging in to {self.peer} failed: {said}; check {settings}")
        elif code == KafkaError._SSL and "certificate verify failed" in said:
            self._distrusted(said)
        elif any(alert in said for alert in ALERTS):
            store, instead = map(self.peer.setting, ("ssl.keystore.location", "ssl.keystore.certificate.chain"))
            hopeless = BrokerError(
                f"TLS with {self.peer} failed: {said}; its brokers ask for a certificate that they trust: "
                f"check {store} (or {instead})"
            )
        elif code in RIGHTS:
            hopeless = explained(error, f"the client {self._client!r}", self.peer)
        with self._lock:
            if code != KafkaError._ALL_BROKERS_DOWN:  # a consequence, and never the reason
                self._problem = said
            self._hopeless = self._hopeless or hopeless
        if code in UNREACHABLE and self._outage is not None:
            self._outage.noticed(self.problem)

    def answered(self) -> None:
        """Rows came, or were acknowledged."""
        self.met = True
        if self._outage is not None:
            self._outage.over()

    def told(self, brokers: Mapping[int, Any], seconds: float) -> str:
        """They answered with these. Gives why none of them can be reached, and else nothing: they are met then."""
        astray = "" if self.met else unreached(brokers, self.peer.servers, seconds)
        self.met = not astray
        return astray

    @property
    def problem(self) -> str:
        """What is wrong with the connection as far as was heard."""
        if self._problem is None:
            return f"no answer; {OTHER_PROTOCOL}"
        said = remark(self._problem, self.peer.servers)
        return f"{said}; {OTHER_PROTOCOL}" if not self.met and was_cut(self._problem) else said

    def check(self) -> None:
        """Raise what cannot pass by itself: a wrong password, an untrusted certificate, a missing right."""
        self._conclude()
        if self._hopeless is not None:
            raise copy(self._hopeless)  # kept, what was raised would keep its frames, and the client in one of them

    @property
    def away(self) -> bool:
        """Whether brokers could not be reached a moment ago."""
        return self._outage is not None and self._outage.lasts

    @property
    def hopeless(self) -> bool:
        """Whether nothing can come of this client any more."""
        return self._hopeless is not None or self._distrust is not None

    def unreachable(self, doing: str) -> BrokerError:
        return BrokerError(f"{doing}: {self.peer} cannot be reached: {self.problem}", retriable=True)

    def give_up(self, why: BrokerError) -> None:
        """Nothing more is hoped for, unless an answer came meanwhile; what was heard before is the better reason."""
        self._conclude()
        with self._lock:
            if not self.met:
                self._hopeless = self._hopeless or why

    def _distrusted(self, said: str) -> None:
        """In a callback of the client, in which nothing may wait: why is asked elsewhere."""
        with self._lock:
            if self._hopeless is None and self._distrust is None:
                self._distrust = Inquiry(said, self.peer.authority)

    def _conclude(self) -> None:
        inquiry = self._distrust
        if inquiry is not None and self._hopeless is None:
            hopeless = BrokerError(f"TLS with {self.peer} failed: {self._reason(inquiry)}")
            with self._lock:
                self._hopeless = self._hopeless or hopeless

    def _reason(self, inquiry: Inquiry) -> str:
        told = inquiry.answer()
        if not isinstance(told, str):
            host, names = told
            return (
                f"its certificate is not for {host}, but for {', '.join(names) or 'no name at all'}; name a broker as "
                f"its certificate does in {self.peer.setting('bootstrap.servers')} and in the brokers' "
                "advertised.listeners, or have a certificate made for this name "
                f"({self.peer.setting('ssl.endpoint.identification.algorithm')}= switches the check off)"
            )
        said = inquiry.said.partition(", verify that ssl.ca.location")[0]  # its own name for it
        why = said + (told and f" ({told})")
        if told in OUT_OF_TIME:
            return f"{why}; have the certificate of the brokers renewed, or mend the clock of this machine"
        store = self.peer.setting("ssl.truststore.location")
        instead = self.peer.setting("ssl.truststore.certificates")
        return f"{why}; check {store} (or {instead}): it must hold the CA of the brokers' certificates"


class Outage:
    """Says that brokers do not answer, once that has lasted: a connection that was idle ends with a notice, too.

    librdkafka tells of each try to connect, and not always that all brokers are down."""

    def __init__(self, peer: str, clock: Clock) -> None:
        self._peer = peer
        self._clock = clock
        self._complaint = Complaint(clock, log, f"{peer} can be reached")
        self._first = self._last = -APART_SECONDS

    def noticed(self, problem: str) -> None:
        now = self._clock.monotonic()
        if now - self._last >= APART_SECONDS:
            self._first = now
        self._last = now
        if now - self._first >= LASTING_SECONDS:
            self._complaint.failed(
                f"brokers of {self._peer} cannot be reached: {problem}. Nothing is skipped; it "
                "is tried again until they answer"
            )

    @property
    def lasts(self) -> bool:
        return self._clock.monotonic() - self._last < APART_SECONDS

    def over(self) -> None:
        self._last = -APART_SECONDS
        self._complaint.mended()
