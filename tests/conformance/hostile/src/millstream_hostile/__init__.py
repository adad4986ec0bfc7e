"""Plugins that do what no plugin should."""
