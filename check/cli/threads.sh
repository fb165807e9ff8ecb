# The threads of the program: a step on every backend, trainings one after the other and at a time, a stop, a training that is
# sent to a server, the index of many runs, and a soak. `make check-threads` runs it in a build with --enable-tsan, where a data
# race ends a command with exit status 66.

TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
export TSAN_OPTIONS
backends=$(dirname "$SELFSAME")/check/tools/compare_backends
for arithmetic in exact-1 exact-2; do
    if "$backends" depth=8 batch=5 steps=1 threads=1,3,5 arithmetic=$arithmetic > stdout 2>&1; then
        pass "$arithmetic: every backend has the same bits with 1, 3 and 5 threads"
    else
        fail "$arithmetic: compare_backends failed: $(tail -n 3 stdout)"
    fi
done

cat > tiny.yaml <<END
inherit: quick/resnet20.yaml
name: tiny
dataset: {test_images: 10, test_sha256: any}
model: {depth: 8}
training: {steps: 4, batch_size: 16, seeds: [1, 2, 3], schedule: {drop_epochs: []}}
targets: []
END
expect 0 "three runs, one after the other" train tiny.yaml --runs alone --threads 3
expect 0 "two of them at a time" train tiny.yaml --runs together --threads 2 --together 2
for seed in 1 2 3; do same alone/tiny-seed$seed/ledger.txt together/tiny-seed$seed/ledger.txt "  the same ledger of seed $seed"; done

sed 's/steps: 4/steps: 4000/' tiny.yaml > long.yaml
"$SELFSAME" train long.yaml --runs stopped --together 2 --threads 2 > stdout 2> stderr &
process=$!
grows "$process" stopped/tiny-seed1/ledger.txt 3
kill -INT "$process"
wait "$process"
status=$?
if [ $status -eq 130 ]; then pass "SIGINT stops both: exit 130"; else fail "SIGINT: exit $status, expected 130"; fi

python3 "$TOP/check/cli/mlflow_server.py" &
server=$!
for _ in $(seq 100); do [ -e port ] || sleep 0.1; done
expect 0 "runs that are sent while they are trained" train tiny.yaml --runs sent --threads 2 --mlflow "http://127.0.0.1:$(cat port)/away"
kill "$server"
wait "$server" 2> /dev/null
for seed in 1 2 3; do same alone/tiny-seed$seed/ledger.txt sent/tiny-seed$seed/ledger.txt "  the same ledger of seed $seed"; done

# Two threads look at 600 runs, while the first one opens the index.
for copy in $(seq 600); do cp -r alone/tiny-seed1 "alone/copy$copy"; done
expect 0 "the index of 603 runs" runs --runs alone --format csv
if [ "$(wc -l < stdout)" -eq 604 ]; then pass "  has them all"; else fail "  has $(wc -l < stdout) lines"; fi
cp stdout first
rm -r alone/copy1
cp -r alone/tiny-seed1 alone/copy1
expect 0 "  and again" runs --runs alone --format csv
same first stdout "  is the same"

expect 0 "known answers on every core" doctor --soak 2s
