// A router in Node, without any library: the whole plugin.
import { createInterface } from "node:readline";
const on = {
  "plugin.register": () => ({ schema_version: 1, plugin: { name: "tools_to_strong", version: "1.0.0" }, hooks: { "model.route": { needs: ["body"] } } }),
  "model.route": ({ call }) => (call.body?.tools ? { model: "strong", reason: "has tools" } : null),
  "plugin.shutdown": () => null,
};
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const reply = on[method] ? { result: on[method](params) } : { error: { code: -32601, message: method } };
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, ...reply }) + "\n");
});
