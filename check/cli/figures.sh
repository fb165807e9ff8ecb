# The figures that plot draws, kind by kind: what they show, their numbers, their colours, and hostile names.
needs gnuplot python3

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
training: {epochs: 3, batch_size: 16, schedule: {drop_epochs: [2]}}
targets: [{metric: final_error, value: 50, tolerance: 50, source: a test}]
YAML
for seed in 1 2 3; do "$SELFSAME" train tiny.yaml --runs runs --seed $seed --epochs 2 > /dev/null 2>&1; done
"$SELFSAME" train tiny.yaml --runs runs --seed 4 > /dev/null 2>&1

expect 0 "every kind of these runs" plot tiny-seed1 tiny-seed2 tiny-seed4 --runs runs --out drawn --name three --format svg \
    --kind error,rate,loss,seeds,depth,time,machines
for kind in full zoom rate loss seeds depth time machines; do
    if [ -s drawn/three-$kind.svg ] && [ -s drawn/three-$kind.tsv ]; then pass "  $kind"; else fail "  no $kind"; fi
done
expect 0 "one kind as PNG and PDF, dark" plot tiny-seed1 --runs runs --out drawn --format png,pdf --kind loss --theme dark
for format in png pdf; do
    if [ -s drawn/tiny-seed1-loss.$format ]; then pass "  $format"; else fail "  no $format"; fi
done
cp drawn/three-seeds.svg before.svg
expect 0 "again" plot tiny-seed1 tiny-seed2 tiny-seed4 --runs runs --out drawn --name three --format svg --kind seeds
same before.svg drawn/three-seeds.svg "  the same bytes"

# The numbers: those of metrics.jsonl; means and ranges computed here.
cat > numbers.py <<'PY'
import csv, json, sys
runs = {n: [json.loads(l) for l in open(f"runs/tiny-seed{n}/metrics.jsonl")] for n in (1, 2, 4)}
def sheet(kind):
    with open(f"drawn/three-{kind}.tsv") as file:
        return list(csv.reader(file, delimiter="\t"))
def near(text, value):
    return abs(float(text) - value) <= 1e-9 * max(1, abs(value))
full, seeds, depth = sheet("full"), sheet("seeds"), sheet("depth")
assert full[0] == ["epochs done"] + [f"tiny-seed{n} {w} error %" for n in runs for w in ("training", "validation")], full[0]
for e, row in enumerate(full[1:]):
    for i, rows in enumerate(runs.values()):
        if e < len(rows):
            assert near(row[1 + 2 * i], rows[e]["training_error"]) and near(row[2 + 2 * i], rows[e]["validation_error"]), row
        else:
            assert row[1 + 2 * i] == "nan", row
assert len(full) == 4 and len(seeds) == 3, "all epochs; those that every seed has"
for e, row in enumerate(seeds[1:]):
    values = [rows[e]["validation_error"] for rows in runs.values()]
    assert near(row[1], sum(values) / 3) and near(row[2], min(values)) and near(row[3], max(values)), row
assert len(depth) == 2 and depth[1][0] == "8" and near(depth[1][1], runs[4][2]["validation_error"]), depth
for e, row in enumerate(sheet("rate")[1:]):
    assert near(row[1], runs[1][e]["learning_rate"] if e < 2 else float("nan")) or row[1] == "nan", row
PY
if python3 numbers.py 2> stderr; then pass "the numbers are the records'"; else fail "other numbers"; fi

# A run that was computed twice is one seed.
cp -r runs/tiny-seed4 runs/twice
expect 0 "a run and its copy, by depth" plot tiny-seed4 twice --runs runs --out drawn --name twice --format svg --kind depth
if grep -q "mean of up to" drawn/twice-depth.svg; then fail "  counted as two seeds"; else pass "  counted once"; fi

# What cannot be shown says why.
expect 2 "seeds of one run" plot tiny-seed1 --runs runs --out drawn --kind seeds
says "no two of these runs differ in the seed alone"
expect 2 "depths of unfinished runs" plot tiny-seed1 --runs runs --out drawn --kind depth
says "none of these runs is finished"
expect 2 "an unknown kind" plot tiny-seed1 --runs runs --kind losses
says "'losses' is not a kind of figure (error|full|zoom|rate"
expect 2 "a peak of runs" plot tiny-seed1 --runs runs --kind peak
says "tiny-seed1"
expect 2 "peak among others" plot tiny-seed1 --runs runs --kind peak,loss
says "draw it alone"

# The peak, from numbers that are known.
cat > bench.json <<'JSON'
{"depth": 8, "batch": 4, "engine": "an engine <b>", "arithmetic": "exact-1", "peak_gflops": 50, "share_of_peak": 0.5,
 "layers": [{"forward_gflops": 25, "backward_gflops": 10}, {"forward_gflops": 40, "backward_gflops": 60}]}
