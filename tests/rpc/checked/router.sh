#!/bin/sh
# A router in POSIX shell with jq: one process a message, and no more than is needed.
while IFS= read -r line; do
  printf '%s\n' "$line" | jq -c '
    select(has("id")) | {jsonrpc: "2.0", id} +
    if .method == "plugin.register" then {result: {schema_version: 1, plugin: {name: "shell"}, hooks: {"model.route": {needs: ["body"]}}}}
    elif .method == "model.route" then {result: (if .params.call.body.tools? then {model: "strong"} else null end)}
    elif .method == "plugin.shutdown" then {result: null}
    else {error: {code: -32601, message: .method}} end'
done
