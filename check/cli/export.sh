# Runs in the formats of other tools, read back by a few lines of Python. check/cli/export_tools.sh has the tools themselves
# read them.

tiny
expect 0 "a run" train tiny.yaml --runs runs
published=published/quick/quick-resnet20-seed1

# ---- mistakes ----

expect 2 "no format" export tiny-seed1 --out x
says "needs --format"
expect 2 "a format that is not there" export tiny-seed1 --format tensorbord --out x
expect 2 "no output" export tiny-seed1 --format tensorboard
says "export --format tensorboard needs --out FOLDER"
expect 2 "no such run" export none --format tensorboard --out x
cp -r runs/tiny-seed1 other
mkdir twice && cp -r runs/tiny-seed1 twice/
expect 2 "two runs of one name" export tiny-seed1 twice/tiny-seed1 --format tensorboard --out x
says "have one name, tiny-seed1"
if [ -e x ]; then fail "  something was written"; else pass "  nothing was written"; fi

# ---- TensorBoard ----

expect 0 "TensorBoard" export tiny-seed1 $published --format tensorboard --out logs
prints "^wrote: logs/tiny-seed1/events.out.tfevents.[0-9]*.selfsame.0.0"
expect 2 "  a file that exists is kept" export tiny-seed1 --format tensorboard --out logs
says "exists: give another name, or --force"
cp -r logs before
expect 0 "  or replaced" export tiny-seed1 --format tensorboard --out logs --force
if diff -r before logs > stdout; then pass "  by the same bytes"; else fail "  by other bytes"; fi
cat > events.py <<'PY'
import glob, gzip, json, os, struct, sys
from event_file import fields, records
run, record = sys.argv[1:]
[name] = glob.glob(run + '/*tfevents*')
events = list(records(open(name, 'rb').read()))
assert dict(fields(events[0]))[3] == b'brain.Event:2'
scalars, times = {}, []
for event in map(lambda e: dict(fields(e)), events):
    times.append(struct.unpack('<d', event[1])[0])
    for number, value in fields(event.get(5, b'')):
        value = dict(fields(value))
        if 2 in value: scalars.setdefault(value[1].decode(), []).append((event.get(2, 0), struct.unpack('<f', value[2])[0]))
assert times[:-1] == sorted(times[:-1])
f32 = lambda x: struct.unpack('<f', struct.pack('<f', x))[0]
rows = [json.loads(line) for line in open(record + '/metrics.jsonl')]
for key in ('training_loss', 'training_error', 'validation_loss', 'validation_error', 'learning_rate', 'images_per_second', 'end_step'):
    assert scalars['epoch/' + key] == [(r['epoch'] + 1, f32(r[key])) for r in rows], key
ledger = (open(record + '/ledger.txt') if os.path.exists(record + '/ledger.txt') else gzip.open(record + '/ledger.txt.gz', 'rt')).read().split('\n')[1:-1]
assert scalars['step/loss'] == [(int(l.split()[0]), f32(float(l.split()[1]))) for l in ledger]
assert scalars['step/errors'] == [(int(l.split()[0]), float(l.split()[2])) for l in ledger]
print(len(rows), len(ledger))
PY
if python3 events.py logs/tiny-seed1 runs/tiny-seed1 > stdout 2> stderr; then pass "  the events are those of the record: $(cat stdout)"; else fail "  other events"; fi
if python3 events.py logs/quick-resnet20-seed1 "$TOP/results/$published" > stdout 2> stderr; then pass "  of a published run, too: $(cat stdout)"; else fail "  other events"; fi

# ---- a model card, a crate, a log, a data set ----

# Texts that each format could take for its own.
cat > hostile.yaml <<'YAML'
inherit: tiny.yaml
name: hostile
description: "<script>alert(1)</script> | [x](javascript:1) `--- # \"quoted\" \\ {{ x }} &amp;"
targets:
  - {metric: final_error, value: 5.5, tolerance: 1, source: "a | b <img src=x> *c*"}
