package dnsbl

// Advice are the codes of all advices.
func Advice() []string {
	out := []string{"reputation"}
	for _, a := range advice {
		out = append(out, a)
	}
	return out
}
