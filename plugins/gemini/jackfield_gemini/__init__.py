"""Gemini: Google's dialect for clients, and the Gemini API as a provider."""
