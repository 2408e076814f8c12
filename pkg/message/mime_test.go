package message_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/text/encoding/japanese"

	. "github.com/todoku-mail/todoku/pkg/message"
)

// tree writes the MIME tree in one line per part.
func tree(m *Message) string {
	var b strings.Builder
	m.Root.Walk(func(p *Part) {
		fmt.Fprintf(&b, "%s %s", p.ID, p.MediaType)
		if p.Filename != "" {
			fmt.Fprintf(&b, " %q", p.Filename)
		}
		if !p.Multipart() {
			raw, _ := io.ReadAll(p.Raw())
			if len(raw) > 30 {
				raw = raw[:30]
			}
			fmt.Fprintf(&b, " %q", raw)
		}
		b.WriteString("\n")
	})
	return b.String()
}

func codes(fs []Fault) string {
	var out []string
	for _, f := range fs {
		switch f.Code { // what the short mails of these tests all have
		case FaultDateMissing, FaultIDMissing, FaultToMissing, FaultSubjectMissing, FaultFromMissing:
			continue
		}
		out = append(out, fmt.Sprintf("%s:%d", f.Code, f.Line))
	}
	return strings.Join(out, " ")
}

func TestStructure(t *testing.T) {
	const head = "From: a@b.example\nMIME-Version: 1.0\n"
	for _, c := range []struct{ name, file, tree, faults string }{
		{"no mime", "From: a@b.example\n\nhello\n", `1 text/plain "hello\r\n"`, ""},
		{"nested",
			head + "Content-Type: multipart/mixed; boundary=\"a b\"\n\npreamble\n--a b\nContent-Type: multipart/alternative;\n boundary=in\n\n--in\n\nplain\n--in\nContent-Type: text/html\n\n<p>\n--in--\n\n--a b\nContent-Type: application/pdf; name=x.pdf\n\n%PDF\n--a b--\nepilogue\n",
			`1 multipart/mixed
1.1 multipart/alternative
1.1.1 text/plain "plain"
1.1.2 text/html "<p>"
1.2 application/pdf "x.pdf" "%PDF"`, ""},
		{"a boundary that is the beginning of another",
			head + "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=ab\n\n--ab\n\none\n--ab--\n--a\n\ntwo\n--a--\n",
			`1 multipart/mixed
1.1 multipart/mixed
1.1.1 text/plain "one"
1.2 text/plain "two"`, ""},
		{"spaces behind the boundary", head + "Content-Type: multipart/mixed; boundary=a\n\n--a  \n\none\n--a-- \t\n", "1 multipart/mixed\n1.1 text/plain \"one\"", ""},
		{"cut off", head + "Content-Type: multipart/mixed; boundary=a\n\n--a\n\none\n", "1 multipart/mixed\n1.1 text/plain \"one\\r\\n\"", "unclosed:3"},
		{"cut off inside",
			head + "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--a--\n",
			"1 multipart/mixed\n1.1 multipart/mixed\n1.1.1 text/plain \"one\"", "unclosed:6"},
		{"cut off in a part's header", head + "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/html\n", "1 multipart/mixed\n1.1 text/html \"\"", "unclosed:3"},
		{"no boundary", head + "Content-Type: multipart/mixed\n\n--a\n\none\n--a--\n", "1 multipart/mixed", "no-boundary:3"},
		{"another boundary", head + "Content-Type: multipart/mixed; boundary=b\n\n--a\n\none\n--a--\n", "1 multipart/mixed", "boundary-not-found:3"},
		{"empty part", head + "Content-Type: multipart/mixed; boundary=a\n\n--a\n\n--a\n--a--\n", "1 multipart/mixed\n1.1 text/plain \"\"\n1.2 text/plain \"\"", ""},
		{"no empty line behind the part's header", head + "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/html\n<p>\n--a--\n", "1 multipart/mixed\n1.1 text/html \"<p>\"", "part-header:7"},
		{"digest", head + "Content-Type: multipart/digest; boundary=a\n\n--a\n\nFrom: x@y.example\n\nhi\n--a--\n", "1 multipart/digest\n1.1 message/rfc822 \"From: x@y.example\\r\\n\\r\\nhi\"", ""},
		{"no type", head + "Content-Type: plain\n\nx\n", "1 text/plain \"x\\r\\n\"", "type-syntax:3"},
		{"no MIME-Version", "From: a@b.example\nContent-Type: text/html\n\nx\n", "1 text/html \"x\\r\\n\"", "no-mime-version:2"},
		{"encoded multipart", head + "Content-Type: multipart/mixed; boundary=a\nContent-Transfer-Encoding: base64\n\n--a\n\none\n--a--\n", "1 multipart/mixed\n1.1 text/plain \"one\"", "encoding-on-multipart:4"},
		{"unknown encoding", head + "Content-Transfer-Encoding: 7-bit\n\nx\n", "1 text/plain \"x\\r\\n\"", "encoding-unknown:3"},
		{"base64 faults", head + "Content-Transfer-Encoding: base64\n\n" + strings.Repeat("QUJD", 20) + "\nQU!D\n", "1 text/plain \"QUJDQUJDQUJDQUJDQUJDQUJDQUJDQU\"", "base64-line:5 base64:6"},
		{"qp line", head + "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("x", 77) + "\n", "1 text/plain \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"", "qp-line:5"},
		{"8 bit", head + "\nx\n\xe3\x81\x82\n", "1 text/plain \"x\\r\\n\xe3\x81\x82\\r\\n\"", "undeclared-8bit:5"},
		{"8 bit declared", head + "Content-Transfer-Encoding: 8BIT (comment)\n\n\xe3\x81\x82\n", "1 text/plain \"\xe3\x81\x82\\r\\n\"", ""},
		{"parameter twice", head + "Content-Type: text/html; charset=a; charset=b; =x\n\nx\n", "1 text/html \"x\\r\\n\"", "param-twice:3 param-syntax:3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, file := range []string{c.file, crlf(c.file)} {
				m := read(t, file)
				checkPlaces(t, m, file)
				if got := strings.TrimSpace(tree(m)); got != c.tree {
					t.Errorf("tree\n%s\nwant\n%s", got, c.tree)
				}
				if got := codes(m.Faults(LintOptions{})); got != c.faults {
					t.Errorf("faults %q, want %q", got, c.faults)
				}
			}
		})
	}
}

