package fixes

import (
	"io"

	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render"
)

func writeJSON(w io.Writer, in *Input, cat *i18n.Catalog) error {
	return render.PlanJSON(w, in.Plan, cat)
}
