"""The dialect `openai.completions`: texts that are gone on with, the oldest of OpenAI's protocols."""

from jackfield_openai.completions.dialect import CompletionsDialect

__all__ = ["CompletionsDialect"]
