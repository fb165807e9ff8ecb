# runs: what it lists, asks, sorts and prints; and its index, which is a cache of the folders and nothing else.

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
training: {steps: 4, batch_size: 16, seeds: [1, 2, 3], schedule: {drop_epochs: []}}
targets: []
YAML
"$SELFSAME" train tiny.yaml --runs runs > /dev/null 2>&1
"$SELFSAME" tag tiny-seed2 paper x --runs runs > /dev/null
"$SELFSAME" note tiny-seed3 '=1+1, "it'"'s"'"' --runs runs
# found "NAME NAME" WORD...: the runs that `runs` lists with these options.
found() {
    wanted=$1
    shift
    "$SELFSAME" runs --runs runs --columns run "$@" > stdout 2> stderr
    status=$?
    names=$(sed 1d stdout | tr -d ' ' | tr '\n' ' ' | sed 's/tiny-seed//g; s/ $//')
    if [ "$status" -eq 0 ] && [ "$names" = "$wanted" ]; then pass "runs $*: $wanted"; else fail "runs $*: [$names], expected [$wanted]"; fi
}
index() { ls store/index; }
# settle: waits until the times of the files are old enough to be trusted, which is after three seconds.
settle() { sleep 3.1; }

# ---- what it lists ----

found "1 2 3"
found "2 3" --where "depth = 8 and seed >= 2"
found "2" --where "tag = 'paper'"
found "1 3" --where "tag != 'paper' and error < 100"
found "3" --where "note contains 'IT''S'"
found "3 2 1" --sort seed:desc
found "" --where "depth = 20"
expect 2 "a wrong expression" runs --runs runs --where "depth = 20 and"
says "^selfsame runs: --where, character 15: expected a column, but there the text ends$"
expect 2 "a wrong column" runs --runs runs --columns run,eror
says "there is no column 'eror'; did you mean 'error'?"
expect 2 "a wrong order" runs --runs runs --sort seed:down
says "expected asc or desc"
run runs --help
cp stdout help
expect 2 "no column at all" runs --runs runs --columns xyzzyxyzzy
sed 's/.*the columns are //; s/,//g' stderr | tr ' ' '\n' > columns
while read -r column; do tr -s ' \n(),;.' '\n' < help | grep -q -x -- "$column" || fail "  --help does not have the column $column"; done < columns
if [ "$(wc -l < columns)" -gt 30 ]; then pass "  --help has its $(wc -l < columns) columns"; else fail "  few columns"; fi

# ---- formats ----

expect 0 "every column as CSV" runs --runs runs --columns all --format csv
cp stdout all.csv
expect 0 "every column as JSON" runs --runs runs --columns all --format json
cp stdout all.json
cat > formats.py << 'PY'
import csv, json
rows = list(csv.DictReader(open("all.csv", newline="")))
objects = json.load(open("all.json"))
record = json.load(open("runs/tiny-seed3/record.json"))
assert len(rows) == len(objects) == 3
for row, data in zip(rows, objects):
    assert list(row) == list(data)
    for key, value in data.items():
        text = row[key][1:] if key == "note" and value else row[key]  # the apostrophe against formulas
        assert text == "" if value in (None, "") else float(text) == value if isinstance(value, (int, float)) else text == value, key
last = objects[2]
assert rows[2]["note"] == "'=1+1, \"it's\"" and last["note"] == '=1+1, "it\'s"'
assert last["experiment_sha256"] == record["experiment"]["sha256"] and last["weights_sha256"] == record["result"]["weights_sha256"]
assert last["error"] == round(record["result"]["validation_error"], 2) and last["host"] == record["host"]["name"]
assert last["path"] == "runs/tiny-seed3" and objects[1]["tags"] == "paper x" and last["seed"] == 3
assert len({data["recipe"] for data in objects}) == 1 and len({data["experiment"] for data in objects}) == 3
PY
if command -v python3 > /dev/null; then
    if python3 formats.py > stdout 2> stderr; then pass "CSV and JSON say what the records say"; else fail "CSV or JSON is wrong"; fi
