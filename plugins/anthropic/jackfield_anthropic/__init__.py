"""Anthropic: its dialect for clients, and itself as a provider."""
