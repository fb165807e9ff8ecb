# Run records as people have them: of 0.1.0, killed, copied and renamed, through editors, compressed, published, edited.

golden=$TOP/check/goldens/run-0.1.0
expect 0 "a run" train "$golden/manifest.yaml" --runs runs --name whole
final=$(sed -n 's/^weights: //p' stdout)

# ---- of 0.1.0: killed in its third epoch of four --------------------------------------------------------------------------------------

mkdir -p old
cp -r "$golden" old/tiny
expect 0 "a run of 0.1.0 is read" check old/tiny
prints "^old/tiny: its files agree; it is stopped"
prints "ledger.txt .* 59 steps"
expect 0 "  and listed" runs --runs old
prints "^tiny .* stopped .* 87.50"
expect 1 "  and held against its targets" targets old/tiny
prints "unfinished: 2 of 4"
expect 0 "  and compared" compare old/tiny runs/whole
prints "^incomplete: "
prints "2 epochs, 59 steps; runs/whole goes on to 4 epochs"
# Its checkpoint is too large for the source tree. Today's is the same, byte for byte.
run train "$golden/manifest.yaml" --runs today --name tiny --epochs 2
if [ "$(sha256sum < today/tiny/checkpoints/step-00000050.safetensors)" = "aace899cab79dd69f44290ec79a447edf7e0513605ceaa890d5e09b048e38ac7  -" ]; then
    pass "today's checkpoint is that of 0.1.0"
else
    fail "today's checkpoint is not that of 0.1.0"
fi
cp -r today/tiny/checkpoints old/tiny/
cp -r old unresumed
expect 0 "a run of 0.1.0 is resumed" train "$golden/manifest.yaml" --runs old --name tiny --resume
prints "^weights: 80c6da4162a920a7bf7c7e37da7019377ad4a73e8b771fcd3e83bdb94cff6221"
expect 0 "  to the bits of one that was not" compare old/tiny runs/whole
prints "^identical: .* from two independent records"
prints "compared: 4 epochs, 100 steps$"

# ---- what a run is doing -----------------------------------------------------------------------------------------------------------------

"$SELFSAME" train "$golden/manifest.yaml" --runs live --name run --isa scalar > /dev/null 2>&1 &
process=$!
grows "$process" live/run/ledger.txt 3
expect 0 "while it runs" runs --runs live
prints "^run .* running "
expect 0 "  it may be checked" check live/run
prints "it is running"
kill -9 "$process"
wait "$process" 2> /dev/null
expect 0 "after it was killed" runs --runs live
prints "^run .* stopped "
cp -r "$golden" empty
python3 - <<'PY'
import json
record = json.load(open("empty/record.json"))
record["result"] = {}
json.dump(record, open("empty/record.json", "w"))
open("empty/metrics.jsonl", "w")
ledger = open("empty/ledger.txt").readline()
open("empty/ledger.txt", "w").write(ledger)
PY
expect 0 "a run without a step" compare empty runs/whole
prints "^incomplete: "
prints "there is nothing to compare"
"$SELFSAME" train "$golden/manifest.yaml" --runs live --name part --epochs 1 > /dev/null 2>&1
expect 0 "fewer epochs were asked for" runs --runs live
prints "^part .* finished 1 of 4 "
expect 1 "  and the targets say the same" targets part --runs live
prints "unfinished: 1 of 4"

# ---- copies --------------------------------------------------------------------------------------------------------------------------------

mkdir copies
cp -r runs/whole copies/mine
cp -r runs/whole copies/theirs
expect 0 "copies go by their folders' names" runs --runs copies
prints "^mine "
prints "^theirs "
(cd copies/mine && "$SELFSAME" check . > ../../stdout 2> ../../stderr)
if [ $? -eq 0 ]; then pass "a run's own folder: exit 0"; else fail "a run's own folder: another exit"; fi

# ---- editors and file transfers --------------------------------------------------------------------------------------------------------------