fi
if [ "$(grep -c "$(printf '\r')$" all.csv)" -eq "$(wc -l < all.csv)" ]; then pass "CSV ends its lines as RFC 4180 wants"; else fail "CSV's line ends"; fi

# ---- groups ----

expect 0 "groups of seeds" runs --runs runs --group seed --format json
cp stdout group.json
cp -r runs/tiny-seed2 runs/again # the same computation, which counts once
sed 's/name: tiny/name: other/; s/drop_epochs: \[\]/drop_epochs: [], learning_rate: 0.05/' tiny.yaml > other.yaml
"$SELFSAME" train other.yaml --runs runs --seed 5 > /dev/null 2>&1
expect 0 "with a copy of a run, and another recipe" runs --runs runs --group seed --format json
cat > groups.py << 'PY'
import json, math
first, = json.load(open("group.json"))
errors = [json.load(open(f"runs/tiny-seed{s}/record.json"))["result"]["validation_error"] for s in (1, 2, 3)]
mean = sum(errors) / 3
sd = math.sqrt(sum((e - mean) ** 2 for e in errors) / 2)
half = 4.302652729911275 * sd / math.sqrt(3)  # Student's t with 2 degrees of freedom, 97.5 %
for key, value in (("mean", mean), ("sd", sd), ("low", mean - half), ("high", mean + half)):
    assert abs(first[key] - value) < 0.00051, key
assert first["n"] == first["runs"] == 3 and first["seeds"] == "1-3" and first["epochs"] == first["of"] == 1
other, again = json.load(open("stdout"))
assert again == {**first, "runs": 4}
assert other["manifest"] == "other" and other["n"] == 1 and other["sd"] is None and other["seeds"] == "5"
PY
if command -v python3 > /dev/null; then
    if python3 groups.py 2> stderr; then pass "  mean, deviation and interval"; else fail "  mean, deviation or interval"; fi
fi
expect 0 "some of them" runs --runs runs --group seed --where "seed != 2"
prints "^tiny  *1  *1  *2  *2 .* 1 3$"
expect 2 "with an order of its own" runs --runs runs --group seed --sort error
says "leave out --sort"
rm -r runs/again runs/other-seed5

# ---- the index ----

# fresh "what": the list is what it is without any index.
fresh() {
    SELFSAME_STORE=$PWD/elsewhere "$SELFSAME" runs --runs runs --columns all --format csv > plain 2> plain.err
    "$SELFSAME" runs --runs runs --columns all --format csv > stdout 2> stderr
    if cmp -s plain stdout && cmp -s plain.err stderr; then pass "fresh: $1"; else fail "not fresh: $1"; fi
    rm -rf elsewhere
}
settle
run runs --runs runs
file=store/index/$(index)
if [ "$(index | wc -l)" -eq 1 ]; then pass "there is one index"; else fail "indexes: $(index)"; fi
same_file() { if [ "$(stat -c '%i %Y' "$file")" = "$stamp" ]; then pass "  the index is as it was"; else fail "  the index was written"; fi; }
stamp=$(stat -c '%i %Y' "$file")
fresh "with an index"
same_file
# A record that cannot be read twice: what is listed came from the index.
mv runs/tiny-seed1/ledger.txt ledger.txt
ln -s "$PWD/ledger.txt" runs/tiny-seed1/ledger.txt
settle
run runs --runs runs
strace=$(command -v strace)
if [ -n "$strace" ] && "$strace" -f -e trace=openat -o trace "$SELFSAME" runs --runs runs > /dev/null 2>&1; then
    if grep -q 'metrics.jsonl' trace; then fail "a warm index reads records"; else pass "a warm index reads no record"; fi
fi
rm runs/tiny-seed1/ledger.txt
mv ledger.txt runs/tiny-seed1/ledger.txt
fresh "a file that came back"

