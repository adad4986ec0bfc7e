"""A plugin that ends the process it is imported in."""

raise SystemExit("I am leaving")
