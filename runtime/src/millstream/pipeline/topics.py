"""Which topics a task has been active in, and how a missing one is made (spec/runtime.md §2.6, §5.7)."""
