"""JSON converter, with and without schemas."""
