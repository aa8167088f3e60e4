"""Example programmes and the traffic that shows what they do."""
