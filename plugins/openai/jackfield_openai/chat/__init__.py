"""The dialect `openai.chat`: chat completions and embeddings."""

from jackfield_openai.chat.dialect import ChatDialect

__all__ = ["ChatDialect"]
