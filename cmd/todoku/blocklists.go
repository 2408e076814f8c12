package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsbl"
)

// kindsOf are the kinds of a list: "ip4 ip6 domain".
func kindsOf(l *dnsbl.List) string {
	var out []string
	for _, k := range l.Kinds {
		out = append(out, k.String())
	}
	return strings.Join(out, " ")
}

// listBlocklists shows the blocklists that todoku knows: those that it asks,
// when, and what they allow; then those that it never asks, with their story.
func listBlocklists(w io.Writer, v *voice) error {
	term := func(name, code string) string { return v.catalog.Term("dnsbl", name, code) }
	head := func(name string) string { return term("lists", name) }
	var b strings.Builder
	for _, when := range []dnsbl.When{dnsbl.ByDefault, dnsbl.WithAll, dnsbl.WithKey, dnsbl.WhenNamed} {
		fmt.Fprintf(&b, "%s\n", head(string(when)))
		for _, l := range dnsbl.Lists() {
			if l.Ask != when {
				continue
			}
			fmt.Fprintf(&b, "  %-34s %-14s %s\n", l.Zone, kindsOf(l), term("tier", string(l.Tier)))
			var more []string
			if l.Access != "" && l.Access != dnsbl.Open {
				more = append(more, term("access", string(l.Access)))
			}
			if l.Service != "" {
				more = append(more, head("variable")+" "+keyVariable(l.Service))
			}
			if p := l.Page(); p != "" {
				more = append(more, p)
			}
			if len(more) > 0 {
				fmt.Fprintf(&b, "      %s\n", strings.Join(more, " · "))
			}
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%s\n", head("never"))
	for _, l := range dnsbl.Lists() {
		if l.Ask != dnsbl.Never {
			continue
		}
		since := ""
		if l.Since != "" {
			since = " (" + l.Since + ")"
		}
		fmt.Fprintf(&b, "  %-34s %s%s\n", l.Zone, term("state", l.Why), since)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// listBlocklistsJSON is the same for machines.
func listBlocklistsJSON(w io.Writer) error {
	type row struct {
		Zone   string   `json:"zone"`
		Kinds  []string `json:"kinds,omitempty"`
		Tier   string   `json:"tier,omitempty"`
		Ask    string   `json:"ask"`
		Access string   `json:"access,omitempty"`
		Key    string   `json:"key,omitempty"` // the environment variable
		Page   string   `json:"page,omitempty"`
		Why    string   `json:"why,omitempty"` // never asked
		Since  string   `json:"since,omitempty"`
		Terms  string   `json:"terms,omitempty"`
		Source string   `json:"source"`
		Trust  string   `json:"trust"`
	}
	out := struct {
		State string `json:"state"` // of the research
		Lists []row  `json:"lists"`
	}{State: "2026-11"}
	for _, l := range dnsbl.Lists() {
		r := row{Zone: l.Zone, Tier: string(l.Tier), Ask: string(l.Ask), Access: string(l.Access), Page: l.Page(),
			Why: l.Why, Since: l.Since, Terms: l.Limit, Source: l.Source, Trust: l.Trust}
		for _, k := range l.Kinds {
			r.Kinds = append(r.Kinds, k.String())
		}
		if l.Service != "" {
			r.Key = keyVariable(l.Service)
		}
		out.Lists = append(out.Lists, r)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}