YAML
expect 0 "a run with hostile texts" train hostile.yaml --runs runs
expect 0 "a model card" export hostile-seed1 --format model-card --out card.md --license apache-2.0 --author '<b>me</b> | "x"'
cat > check.py <<'PY'
import json, sys
card = open('card.md').read()
_, heading, text = card.split('---\n', 2)
lines = heading.split('\n')
assert 'license: "apache-2.0"' in lines and '- name: "hostile-seed1"' in lines and '      type: embedded' in lines
said = json.load(open('runs/hostile-seed1/record.json'))['result']
[value] = [l for l in lines if l.startswith('      value: ')][:1]
assert abs(float(value.split(': ')[1]) - (1 - said['validation_errors'] / said['validation_images'])) < 1e-6
import re
plain = re.sub(r'\\[!-/:-@\[-`{-~]', '', text)
for sign in ('<', '[', 'javascript:1)'): assert sign not in plain, sign
table = [l for l in text.split('\n') if l.startswith('| ')]
assert all(len(re.sub(r'\\.', '', l).split('|')) == 4 for l in table), table
assert said['weights_sha256'] in text and r'\<script\>' in text
PY
if python3 check.py > stdout 2> stderr; then pass "  its heading and its text hold"; else fail "  the card"; fi
expect 2 "  of two runs" export hostile-seed1 tiny-seed1 --format model-card --out two.md
says "takes one run, not 2"
cat > none.yaml <<YAML
inherit: tiny.yaml
name: none
training: {steps: 100, optimizer: {weight_decay: 1}, schedule: {learning_rate: 1000}}
YAML
expect 1 "a run that fails in its first epoch" train none.yaml --runs runs
expect 2 "  of a run without an epoch" export none-seed1 --format model-card --out none.md
says "has no whole epoch yet"

expect 2 "a crate without a license" export tiny-seed1 --format ro-crate --out crate
says "pass --license, such as --license CC-BY-4.0"
expect 0 "a crate" export tiny-seed1 hostile-seed1 none-seed1 $published --format ro-crate --out crate --license CC-BY-4.0 --author 'me "x"'
cat > check.py <<'PY'
import hashlib, json, os
document = json.load(open('crate/ro-crate-metadata.json'))
entities = {e['@id']: e for e in document['@graph']}
assert len(entities) == len(document['@graph'])
def references(value):
    if isinstance(value, dict):
        if set(value) == {'@id'}: yield value['@id']
        for v in value.values(): yield from references(v)
    elif isinstance(value, list):
        for v in value: yield from references(v)
for name in references(document['@graph']): assert name in entities or name in ('https://w3id.org/ro/crate/1.1',), name
parts = [r['@id'] for r in entities['./']['hasPart']]
files = [os.path.relpath(os.path.join(d, f), 'crate') for d, _, fs in os.walk('crate') for f in fs if f != 'ro-crate-metadata.json']
assert sorted(parts) == sorted(files), (parts, files)
for name in parts:
    data = open('crate/' + name, 'rb').read()
    assert entities[name]['sha256'] == hashlib.sha256(data).hexdigest() and entities[name]['contentSize'] == str(len(data)), name
actions = {e['name']: e for e in document['@graph'] if e['@type'] == 'CreateAction'}
assert actions['tiny-seed1']['actionStatus'].endswith('CompletedActionStatus') and 'error' not in actions['tiny-seed1']
assert actions['none-seed1']['actionStatus'].endswith('FailedActionStatus') and actions['none-seed1']['error']
assert len(actions) == 4 and all(len(a['object']) > 25 and len(a['result']) >= 3 for n, a in actions.items() if n != 'none-seed1')
PY
if python3 check.py > stdout 2> stderr; then pass "  names every file, with size and SHA-256"; else fail "  the crate"; fi
expect 2 "  is kept" export tiny-seed1 --format ro-crate --out crate --license MIT
says "ro-crate-metadata.json exists"

