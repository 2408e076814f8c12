//go:build e2e

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The HTML report in a real browser: headless Chromium shows it in a frame of a
// test page that measures it and writes down what it saw. The page under test is
// not touched; its policy lets no script run in it.

// browserIn is how long one run of the browser may take.
const browserIn = 60 * time.Second

// A measure is what the browser saw of a page in a frame of one width.
type measure struct {
	Width, Scroll     int      // of the frame, and of what is in it
	Height            int      // of what is in it
	Wide              []string // elements that stick out of the page
	Resources         []string // what the page fetched
	Scripts           int
	Styled            bool // the page's own style applies
	Trees, TreesShown int
	Glyph             bool // Japanese is shown as such, not as boxes
	Broken            []string
}

// The test page. It shares the origin of the page in its frames, and so can look
// into them.
const measurePage = `<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,">
<iframe style="border:0;width:320px;height:900px" src="%[1]s"></iframe>
<iframe style="border:0;width:390px;height:900px" src="%[1]s"></iframe>
<iframe style="border:0;width:1280px;height:900px" src="%[1]s"></iframe><pre id="out"></pre>
<script>
function glyph(ch) {
  const c = document.createElement("canvas"); c.width = c.height = 48;
  const x = c.getContext("2d"); x.font = "40px sans-serif"; x.fillText(ch, 2, 42);
  return x.getImageData(0, 0, 48, 48).data.join();
}
function look(f) {
  const d = f.contentDocument, w = f.contentWindow, r = d.documentElement;
  const clipped = e => { for (; e; e = e.parentElement) if (w.getComputedStyle(e).overflowX !== "visible") return true; return false; };
  const wide = [], broken = [];
  for (const e of d.body.querySelectorAll("*")) {
    const b = e.getBoundingClientRect();
    if (b.width > 0 && b.right > r.clientWidth + 1 && !clipped(e)) wide.push(e.tagName + "." + (e.getAttribute("class") || "") + " to " + b.right);
  }
  for (const a of d.querySelectorAll("a[href^='#']")) if (!d.getElementById(a.getAttribute("href").slice(1))) broken.push(a.getAttribute("href"));
  const trees = [...d.querySelectorAll("svg.tree")];
  return {
    Width: r.clientWidth, Scroll: r.scrollWidth, Height: r.scrollHeight, Wide: wide, Broken: broken,
    Resources: w.performance.getEntriesByType("resource").map(e => e.name),
    Scripts: d.querySelectorAll("script").length,
    Styled: w.getComputedStyle(d.body).marginTop === "0px",
    Trees: trees.length, TreesShown: trees.filter(t => t.getBoundingClientRect().width > 0).length,
    Glyph: glyph("届") !== glyph("\uFFFF") && glyph("届") !== glyph("く"),
  };
}
addEventListener("load", () => { // of the frames too
  document.getElementById("out").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(look));
});
</script>`

// browse runs Chromium with an empty profile and returns what it printed, and
// its log, which holds what pages say on their console.
func browse(t *testing.T, args ...string) (out, log string) {
	t.Helper()
	bin := program(t, "chromium")
	ctx, cancel := context.WithTimeout(t.Context(), browserIn)
	defer cancel()
	flags := []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr", "--log-level=0",
		"--user-data-dir=" + t.TempDir(), "--virtual-time-budget=5000"}
	cmd := exec.CommandContext(ctx, bin, append(flags, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium %s: %v\n%s", strings.Join(args, " "), err, e.String())
	}
	return o.String(), e.String()
}

var measured = regexp.MustCompile(`(?s)<pre id="out">(.*?)</pre>`)

