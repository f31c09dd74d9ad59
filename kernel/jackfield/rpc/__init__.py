"""Plugins that run out of process: the contract's JSON, what carries it, and the plugin objects made of it."""