windows() { for file; do { printf '\357\273\277' && sed 's/$/\r/' "$file"; } > converted && mv converted "$file"; done; }
cp -r runs/whole copies/windows
windows copies/windows/manifest.yaml copies/windows/record.json copies/windows/metrics.jsonl copies/windows/ledger.txt
expect 0 "with byte order marks and carriage returns" check copies/windows
expect 0 "  it is the same run" compare copies/windows runs/whole
prints "^same-document: "
expect 0 "  and its manifest is one" manifest copies/windows/manifest.yaml
cp -r runs/whole copies/stripped
for file in manifest.yaml record.json metrics.jsonl ledger.txt; do
    head -c -1 runs/whole/$file > copies/stripped/$file
done
expect 0 "without the last newlines" compare copies/stripped runs/whole
prints "^same-document: "
"$SELFSAME" key new mine > stdout 2> stderr || fail "a key"
"$SELFSAME" trace runs/whole --step 3 --out step3.trace > stdout 2> stderr || fail "a trace"
cp step3.trace windows.trace
windows windows.trace
head -c -1 step3.trace > stripped.trace
for trace in windows stripped; do expect 0 "a trace: $trace" compare step3.trace $trace.trace; done
expect 0 "signed" attest runs/whole --key mine.pem
rm -rf copies/windows copies/stripped
cp -r runs/whole copies/windows
windows copies/windows/manifest.yaml copies/windows/record.json copies/windows/metrics.jsonl copies/windows/ledger.txt copies/windows/attestations/*.json
cp -r runs/whole copies/stripped
for file in copies/stripped/attestations/*.json; do head -c -1 "$file" > short && mv short "$file"; done
windows mine.pub.pem
for copy in windows stripped; do expect 0 "  and verified: $copy" verify copies/$copy --signatures --key mine.pub.pem; done
rm -rf runs/whole/attestations
python3 - copies/stripped/record.json <<'PY'
import sys
text = open(sys.argv[1]).read()
open(sys.argv[1], "w", encoding="utf-16").write(text)
PY
expect 2 "a record in UTF-16" check copies/stripped
says "record.json is a text in UTF-16: save it as UTF-8"
cp -r unresumed/tiny copies/resumed
windows copies/resumed/record.json copies/resumed/metrics.jsonl copies/resumed/ledger.txt
expect 0 "such a run is resumed" train "$golden/manifest.yaml" --runs copies --name resumed --resume
same runs/whole/ledger.txt copies/resumed/ledger.txt "  with the same ledger"
expect 0 "  and the same bits" compare copies/resumed runs/whole
prints "^identical: "
cp -r unresumed/tiny copies/packed
gzip -n copies/packed/ledger.txt
expect 0 "a compressed ledger is read" check copies/packed
prints "ledger.txt.gz .* 59 steps"
expect 0 "  and resumed" train "$golden/manifest.yaml" --runs copies --name packed --resume
same runs/whole/ledger.txt copies/packed/ledger.txt "  with the same ledger"
if [ -e copies/packed/ledger.txt.gz ]; then fail "  the compressed one is still there"; else pass "  and there is one ledger"; fi

# ---- edited -------------------------------------------------------------------------------------------------------------------------------------

# edited "what" FILE SED PATTERN: all readers refuse a copy in which sed changed a file, and say what contradicts what.
edited() {
    rm -rf edited
    cp -r "${of:-runs/whole}" edited
    sed -i "$3" "edited/$2"
    if cmp -s "edited/$2" "${of:-runs/whole}/$2"; then fail "$1: nothing was edited"; fi
    expect 2 "$1: compare" compare edited "${of:-runs/whole}"
    says "$4"
    prints "^malformed: "
    for reader in check targets plot; do expect 2 "  $reader" $reader edited; done
    expect 2 "  eval" eval --weights edited/weights.safetensors
    rm -rf listed
    mkdir listed
    mv edited listed/
    expect 0 "  runs" runs --runs listed
    says "left out: listed/edited"
}
edited "an error in the record" record.json 's/"validation_errors": [0-9]*/"validation_errors": 1/' "record.json was changed after it was written"
edited "the last epoch's error" metrics.jsonl '4s/"validation_error": [0-9.]*/"validation_error": 1.5/' "record.json and metrics.jsonl contradict each other"
# Whatever its digests say: one that needs its reader's files, and one with times that are none.
echo 'description: mine' > parent.yaml
cp -r runs/whole inheriting
sed "1i inherit: $PWD/parent.yaml" runs/whole/manifest.yaml > inheriting/manifest.yaml
# resealed RUN FILE: its record has the digest of that file, which was edited.
digest() { sha256sum < "$1" | cut -c 1-64; }
resealed() { sed -i -e "s/$(digest "runs/whole/$2")/$(digest "$1/$2")/" -e '/record_sha256/d' "$1/record.json"; }
resealed inheriting manifest.yaml
expect 2 "a record whose manifest inherits" check inheriting
says "inheriting/manifest.yaml:1: inherit: a run's manifest says everything itself and inherits nothing"
cp -r runs/whole slow
sed -i '1s/"training_seconds": [0-9.e-]*/"training_seconds": 1e308/' slow/metrics.jsonl
resealed slow metrics.jsonl
expect 2 "a record of an epoch without end" check slow
says 'slow/metrics.jsonl:1: "training_seconds" is 1e+308, which no epoch can take'
edited "a loss in between" metrics.jsonl '2s/"validation_loss": [0-9]/"validation_loss": 9/' "record.json and metrics.jsonl contradict each other"
edited "no metrics" metrics.jsonl d "record says 4 epochs and finished, but there are lines of 0"
edited "an epoch less" metrics.jsonl '4d' "record says 4 epochs and finished, but there are lines of 3"
edited "a digit of the ledger" ledger.txt '31s/[1-9]$/0/;31t;31s/.$/1/' "metrics.jsonl and ledger.txt contradict each other"
edited "the ledger's end" ledger.txt '90,$d' "ledger.txt and metrics.jsonl contradict each other: there are 88 steps"
edited "another name in the manifest" manifest.yaml 's/^name: .*/name: other/' "record.json and manifest.yaml contradict each other"
edited "another format" record.json 's/"format": 1/"format": 3/' "has format 3"
# So do the readers that were not asked above.
cp -r runs/whole edited
sed -i '2s/"validation_loss": [0-9]/"validation_loss": 9/' edited/metrics.jsonl
while read -r words; do
    # shellcheck disable=SC2086 # a command's words
    expect 2 "edited: $words" $words
    says "metrics.jsonl"
