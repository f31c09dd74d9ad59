// Command tickets decides who may call: whoever shows a ticket that was signed with the secret and has not expired.
//
// Without arguments it is the plugin. `tickets sign NAME DURATION` prints a ticket; the secret is that of TICKETS_SECRET.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	var err error
	if len(os.Args) > 1 {
		err = sign(os.Args[1:])
	} else {
		err = serve(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tickets:", err)
		os.Exit(1)
	}
}

func sign(args []string) error {
	secret := os.Getenv("TICKETS_SECRET")
	if len(args) != 3 || args[0] != "sign" || secret == "" {
		return errors.New("usage: TICKETS_SECRET=... tickets sign NAME DURATION, such as: tickets sign alice 12h")
	}
	lasts, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	fmt.Println(ticket(secret, args[1], time.Now().Add(lasts)))
	return nil
}

type request struct {
	ID     json.RawMessage `json:"id"` // nil in a notification
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

type object = map[string]any

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
			if problem := settings.read(asked.Params); problem != "" {
				data := object{"problems": [][]string{{"secret", problem}}}
				reply["error"] = object{"code": -32602, "message": "secret: " + problem, "data": data}
			} else {
				reply["result"] = object{
					"schema_version": 1,
					"plugin":         object{"name": "tickets", "version": "1.0.0"},
					"hooks":          object{"frontend_auth.authenticate": object{"needs": []string{"headers", "secret"}}},
				}
			}
		case "frontend_auth.authenticate":
			reply["result"] = settings.authenticate(asked.Params, time.Now())
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