JSON
expect 0 "a peak" plot --kind peak bench.json --out drawn --format svg
printf '1\t50\t20\n2\t80\t120\n' > wanted
tail -n 2 drawn/bench-peak.tsv > got
same wanted got "  in percent"
expect 0 "what bench prints" bench --depth 8 --batch 4 --steps 2 --format json
cp stdout real.json
expect 0 "  is drawn" plot --kind peak real.json bench.json --out drawn --format svg
sed 's/"peak_gflops": 50/"peak_gflops": 0/' bench.json > zero.json
expect 2 "a peak of nothing" plot --kind peak zero.json --out drawn
says "zero.json: not the output of selfsame bench"
sed '2s/, "backward_gflops": 60//' bench.json > short.json
expect 2 "a layer without a rate" plot --kind peak short.json --out drawn
says "short.json: layer 2 has no backward_gflops"
sed 's/"forward_gflops": 25/"forward_gflops": -1/' bench.json > negative.json
expect 2 "a rate below zero" plot --kind peak negative.json --out drawn
says "negative.json: layer 1 has no forward_gflops"
printf '{' > broken.json
expect 2 "a broken file" plot --kind peak broken.json --out drawn
says "broken.json:1: not JSON"

# The largest number that a record may have: no axis goes that far, but every figure is drawn.
printf 'epoch,train_loss,val_error\n1,1.5e308,50\n2,2,40\n3,1,30\n' > huge.csv
expect 0 "a loss near the end of float64" import huge.csv --manifest tiny.yaml --runs runs
timeout 20 "$SELFSAME" plot huge --runs runs --out drawn --format svg --kind loss > stdout 2> stderr < /dev/null
status=$?
if [ "$status" -eq 0 ]; then pass "  is drawn"; else fail "  is drawn: exit $status"; fi

# SVG files: well-formed, without scripts and links to elsewhere, with a title and a description, whatever a run's name is.
cp -r runs/tiny-seed4 "runs/<script>alert(1)<script>&'\"; set output; \`id\`"
expect 0 "a hostile name" plot --runs runs "<script>alert(1)<script>&'\"; set output; \`id\`" --out drawn --name hostile --format svg \
    --kind error,loss,time,machines,depth
cat > svg.py <<'PY'
import glob, sys, xml.etree.ElementTree as tree
SVG = "{http://www.w3.org/2000/svg}"
for path in sorted(glob.glob("drawn/*.svg")):
    root = tree.parse(path).getroot()
    names = [element.tag for element in root.iter()]
    assert root.find(SVG + "title").text and root.find(SVG + "desc").text, path
    assert root.get("role") == "img" and names.count(SVG + "title") == 1, path
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) and set(root.get("aria-labelledby").split()) <= set(ids), path
    for element in root.iter():
        assert not element.tag.endswith("script"), path
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on") and (not name.endswith("href") or value.startswith("#")), (path, name)
PY
if python3 svg.py 2> stderr; then pass "the SVG files are well-formed, described and harmless"; else fail "an SVG file is not"; fi
if [ -e drawn/id ] || [ -e figure ]; then fail "gnuplot obeyed a name"; else pass "no name is obeyed"; fi

# Contrast, from the one place that has the colours: WCAG 2 wants 3 for lines, and 4.5 for letters.
cat > colours.py <<'PY'
import re, sys
from contrast import contrast
text = open(sys.argv[1]).read()
def colours(name):
    return re.findall(r"#[0-9a-f]{6}", re.search(name + r"\[\d+\] = \[(.*?)\]", text, re.S).group(1))
for name in ("light_colour", "dark_colour"):
    all_colours = colours(name)
    ground, letters, quiet, axes, fine, grid = all_colours[:6]
    lines = all_colours[6:]
    assert len(all_colours) == len(set(all_colours)) == 20, "a colour stands for one thing, since dark screens exchange them"
    for colour in (letters, quiet, *lines[:7]): # numbers are written in the colours of their runs
        assert contrast(colour, ground) >= 4.5, (name, colour, contrast(colour, ground))
    for colour in (axes, fine, *lines[7:]):
        assert contrast(colour, ground) >= 3, (name, colour, contrast(colour, ground))
PY
if python3 colours.py "$TOP/plots/style.gp" 2> stderr; then pass "every colour has contrast, light and dark"; else fail "a colour lacks contrast"; fi

# The commands of the gallery, as its page has them. Those of runs that a reader trains first are left out.
ln -s "$TOP" source
sed -n 's/^    \.\/selfsame plot //p' source/plots/gallery/README.md | grep 'results/published' | sed 's,results/published,source/&,g' > commands
while read -r words; do
    # shellcheck disable=SC2086 # words, and patterns of files
    expect 0 "the gallery's: plot $words" plot --out gallery --format svg $words
done < commands
