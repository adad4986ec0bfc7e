"""`pytest --certify=millstream-heartbeat`: the heartbeat, certified by the kit."""

from millstream_conformance import SourceConformance


class TestHeartbeat(SourceConformance):
    connector = "millstream_heartbeat:HeartbeatSource"
    config = {"topic": "beats", "interval.ms": "1"}
