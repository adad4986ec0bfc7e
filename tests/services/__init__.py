"""Real services for tests and measurements: an Apache Kafka, a Java Connect worker, and what can go wrong between them.

A service runs as a process of this machine or in a container, behind one interface (`instance.py`). A test asks for it
by its fixture (`fixtures.py`); everything that is built is kept outside the checkout (`cache.py`).
"""
