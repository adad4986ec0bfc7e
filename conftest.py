"""Fixtures that every test of the repository can ask for."""

pytest_plugins = ["services.fixtures"]