func TestE2EHTML(t *testing.T) {
	hostile := filepath.Join(t.TempDir(), "hostile.zone")
	// Names and texts as long and as wild as the DNS lets them be.
	label := strings.Repeat("x", 63)
	name := label + "." + label + "." + label
	zone := "$ORIGIN shop.example.\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 300\n@ MX 10 " + name + "\n" +
		"@ TXT \"v=spf1 include:" + name + ".example </style><script>alert(1)</script> <img src=http://192.0.2.1/x onerror=alert(1)> -all\"\n"
	if err := os.WriteFile(hostile, []byte(zone), 0o644); err != nil {
		t.Fatal(err)
	}
	pages := map[string][]byte{}
	render := func(path string, args ...string) {
		var out, errs bytes.Buffer
		runWith(t, &out, &errs, append(args, "-o", "html")...)
		if errs.Len() > 0 {
			t.Fatalf("%v: %s", args, errs.String())
		}
		pages[path] = out.Bytes()
	}
	before := filepath.Join(t.TempDir(), "before.zone")
	if err := os.WriteFile(before, []byte("$ORIGIN shop.example.\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 300\n@ TXT \"v=spf1 -all\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, lang := range languages {
		render("/demo."+lang+".html", "demo", "--lang", lang)
		render("/hostile."+lang+".html", "check", "shop.example", "--lang", lang, "--offline", "--zone", hostile, "--ip", "192.0.2.25")
		render("/diff."+lang+".html", "diff", "--lang", lang, "--offline", "--old", before, "--new", hostile)
	}
	var mu sync.Mutex
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if page, ok := pages[r.URL.Path]; ok {
			_, _ = w.Write(page)
			return
		}
		path, ok := strings.CutPrefix(r.URL.Path, "/measure")
		if !ok || pages[path] == nil {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, measurePage, path)
	}))
	defer srv.Close()
	for path := range pages {
		t.Run(path[1:], func(t *testing.T) {
			out, log := browse(t, "--window-size=2200,1000", "--dump-dom", srv.URL+"/measure"+path)
			m := measured.FindStringSubmatch(out)
			var all []measure
			if m == nil || json.Unmarshal([]byte(html.UnescapeString(m[1])), &all) != nil || len(all) != 3 {
				t.Fatalf("the page was not measured: %s\n%s", out, log)
			}
			for i, width := range []int{320, 390, 1280} {
				got := all[i]
				if got.Width != width || got.Scroll > width || len(got.Wide) > 0 {
					t.Errorf("the page is %d wide in a frame of %d (%d); it sticks out with %q", got.Scroll, width, got.Width, got.Wide)
				}
				if len(got.Resources) > 0 || got.Scripts > 0 {
					t.Errorf("the page fetched %q and has %d scripts", got.Resources, got.Scripts)
				}
				if !got.Styled || got.Height < 400 || len(got.Broken) > 0 || !got.Glyph {
					t.Errorf("%+v", got)
				}
				if strings.HasPrefix(path, "/demo") && (got.Trees != 2 || got.TreesShown != 1) {
					t.Errorf("%d of %d pictures of the SPF tree are shown, expected 1 of 2", got.TreesShown, got.Trees)
				}
			}
			for _, l := range strings.Split(log, "\n") {
				if strings.Contains(l, "CONSOLE") {
					t.Errorf("on the console: %s", l)
				}
			}
		})
	}
	for _, path := range asked {
		if _, ok := pages[path]; !ok && !strings.HasPrefix(path, "/measure/") {
			t.Errorf("the browser asked for %s", path)
		}
	}
	t.Run("picture", func(t *testing.T) {
		shot := filepath.Join(t.TempDir(), "shot.png")
		browse(t, "--window-size=1280,1600", "--screenshot="+shot, srv.URL+"/demo.ja.html")
		b, err := os.ReadFile(shot)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		colours, inked := map[color.Color]bool{}, 0
		first := img.At(0, 0)
		for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y += 2 {
			for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x += 2 {
				c := img.At(x, y)
				colours[c] = true
				if c != first {
					inked++
				}
			}
		}
		if img.Bounds().Dx() != 1280 || len(colours) < 50 || inked < 20000 {
			t.Errorf("%v, %d colours, %d points that are not background", img.Bounds(), len(colours), inked)
		}
	})
}