"$SELFSAME" tag tiny-seed1 new --runs runs > /dev/null
found "1" --where "tag = 'new'"
"$SELFSAME" tag tiny-seed1 new --remove --runs runs > /dev/null
found "" --where "tag = 'new'"
cp -r runs/tiny-seed1 runs/tiny-seed9
found "1 2 3 9"
rm -r runs/tiny-seed9
found "1 2 3"
settle
run runs --runs runs
cp runs/tiny-seed1/record.json record.json
printf '{' > runs/tiny-seed1/record.json
expect 0 "a record that is damaged in place" runs --runs runs
says "left out: runs/tiny-seed1/record.json"
settle
run runs --runs runs
expect 0 "  again" runs --runs runs
says "left out: runs/tiny-seed1/record.json"
fresh "with a damaged record"
cp record.json runs/tiny-seed1/record.json
fresh "with a record that was mended"
found "1 2 3"
cp runs/tiny-seed1/metrics.jsonl metrics.jsonl
sed 's/"training_loss": [0-9]/"training_loss": 7/' metrics.jsonl > edited.jsonl
cat edited.jsonl > runs/tiny-seed1/metrics.jsonl
touch runs/tiny-seed1/record.json
settle
expect 0 "metrics that are edited in place" runs --runs runs
says "left out: runs/tiny-seed1: record.json and metrics.jsonl contradict each other"
cat metrics.jsonl > runs/tiny-seed1/metrics.jsonl
found "1 2 3" # though neither the folder nor record.json has changed

# A damaged index is made anew: cut, with a flipped byte anywhere, empty, of another version, no file at all.
settle
run runs --runs runs
cp "$file" good
bytes=$(wc -c < good)
for place in 0 5 40 100 $((bytes / 3)) $((bytes / 2)) $((bytes - 1)); do
    cp good "$file"
    byte=$(od -An -tu1 -j "$place" -N 1 good | tr -d ' ')
    printf '%b' "\\0$(printf %o $((255 - byte)))" | dd of="$file" bs=1 seek="$place" conv=notrunc 2> dd.err
    fresh "a flipped byte $place"
done
for size in 0 1 90 4096 $((bytes - 1)); do
    head -c "$size" good > "$file"
    fresh "the first $size bytes alone"
done
sed '1s/^selfsame-index [0-9a-f]* [^ ]*/selfsame-index 0 0.0/' good > "$file"
fresh "another version"
rm "$file"
mkdir "$file"
fresh "a folder in its place"
rmdir "$file"
ln -s "$PWD/good" "$file"
fresh "a link in its place"
rm -f "$file"
fresh "no index"

# Places that cannot be written.
if [ "$(id -u)" -ne 0 ]; then
    chmod a-w store/index runs
    rm -f "$file"
    fresh "a folder that is read-only"
    chmod u+w store/index runs
fi
touch file
SELFSAME_STORE=$PWD/file/below "$SELFSAME" runs --runs runs --columns all --format csv > stdout 2> stderr
same all.csv stdout "a store that cannot be made: the same list"
env -u SELFSAME_STORE -u HOME -u XDG_CACHE_HOME "$SELFSAME" runs --runs runs --columns all --format csv > stdout 2> stderr
same all.csv stdout "no store: the same list"

# Several processes, while runs come, change and go.
for process in 1 2 3 4; do
    (
        for i in 1 2 3 4 5 6; do
            "$SELFSAME" runs --runs runs --format csv > "list.$process.$i" 2> "list.$process.$i.err" || echo bad > "list.$process.bad"
        done
    ) &
done
for i in 1 2 3 4 5 6; do
    cp -r runs/tiny-seed1 runs/.coming && mv runs/.coming "runs/tiny-seed1$i"
    "$SELFSAME" tag tiny-seed2 "at-$i" --runs runs > /dev/null
done
wait
if ls list.*.bad > /dev/null 2>&1 || cat list.*.err | grep -q .; then fail "a list failed"; else pass "24 lists of 4 processes at once"; fi
fresh "after 4 processes at once"
rm -r runs/tiny-seed1[1-6]
fresh "after runs went"

