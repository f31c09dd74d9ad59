// Google's SDK for Node, streamed: a round with thoughts and tools. Prints one JSON object.
import { GoogleGenAI } from "@google/genai";

const [base, , model] = process.argv.slice(2);
const client = new GoogleGenAI({ apiKey: "unused", httpOptions: { baseUrl: base } });
const contents = [{ role: "user", parts: [{ text: "Weather?" }] }];
const parametersJsonSchema = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const config = { tools: [{ functionDeclarations: [{ name: "get_weather", parametersJsonSchema }] }], thinkingConfig: { includeThoughts: true } };

async function ask() {
  const parts = [];
  let usage;
  for await (const chunk of await client.models.generateContentStream({ model, contents, config })) {
    parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
    usage = chunk.usageMetadata ?? usage;
  }
  return { parts, usage };
}

const first = await ask();
const calls = first.parts.filter((part) => part.functionCall).map((part) => part.functionCall);
contents.push({ role: "model", parts: first.parts.filter((part) => !part.thought) });
contents.push({ role: "user", parts: calls.map(({ id, name }) => ({ functionResponse: { id, name, response: { output: "wet" } } })) });
const done = await ask();
const text = done.parts.filter((part) => part.text && !part.thought).map((part) => part.text).join("");
console.log(JSON.stringify({ calls: calls.map((call) => call.args), text, output: (done.usage.candidatesTokenCount ?? 0) + (done.usage.thoughtsTokenCount ?? 0) }));
