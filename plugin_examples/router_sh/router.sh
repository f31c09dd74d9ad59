#!/bin/sh
# A router: requests with pictures go to the model that the setting `model` names.
# One jq reads a message a line and writes an answer a line. A notification has no id, and gets none.
exec jq --null-input --compact-output --unbuffered '
  foreach inputs as $message ({};
    if $message.method == "plugin.register" then $message.params.config else . end;
    . as $config
    | $message
    | select(has("id"))
    | {jsonrpc: "2.0", id} + (
        if .method == "plugin.register" then
          {result: {schema_version: 1, plugin: {name: "pictures", version: "1.0.0"}, hooks: {"model.route": {needs: ["request"]}}}}
        elif .method == "model.route" then
          {result: (
            if $config.model and any(.params.call.request.messages | .. | objects; .type == "image")
            then {model: $config.model, reason: "has pictures"}
            else null
            end)}
        elif .method == "plugin.shutdown" then
          {result: null}
        else
          {error: {code: -32601, message: .method}}
        end))'
