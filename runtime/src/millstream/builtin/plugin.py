"""Placeholder until the hooks land."""
