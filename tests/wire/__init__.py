"""Tests of the wire: bytes, dialects, identity, clearing files."""
