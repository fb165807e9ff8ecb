# Texts of files, records and arguments reach a terminal, a table or a spreadsheet as text, and control nothing.

esc=$(printf '\033') csi=$(printf '\302\233') bidi=$(printf '\342\200\256')
# No control character but the newline, and none of U+0080 to U+009F or of the signs that turn the direction of writing.
clean() {
    for file in stdout stderr; do
        if tr -d '\n\r' < "$file" | grep -q -a -e '[[:cntrl:]]' -e "$csi" -e "$bidi"; then
            fail "  $1: $file has a control character"
        else
            pass "  $1: $file is clean"
        fi
    done
}

tiny 'steps: 2, schedule: {drop_epochs: []}'

# Messages.
expect 2 "an unknown command" "tra${esc}[31min"
says 'tra\\x1b\[31min'
clean "command"
expect 2 "a file name" manifest "no${bidi}such${csi}.yaml"
says 'no\\u202esuch\\u009b.yaml'
clean "name"
printf '"a\\e]0;title\\a": 1\n' > key.yaml
expect 2 "a key" manifest key.yaml
says '\\x1b\]0;title\\x07'
clean "key"
printf 'inherit: tiny.yaml\nname: b\ndescription: "x\\u009b31m"\n' > value.yaml
expect 2 "a value" manifest value.yaml
says "without control or invisible characters"
clean "value"
printf 'inherit: tiny.yaml\nname: b\ndescription: "x\\u202ey"\n' > value.yaml
expect 2 "a value that turns the direction of writing" manifest value.yaml
clean "value"

# A file of weights: names, metadata and an element type.
python3 - <<'PY'
import json, struct
def write(name, header):
    text = json.dumps(header).encode()
    open(name, "wb").write(struct.pack("<Q", len(text)) + text + bytes(4))
write("names.safetensors", {"__metadata__": {"no\u001b[2Jte": "=\u009b5n\u202e"},
                            "a\u001b[31mb\u0007": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
write("type.safetensors", {"a": {"dtype": "F\u001b[31m", "shape": [1], "data_offsets": [0, 4]}})
PY
run inspect names.safetensors
clean "inspect"
run inspect --format json names.safetensors
clean "inspect as JSON"
run inspect type.safetensors
clean "an element type"
run eval --weights names.safetensors --manifest tiny.yaml
clean "eval"

# A record of somebody else's.
expect 0 "a run" train tiny.yaml --runs runs

# JSON is UTF-8. The name of a folder may not be, and what is in it is still there.
odd=$(printf 'caf\351')
mkdir -p "$odd/sha256"
printf 'hello\n' > "$odd/sha256/5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
expect 0 "a store in such a folder" fetch --list --format json --store "$odd"
prints '"path": "caf\\\\xe9/sha256/5891b5'
cp tiny.yaml "$odd/tiny.yaml"
expect 0 "a manifest" manifest --format json "$odd/tiny.yaml"
prints '"file": "caf\\\\xe9/tiny.yaml"'
cp -r runs/tiny-seed1 "$odd/run"
expect 0 "weights" inspect --format json "$odd/run/weights.safetensors"
prints '"file": "caf\\\\xe9/run/weights.safetensors"'
expect 0 "  evaluated" eval --weights "$odd/run/weights.safetensors" --manifest tiny.yaml --against "$odd/run/weights.safetensors" --format json
prints '"weights": "caf\\\\xe9/run/weights.safetensors"'
prints '"mcnemar": {'
expect 0 "a run" compare runs/tiny-seed1 "$odd/run" --format json
prints '"second": "caf\\\\xe9/run"'

python3 - <<'PY'
import json
path = "runs/tiny-seed1/record.json"
record = json.load(open(path))
record["engine"]["description"] = "=cmd|'/c calc'!A1\u001b[31m\u202e"
record["time"]["started"] = "@SUM(1)\u009b"
json.dump(record, open(path, "w"))
PY
for format in table csv json; do
    run runs --runs runs --format $format
    clean "runs as $format"
    cp stdout "runs.$format"
done
if [ "$(wc -l < runs.csv)" -gt 1 ] && grep -q -e ',[=@]' -e ',"[=@]' runs.csv; then fail "a cell is a formula"; else pass "no cell is a formula"; fi

# Several runs at once, each by a name that steers a terminal; one of them is damaged.
hostile="b${esc}]0;x${bidi}"
expect 0 "a good run" train tiny.yaml --runs good
cp -r good/tiny-seed1 "$hostile"
cp -r good/tiny-seed1 "$hostile-damaged"
printf '%s]0;x\a\n' "$esc" >> "$hostile-damaged/ledger.txt"
expect 2 "check of several runs" check good/tiny-seed1 "$hostile" "$hostile-damaged"
says '^selfsame check: b\\x1b]0;x'
prints '^b\\x1b]0;x.*: its files agree'
clean "check"

# A long line of a manifest, whose letters have two bytes: each quotation mark is doubled. Wherever it were cut, one of
# two such lines would be cut inside a letter.
for letter in '' x; do
    long=$(awk -v begin="$letter" 'BEGIN { printf begin; for (i = 0; i < 320; i++) printf "\303\251\047" }')
    printf 'inherit: tiny.yaml\nname: long%s\ndescription: "%s"\n' "$letter" "$long" > long.yaml
    expect 0 "a long line" train long.yaml --runs runs
    if awk 'length > 1100 { found = 1 } END { exit !found }' runs/long$letter-seed1/manifest.yaml; then pass "  has more than 1,100 bytes"; else fail "  is short"; fi
    expect 0 "  is read" check runs/long$letter-seed1
done
