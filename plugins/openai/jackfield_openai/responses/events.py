"""The names of a stream's events (OpenAI's API reference, "Responses: streaming events")."""

from __future__ import annotations

from typing import Final

CREATED: Final = "response.created"
IN_PROGRESS: Final = "response.in_progress"
QUEUED: Final = "response.queued"
COMPLETED: Final = "response.completed"
INCOMPLETE: Final = "response.incomplete"
FAILED: Final = "response.failed"
ERROR: Final = "error"
ITEM_ADDED: Final = "response.output_item.added"
ITEM_DONE: Final = "response.output_item.done"
PART_ADDED: Final = "response.content_part.added"
PART_DONE: Final = "response.content_part.done"
TEXT_DELTA: Final = "response.output_text.delta"
TEXT_DONE: Final = "response.output_text.done"
ANNOTATION: Final = "response.output_text.annotation.added"
REFUSAL_DELTA: Final = "response.refusal.delta"
REFUSAL_DONE: Final = "response.refusal.done"
ARGUMENTS_DELTA: Final = "response.function_call_arguments.delta"
ARGUMENTS_DONE: Final = "response.function_call_arguments.done"
INPUT_DELTA: Final = "response.custom_tool_call_input.delta"
INPUT_DONE: Final = "response.custom_tool_call_input.done"
SUMMARY_ADDED: Final = "response.reasoning_summary_part.added"
SUMMARY_DELTA: Final = "response.reasoning_summary_text.delta"
SUMMARY_TEXT_DONE: Final = "response.reasoning_summary_text.done"
SUMMARY_DONE: Final = "response.reasoning_summary_part.done"
THOUGHT_DELTA: Final = "response.reasoning_text.delta"
THOUGHT_DONE: Final = "response.reasoning_text.done"

BEGINNINGS: Final = (CREATED, QUEUED, IN_PROGRESS)
ENDINGS: Final = (COMPLETED, INCOMPLETE, FAILED)
PLAIN: Final = frozenset({"", TEXT_DELTA, REFUSAL_DELTA, ARGUMENTS_DELTA, INPUT_DELTA, SUMMARY_DELTA})
"""Names of events that are read in the quick way; some servers give none."""

DELTAS: Final = (TEXT_DELTA, REFUSAL_DELTA, ARGUMENTS_DELTA, INPUT_DELTA, SUMMARY_DELTA, THOUGHT_DELTA)
"""Events that add to the answer."""
