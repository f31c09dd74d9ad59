#!/bin/sh
# A router: requests with pictures go to the model that the setting `model` names.
# One jq reads a message a line and writes an answer a line. A notification has no id, and gets none.
exec jq --null-input --raw-input --compact-output --unbuffered '
  # What jq cannot read, such as a very deep request, still has an id to be answered by.
  def message: . as $line | try fromjson catch ($line | {id: (capture("\"id\": *(?<id>[0-9]+)").id | tonumber), unread: true});

  foreach (inputs | message) as $message ({};
    if $message.method == "plugin.register" then $message.params.config else . end;
    . as $config
    | $message
    | select(has("id"))
    | {jsonrpc: "2.0", id} + (
        if .unread then
          {error: {code: -32602, message: "cannot be read", data: {cause: "caller", code: "not_decoded"}}}
        elif .method == "plugin.register" then
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
