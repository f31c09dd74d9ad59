// A provider in Node, without any library: each of its models says a poem, word by word, in Jackfield's canonical words. So it
// can be called in every dialect. The types are those that `jackfield schema rpc` writes; Node itself does not look at them.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

/** @typedef {import("../../schemas/v1/plugin.d.ts").Delta} Delta */
/** @typedef {import("../../schemas/v1/plugin.d.ts").Handlers} Handlers */
/** @typedef {import("../../schemas/v1/plugin.d.ts").Id} Id */
/** @typedef {import("../../schemas/v1/plugin.d.ts").RpcError} RpcError */

/** @type {{ [model: string]: string }} */
const poems = {
  "haiku-route": "A call finds its way / through a wall of open plugs; / one of them answers.",
  "haiku-queue": "Ten calls at the door. / The scheduler counts the chairs. / The eleventh waits.",
  "haiku-retry": "The first one said no. / Before anyone could tell / the second said yes.",
};

let pace = 0; // milliseconds between two words

/** What is under way, by the id of its request. @type {Map<Id, AbortController>} */
const running = new Map();

/** Streams that are being sent: how many items more may be sent, and who waits for that. @type {Map<string, { credit: number, wake: () => void }>} */
const outlets = new Map();

/** @type {Handlers} */
const on = {
  "plugin.register": ({ config }) => {
    pace = config?.pace ?? 0;
    return {
      schema_version: 1,
      plugin: { name: "haiku", version: "1.0.0" },
      hooks: { "model.register": {}, "executor.execute_stream": { needs: ["request"] } },
    };
  },
  // `only`: whoever wants a whole answer gets it from the host, which puts the stream together.
  "model.register": () => ({ providers: [{ key: "haiku", models: Object.keys(poems), streams: "only" }] }),
  "executor.execute_stream": ({ attempt, stream, credit }, id) => {
    if (!Object.hasOwn(poems, attempt.model)) return { status: 404, body_text: `there is no poem ${attempt.model}` };
    send(id, stream, credit, [...poem(attempt.model, attempt.request?.sampling?.max_tokens ?? Infinity)]);
    return { stream: true };
  },
  "plugin.shutdown": () => null,
};

/** @param {string} model @param {number} limit @returns {Generator<Delta>} */
function* poem(model, limit) {
  const words = poems[model].split(/(?= )/);
  const said = words.slice(0, limit);
  yield { type: "begin", model };
  yield { type: "part_start", index: 0, part: { type: "text", text: "" } };
  for (const text of said) yield { type: "text", index: 0, text };
  yield { type: "part_end", index: 0 };
  yield { type: "finish", reason: said.length < words.length ? "length" : "stop" };
  yield { type: "usage", usage: { input: 0, output: said.length } };
  yield { type: "done" };
}

/**
 * Send deltas as there is credit for them, then the end; both stop when the request is cancelled.
 * @param {Id} id @param {string} stream @param {number} credit @param {Delta[]} deltas
 */
async function send(id, stream, credit, deltas) {
  const cancelled = new AbortController();
  const outlet = { credit, wake: () => {} };
  cancelled.signal.addEventListener("abort", () => outlet.wake());
  running.set(id, cancelled);
  outlets.set(stream, outlet);
  /** @type {RpcError | undefined} */
  let error;
  try {
    for (let index = 0; index < deltas.length; ) {
      await sleep(pace, undefined, { signal: cancelled.signal }); // also lets the answer to the request go first
      while (outlet.credit <= 0 && !cancelled.signal.aborted) await new Promise((wake) => (outlet.wake = () => wake(null)));
      cancelled.signal.throwIfAborted();
      const items = deltas.slice(index, index + (pace ? 1 : outlet.credit)).map((delta) => ({ delta }));
      outlet.credit -= items.length;
      write({ method: "stream.item", params: { stream, index, items } });
      index += items.length;
    }
  } catch (fault) {
    error = cancelled.signal.aborted ? { code: -32800, message: "cancelled" } : { code: -32603, message: String(fault) };
  }
  running.delete(id);
  outlets.delete(stream);
  write({ method: "stream.end", params: error ? { stream, error } : { stream } });
}

/** @type {{ [method: string]: (params: any) => void }} */
const told = {
  "stream.credit": ({ stream, credit }) => {
    const outlet = outlets.get(stream);
    if (outlet) {
      outlet.credit += credit;
      outlet.wake();
    }
  },
  "$/cancel": ({ id }) => running.get(id)?.abort(),
};

/** @param {object} message */
function write(message) {
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
}

const input = createInterface({ input: process.stdin });
input.on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return told[method]?.(params);
  const handler = on[/** @type {keyof Handlers} */ (method)];
  write(handler ? { id, result: handler(/** @type {any} */ (params), id) } : { id, error: { code: -32601, message: method } });
});
input.on("close", () => running.forEach((one) => one.abort()));
