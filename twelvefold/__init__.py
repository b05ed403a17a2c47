"""Twelvefold: a durable, event-sourced runtime for AI agents on one machine. The public face."""

__version__ = "0.1.0"
