package main

import "regexp"

var (
	address = regexp.MustCompile(`[\w.%+-]+@[\w-]+(\.[\w-]+)+`)
	ending  = regexp.MustCompile(`[\w.%+@-]*$`) // what further words may complete to an address
)

const longest = 254 // characters of an address (RFC 5321)

// A redactor takes addresses out of a text that comes in pieces: what may be the beginning of one is held until it is whole.
type redactor struct {
	held string
	last int // the index of the latest event that had words
}

// take returns the words that may leave now.
func (r *redactor) take(text string) string {
	text = r.held + text
	safe := ending.FindStringIndex(text)[0]
	if len(text)-safe > longest { // no address is so long
		safe = len(text)
	}
	r.held = text[safe:]
	return address.ReplaceAllString(text[:safe], "[address]")
}

// rest returns what was held, now that nothing follows.
func (r *redactor) rest() string {
	text := r.held
	r.held = ""
	return address.ReplaceAllString(text, "[address]")
}
