// OpenAI's SDK for Node with its stream helpers: a round with tools over chat and over Responses. Prints one JSON object.
import OpenAI from "openai";

const [base, api, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused", maxRetries: 0 });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };

async function chat() {
  const messages = [{ role: "user", content: "Weather?" }];
  const tools = [{ type: "function", function: { name: "get_weather", parameters, strict: true } }];
  const ask = () => client.chat.completions.stream({ model, messages, tools, stream_options: { include_usage: true } });
  const called = (await ask().finalChatCompletion()).choices[0].message;
  messages.push({ role: "assistant", content: called.content, tool_calls: called.tool_calls.map(({ id, type, function: { name, arguments: said } }) => ({ id, type, function: { name, arguments: said } })) });
  for (const call of called.tool_calls) messages.push({ role: "tool", tool_call_id: call.id, content: "wet" });
  const done = await ask().finalChatCompletion();
  return { calls: called.tool_calls.map((call) => JSON.parse(call.function.arguments)), text: done.choices[0].message.content, output: done.usage.completion_tokens };
}

async function responses() {
  const input = [{ role: "user", content: "Weather?" }];
  const tools = [{ type: "function", name: "get_weather", parameters, strict: true }];
  const ask = () => client.responses.stream({ model, input, tools, store: false, reasoning: { summary: "auto" }, include: ["reasoning.encrypted_content"] });
  const first = await ask().finalResponse();
  const calls = first.output.filter((item) => item.type === "function_call");
  for (const { parsed_arguments, ...item } of first.output) {
    if (item.content) item.content = item.content.map(({ parsed, ...part }) => part); // the helper's own, nothing of the API's
    input.push(item);
  }
  for (const call of calls) input.push({ type: "function_call_output", call_id: call.call_id, output: "wet" });
  const done = await ask().finalResponse();
  return { calls: calls.map((call) => JSON.parse(call.arguments)), text: done.output_text, output: done.usage.output_tokens };
}

console.log(JSON.stringify(await { chat, responses }[api]()));
