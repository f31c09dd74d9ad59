// Command thinking_cap caps what a request to the upstream says of thinking: the budget of tokens, and the level of effort.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "thinking_cap:", err)
		os.Exit(1)
	}
}

type object = map[string]any

type request struct {
	ID     json.RawMessage `json:"id"` // nil in a notification
	Method string          `json:"method"`
	Params struct {
		Config  config `json:"config"`
		Attempt struct {
			Body any `json:"body"`
		} `json:"attempt"`
	} `json:"params"`
}

// serve answers requests until the host closes the connection.
func serve(in io.Reader, out io.Writer) error {
	var settings config
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var asked request
		if err := requests.Decode(&asked); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if asked.ID == nil {
			continue
		}
		reply := object{"jsonrpc": "2.0", "id": asked.ID}
		switch asked.Method {
		case "plugin.register":
			settings = asked.Params.Config
			reply["result"] = object{
				"schema_version": 1,
				"plugin":         object{"name": "thinking_cap_go", "version": "1.0.0"},
				"hooks":          object{"request.normalize": object{"needs": []string{"body"}}},
			}
		case "request.normalize":
			reply["result"] = settings.normalize(asked.Params.Attempt.Body)
		case "plugin.shutdown":
			reply["result"] = nil
		default:
			reply["error"] = object{"code": -32601, "message": asked.Method}
		}
		if err := answers.Encode(reply); err != nil {
			return err
		}
	}
}
