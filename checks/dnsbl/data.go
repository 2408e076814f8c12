package dnsbl

import "strconv"

// Data are the check's facts for machines. Lists are counted by what they hold:
// one that holds IPv4 and IPv6 addresses counts twice where both were asked.
type Data struct {
	Asked     int          `json:"asked"`
	Answered  int          `json:"answered"` // of Asked: everything asked of the list got an answer that counts
	Listed    []ListedData `json:"listed"`
	Refused   []string     `json:"refused"`   // zones that said that they did not check
	Unhealthy []string     `json:"unhealthy"` // zones whose answers mean nothing
	// ByKind has Asked and Answered for "ip4", "ip6" and "domain" lists apart.
	ByKind map[string]Count `json:"by_kind"`
}

// ListedData is one listing that counts.
type ListedData struct {
	Zone     string   `json:"zone"`
	Subject  string   `json:"subject"` // the address or the domain
	Codes    []string `json:"codes"`
	Meanings []string `json:"meanings"`
	Class    string   `json:"class"` // major, secondary, minor, policy, abused
}

// Count says how many lists of a kind were asked and answered.
type Count struct {
	Asked    int `json:"asked"`
	Answered int `json:"answered"`
}

// String is "2/3", or the word "none" if no list was asked.
func (c Count) String() string {
	if c.Asked == 0 {
		return "none"
	}
	return strconv.Itoa(c.Answered) + "/" + strconv.Itoa(c.Asked)
}