// Bombs cost no more than their size, and are named.
func TestBombs(t *testing.T) {
	var deep, wide strings.Builder
	deep.WriteString("MIME-Version: 1.0\n")
	for i := range 5000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	wide.WriteString("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n")
	for range 100_000 {
		wide.WriteString("--b\n\nx\n")
	}
	wide.WriteString("--b--\n")
	m := read(t, deep.String())
	if got := codes(m.Faults(LintOptions{})); !strings.Contains(got, "too-deep:") {
		t.Error(got)
	}
	parts := func(m *Message) (n int) {
		m.Root.Walk(func(*Part) { n++ })
		return
	}
	if n := parts(m); n > MaxDepth+1 {
		t.Errorf("%d parts", n)
	}
	m = read(t, wide.String())
	if got := codes(m.Faults(LintOptions{})); got != "too-many-parts:6001" {
		t.Error(got)
	}
	if n := parts(m); n != MaxParts || !m.Root.Closed {
		t.Errorf("%d parts", n)
	}
	// Headers of parts are bounded together.
	var heads strings.Builder
	heads.WriteString("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n")
	for range 1000 {
		heads.WriteString("--b\n" + strings.Repeat("a:\n", 10_000) + "\nx\n")
	}
	m = read(t, heads.String())
	fields := 0
	m.Root.Walk(func(p *Part) { fields += len(p.Header) })
	if fields > MaxFields+10 {
		t.Errorf("%d fields", fields)
	}
	if got := codes(m.Faults(LintOptions{})); !strings.Contains(got, "part-header:") {
		t.Error(got)
	}
}

func sjis(s string) string {
	b, err := japanese.ShiftJIS.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return b
}

func eucjp(s string) string {
	b, err := japanese.EUCJP.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return b
}

func iso2022jp(s string) string {
	b, err := japanese.ISO2022JP.NewEncoder().String(s)
	if err != nil {
		panic(err)
	}
	return b
}

