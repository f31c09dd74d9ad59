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
	Params json.RawMessage `json:"params"`
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
		if result, fault := settings.answer(asked.Method, asked.Params); fault != nil {
			reply["error"] = fault
		} else {
			reply["result"] = result
		}
		if err := answers.Encode(reply); err != nil {
			return err
		}
	}
}

// answer returns the result of a request, or the error.
func (c *config) answer(method string, params json.RawMessage) (result any, fault object) {
	switch method {
	case "plugin.register":
		said := struct{ Config *config }{c}
		if err := json.Unmarshal(params, &said); err != nil {
			return nil, object{"code": -32602, "message": err.Error()}
		}
		return object{
			"schema_version": 1,
			"plugin":         object{"name": "thinking_cap_go", "version": "1.0.0"},
			"hooks":          object{"request.normalize": object{"needs": []string{"body"}}},
		}, nil
	case "request.normalize":
		var on struct{ Attempt struct{ Body any } }
		if err := json.Unmarshal(params, &on); err != nil {
			return nil, object{"code": -32602, "message": err.Error()}
		}
		return c.normalize(on.Attempt.Body), nil
	case "plugin.shutdown":
		return nil, nil
	}
	return nil, object{"code": -32601, "message": method}
}
