"""Measurements that a checkout can repeat; ``docs/benchmarks.md`` says what they mean."""
