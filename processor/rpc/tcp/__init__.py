"""Raw TCP links: ISO 8583 hosts that speak without gRPC, into the same worker."""
