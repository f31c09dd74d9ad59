// A provider that streams as many items as it is asked for, and a router that answers at once. No library.
import { createInterface } from "node:readline";

const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
const streams = new Map();
const chunk = (content, finish_reason = null) => ({
  id: "c1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta: { content }, finish_reason }],
});

// Model `many:N:B` sends N items, B in a message; `bulky:N:B` the same, of 4 KB each; `paced:N:MS` one each MS milliseconds, which tells when it was sent.
async function flow(id, stream, model, credit) {
  const [kind, many, how] = model.split(":").map((part, at) => (at ? Number(part) : part));
  const state = { credit, more: null, id };
  streams.set(stream, state);
  for (let index = 0; index < many; ) {
    while (state.credit <= 0 && !state.cancelled) await new Promise((more) => (state.more = more));
    if (state.cancelled) break;
    const size = kind === "paced" ? 1 : Math.min(how, state.credit, many - index);
    const text = kind === "paced" ? String(process.hrtime.bigint()) : kind === "bulky" ? "word ".repeat(800) : "word ";
    const items = Array.from({ length: size }, () => ({ data: chunk(text) }));
    send({ method: "stream.item", params: { stream, index, items } });
    state.credit -= size;
    index += size;
    if (kind === "paced") await new Promise((later) => setTimeout(later, how));
    else if (process.stdout.writableNeedDrain) await new Promise((drained) => process.stdout.once("drain", drained));
  }
  if (!state.cancelled)
    send({ method: "stream.item", params: { stream, index: many, items: [{ data: chunk("", "stop") }, { raw: "data: [DONE]\n\n" }] } });
  send({ method: "stream.end", params: { stream } });
  streams.delete(stream);
}

const on = {
  "plugin.register": () => ({
    schema_version: 1,
    hooks: { "model.register": {}, "executor.execute_stream": {}, "model.route": {}, "request.intercept_before": { needs: ["body"] } },
  }),
  "model.register": () => ({ providers: [{ key: "firehose", dialects: ["openai.chat"], patterns: ["many:*", "bulky:*", "paced:*"] }] }),
  "model.route": () => null,
  "request.intercept_before": () => null,
  "executor.execute_stream": () => ({ stream: true }),
  "plugin.shutdown": () => null,
};
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (method === "$/cancel") {
    for (const state of streams.values())
      if (state.id === params.id) {
        state.cancelled = true;
        state.more?.();
      }
    return;
  }
  if (method === "stream.credit") {
    const state = streams.get(params.stream);
    if (state) {
      state.credit += params.credit;
      state.more?.();
    }
    return;
  }
  if (id === undefined) return;
  send({ id, ...(on[method] ? { result: on[method](params) } : { error: { code: -32601, message: method } }) });
  if (method === "executor.execute_stream") flow(id, params.stream, params.attempt.model, params.credit);
});
