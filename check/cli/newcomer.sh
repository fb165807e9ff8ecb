# Mistakes that a new user makes, and what the scripts around the program promise.

cat > tiny.yaml <<YAML
inherit: quick/resnet20
name: tiny
model: {depth: 8}
training: {epochs: 2, schedule: {drop_epochs: []}}
targets: []
YAML

# Names of manifests.
expect 0 "without the ending" manifest msra/resnet20
expect 2 "a name of several folders" train resnet20
says "there are akamaster/resnet20.yaml, msra/resnet20.yaml"
expect 2 "a folder" train msra
says "in that folder there are .*msra/resnet20.yaml"
expect 2 "a misspelt name" train resent20
says "did you mean one of .*msra/resnet20.yaml"
expect 2 "a misspelt path" train msar/resnet56.yaml
says "did you mean msra/resnet56.yaml?"
expect 2 "nothing like it" train nowhere/zzz
says "name its file"

# The manifests that the examples of --help name come with the program.
for command in train fetch manifest eval bench; do
    for manifest in $("$SELFSAME" "$command" --help | sed -n '/^Examples:/,$p' | grep -o '[a-z]*/resnet[0-9a-z.]*' | grep -v '^[a-z]*/resnet.*-seed'); do
        expect 0 "$command's example $manifest" manifest "$manifest"
    done
done

# A command after each run, a part of a run, and the way on.
expect 0 "a part of a run" train tiny.yaml --runs runs --seed 3 --epochs 1 --after "echo done:"
prints "^done: runs/tiny-seed3$"
says "1 of the manifest's 2 epochs are done"
says "to go on: .* train tiny.yaml --seed 3 --runs runs .*--resume"
command=$(sed -n 's/.*to go on: //p' stderr)
eval "$command" > stdout 2> stderr
if [ $? -eq 0 ] && [ "$(grep -c '' runs/tiny-seed3/metrics.jsonl)" -eq 2 ]; then pass "  which goes on to the end"; else fail "  which does not go on"; fi
expect 0 "a command that fails is said, and no more" train tiny.yaml --runs runs --seed 4 --epochs 1 --after false
says "ended with exit status 1 after runs/tiny-seed4"
expect 2 "a misspelt run" targets tyni-seed3 --runs runs
says 'no run "tyni-seed3" .*; did you mean tiny-seed3? Or name'
sed 's/^inherit: .*/inherit: msra\/resnet20/; s/^name: .*/name: data/' tiny.yaml > data.yaml
expect 3 "a run whose data are not there" train data.yaml --runs runs
says "selfsame fetch data.yaml downloads it"
if grep -q "to go on" stderr; then fail "  tells how to go on with nothing"; else pass "  says nothing of going on"; fi
expect 0 "a run" train tiny.yaml --runs runs --seed 3 --name again
if [ "$(awk 'length > 80' stdout | wc -l)" -eq 0 ]; then pass "train's table fits 80 columns"; else fail "train's table is wider than 80 columns"; fi

# SIGINT twice at once, as timeout(1) sends it: to the process, and to its group.
"$SELFSAME" train tiny.yaml --runs stopped --isa scalar > stdout 2> stderr &
process=$!
grows "$process" stopped/tiny-seed1/ledger.txt 0
python3 -c "import os, signal, sys
os.kill(int(sys.argv[1]), signal.SIGINT)
os.kill(int(sys.argv[1]), signal.SIGINT)" "$process"
wait "$process" 2> /dev/null
if [ $? -eq 130 ]; then pass "two SIGINTs at once are one: exit 130"; else fail "two SIGINTs at once: another exit"; fi
if [ -n "$(find stopped/tiny-seed1/checkpoints -name '*.safetensors')" ]; then pass "  with a checkpoint"; else fail "  without a checkpoint"; fi
says "stopping with a checkpoint; Ctrl-C again ends it at once"

# ./run check passes lines on as they come, whatever the shell's tools buffer.
(printf 'first\n'; sleep 2; printf '3 passed, 0 failed\nlast\n') | "$TOP/check/tools/count_last" '*[0-9] passed, [0-9]* failed' none > lines &
sleep 1
if [ "$(cat lines)" = first ]; then pass "a line is there at once"; else fail "a line is held back"; fi
wait
if [ "$(tail -n 1 lines)" = "3 passed, 0 failed" ]; then pass "the count comes last"; else fail "the count is not last"; fi

# A test that is ended says what its limit was.
CHECK_LIMIT_S=1 "$TOP/check/tools/limited" 60 sleep 30 > stdout 2> stderr
if [ $? -eq 124 ]; then pass "a limit ends a command"; else fail "a limit does not end a command"; fi
prints "^not ok - ended after the limit of 1 s: sleep 30"
