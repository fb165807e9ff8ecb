# status and plot --follow: what a running, a stopped and a finished run show.

cat > a.yaml <<YAML
inherit: quick/resnet20.yaml
name: a
model: {depth: 8}
training: {epochs: 30, schedule: {drop_epochs: [20]}}
targets: []
YAML
expect 0 "no run" status --runs runs
prints '^no run in runs is running or stopped$'
expect 2 "a run that is not there" status nowhere --runs runs
"$SELFSAME" train a.yaml --runs runs > /dev/null 2> log &
trainer=$!
grows $trainer runs/a-seed1/metrics.jsonl 0
expect 0 "a running one" status --runs runs
prints '^a-seed1: running, last written '
prints '^  epoch [0-9]* of 30, step [0-9]* of 750, [0-9.]* s\(teps/s\| a step\), left '
prints '^  validation error [0-9.]* %, training error [0-9.]* %, best [0-9.]* % after epoch '
expect 0 "as JSON" status a-seed1 --runs runs --format json
if python3 -c 'import json; r = json.load(open("stdout"))[0]; assert r["state"] == "running" and r["of"] == 30 and r["steps"] == 750 and r["steps_per_s"] > 0 and r["left_s"] > 0'; then
    pass "  with numbers"
else
    fail "  without numbers"
fi
if command -v gnuplot > /dev/null; then
    "$SELFSAME" plot a-seed1 --runs runs --out drawn --format svg --follow > plotted 2> followed &
    plot=$!
    for i in $(seq 600); do [ "$(wc -l < followed)" -lt 2 ] || break; sleep 0.1; done
    if [ "$(wc -l < followed)" -ge 2 ]; then pass "plot --follow draws again"; else fail "plot --follow does not draw again"; fi
    if grep -q '^selfsame plot: drawn with epoch [0-9]* of 30 of a-seed1$' followed; then pass "  and says so"; else fail "  and does not say so"; fi
fi
"$SELFSAME" status --runs runs --follow > watched 2> /dev/null &
watcher=$!
for i in $(seq 100); do grep -q running watched && break; sleep 0.1; done
kill -KILL $trainer
wait $trainer 2> /dev/null
wait "$watcher"
if [ $? -eq 0 ]; then pass "status --follow ends when nothing runs: exit 0"; else fail "status --follow: another exit"; fi
if grep -q '^a-seed1: running' watched && tail -n 5 watched | grep -q '^a-seed1: stopped'; then pass "  and shows the change"; else fail "  and does not show the change"; fi
if command -v gnuplot > /dev/null; then
    wait "$plot"
    if [ $? -eq 0 ]; then pass "plot --follow ends, too: exit 0"; else fail "plot --follow: another exit"; fi
fi
if grep -q '"state": "running"' runs/a-seed1/record.json; then pass "the record of a killed run says running"; else fail "the record of a killed run does not say running"; fi
expect 0 "and status knows better" status --runs runs
prints '^a-seed1: stopped'
prints ', to do '
"$SELFSAME" train a.yaml --runs runs --name b --epochs 1 > /dev/null 2>&1
expect 0 "a finished one is only counted" status --runs runs
prints '^1 finished: selfsame runs lists them$'
expect 0 "unless it is named" status b --runs runs
prints '^b: finished 1 of 30'
expect 0 "  whose 29 epochs to do take 29 times as long as the first" status b --runs runs --format json
if python3 -c 'import json
first = json.loads(open("runs/b/metrics.jsonl").readline())
assert abs(json.load(open("stdout"))[0]["left_s"] - 29 * (first["training_seconds"] + first["validation_seconds"])) < 0.6'; then
    pass "  as its files say"
else
    fail "  not as its files say"
fi
mkdir runs/damaged
echo '{' > runs/damaged/record.json
expect 0 "a damaged one is left out" status --runs runs
says 'left out: .*damaged'

# Ctrl-C ends a view as it ends everything else.
"$SELFSAME" train a.yaml --runs runs --resume > /dev/null 2> log &
trainer=$!
for i in $(seq 100); do "$SELFSAME" status --runs runs 2> /dev/null | grep -q '^a-seed1: running' && break; sleep 0.1; done
python3 - "$SELFSAME" <<'PY'
import signal, subprocess, sys, time
p = subprocess.Popen([sys.argv[1], "status", "--runs", "runs", "--follow"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(1)
p.send_signal(signal.SIGINT)
sys.exit(0 if p.wait(10) == 130 else 1)
PY
if [ $? -eq 0 ]; then pass "SIGINT: exit 130"; else fail "SIGINT: another exit"; fi
kill -KILL $trainer
wait $trainer 2> /dev/null
:
