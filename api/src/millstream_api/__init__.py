"""The contract between Millstream and its plugins."""
