"""GoldenSource and the two Twins: a source with typed records that fails on demand. No connector for users."""
