// A scheduler in Node, without any library: the fewest calls in flight for its weight; of equals the one that has rested longest.
import { createInterface } from "node:readline";

const tables = new Map(); // Of each model: its candidates by id. The host tells what is new, what has changed and what is gone.

function tableOf({ model, rows, gone }) {
  const table = tables.get(model) ?? new Map();
  tables.set(model, table);
  for (const row of rows) table.set(row.id, row);
  for (const id of gone) table.delete(id);
  return table;
}

function pick({ pool }) {
  const table = tableOf(pool);
  const load = ({ id, in_flight }) => (in_flight + 1) / table.get(id).weight;
  const [best] = [...pool.live].sort((a, b) => load(a) - load(b) || a.last_used - b.last_used);
  return best ? { candidate: best.id } : null; // null: the host chooses
}

const on = {
  "plugin.register": () => ({
    schema_version: 1,
    plugin: { name: "least_loaded", version: "1.0.0" },
    hooks: { "scheduler.pick": { table: true } },
  }),
  "scheduler.pick": pick,
  "plugin.shutdown": () => null,
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const reply = on[method] ? { result: on[method](params) } : { error: { code: -32601, message: method } };
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, ...reply }) + "\n");
});
