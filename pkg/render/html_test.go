package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/todoku-mail/todoku/pkg/diag"
	"github.com/todoku-mail/todoku/pkg/i18n"
	"github.com/todoku-mail/todoku/pkg/render/sanitize"
)

// htmlElements are all that a page holds, each with the attributes that it may
// have besides class and id.
var htmlElements = map[string]string{
	"html": "lang", "head": "", "meta": "charset http-equiv content name", "title": "", "style": "", "body": "",
	"header": "", "main": "", "footer": "", "section": "", "article": "", "nav": "aria-label", "figure": "", "figcaption": "", "details": "", "summary": "",
	"h1": "", "h2": "", "h3": "", "h4": "", "p": "", "ul": "", "li": "", "dl": "", "dt": "", "dd": "", "div": "", "pre": "", "code": "", "mark": "",
	"b": "", "em": "", "strong": "", "span": "aria-hidden lang", "a": "href rel",
	"svg": "role aria-label width height viewbox", "rect": "x y width height rx", "path": "d", "circle": "cx cy r", "text": "x y text-anchor",
}

var (
	classWord = regexp.MustCompile(`^[a-z0-9-]*$`)
	outside   = regexp.MustCompile(`^https://[a-z0-9.-]+/[!-~]*$`)
)

// validHTML reads a page as a browser does: nothing but our own elements, no
// script, nothing to fetch, every link to a place in the page or a document, one
// element for each id, and no character that acts on the reader.
func validHTML(t testing.TB, b []byte) *html.Node {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	ids, links := map[string]bool{}, []string{}
	policy, style := "", ""
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch n.Type {
		case html.ElementNode:
			allowed, ok := htmlElements[n.Data]
			if !ok {
				t.Fatalf("<%s> is none of ours", n.Data)
			}
			for _, a := range n.Attr {
				if a.Key != "class" && a.Key != "id" && !strings.Contains(" "+allowed+" ", " "+strings.ToLower(a.Key)+" ") {
					t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
				}
				switch a.Key {
				case "class", "id":
					for _, w := range strings.Fields(a.Val) {
						if !classWord.MatchString(w) {
							t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
						}
					}
					if a.Key == "id" {
						if ids[a.Val] {
							t.Errorf("the id %s is there twice", a.Val)
						}
						ids[a.Val] = true
					}
				case "href":
					if at, ok := strings.CutPrefix(a.Val, "#"); ok {
						links = append(links, at)
					} else if !outside.MatchString(a.Val) {
						t.Errorf("a link to %q", a.Val)
					}
				}
			}
			if n.Data == "meta" && attr(n, "http-equiv") == "Content-Security-Policy" {
				policy = attr(n, "content")
			}
			if n.Data == "style" && n.FirstChild != nil {
				style = n.FirstChild.Data
			}
		case html.CommentNode:
			t.Errorf("a comment: %q", n.Data)
		case html.TextNode:
			for _, r := range n.Data {
				if r != '\n' && sanitize.Unsafe(r) {
					t.Errorf("U+%04X stands in %q", r, n.Data)
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(doc)
	for _, l := range links {
		if !ids[l] {
			t.Errorf("a link to #%s, which there is not", l)
		}
	}
	sum := sha256.Sum256([]byte(style))
	if want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.HasPrefix(policy, want) {
		t.Errorf("the policy %q does not let the page's own style apply, which is %q", policy, want)
	}
	if strings.Contains(string(b), "url(") || strings.Contains(string(b), "@import") {
		t.Error("the style fetches something")
	}
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), "::") || strings.Contains(l, "##[") {
			t.Errorf("a GitHub runner takes this line for a command: %q", l)
		}
	}
	return doc
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// pageText is what a reader reads.
func pageText(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Data != "style" {
			b.WriteString(pageText(c))
		}
	}
	return b.String()
}

func TestHTMLPages(t *testing.T) {
	for _, lang := range i18n.Languages {
		for name, r := range map[string]*diag.Run{"run": sampleRun(), "diff": sampleChange(), "diff of two": sampleDiff()} {
			doc := validHTML(t, machine(t, "html", r, lang, Options{}))
			if root := doc.LastChild; attr(root, "lang") != lang {
				t.Errorf("%s: lang is %q", name, attr(root, "lang"))
			}
		}
	}
}