done <<'LIST'
compare edited vs runs/whole --statistics
table edited runs/whole
targets edited --by edited/manifest.yaml
plot edited --kind loss --format svg
report edited --out edited.html --no-figures
pack edited --out edited.tar
trace edited --step 1 --out edited.trace
verify edited --epoch 1
verify edited --signatures
attest edited --key mine.pem
attest runs/whole --key mine.pem --reproduces edited
export edited --format csv --out exported
export edited --format tensorboard --out exported
export edited --format trackio --out exported
export edited --format mllog --out exported
export edited --format model-card --out edited.md
export edited --format ro-crate --license MIT --author me --out exported
export edited --format mlflow --to http://localhost:9
convert edited/weights.safetensors edited.pth
LIST
if [ -z "$(find . -name 'edited.[a-z]*' -o -name exported)" ]; then pass "  nothing was written"; else fail "  written: $(find . -name 'edited.[a-z]*' -o -name exported)"; fi
rm -rf edited
# Records of 0.1.0 have no digest of record.json, but repeat what counts.
of=$golden
for section in '"epochs": 2' '"steps": 50' '"training_loss": 2' '"validation_error": 87.5' '"best_validation_error": 87.5' '"seed": 1' '"epochs": 4' '"depth": 8'; do
    edited "0.1.0: $section" record.json "s/$section/${section%?}9/" "contradict each other"
done
edited "0.1.0: an earlier error" metrics.jsonl '1s/"validation_errors": 3/"validation_errors": 2/' "contradicts itself"
edited "0.1.0: a training loss" metrics.jsonl '1s/"training_loss": 2/"training_loss": 3/' "the training loss of epoch 0"
of=

# ---- weights ------------------------------------------------------------------------------------------------------------------------------------