# Hostile names and texts.
cp -r runs/tiny-seed1 "runs/x'; DROP TABLE run; --"
cp -r runs/tiny-seed1 "runs/$(printf 'new\nline \033[31m\377')"
cp -r runs/tiny-seed1 'runs/=cmd()'
expect 0 "hostile names as CSV" runs --runs runs --columns run --format csv
prints "^x'; DROP TABLE run; --"
prints "^'=cmd()"
prints '^new\\x0aline \\x1b\[31m\\xff'
expect 0 "  as JSON" runs --runs runs --format json
if python3 -c 'import json; assert len(json.load(open("stdout"))) == 6 and all(row["run"] for row in json.load(open("stdout")))' 2> stderr; then
    pass "  which can be read"
else
    fail "  which cannot be read"
fi
expect 0 "  asked for" runs --runs runs --where "run = 'x''; DROP TABLE run; --'" --columns run
prints "^x'; DROP TABLE run; --$"
rm -r runs/x* runs/new* runs/=*
printf 'two\nlines' > runs/tiny-seed3/note.txt
expect 0 "a note of two lines" runs --runs runs --columns run,note --format csv
prints "^tiny-seed3,.$"
fresh "with hostile texts"

# A run that is being trained, stopped and resumed.
sed 's/steps: 4/steps: 1000000/; s/seeds: \[1, 2, 3\]/seed: 7/' tiny.yaml > long.yaml
"$SELFSAME" train long.yaml --runs runs > /dev/null 2>&1 &
process=$!
grows $process runs/tiny-seed7/ledger.txt 2
found "7" --where "state = 'running'"
settle
found "7" --where "state = 'running'"
kill -KILL $process
wait $process 2> /dev/null
found "" --where "state = 'running'"
found "7" --where "state = 'stopped'"

# Pruning: the index of a folder that is gone goes, the others stay.
cp -r runs other
run runs --runs other
settle
run runs --runs other
run runs --runs runs
if [ "$(index | wc -l)" -eq 2 ]; then pass "two folders, two indexes"; else fail "indexes: $(index)"; fi
rm -r other
expect 0 "prune" fetch --prune
prints "^index .* removed$"
prints "bytes freed$"
if [ "store/index/$(index)" = "$file" ]; then pass "  the other index is there"; else fail "  indexes: $(index)"; fi

# Many runs, which several threads look at.
mkdir many
rm -rf runs/tiny-seed1/checkpoints runs/tiny-seed1/weights.safetensors
for i in $(seq 1100); do cp -r runs/tiny-seed1 "many/run-$i"; done
run runs --runs many
settle
run runs --runs many
"$SELFSAME" tag run-700 late --runs many > /dev/null
"$SELFSAME" note run-3 first --runs many
rm -r many/run-900 many/run-1
printf '{' > many/run-1000/record.json
# many "NAMES" WORD...: the runs that are found.
many() {
    wanted=$1
    shift
    "$SELFSAME" runs --runs many --columns run "$@" > stdout 2> stderr
    names=$(sed 1d stdout | tr -d ' ' | tr '\n' ' ')
    if [ "$names" = "$wanted" ]; then pass "of many runs $*: $wanted"; else fail "of many runs $*: $names"; fi
}
many "run-700 " --where "tag = 'late'"
says "left out: many/run-1000/record.json"
many "run-3 " --where "note = 'first'"
many "" --where "run = 'run-900' or run = 'run-1' or run = 'run-1000'"
"$SELFSAME" runs --runs many --format csv > listed 2> stderr
SELFSAME_STORE=$PWD/elsewhere "$SELFSAME" runs --runs many --format csv > plain 2> stderr
if [ "$(wc -l < listed)" -eq 1098 ] && cmp -s listed plain; then pass "  1097 of 1100 are left, as without an index"; else fail "  $(wc -l < listed) lines"; fi
