"""The conformance kit for Millstream plugins."""
