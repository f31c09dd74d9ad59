"""Google's `generateContent`: the dialect `gemini.generate`."""

from jackfield_gemini.generate.dialect import GenerateDialect

__all__ = ["GenerateDialect"]
