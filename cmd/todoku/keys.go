package main

import (
	"os"
	"slices"
	"strings"

	"github.com/todoku-mail/todoku/pkg/dnsbl"
)

// keyVariable is the environment variable with the key of a service. A key is
// never a flag: other users of the machine can read command lines.
func keyVariable(service string) string {
	return "TODOKU_DNSBL_KEY_" + strings.ToUpper(strings.ReplaceAll(service, "-", "_"))
}

// keys are the keys of blocklists, from the environment and from --dnsbl-keys,
// which comes first. No error holds any part of a key.
func (f *runFlags) keys(env func(string) string) (dnsbl.Keys, error) {
	keys := dnsbl.Keys{}
	for _, service := range dnsbl.Services() {
		if k := strings.TrimSpace(env(keyVariable(service))); k != "" {
			keys[service] = k
		}
	}
	if f.dnsblKeys == "" {
		return keys, nil
	}
	b, err := os.ReadFile(f.dnsblKeys)
	if err != nil {
		return nil, usagef("--dnsbl-keys: %v", err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		service, key, ok := strings.Cut(line, " ")
		if !ok || !slices.Contains(dnsbl.Services(), service) {
			return nil, usagef("--dnsbl-keys %s:%d: expected a service and its key, with a space between them; the services are %s",
				f.dnsblKeys, n, strings.Join(dnsbl.Services(), ", "))
		}
		keys[service] = strings.TrimSpace(key)
	}
	return keys, nil
}
