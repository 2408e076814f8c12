package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/todoku-mail/todoku/checks"
	"github.com/todoku-mail/todoku/pkg/render"
)

func newExplain(s stdio) *cobra.Command {
	return &cobra.Command{
		Use:     "explain ID",
		Short:   "What a finding means, why it matters, how to mend it",
		Example: "  todoku explain SPF-MULTIPLE\n  todoku explain list",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("explain takes one ID, such as SPF-MULTIPLE; todoku list shows them all")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return ids(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := s.voice(cmd, checks.All)
			if err != nil {
				return err
			}
			opt := render.Options{Width: v.width, Color: v.color}
			if strings.EqualFold(args[0], "list") {
				return broken(render.List(s.out, checks.All, v.catalog, opt))
			}
			id := strings.ToUpper(args[0])
			for _, c := range checks.All {
				if k := c.Kind(id); k != nil {
					return broken(render.Explain(s.out, c, k, v.catalog, opt))
				}
			}
			hint := "todoku list shows them all"
			if near := similar(id, ids()); near != "" {
				hint = "did you mean " + near + "? " + hint
			}
			return usagef("%q is not the ID of a finding: %s", args[0], hint)
		},
	}
}

func newList(s stdio) *cobra.Command {
	var format string
	var lists bool
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "Which checks there are, and which findings they can make",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := s.voice(cmd, checks.All)
			if err != nil {
				return err
			}
			opt := render.Options{Width: v.width, Color: v.color}
			switch {
			case lists && format == "text":
				return broken(listBlocklists(s.out, v))
			case lists && format == "json":
				return broken(listBlocklistsJSON(s.out))
			}
			switch format {
			case "text":
				return broken(render.List(s.out, checks.All, v.catalog, opt))
			case "json":
				return broken(render.ListJSON(s.out, checks.All))
			}
			return usagef("-o %q: list knows text and json", format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	cmd.Flags().BoolVar(&lists, "dnsbl", false, "the blocklists instead: which are asked, and which never and why")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func broken(err error) error {
	if err != nil {
		return &exitError{exitBroken, err}
	}
	return nil
}

// ids are the IDs of all findings.
func ids() []string {
	var out []string
	for _, c := range checks.All {
		for _, k := range c.Kinds {
			out = append(out, k.ID)
		}
	}
	return out
}

// similar is the ID nearest to what was typed, or "" if none is near: the one
// that the fewest changes of a letter lead to, at most a third of its length.
func similar(typed string, all []string) string {
	best, score := "", 1<<30
	for _, id := range all {
		if d := distance(typed, id); d < score && d*3 <= len(id) {
			best, score = id, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