// What an engineer looks for, and what the owner of the shop does.
func TestHTMLSays(t *testing.T) {
	page := pageText(validHTML(t, machine(t, "html", sampleRun(), "en", Options{})))
	for _, want := range []string{
		"What to do, and who does it", "DNS administrator", "Hosting or mail provider", "zones/shop.zone:12", "ip4:203.0.113.9",
		"verified: with it the finding is gone", "RFC 7208 §2.6.4", "sum: 12 of 10 allowed", "accepted until 2027-04-01: the old shop closes in spring",
		"known: the baseline has it", "signature expired", "news.example", `\x1b[2J`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	diff := pageText(validHTML(t, machine(t, "html", sampleChange(), "en", Options{})))
	at := -1
	for _, want := range []string{"This change breaks mail", "What to do", "What breaks", "Resolvers may serve the old value for up to 1 h", "What could not be decided", "What is fixed", "What was wrong before, too", "The records that change"} {
		i := strings.Index(diff, want)
		if i <= at {
			t.Errorf("%q is missing or out of order", want)
		}
		at = i
	}
}

// "Nothing to do" is said only where all is well.
func TestHTMLNothingToDo(t *testing.T) {
	const none = "There is nothing to do."
	says := func(fs ...diag.Finding) bool {
		return strings.Contains(pageText(validHTML(t, machine(t, "html", only(alpha, fs...), "en", Options{}))), none)
	}
	if !says(diag.Finding{Kind: kOK}) || !says(diag.Finding{Kind: kOld}) {
		t.Error("it is not said of a good report")
	}
	if says(diag.Finding{Kind: kUndet}) || says(diag.Finding{Kind: kSkip}) || says(diag.Finding{Kind: kSyntax}) || says() {
		t.Error("it is said where something is wrong, unknown or was not looked at")
	}
}

// The part at fault is marked, whole and alone.
func TestHTMLMark(t *testing.T) {
	h := &htmlWriter{cat: catalog(t, "en")}
	for _, c := range []struct {
		text   string
		off, n int
		want   string
	}{
		{"v=spf1 -all", 7, 4, "v=spf1 |-all|"},
		{"v=spf1 -all", 0, 0, "||v=spf1 -all"},
		{"v=spf1 -all", 7, 99, "v=spf1 |-all|"},
		{"v=spf1 -all", 99, 1, "||v=spf1 -all"},
		{"a\x1bb", 1, 1, `a|\x1b|b`},
		{"届く", 1, 1, `\xe5|\xb1|\x8aく`},
		{strings.Repeat("a", 5000) + "X" + strings.Repeat("b", 5000), 5000, 1, "…" + strings.Repeat("a", 1000) + "|X|" + strings.Repeat("b", 1000) + "…"},
	} {
		e := h.evidence(&diag.Evidence{Text: c.text, Offset: c.off, Length: c.n})
		if got := e.Head + "|" + e.At + "|" + e.End; got != c.want {
			t.Errorf("%.20q, %d, %d: %q, want %q", c.text, c.off, c.n, got, c.want)
		}
		if (e.Cut != "") != (len(c.text) > 5000) {
			t.Errorf("%.20q: cut says %q", c.text, e.Cut)
		}
	}
}

// A tree of any size is a picture of bounded size, and says the sum.
func TestHTMLTree(t *testing.T) {
	cat := catalog(t, "en")
	deep := &diag.Tree{Label: "x", Cost: 1000, Limit: 10}
	for n, i := deep, 0; i < 1000; i++ {
		k := &diag.Tree{Label: strings.Repeat("include:", 40), Cost: 1000 - i, Note: "void", Bad: i%2 == 0}
		n.Children = []*diag.Tree{k, nil}
		n = k
	}
	for _, width := range []float64{320, 760} {
		svg := string(drawTree(cat, "spf", deep, width))
		if len(svg) > 100_000 || !strings.Contains(svg, `aria-label="sum: 1000 of 10 allowed"`) || !strings.Contains(svg, "and 1 more") {
			t.Errorf("%d bytes: %.200s", len(svg), svg)
		}
		within(t, svg, width)
	}
	within(t, string(drawTree(cat, "spf", sampleTree(), 320)), 320)
	within(t, string(drawTree(cat, "spf", &diag.Tree{Cost: -5, Limit: -1}, 320)), 320)
}

var number10 = regexp.MustCompile(` (?:x|cx)="([-0-9.]+)"(?: y="[0-9.]+" width="([0-9.]+)")?`)

// within holds that nothing is drawn beyond the picture.
func within(t *testing.T, svg string, width float64) {
	t.Helper()
	for _, m := range number10.FindAllStringSubmatch(svg, -1) {
		x, _ := strconv.ParseFloat(m[1], 64)
		w, _ := strconv.ParseFloat(m[2], 64)
		if x < 0 || x+w > width+0.5 {
			t.Errorf("%s is beyond %g", m[0], width)
		}
	}
}

// Colours can be read (WCAG 2.2, 1.4.3: a contrast of 4.5), by day, by night and
// on paper.
func TestHTMLContrast(t *testing.T) {
	blocks := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(htmlStyle, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d sets of colours", len(blocks))
	}
	for i, name := range []string{"light", "dark", "print"} {
		c := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6})`).FindAllStringSubmatch(blocks[i][1], -1) {
			c[m[1]] = m[2]
		}
		pairs := [][2]string{{"ink", "page"}, {"ink", "card"}, {"ink", "code"}, {"ink", "mark"}, {"soft", "page"}, {"soft", "card"}, {"soft", "code"}, {"link", "card"}}
		for _, s := range diag.Statuses {
			n := s.String()
			pairs = append(pairs, [2]string{n, "card"}, [2]string{n, n + "-bg"}, [2]string{"ink", n + "-bg"}, [2]string{"card", n})
		}
		for _, p := range pairs {
			a, b := c[p[0]], c[p[1]]
			if a == "" || b == "" {
				t.Fatalf("%s: no colour %v", name, p)
			}
			if r := contrast(a, b); r < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.2f", name, p[0], p[1], r)
			}
		}
	}
}

func contrast(a, b string) float64 {
	light := func(hex string) float64 {
		var sum float64
		for i, f := range []float64{.2126, .7152, .0722} {
			v, _ := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
			x := float64(v) / 255
			if x <= .04045 {
				x /= 12.92
			} else {
				x = math.Pow((x+.055)/1.055, 2.4)
			}
			sum += f * x
		}
		return sum
	}
	x, y := light(a), light(b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

func TestBreakLabel(t *testing.T) {
	for _, c := range []struct {
		s    string
		room int
		want string
	}{
		{"include:_spf.example.com", 30, "include:_spf.example.com"},
		{"include:_spf.example.com", 20, "include:_spf.|example.com"},
		{"abcdefghijkl", 5, "abcde|fghij|kl"},
		{"", 5, ""},
		{"届く届く届く", 5, "届く|届く|届く"},
		{strings.Repeat("a", 99), 10, "aaaaaaaaaa|aaaaaaaaaa|aaaaaaaaaa|aaaaaaaaa…"},
	} {
		if got := strings.Join(breakLabel(c.s, c.room), "|"); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.s, c.room, got, c.want)
		}
	}
}
