"""Fixtures that every test of the repository can ask for, and as much time for an example as a loaded machine takes."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["services.fixtures"]

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
