# What selfsame export writes, read by the tools that it is for: TensorBoard's reader and a live MLflow server. A tool that
# SELFSAME_PYTHON does not have is skipped.

python=${SELFSAME_PYTHON:-python3}
# A tool that the test may use, or a line that says so.
has() {
    if "$python" -c "import $1" > /dev/null 2>&1; then return 0; fi
    echo "skipped: no $1 here (SELFSAME_PYTHON names a python that has it)"
    return 1
}
# judged "what": the script check.py says so, or fails with its last words.
judged() {
    what=$1
    shift
    if "$python" check.py "$@" > stdout 2> stderr; then pass "$what"; else fail "$what"; fi
}

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
training: {steps: 4, batch_size: 16, schedule: {drop_epochs: []}}
targets: []
YAML
expect 0 "a run" train tiny.yaml --runs runs
published=published/quick/quick-resnet20-seed1

# ---- TensorBoard ----

if has tensorboard; then
    expect 0 "TensorBoard" export tiny-seed1 $published --format tensorboard --out logs
    cat > check.py <<'PY'
import json, sys, numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
run, record = sys.argv[1:]
events = EventAccumulator(run)
events.Reload()
rows = [json.loads(line) for line in open(record + '/metrics.jsonl')]
for key in ('training_loss', 'validation_error', 'learning_rate'):
    got = [(e.step, e.value) for e in events.Scalars('epoch/' + key)]
    assert got == [(r['epoch'] + 1, float(numpy.float32(r[key]))) for r in rows], (key, got)
assert len(events.Scalars('step/loss')) == min(rows[-1]['end_step'], 10000)
start = metadata.parse_session_start_info_plugin_data(events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content)
assert start.hparams['training.batch_size'].number_value in (16, 64) and start.hparams['model.final_batch_norm'].bool_value is True
assert start.hparams['arithmetic'].string_value == 'exact-1'
PY
    judged "  TensorBoard reads what the record has" logs/tiny-seed1 runs/tiny-seed1
    judged "  of a published run, too" logs/quick-resnet20-seed1 "$TOP/results/$published"
fi

# ---- MLflow ----

# A server on loopback, with its database in this folder.
start_mlflow() {
    port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$python" -m mlflow server --host 127.0.0.1 --port "$port" --backend-store-uri "sqlite:///$PWD/mlflow.db" \
        --artifacts-destination "$PWD/artifacts" --workers 1 > server.log 2>&1 &
    server=$!
    url=http://127.0.0.1:$port
    for _ in $(seq 600); do
        if "$python" -c "import urllib.request; urllib.request.urlopen('$url/health')" 2> /dev/null; then return 0; fi
        kill -0 "$server" 2> /dev/null || break
        sleep 0.1
    done
    cp server.log stderr
    fail "the MLflow server does not start"
    return 1
}

if has mlflow; then
    cat > check.py <<'PY'
import json, sys, math
import mlflow
from mlflow.tracking import MlflowClient
url, experiment, record, steps, runs = sys.argv[1:]
client = MlflowClient(url)
found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
assert len(found) == int(runs), found
run = found[0]
rows = [json.loads(line) for line in open(record + '/metrics.jsonl')]
said = json.load(open(record + '/record.json'))
for key in ('training_loss', 'validation_error', 'validation_loss', 'learning_rate', 'end_step'):
    got = sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, key))
    assert got == [(r['epoch'] + 1, r[key]) for r in rows], (key, got)
assert len(client.get_metric_history(run.info.run_id, 'step/loss')) == int(steps)
assert run.info.status == {'finished': 'FINISHED', 'interrupted': 'KILLED', 'running': 'KILLED'}[said['state']], run.info.status
assert run.info.run_name == said['name']
assert run.data.params['training.batch_size'] in ('16', '64') and run.data.params['arithmetic'] == 'exact-1'
assert run.data.params['training.seed'] == '1'
assert run.data.tags['selfsame.weights_sha256'] == said['result']['weights_sha256']
import os
files = {f.path for f in client.list_artifacts(run.info.run_id)}
assert files == {f for f in os.listdir(record) if f.split('.')[0] in ('manifest', 'record', 'metrics', 'ledger', 'weights')}, files
for f in files:
    assert open(client.download_artifacts(run.info.run_id, f), 'rb').read() == open(record + '/' + f, 'rb').read(), f
PY
    if start_mlflow; then
        expect 0 "MLflow" export tiny-seed1 --format mlflow --to "$url"
        prints "  new: sent 27 parameters, 10 metrics, 5 files"
        judged "  the server has what the record has" "$url" tiny runs/tiny-seed1 0 1
        expect 0 "  again, with a slash, and from a copy" export tiny-seed1 --format mlflow --to "$url/"
        prints "  it was there: sent 0 parameters, 0 metrics, 0 files"
        expect 0 "  with every step" export tiny-seed1 --format mlflow --to "$url" --steps
        prints "  it was there: sent 0 parameters, 8 metrics, 0 files"
        judged "  is one run" "$url" tiny runs/tiny-seed1 4 1
        # A training that was stopped, and goes on.
        cat > three.yaml <<YAML
inherit: tiny.yaml
name: three
dataset: {training_images: 32, test_images: 20, train_sha256: 3cc266318723b0ed6f160a7ef7d275983db849e473b379772bad4111990f121a, test_sha256: any}
training: {epochs: 3}
YAML
        expect 0 "two epochs of three" train three.yaml --epochs 2
        expect 0 "  sent" export three-seed1 --format mlflow --to "$url" --steps
        expect 0 "  the third" train three.yaml --resume
        expect 0 "  sent" export three-seed1 --format mlflow --to "$url" --steps
        prints "  it was there: sent 0 parameters, 14 metrics, 4 files"
        judged "  as if sent at once" "$url" three runs/three-seed1 6 1
        expect 0 "a published run" export $published --format mlflow --to "$url" --steps
        judged "  is there" "$url" quick-resnet20 "$TOP/results/$published" 300 1
        # A key of the server's own, an experiment that was deleted, and a name that needs care.
        expect 0 "an experiment's name of any letters" export tiny-seed1 --format mlflow --to "$url" --experiment "a/b & c%ä?'\"" --no-files
        prints "  new: sent 27 parameters, 10 metrics, 0 files"
        expect 0 "  is found again" export tiny-seed1 --format mlflow --to "$url" --experiment "a/b & c%ä?'\"" --no-files
        prints "  it was there: sent 0 parameters, 0 metrics, 0 files"
        "$python" -c "from mlflow.tracking import MlflowClient as C; c = C('$url'); c.delete_experiment(c.get_experiment_by_name('tiny').experiment_id)"
        expect 2 "an experiment that was deleted" export tiny-seed1 --format mlflow --to "$url"
        says "restore it there (mlflow experiments restore), or name another with --experiment"
        expect 0 "  another name" export tiny-seed1 --format mlflow --to "$url" --experiment tiny2 --steps
        judged "  has all of it" "$url" tiny2 runs/tiny-seed1 4 1
        kill "$server" && wait "$server" 2> /dev/null
        expect 3 "a server that is away" export tiny-seed1 --format mlflow --to "$url"
        says "no answer: "
    fi
fi
