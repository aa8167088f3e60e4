"""Nightly settlement between banks, retailers and the programme owner."""
