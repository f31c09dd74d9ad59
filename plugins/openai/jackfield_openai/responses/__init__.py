"""The dialect `openai.responses`: OpenAI's Responses API."""

from jackfield_openai.responses.dialect import ResponsesDialect

__all__ = ["ResponsesDialect"]
