"""The Millstream worker: Kafka Connect for Python."""
