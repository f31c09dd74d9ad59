"""The dialect `anthropic.messages`."""

from jackfield_anthropic.messages.dialect import MessagesDialect

__all__ = ["MessagesDialect"]
