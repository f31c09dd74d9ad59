package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

const prefix = "ticket" // a key that begins otherwise is somebody else's

// ticket returns what a caller shows: `ticket.EXPIRES.SIGNATURE.NAME`.
func ticket(secret, name string, expires time.Time) string {
	when := strconv.FormatInt(expires.Unix(), 10)
	return strings.Join([]string{prefix, when, hex.EncodeToString(signature(secret, when, name)), name}, ".")
}

func signature(secret, when, name string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(when + "." + name))
	return mac.Sum(nil)
}

type config struct {
	Secret string   `json:"secret"`
	Models []string `json:"models"`
}

// read takes the settings of plugin.register, and returns what is wrong with the secret.
func (c *config) read(params json.RawMessage) string {
	said := struct {
		Config *config `json:"config"`
	}{c}
	if err := json.Unmarshal(params, &said); err != nil {
		return err.Error()
	}
	if len(c.Secret) < 16 {
		return "must have at least 16 characters"
	}
	return ""
}

type principal struct {
	Name  string   `json:"name"`
	Tags  []string `json:"tags"`
	Allow *allow   `json:"allow,omitempty"`
}

type allow struct {
	Models []string `json:"models"`
}

// authenticate answers {principal} for a good ticket, {reject} for a bad one, and nil for what is no ticket.
func (c *config) authenticate(params json.RawMessage, now time.Time) any {
	var on struct {
		Call struct {
			Headers [][2]string `json:"headers"`
		} `json:"call"`
	}
	if json.Unmarshal(params, &on) != nil {
		return nil
	}
	for _, header := range on.Call.Headers {
		parts := strings.SplitN(key(header[0], header[1]), ".", 4)
		if len(parts) != 4 || parts[0] != prefix {
			continue
		}
		when, name := parts[1], parts[3]
		shown, err := hex.DecodeString(parts[2])
		if err != nil || !hmac.Equal(shown, signature(c.Secret, when, name)) {
			return object{"reject": "the ticket is not genuine"}
		}
		if expires, err := strconv.ParseInt(when, 10, 64); err != nil || now.Unix() >= expires {
			return object{"reject": "the ticket has expired"}
		}
		who := principal{Name: name, Tags: []string{"ticket"}}
		if c.Models != nil {
			who.Allow = &allow{c.Models}
		}
		return object{"principal": who}
	}
	return nil
}

// key returns the key that a header carries, or nothing. SDKs send it in one of three headers.
func key(name, value string) string {
	switch strings.ToLower(name) {
	case "authorization":
		scheme, token, _ := strings.Cut(value, " ")
		if strings.EqualFold(scheme, "bearer") {
			return strings.TrimSpace(token)
		}
	case "x-api-key", "x-goog-api-key":
		return value
	}
	return ""
}
