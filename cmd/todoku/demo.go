package main

import (
	"bytes"
	"embed"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/zone"
)

// The zones of the bundled shop. They stand for the whole DNS: root.zone says
// that what is in no other file does not exist.
//
//go:embed demo/*.zone
var demoZones embed.FS

// demoTarget is the shop's mail as its web server sends it.
var demoTarget = diag.Target{
	Domain: "shop.example", From: "shop.example", MailFrom: "order@shop.example", DKIMDomain: "shop.example",
	Helo: "localhost",
	IPs:  []netip.Addr{netip.MustParseAddr("203.0.113.25"), netip.MustParseAddr("2001:db8:25::25")},
}

func newDemo(s stdio) *cobra.Command {
	var rf runFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The full report on a bundled broken shop, without any network",
		Long: `demo reports on a web shop whose mail does not arrive. Every answer comes from
zone files inside todoku; nothing is asked over the network. It ends with exit
code 1, because the shop is broken.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := demoSet()
			if err != nil {
				return &exitError{exitBroken, err}
			}
			rf.offline, rf.bundled = true, set
			return rf.check(cmd.Context(), cmd, s, &gating{targets: []diag.Target{demoTarget}})
		},
	}
	rf.addReport(cmd)
	rf.timeout = defaultTimeout
	return cmd
}

func demoSet() (*zone.Set, error) {
	files, err := fs.Glob(demoZones, "demo/*.zone")
	if err != nil {
		return nil, err
	}
	var zones []*zone.Zone
	for _, f := range files {
		b, err := demoZones.ReadFile(f)
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(f, "demo/")
		origin := strings.TrimSuffix(name, ".zone")
		if origin == "root" {
			origin = "."
		}
		z, err := zone.Parse(bytes.NewReader(b), name, origin)
		if err != nil {
			return nil, err
		}
		zones = append(zones, z)
	}
	return zone.NewSet(zones...)
}
