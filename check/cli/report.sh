# The page that report writes: complete, well-formed, harmless whatever the records say, legible; in a browser, too.
needs python3

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
training: {epochs: 2, schedule: {drop_epochs: [1]}}
targets: [{metric: final_error, value: 50, tolerance: 50, source: a test}, {metric: best_error, value: 0, tolerance: 0.01, source: a test}]
YAML
sed 's/name: tiny/name: other/; s/epochs: 2,/epochs: 2, batch_size: 32,/; /^targets/d' tiny.yaml > other.yaml
echo 'targets: []' >> other.yaml
for seed in 1 2; do "$SELFSAME" train tiny.yaml --runs runs --seed $seed > /dev/null 2>&1; done
"$SELFSAME" train tiny.yaml --runs runs --seed 1 --name again --threads 1 > /dev/null 2>&1
"$SELFSAME" train other.yaml --runs runs --seed 1 --epochs 1 > /dev/null 2>&1
figures=--no-figures
command -v gnuplot > /dev/null && figures=

# has TEXT FILE / has_not TEXT FILE: as a whole, not as a pattern.
has() { if grep -q -F -- "$1" "$2"; then pass "  has: $1"; else fail "  has not: $1"; fi; }
has_not() { if grep -q -F -- "$1" "$2"; then fail "  has: $1"; else pass "  has not: $1"; fi; }

expect 2 "no file to write" report tiny-seed1 --runs runs
says "--out report.html"
expect 0 "one run" report tiny-seed1 --runs runs --out one.html $figures
prints "^one.html$"
expect 2 "  not over another file" report tiny-seed1 --runs runs --out one.html $figures
says "--force"
expect 0 "  but with --force" report tiny-seed1 --runs runs --out one.html $figures --force
cp one.html before.html
expect 0 "  again" report tiny-seed1 --runs runs --out one.html $figures --force
same before.html one.html "  the same bytes"
has '<h1>Run tiny-seed1</h1>' one.html
has '<span class="good">met</span>' one.html
has '<span class="bad">missed</span>' one.html
has 'ResNet-8 on the embedded data set, seed 1, arithmetic exact-1: error ' one.html
has 'selfsame train manifest.yaml --name again' one.html
has 'Nobody signed a statement about this run' one.html
expect 2 "a run that is not there" report nowhere --runs runs --out none.html
if [ -e none.html ]; then fail "  and a page"; else pass "  and no page"; fi

# The settings on the page, saved, train the same run: what the page promises.
python3 - <<'PY'
import html, re
text = re.search(r"<h2>Configuration</h2>\n<pre[^>]*>(.*?)</pre>", open("one.html").read(), re.S).group(1)
open("manifest.yaml", "w").write(html.unescape(text))
PY
expect 0 "the page's settings" train manifest.yaml --name promised --runs runs
expect 0 "  give the same bits" compare tiny-seed1 promised --runs runs

expect 0 "several runs" report tiny-seed1 tiny-seed2 again other-seed1 --runs runs --out many.html $figures
has '<h1>4 runs compared</h1>' many.html
has '<span class="good">identical</span>' many.html
# Runs that differ in the seed alone share a column.
has '<th scope="col">key</th><th scope="col">tiny, 3 runs</th><th scope="col">other-seed1</th>' many.html
has '<th scope="row">training.batch_size</th><td class="long">64</td><td class="long">32</td>' many.html
has '<th scope="row">training.seed</th><td class="long">1, 2, 1</td><td class="long">1</td>' many.html
has '<td>finished 1 of 2</td>' many.html
has 'selfsame train manifest.yaml --name again --epochs 1' many.html
cat > seeds.py <<'PY'
import json, re, statistics
values = [json.loads(open(f"runs/tiny-seed{n}/metrics.jsonl").readlines()[-1])["validation_error"] for n in (1, 2)]
cells = re.search(r'<th scope="row">tiny</th><td>exact-1</td>(.*?)</tr>', open("many.html").read()).group(1)
numbers = [float(x) for x in re.findall(r"-?[\d.]+(?=<| to)", cells)]
assert numbers[0] == 2, "a run that was computed twice counts once"
assert abs(numbers[1] - statistics.mean(values)) < 6e-4 and abs(numbers[2] - statistics.stdev(values)) < 6e-4, (numbers, values)
half = 12.706204736 * statistics.stdev(values) / 2 ** 0.5 # Student's t for 95 % and one degree of freedom
assert abs(numbers[3] - statistics.mean(values) + half) < 6e-4 and abs(numbers[4] - statistics.mean(values) - half) < 6e-4, numbers
PY
if python3 seeds.py 2> stderr; then pass "  mean and deviation over seeds"; else fail "  another mean or deviation"; fi

