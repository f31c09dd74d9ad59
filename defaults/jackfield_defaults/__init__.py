"""The distribution's default configuration, a data file: it names the first-party plugins. A user's file is merged over it."""
