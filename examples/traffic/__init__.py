"""Seeded example traffic for the example programme: card messages, card files and clearing files of two banks.

``docs/example-traffic.md`` lists the stories it tells.
It is for demonstrations, tests and benchmarks; all card numbers are of networks' test ranges.
"""

from examples.traffic.files import TrafficFiles, write_traffic
from examples.traffic.generate import Traffic, authorizations, history, tell
from examples.traffic.scene import Presentment, TrafficMessage

__all__ = [
    "Presentment",
    "Traffic",
    "TrafficFiles",
    "TrafficMessage",
    "authorizations",
    "history",
    "tell",
    "write_traffic",
]