# Of many recipes that differ in one key, each has a row.
for rate in 0.1 0.2 0.3 0.4 0.5; do
    printf 'inherit: other.yaml\ntraining: {epochs: 1, schedule: {drop_epochs: [], learning_rate: %s}}\n' "$rate" > rate.yaml
    "$SELFSAME" train rate.yaml --runs rates --name "rate-$rate" > /dev/null 2>&1
done
expect 0 "five recipes" report rate-0.1 rate-0.2 rate-0.3 rate-0.4 rate-0.5 --runs rates --out rates.html --no-figures
has '<th scope="col">runs</th><th scope="col">training.schedule.learning_rate</th></tr>' rates.html
has '<th scope="row">rate-0.3</th><td class="long">0.3</td></tr>' rates.html

# Signatures: not verified, good, and bad.
"$SELFSAME" key new signer > /dev/null 2>&1
"$SELFSAME" attest tiny-seed1 --key signer.pem --runs runs > stdout 2> stderr || fail "no attestation"
public=signer.pub.pem
expect 0 "a signed run" report tiny-seed1 --runs runs --out signed.html --no-figures
has 'not verified: its public key was not named' signed.html
expect 0 "  and its key" report tiny-seed1 --runs runs --out signed.html --no-figures --force --key "$public"
has '<td><span class="good">good</span></td>' signed.html
cp -r runs/tiny-seed1 runs/damaged
for file in runs/damaged/attestations/*; do sed -i 's/"sig": *"../"sig":"AA/' "$file"; done
expect 0 "a damaged statement" report damaged --runs runs --out signed.html --no-figures --force --key "$public"
has '<span class="bad">bad</span></td>' signed.html

# Hostile texts: names, notes, tags, manifests.
evil="</title><script>alert(1)"
evil=$(printf %s "$evil" | tr -d /)"\"'><img src=x onerror=alert(2)>&lt;"
cp -r runs/tiny-seed1 "runs/$evil"
printf '%s\n' '</pre><script src="https://example.invalid/x.js"></script><!--' > "runs/$evil/note.txt"
expect 0 "hostile texts" report "$evil" tiny-seed2 --runs runs --out evil.html $figures
has_not '<script' evil.html
has_not '<img' evil.html
has '&lt;/pre&gt;&lt;script src=&quot;https://example.invalid/x.js&quot;' evil.html

if [ -z "$figures" ]; then
    has '<h3>ResNet-8 on the embedded data set: validation error</h3>' one.html
    has '<h3>Error on the embedded data set: mean and range over seeds</h3>' many.html
    mkdir nothing
    ln -s "$(command -v env)" nothing/env
    PATH=$PWD/nothing "$SELFSAME" report tiny-seed1 --runs runs --out none.html > stdout 2> stderr
    if [ $? -eq 3 ]; then pass "without gnuplot: exit 3"; else fail "without gnuplot: another exit"; fi
    says "no-figures"
    PATH=$PWD/nothing "$SELFSAME" report tiny-seed1 --runs runs --out none.html --no-figures > stdout 2> stderr
    if [ $? -eq 0 ]; then pass "  and with what the message says: exit 0"; else fail "  another exit"; fi
fi

cat > page.py <<'PY'
import re, sys
from html.parser import HTMLParser
from contrast import contrast
VOID = {"meta", "img", "br", "hr", "link", "input"}
class Page(HTMLParser):
    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.levels, self.path, self.style = [], [], [], path, ""
        self.named = {}
        self.feed(open(path, encoding="utf-8").read())
        assert not self.open, (path, self.open)
    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        values = dict(attributes)
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form", "img", "a"), tag
        for name, value in attributes:
            assert not name.startswith("on") and name not in ("src", "srcset", "action", "background", "style"), (tag, name)
            assert not name.endswith("href") or value.startswith("#"), (tag, value)
            assert "url(" not in (value or ""), value
        if "id" in values:
            self.ids.append(values["id"])
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "th":
            assert values.get("scope") in ("row", "col"), values
        if tag == "svg":
            assert values["role"] == "img" and values["aria-labelledby"]
            self.named[values["aria-labelledby"]] = True
        if tag not in VOID:
            self.open.append(tag)
    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()
    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (self.path, tag, self.open, self.getpos())
        self.open.pop()
    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
for path in sys.argv[1:]:
    page = Page(path)
    assert len(page.ids) == len(set(page.ids)), path
    for names in page.named:
        assert set(names.split()) <= set(page.ids), names
    assert page.levels[0] == 1 and page.levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(page.levels, page.levels[1:])), page.levels
    text = open(path).read()
    assert "default-src 'none'" in text and 'name="viewport"' in text and 'lang="en"' in text
    assert "@import" not in page.style and "url(" not in page.style and "@media print" in page.style
# The contrast of every pair of colours in the style sheet: WCAG 2, level AA.
themes = [dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", block)) for block in re.findall(r":root\{(.*?)\}", page.style)]
assert len(themes) == 2 and themes[0].keys() == themes[1].keys(), themes
for theme in themes:
    for name in ("ink", "quiet", "good", "bad", "open"):
        for ground in ("ground", "soft"):
            assert contrast(theme[name], theme[ground]) >= 4.5, (name, ground)
    assert contrast(theme["line"], theme["ground"]) >= 3
PY
if python3 page.py one.html many.html signed.html evil.html 2> stderr; then
    pass "the pages are well-formed, ordered and harmless, with contrast"
else
    fail "a page is not"
fi

# In a browser, with the accessibility checker axe-core, light and dark, on a telephone and on a desk.
axe=$("$python" -c 'import os, axe_core_python as a; print(os.path.join(os.path.dirname(a.__file__), "axe.min.js"))' 2> /dev/null)
if ! command -v chromium > /dev/null || [ ! -f "$axe" ]; then
    echo "skipped: the pages in a browser, since there is no chromium (Debian: chromium) or no axe_core_python (PyPI: axe-core-python) here"
    return 0
fi
cat > browser.py <<'PY'
# A copy of the page without its policy, which forbids scripts, and with the checker. The page is in a frame as wide as a screen,
# since a browser's own window has a least width. As it is printed, it is in a frame as wide as the text of an A4 page.
import base64, sys
page, axe, to, width, medium = open(sys.argv[1]).read(), open(sys.argv[2]).read(), *sys.argv[3:]
if medium == "print":
    page = page.replace("@media print", "@media all").replace("@media screen", "@media not all")
begin = page.index('<meta http-equiv="Content-Security-Policy"')
page = page[:begin] + page[page.index(">", begin) + 1:]
check = """<script>addEventListener("load", () => axe.run(document, {resultTypes: ["violations"]}).then(result => {
  const root = document.documentElement, lines = result.violations.map(v => "violation " + v.id + ": " + v.nodes[0].html.slice(0, 200).replace(/\\s+/g, " "));
  if (root.scrollWidth > innerWidth) lines.push("violation: the page is " + root.scrollWidth + " wide, and the screen " + innerWidth);
  lines.push("checked " + innerWidth + " " + matchMedia("(prefers-color-scheme: dark)").matches + " passes " + result.passes.length);
  parent.postMessage(lines.join(" | "), "*"); }));</script>"""
page = page.replace("</body>", "<script>" + axe.replace("</script", "<\\/script") + "</script>" + check + "</body>")
data = base64.b64encode(page.encode()).decode()
open(to, "w").write(f"""<!DOCTYPE html><body style="margin:0"><pre id="said"></pre>
<iframe id="page" style="border:0;width:{width}px;height:800px"></iframe>
<script>addEventListener("message", event => document.getElementById("said").textContent = event.data);
document.getElementById("page").srcdoc = new TextDecoder().decode(Uint8Array.from(atob("{data}"), c => c.charCodeAt(0)));</script>""")
PY
# look PAGE WIDTH SCHEME [print]: what the checker says of it, in ./stdout. SCHEME: 0 is dark, 1 is light.
look() {
    "$python" browser.py "$1" "$axe" look.html "$2" "${4:-screen}"
    chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/browser" --blink-settings=preferredColorScheme="$3" \
        --window-size=1400,1000 --virtual-time-budget=20000 --timeout=60000 --dump-dom "file://$PWD/look.html" 2> stderr < /dev/null |
        sed -n 's/.*<pre id="said">\([^<]*\)<.*/\1/p' > stdout
}
# First, a page with mistakes: only a checker that finds them can find none elsewhere.
sed -e 's/ lang="en"//' -e 's/--quiet:#[0-9a-f]*/--quiet:#cccccc/' -e 's/max-width:68rem/width:90rem/' one.html > wrong.html
look wrong.html 390 1
if ! grep -q "checked 390 false" stdout; then
    echo "skipped: the pages in a browser, since chromium gives no answer here"
    return 0
fi
for wanted in html-has-lang color-contrast "the page is"; do
    if grep -q "violation:\{0,1\} $wanted" stdout; then pass "the checker finds: $wanted"; else fail "the checker does not find: $wanted"; fi
done
while read -r page width scheme dark medium; do
    look "$page" "$width" "$scheme" "$medium"
    if grep -q "checked $width $dark passes" stdout && ! grep -q violation stdout; then
        pass "$page, $width wide, dark $dark${medium:+, printed}: the checker finds nothing"
    else
        fail "$page, $width wide, dark $dark${medium:+, printed}"
    fi
done <<'LIST'
one.html 390 0 true
one.html 1280 1 false
many.html 390 1 false
many.html 1280 0 true
many.html 703 1 false print
LIST