// The names of attachments, as they should be written and as Japanese mail
// programs write them.
func TestFilenames(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	pct := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
		return b.String()
	}
	jis := iso2022jp("見積書①.pdf")
	for _, c := range []struct {
		name, fields, want string
		form               ParamForm
	}{
		{"plain", "Content-Disposition: attachment; filename=a.pdf", "a.pdf", Plain},
		{"quoted", `Content-Disposition: attachment; filename="a \"b\".pdf"`, `a "b".pdf`, Plain},
		{"spaces without quotes", "Content-Disposition: attachment; filename=my file.pdf; size=1", "my file.pdf", Plain},
		{"name only", "Content-Type: application/pdf; name=a.pdf", "a.pdf", Plain},
		{"rfc2231", "Content-Disposition: attachment; filename*=UTF-8''" + pct("見積書.pdf"), "見積書.pdf", Extended},
		{"rfc2231 iso-2022-jp", "Content-Disposition: attachment; filename*=ISO-2022-JP'ja'" + pct(jis), "見積書①.pdf", Extended},
		{"rfc2231 in pieces, out of order, a character cut in two",
			"Content-Disposition: attachment;\n filename*1*=" + pct("積書.pdf"[2:]) + ";\n filename*0*=utf-8''" + pct("見積書.pdf"[:5]), "見積書.pdf", Extended},
		{"rfc2231 beside a plain one", "Content-Disposition: attachment; filename=x.pdf; filename*=UTF-8''" + pct("見.pdf"), "見.pdf", Extended},
		{"rfc2231 in quotes", `Content-Disposition: attachment; filename*="UTF-8''` + pct("見.pdf") + `"`, "見.pdf", Extended},
		{"rfc2231 without a charset", "Content-Disposition: attachment; filename*=" + pct("見.pdf"), "見.pdf", Extended},
		{"rfc2231 pieces without a charset", "Content-Disposition: attachment; filename*0=abc; filename*1=.pdf", "abc.pdf", Plain},
		{"encoded-word in quotes", `Content-Disposition: attachment; filename="=?ISO-2022-JP?B?` + b64(jis) + `?="`, "見積書①.pdf", EncodedWord},
		{"encoded-word without quotes", `Content-Type: application/pdf; name==?UTF-8?B?` + b64("見.pdf") + `?=`, "見.pdf", EncodedWord},
		{"two encoded-words, folded", "Content-Disposition: attachment;\n filename=\"=?UTF-8?B?" + b64("見積書.pdf"[:4]) + "?=\n =?UTF-8?B?" + b64("見積書.pdf"[4:]) + "?=\"", "見積書.pdf", EncodedWord},
		{"encoded-word cut into pieces of rfc2231", `Content-Disposition: attachment; filename*0="=?UTF-8?B?` + b64("見積書.pdf")[:8] + `"; filename*1="` + b64("見積書.pdf")[8:] + `?="`, "見積書.pdf", EncodedWord},
		{"encoded-word with cp932", `Content-Disposition: attachment; filename="=?cp932?B?` + b64(sjis("㈱届く①.xls")) + `?="`, "㈱届く①.xls", EncodedWord},
		{"raw Shift_JIS", `Content-Disposition: attachment; filename="` + sjis("見積書.pdf") + `"`, "見積書.pdf", RawOctets},
		{"raw EUC-JP", `Content-Disposition: attachment; filename="` + eucjp("見積書のこと.pdf") + `"`, "見積書のこと.pdf", RawOctets},
		{"raw ISO-2022-JP", `Content-Disposition: attachment; filename="` + jis + `"`, "見積書①.pdf", RawOctets},
		{"raw UTF-8", `Content-Disposition: attachment; filename="見積書.pdf"`, "見積書.pdf", RawOctets},
		{"no end", `Content-Disposition: attachment; filename="a.pdf`, "a.pdf", Plain},
		{"a semicolon in the name", `Content-Disposition: attachment; filename="a;b.pdf"`, "a;b.pdf", Plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := read(t, "From: a@b.example\n"+c.fields+"\n\nx\n")
			if p := m.Root; p.Filename != c.want || p.NameForm != c.form || !p.Attachment() {
				t.Errorf("%q (%s), want %q (%s)", p.Filename, p.NameForm, c.want, c.form)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	for _, c := range []struct{ name, file, want, charset string }{
		{"iso-2022-jp", "Content-Type: text/plain; charset=ISO-2022-JP\n\n" + iso2022jp("届く①\n"), "届く①\n", "iso-2022-jp"},
		{"iso-2022-jp-ms, half width", "Content-Type: text/plain; charset=iso-2022-jp-ms\n\n\x1b(I6]\x1b(B\n", "ｶﾝ\n", "iso-2022-jp-ms"},
		{"cp932 by base64", "Content-Type: text/plain; charset=cp932\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(sjis("㈱届く"))), "㈱届く", "cp932"},
		{"euc-jp", "Content-Type: text/plain; charset=\"EUC-JP\"\n\n" + eucjp("届く"), "届く", "euc-jp"},
		{"utf-8 by quoted-printable", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=E5=B1=8A=\n=E3=81=8F=20 \nx=3D=zz=", "届く \nx==zz", "utf-8"},
		{"none, Shift_JIS", "\n" + sjis("お届けします"), "お届けします", "shift_jis"},
		{"us-ascii, UTF-8", "Content-Type: text/plain; charset=us-ascii\n\n届", "届", "utf-8"},
		{"windows-1252", "Content-Type: text/plain; charset=iso-8859-1\n\ncaf\xe9", "café", "iso-8859-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := read(t, "From: a@b.example\n"+c.file)
			ps := m.Texts()
			if len(ps) != 1 {
				t.Fatalf("%d texts", len(ps))
			}
			got, err := ps[0].Text(1000)
			if err != nil || got.Err != nil || strings.ReplaceAll(got.Text, "\r\n", "\n") != c.want || got.Charset != c.charset || got.Cut {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	m := read(t, "Content-Type: text/plain; charset=x-none\n\n\x80\n")
	if got, _ := m.Root.Text(100); got.Err == nil || !got.Err.(*CharsetError).Unknown {
		t.Errorf("%+v", got)
	}
	m = read(t, "Content-Type: text/plain; charset=utf-8\n\n\x80abc\n")
	if got, _ := m.Root.Text(100); got.Err == nil || got.Text != "\ufffdabc\r\n" {
		t.Errorf("%+v", got)
	}
	m = read(t, "Content-Type: text/plain; charset=utf-8\n\n届く\n届く\n")
	if got, _ := m.Root.Text(13); got.Err != nil || got.Text != "届く\r\n" || !got.Cut {
		t.Errorf("%+v", got)
	}
}

// quoted-printable and base64 come out the same however they are cut.
func TestTransferEncodings(t *testing.T) {
	long := strings.Repeat("ab=E3=81=82 c", 3000) + "\n" + strings.Repeat(" ", 9000) + "x \nend="
	m := read(t, "Content-Transfer-Encoding: quoted-printable\n\n"+long)
	want := strings.Repeat("abあ c", 3000) + "\r\n" + strings.Repeat(" ", 9000) + "x\r\nend"
	if got := all(t, m.Root.Content()); got != want {
		t.Errorf("%d octets, want %d", len(got), len(want))
	}
	data := strings.Repeat("\x00\xffabc", 5000)
	enc := base64.StdEncoding.EncodeToString([]byte(data))
	var b strings.Builder
	for len(enc) > 70 {
		b.WriteString(enc[:70] + "\n")
		enc = enc[70:]
	}
	m = read(t, "Content-Transfer-Encoding: BASE64\n\n"+b.String()+enc+"\n")
	if got := all(t, m.Root.Content()); got != data {
		t.Errorf("%d octets, want %d", len(got), len(data))
	}
}

const bounce = `From: MAILER-DAEMON@mx.example
To: order@shop.example
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=r

--r

It failed.
--r
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
--r
Content-Type: %s
%s
%s
--r--
`

// The original in a bounce is read with the lines and offsets of the file.
func TestOriginal(t *testing.T) {
	file := fmt.Sprintf(bounce, "message/rfc822", "", plain)
	m := read(t, file)
	p := m.Original()
	if p == nil {
		t.Fatal("none")
	}
	o, err := p.Message()
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if o.Value("Message-ID") != "<1@shop.example>" || all(t, o.Body()) != "Hello,\r\n\r\ngoodbye\r\n" || !o.HasBody {
		t.Errorf("%q", all(t, o.Body()))
	}
	checkPlaces(t, o, file)

	file = fmt.Sprintf(bounce, "text/rfc822-headers", "", "From: a@b.example\nTo: c@d.example")
	m = read(t, file)
	p = m.Original()
	if _, only := p.Embedded(); !only {
		t.Error("not only the header")
	}
	o, err = p.Message()
	if err != nil || o.HasBody || o.Value("To") != "c@d.example" {
		t.Errorf("%v %v", o, err)
	}
	checkPlaces(t, o, file)

	// Exchange has encoded it, which RFC 2046 §5.2.1 forbids.
	file = fmt.Sprintf(bounce, "message/rfc822", "Content-Transfer-Encoding: base64\n", base64.StdEncoding.EncodeToString([]byte(crlf(plain))))
	m = read(t, file)
	o, err = m.Original().Message()
	if err != nil || o.Value("Message-ID") != "<1@shop.example>" || o.File != "mail.eml (part 1.3, decoded)" || o.Repairs[0].Code != RepairDecoded {
		t.Fatalf("%v %v", o, err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}

	m = read(t, fmt.Sprintf(bounce, "text/plain", "", "x"))
	if m.Original() != nil || len(m.EmbeddedMessages()) != 0 {
		t.Error("found one where none is")
	}
	if _, err := m.Root.Message(); err == nil {
		t.Error("the root is no message")
	}
	m = read(t, fmt.Sprintf(bounce, "message/rfc822", "", "no header here"))
	if _, err := m.Original().Message(); err == nil || !strings.Contains(err.Error(), `mail.eml:16: "no header here" is not a header field`) {
		t.Error(err)
	}
}
