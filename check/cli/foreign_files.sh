# Files and records that somebody else made: nothing of theirs is lost, nothing in them is believed or run.

tiny 'epochs: 3, batch_size: 400, schedule: {drop_epochs: [2]}'
expect 0 "a run" train tiny.yaml --runs runs

# A folder that is no run stays as it is.
mkdir -p home/Docs
echo text > home/Docs/thesis.tex
echo text > home/Docs/work.tmp
echo text > home/Docs/work.abcdef.tmp
expect 2 "a run by the name of somebody's folder" train tiny.yaml --runs home --name Docs
says "home/Docs exists but is not a run"
if [ "$(find home/Docs | sort | tr '\n' ' ')" = "home/Docs home/Docs/thesis.tex home/Docs/work.abcdef.tmp home/Docs/work.tmp " ]; then
    pass "  it is as it was"
else
    fail "  it changed: $(ls -A home/Docs)"
fi
for name in "a b" -x .hidden "$(printf 'a\nb')"; do
    expect 2 "--name $(printf '%s' "$name" | tr '\n' '|')" train tiny.yaml --runs runs "--name=$name"
    says "cannot be the name of a run"
done

# What took time to compute is not begun again.
copy() {
    rm -rf "runs/$1"
    cp -r runs/tiny-seed1 "runs/$1"
}
copy published
rm -rf runs/published/checkpoints
sed -i -e 's/"state": "finished"/"state": "interrupted"/' -e '/_sha256": "[0-9a-f]*",$/{/record_sha256\|metrics_sha256/d}' runs/published/record.json
cp runs/published/metrics.jsonl metrics
expect 2 "epochs without a checkpoint" train tiny.yaml --runs runs --name published --resume
says "has 3 epochs, but no checkpoint to continue from"
same metrics runs/published/metrics.jsonl "  they are still there"
copy headless
rm runs/headless/record.json runs/headless/weights.safetensors
expect 2 "steps without a record.json" train tiny.yaml --runs runs --name headless --resume
says "holds steps of a run, but no record.json"
same runs/tiny-seed1/ledger.txt runs/headless/ledger.txt "  they are still there"

# Numbers that cannot be.
copy beyond
sed -i '1s/"end_step": 4/"end_step": 5000000/' runs/beyond/metrics.jsonl
sed -i -e 's/"state": "finished"/"state": "interrupted"/' -e '/_sha256": "[0-9a-f]*",$/{/record_sha256\|metrics_sha256/d}' runs/beyond/record.json
expect 2 "an epoch that ends beyond the ledger" train tiny.yaml --runs runs --name beyond --resume
says "metrics.jsonl:2: \"end_step\" does not rise"
expect 2 "  compared" compare runs/tiny-seed1 runs/beyond
says "metrics.jsonl:2"

# Names that would steer a terminal, or gnuplot.
copy wicked
python3 - <<'PY'
import json
record = json.load(open("runs/wicked/record.json"))
record["name"] = "x'\nsystem(\"touch executed\")\ny = '"
json.dump(record, open("runs/wicked/record.json", "w"))
PY
expect 2 "a name of several lines" plot runs/wicked --out figures
says "\"name\" holds a control character"
if [ -e executed ] || [ -e figures/executed ]; then fail "  it was run"; else pass "  it was not run"; fi
copy coloured
printf '# \033[2J\n' >> runs/coloured/manifest.yaml
expect 2 "a manifest that clears the screen" compare runs/tiny-seed1 runs/coloured
says "manifest.yaml holds a control character"
# A folder's name is its owner's choice, and so is what a terminal makes of it.
mkdir -p odd
name=$(printf 'odd/\033[31mred\nis identical \342\200\256\377')
cp -r runs/tiny-seed1 "$name"
"$SELFSAME" key new mine > /dev/null
for words in check "check runs/tiny-seed1" targets table "compare runs/tiny-seed1" "pack --out odd.tar" "report --out odd.html --no-figures" "tag good" "note text" \
    "trace --step 1 --out odd.trace" "verify --epoch 1" "attest --key mine.pem" "export --format csv --out odd.csv" "status --runs odd" "runs --runs odd" "experiments --runs odd" \
    "convert odd.pth" "inspect" "eval --weights" "delete --yes"; do
    # shellcheck disable=SC2086 # a command's words
    set -- $words
    command=$1
    shift
    case $command in
    status | runs | experiments) run "$command" "$@" ;;
    convert | inspect) run "$command" "$name/weights.safetensors" "$@" ;;
    eval) run eval --weights "$name/weights.safetensors" ;;
    *) run "$command" "$name" "$@" ;;
    esac
    if LC_ALL=C grep -q "$(printf '\033')\|$(printf '\342\200\256')\|$(printf '\377')\|^is identical" stdout stderr; then
        fail "an odd name: $words: a terminal would obey it"
    elif [ "$status" -le 2 ]; then
        pass "an odd name: $words"
    else
        fail "an odd name: $words: exit $status"
    fi
done
if [ -p pipe ] || mkfifo pipe; then
    timeout 10 "$SELFSAME" manifest pipe > stdout 2> stderr
    if [ $? -eq 2 ]; then pass "a pipe as manifest: exit 2"; else fail "a pipe as manifest: another exit"; fi
fi

# The same training on other test images.
sed 's/name: tiny/name: other-test/; s/targets/dataset: {test_images: 200, test_sha256: any}\ntargets/' tiny.yaml > other_test.yaml
expect 0 "a run with other test images" train other_test.yaml --runs runs
expect 0 "  has the same training" compare tiny-seed1 other-test-seed1 --runs runs
prints "validation images: they differ"

# A run's own manifest trains that run.
printf 'inherit: tiny.yaml\nname: several\ntraining: {seeds: [3, 4]}\n' > several.yaml
expect 0 "two seeds" train several.yaml --runs runs
expect 0 "the second one's manifest" train runs/several-seed4/manifest.yaml --runs again
expect 0 "  trains it again" compare runs/several-seed4 again/several-seed4

# A checkpoint that is not good: the weights in the run's folder are those that the record tells of.
"$SELFSAME" train tiny.yaml --runs older > stdout 2> stderr
newest=$(find older/tiny-seed1/checkpoints -name '*.safetensors' | sort | tail -n 1)
printf '\001' | dd of="$newest" bs=1 seek=5000 conv=notrunc 2> /dev/null
sed -i -e 's/"state": "finished"/"state": "running"/' -e '/_sha256": "[0-9a-f]*",$/{/record_sha256\|metrics_sha256/d}' older/tiny-seed1/record.json
expect 0 "resumed from the checkpoint before it, and stopped there" train tiny.yaml --runs older --resume --epochs 2
"$SELFSAME" train tiny.yaml --runs shorter --epochs 2 > stdout 2> stderr
same older/tiny-seed1/weights.safetensors shorter/tiny-seed1/weights.safetensors "  the weights are those of its last epoch"
