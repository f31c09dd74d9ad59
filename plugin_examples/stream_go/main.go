// Command redact takes e-mail addresses out of streamed answers, also those that come in pieces.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "redact:", err)
		os.Exit(1)
	}
}

type object = map[string]any

type request struct {
	ID     json.RawMessage `json:"id"` // nil in a notification
	Method string          `json:"method"`
	Params struct {
		Stream string `json:"stream"`
		Events []struct {
			Index     int    `json:"index"`
			Name      string `json:"name"`
			Text      string `json:"text"`
			Arguments string `json:"arguments"`
			Finish    string `json:"finish"`
		} `json:"events"`
	} `json:"params"`
}

func (r request) hasWords() bool {
	for _, event := range r.Params.Events {
		if event.Text != "" {
			return true
		}
	}
	return false
}

// serve answers requests until the host closes the connection. It keeps a redactor for each stream between its open and its close.
func serve(in io.Reader, out io.Writer) error {
	streams := map[string]*redactor{}
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
		reply, stream := object{"jsonrpc": "2.0", "id": asked.ID}, asked.Params.Stream
		switch asked.Method {
		case "plugin.register":
			reply["result"] = object{
				"schema_version": 1,
				"plugin":         object{"name": "redact", "version": "1.0.0"},
				"hooks": object{
					"response.intercept_stream_chunk.open": object{"needs": []string{"request"}, "on_error": "closed"},
				},
			}
		case "response.intercept_stream_chunk.open":
			streams[stream] = &redactor{}
			reply["result"] = object{"handle": true}
		case "response.intercept_stream_chunk.event":
			if redact := streams[stream]; redact != nil {
				reply["result"] = answersTo(asked, redact)
			} else if asked.hasWords() { // this program was started anew in the middle of the stream
				reply["error"] = object{"code": -32602, "message": "there is no open stream " + stream}
			} else { // what comes after the close has none
				reply["result"] = nil
			}
		case "response.intercept_stream_chunk.close":
			reply["result"] = nil
			if redact := streams[stream]; redact != nil && redact.held != "" {
				reply["result"] = object{"events": []object{{"of": redact.last, "text": redact.rest()}}}
			}
			delete(streams, stream)
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

// ends has the events that end a text, in dialects that have such.
var ends = map[string]bool{"content_block_stop": true, "response.output_text.done": true}

// answersTo says for each event what words it has now. An event without words stays as it is.
func answersTo(asked request, redact *redactor) any {
	answers := make([]object, len(asked.Params.Events))
	for at, event := range asked.Params.Events {
		text := ""
		if event.Text != "" {
			text, redact.last = redact.take(event.Text), event.Index
		}
		if ends[event.Name] || event.Arguments != "" || event.Finish != "" {
			text += redact.rest()
		}
		switch {
		case event.Text != "" && text != event.Text:
			answers[at] = object{"text": text}
		case event.Text == "" && text != "": // before the event, one as the last that had words
			answers[at] = object{"events": []object{{"of": redact.last, "text": text}, {"same": true}}}
		}
	}
	return object{"answers": answers}
}