flip() { printf '\377' | dd of="$1" bs=1 seek="$2" conv=notrunc 2> /dev/null; }
cp -r runs/whole flipped
flip flipped/weights.safetensors 200003
expect 2 "a flipped bit in a run's weights: eval" eval --weights flipped/weights.safetensors
says "flipped/weights.safetensors and .*metrics.jsonl contradict each other"
expect 2 "  check" check flipped
says "flipped/weights.safetensors and flipped/metrics.jsonl contradict each other"
expect 2 "  compare" compare flipped runs/whole
prints "^malformed: "
expect 0 "targets do not use them" targets flipped
for words in "convert flipped/weights.safetensors flipped.pth" "export flipped --format ro-crate --license MIT --author me --out crate" \
    "export flipped --format mlflow --to http://localhost:9" "pack flipped" "attest flipped --key mine.pem" "trace flipped --step 1"; do
    # shellcheck disable=SC2086 # a command's words
    expect 2 "  $words" $words
    says "contradict each other"
done
# One call names all that is wrong, also after what cannot be read, and its exit status is the worst.
cp -r runs/whole unreadable
rm -rf unreadable/checkpoints
: > unreadable/checkpoints
expect 3 "three runs" check unreadable flipped runs/whole
says "cannot list the folder unreadable/checkpoints"
says "flipped/weights.safetensors and flipped/metrics.jsonl contradict"
says "2 of 3 runs are damaged, contradict themselves or cannot be read"
prints "^runs/whole: its files agree"
rm -rf unreadable
mkdir elsewhere
cp flipped/weights.safetensors flipped/manifest.yaml elsewhere/
expect 0 "outside of a run, weights are what they are" eval --weights elsewhere/weights.safetensors
checkpoint=$(find runs/whole/checkpoints -name '*.safetensors' | sort | tail -n 1)
expect 0 "a checkpoint's weights" eval --weights "$checkpoint"
cp "$checkpoint" flipped/checkpoints/step-00000075.safetensors
cp runs/whole/weights.safetensors flipped/
expect 2 "a checkpoint under another's name: check" check flipped
says "step-00000075.safetensors is the checkpoint of step 100"
expect 2 "  eval" eval --weights flipped/checkpoints/step-00000075.safetensors
says "contradict each other"

# ---- publishing ---------------------------------------------------------------------------------------------------------------------------------

export SELFSAME
publish() { "$TOP/check/tools/publish" "$@" > stdout 2> stderr; status=$?; }
publish runs/whole published/whole --weights
case $status:$(cat stderr) in
0:*) pass "publish: exit 0" ;;
2:*dirty* | 2:*"not committed"*) pass "publish refuses a run of sources that are not committed" ;;
*) fail "publish: exit $status" ;;
esac
sed -i -e 's/\("version": "[^"]*\)-dirty"/\1"/' -e '/record_sha256/d' runs/whole/record.json
publish runs/whole published/whole --weights
if [ "$status" -eq 0 ]; then pass "publish: exit 0"; else fail "publish: exit $status"; fi
prints "^published/whole: its files agree; it is finished"
gzip -dc published/whole/ledger.txt.gz > ledger.txt
same ledger.txt runs/whole/ledger.txt "  the ledger is compressed, and the same"
cp published/whole/ledger.txt.gz once.gz
echo figure > published/whole/error.svg
publish runs/whole published/whole
same once.gz published/whole/ledger.txt.gz "  again, to the same bytes"
if [ -e published/whole/error.svg ] && [ ! -e published/whole/weights.safetensors ] && [ ! -e published/whole/.publish ]; then
    pass "  without weights now, and what else was there is left"
else
    fail "  not what was asked for: $(ls -A published/whole)"
fi
expect 0 "a published run is compared" compare published/whole runs/whole
prints "^same-document: "
publish flipped published/flipped
if [ "$status" -eq 2 ] && [ ! -e published/flipped ]; then pass "a damaged run is not published"; else fail "a damaged run: exit $status"; fi
publish unresumed/tiny published/tiny
if [ "$status" -eq 2 ]; then pass "nor is an unfinished one"; else fail "an unfinished run: exit $status"; fi
says "--unfinished"
publish unresumed/tiny published/tiny --unfinished
if [ "$status" -eq 0 ]; then pass "  except with --unfinished"; else fail "  --unfinished: exit $status"; fi
expect 0 "  and then others go on with it" train "$golden/manifest.yaml" --runs published --name tiny --resume
prints "^weights: $final"
