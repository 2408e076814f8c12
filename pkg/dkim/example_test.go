package dkim_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/todoku-mail/todoku/pkg/dkim"
	"github.com/todoku-mail/todoku/pkg/dkim/dkimtest"
)

// A shop's mail went through a mailing list, which put its name before the
// subject and a footer below the text.
func Example() {
	key := dkimtest.Ed25519("example")
	mail := dkimtest.Message("From: shop@example.com\nSubject: New hours", "We open at nine.\n")
	field := dkimtest.Signer{Key: key, Domain: "example.com", Selector: "s1", Header: dkim.Relaxed, Body: dkim.Relaxed}.SignField(mail)
	received := field + strings.Replace(mail, "New", "[shops] New", 1) + "_____\r\nThe list of shops\r\n"

	// Any dnsq.Resolver will do.
	dns := dkimtest.Zone{"s1._domainkey.example.com": dkimtest.Record(key)}
	verifier := dkim.Verifier{Resolver: dns, Now: time.Now()}

	// The header is read, the body streams by.
	r := bufio.NewReader(strings.NewReader(received))
	fields, _, err := dkim.ReadHeader(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	header := dkim.NewHeader(fields)
	var body dkim.Body
	session := verifier.Start(header, &body)
	var kept bytes.Buffer // for the diagnosis, which reads it once more
	if _, err := io.Copy(io.MultiWriter(&body, &kept), r); err != nil {
		fmt.Println(err)
		return
	}
	body.Close()
	report := session.Finish(context.Background())

	for _, s := range report.Signatures {
		fmt.Printf("%s at %s: %s, body %s, header %s\n", s.Selector, s.Domain, s.Cryptographic, s.BodyMatch, s.HeaderMatch)
		d := dkim.Diagnose(s, header, &kept)
		fmt.Println("broken by:", d.Cause)
		for _, c := range d.Changes {
			fmt.Printf("%s, proven %v: %q, was %q\n", c.Kind, c.Proven, c.Is, c.Was)
		}
	}
	// Output:
	// s1 at example.com: fail, body mismatch, header mismatch
	// broken by: body-and-header
	// footer-added, proven true: "_____\r\nThe list of shops\r\n", was ""
	// subject-tagged, proven true: " [shops] New hours", was " New hours"
}