expect 0 "a table" export $published tiny-seed1 --format csv --out tables
cat > table.py <<'PY'
import csv, datetime, json
for name, record in (("quick-resnet20-seed1", "PUBLISHED"), ("tiny-seed1", "runs/tiny-seed1")):
    rows = list(csv.DictReader(open(f"tables/{name}.csv", newline="")))
    epochs = [json.loads(line) for line in open(record + "/metrics.jsonl")]
    assert len(rows) == len(epochs)
    for row, epoch in zip(rows, epochs):
        assert int(row["step"]) == epoch["epoch"] + 1
        datetime.datetime.strptime(row["timestamp"], "%Y-%m-%dT%H:%M:%SZ")
        for key in ("training_loss", "validation_error", "learning_rate", "end_step", "training_seconds"):
            assert float(row[key]) == epoch[key], key
PY
sed -i "s#PUBLISHED#$TOP/results/$published#" table.py
if python3 table.py 2> stderr; then pass "  which has the epochs, digit for digit"; else fail "  which has other numbers"; fi
expect 2 "  not over another" export tiny-seed1 --format csv --out tables
expect 0 "a log for MLPerf's tools" export $published tiny-seed1 --format mllog --out mllog
cat > check.py <<'PY'
import json, sys
for name, record in (('mllog/result_0.txt', sys.argv[1]), ('mllog/result_1.txt', 'runs/tiny-seed1')):
    events = []
    for line in open(name):
        assert line.startswith(':::MLLOG ')
        event = json.loads(line[9:])
        assert list(event) == ['namespace', 'time_ms', 'event_type', 'key', 'value', 'metadata']
        events.append(event)
    assert [e['time_ms'] for e in events] == sorted(e['time_ms'] for e in events)
    rows = [json.loads(line) for line in open(record + '/metrics.jsonl')]
    got = [(e['metadata']['epoch_num'], e['value'], e['metadata']['weights_sha256']) for e in events if e['key'] == 'eval_accuracy']
    assert got == [(r['epoch'] + 1, (r['validation_images'] - r['validation_errors']) / r['validation_images'], r['weights_sha256']) for r in rows]
    assert events[-1]['key'] == 'run_stop' and events[-1]['metadata']['status'] == 'success'
PY
if python3 check.py "$TOP/results/$published" > stdout 2> stderr; then pass "  has every epoch"; else fail "  the log"; fi

expect 2 "a data set without files" export tiny-seed1 --format croissant --out croissant.json
says "only runs on CIFAR-10 have"

# ---- MLflow: mistakes, and servers that are not one ----

