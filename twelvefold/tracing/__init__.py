"""Traces going out: what the OTEL_* variables say, where spans are sent, and how far that has come."""
