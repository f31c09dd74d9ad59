// Anthropic's SDK for Node with its stream helper: a round with thoughts and tools. Prints one JSON object.
import Anthropic from "@anthropic-ai/sdk";

const [base, , model] = process.argv.slice(2);
const client = new Anthropic({ baseURL: base, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "Weather?" }];
const tools = [{ name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false } }];
const ask = () => client.messages.stream({ model, max_tokens: 4096, messages, tools, thinking: { type: "adaptive", display: "summarized" } }).finalMessage();

const first = await ask();
const calls = first.content.filter((block) => block.type === "tool_use");
messages.push({ role: "assistant", content: first.content });
messages.push({ role: "user", content: calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: "wet" })) });
const done = await ask();
const text = done.content.filter((block) => block.type === "text").map((block) => block.text).join("");
console.log(JSON.stringify({ calls: calls.map((call) => call.input), text, output: done.usage.output_tokens }));
