package dnsbl

var (
	Parse     = parse
	ListsText = listsText
)