expect 2 "no server" export tiny-seed1 --format mlflow
says "needs --to URL"
expect 2 "no URL" export tiny-seed1 --format mlflow --to localhost:5000
says "write it as http://HOST:PORT"
expect 2 "a password in the URL" export tiny-seed1 --format mlflow --to http://me:secret@localhost:5000
says "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
if grep -q secret stderr; then fail "  it is shown"; else pass "  it is not shown"; fi
python3 "$TOP/check/cli/mlflow_server.py" &
server=$!
for _ in $(seq 100); do [ -e port ] || sleep 0.1; done
url=http://127.0.0.1:$(cat port)
expect 3 "no MLflow server, a page" export tiny-seed1 --format mlflow --to "$url/html"
says "is no JSON object; is $url/html the URL of an MLflow server?"
expect 3 "  a list" export tiny-seed1 --format mlflow --to "$url/list"
says "is no JSON object"
expect 3 "  nothing" export tiny-seed1 --format mlflow --to "$url/other"
says "answers 404; is $url/other the URL of an MLflow server?"
rm requests
expect 3 "  a redirect is not followed" export tiny-seed1 --format mlflow --to "$url/moved"
says "answers 302"
if [ "$(wc -l < requests)" -eq 1 ]; then pass "  one request"; else fail "  $(wc -l < requests) requests"; fi
expect 3 "a login is needed" export tiny-seed1 --format mlflow --to "$url/login"
says "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
MLFLOW_TRACKING_TOKEN=token expect 0 "  by token" export tiny-seed1 --format mlflow --to "$url/login"
prints "sent 27 parameters, 10 metrics, 5 files"
MLFLOW_TRACKING_USERNAME=me MLFLOW_TRACKING_PASSWORD=pw expect 0 "  by password" export tiny-seed1 --format mlflow --to "$url/login"
expect 0 "a busy server is asked again" export tiny-seed1 --format mlflow --to "$url/busy"
rm requests
expect 0 "a server that makes the run and says that it is busy" export tiny-seed1 --format mlflow --to "$url/lost"
prints "new: sent 27 parameters, 10 metrics, 5 files"
if [ "$(grep -c runs/create requests)" -eq 1 ]; then pass "  is asked to make it once"; else cp requests stdout; fail "  is asked to make it $(grep -c runs/create requests) times"; fi
expect 3 "a cut answer" export tiny-seed1 --format mlflow --to "$url/cut"
says "no answer: "
expect 3 "a message that steers the terminal" export tiny-seed1 --format mlflow --to "$url/escape"
says 'the server says BAD\\x1b\[2J: \\x1b\]0;x\\x07\\u202e'
expect 3 "a run without a name" export tiny-seed1 --format mlflow --to "$url/nameless"
says "the server names no run"
for mode in dots away; do
    rm requests
    expect 0 "files elsewhere ($mode)" export tiny-seed1 --format mlflow --to "$url/$mode"
    says "no files were sent: the server keeps this run's files at "
    if grep -q PUT requests; then fail "  but there were some"; else pass "  and there were none"; fi
done

# ---- train --mlflow ----

expect 2 "train to what is no URL" train tiny.yaml --name m0 --mlflow localhost
if [ -e runs/m0 ]; then fail "  it was trained"; else pass "  nothing is trained"; fi
rm requests
expect 0 "train to a server" train tiny.yaml --name m1 --mlflow "$url/away"
if [ "$(grep -c runs/log-batch requests)" -ge 3 ] && tail -n 1 requests | grep -q runs/update; then pass "  it got the run"; else cp requests stdout; fail "  it got something else"; fi
if grep -q -- --mlflow stderr; then fail "  something is said of it"; else pass "  nothing is said of it"; fi
"$SELFSAME" train tiny.yaml --name m4 --mlflow "$url/drip" > drip.out 2> drip.err &
drip=$!
began=$(date +%s)
expect 0 "a server that takes requests and never answers" train tiny.yaml --name m2 --mlflow "$url/silent"
if [ $(($(date +%s) - began)) -lt 40 ]; then pass "  does not keep the training"; else fail "  keeps the training"; fi
says "no answer: "
says "not all of the run was sent; send the rest with: selfsame export runs/m2 --format mlflow --to $url/silent$"
same runs/m1/weights.safetensors runs/m2/weights.safetensors "  the weights are the same"
wait "$drip"
if [ $? -eq 0 ] && grep -q "no answer: " drip.err; then pass "a server that answers a byte at a time is given up"; else cp drip.err stderr; fail "a server that answers a byte at a time"; fi
kill "$server"
wait "$server" 2> /dev/null
port=$(cat port)
expect 0 "a server that is away" train tiny.yaml --name m3 --mlflow "$url/login"
if [ "$(grep -c 'no answer' stderr)" -eq 1 ]; then pass "  is told once"; else fail "  is not told once"; fi
command=$(sed -n 's/.*send the rest with: selfsame //p' stderr)
rm -f port
python3 "$TOP/check/cli/mlflow_server.py" "$port" &
server=$!
for _ in $(seq 100); do [ -e port ] || sleep 0.1; done
# shellcheck disable=SC2086 # the words of a command
MLFLOW_TRACKING_TOKEN=token expect 0 "  and the command that it names" $command
prints "sent 27 parameters, 10 metrics, 5 files"
kill "$server"
