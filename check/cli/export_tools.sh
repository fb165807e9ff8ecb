# What selfsame export writes, read by the tools that it is for. A tool that SELFSAME_PYTHON does not have is skipped.
. "$TOP/check/cli/lib_mlflow.sh"

# judged "what": the script check.py says so, or fails with its last words.
judged() {
    what=$1
    shift
    if "$python" check.py "$@" > stdout 2> stderr; then pass "$what"; else fail "$what"; fi
}

tiny
expect 0 "a run" train tiny.yaml --runs runs
published=published/quick/quick-resnet20-seed1

# ---- TensorBoard ----

if has_modules tensorboard; then
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

# ---- a model card, a crate, a log, a data set ----

if has_modules huggingface_hub; then
    expect 0 "a model card" export $published --format model-card --out README.md --license apache-2.0
    cat > check.py <<'PY'
from huggingface_hub import ModelCard
data = ModelCard.load('README.md').data
[accuracy, loss] = data.eval_results
assert data.license == 'apache-2.0' and data.model_name == 'quick-resnet20-seed1' and data.library_name == 'selfsame'
assert accuracy.metric_type == 'accuracy' and accuracy.metric_value == 0.95 and accuracy.task_type == 'image-classification'
PY
    judged "  the Hub's library reads its results"
fi

if has_modules "rocrate_validator, rocrate"; then
    expect 0 "a crate" export tiny-seed1 $published --format ro-crate --out crate --license CC-BY-4.0 --author "Ann Author"
    cat > check.py <<'PY'
# The context comes from the package rocrate, so that nothing is asked of the network. It is of a later version, which has
# all names of the earlier one.
import json, os, sys, rocrate
context = open(os.path.join(os.path.dirname(rocrate.__file__), 'data', 'ro-crate.jsonld')).read()
from rocrate_validator.utils import http
class Answer:
    status_code, text, headers = 200, context, {'Content-Type': 'application/ld+json'}
    def json(self): return json.loads(context)
http.HttpRequester.get = lambda self, url, **more: Answer()
import rdflib.plugins.shared.jsonld.context as jsonld
real = jsonld.source_to_json
jsonld.source_to_json = lambda source, *words, **more: (json.loads(context), None) if str(source).endswith('/context') else real(source, *words, **more)
from rocrate_validator import services, models
result = services.validate(services.ValidationSettings(rocrate_uri='crate', profile_identifier='process-run-crate',
    requirement_severity=models.Severity.RECOMMENDED, disable_remote_crate_download=True, skip_availability_check=True))
# selfsame has no website, and knows of its user no more than the name.
known = {'process-run-crate-0.5_3.2', 'process-run-crate-0.5_5.1', 'ro-crate-1.1_22.3', 'ro-crate-1.1_30.2', 'ro-crate-1.1_30.3'}
issues = [(i.severity.name, i.check.identifier, i.message) for i in result.get_issues()]
for issue in issues: print(issue)
assert all(severity == 'RECOMMENDED' and check in known for severity, check, _ in issues)
sys.exit(0)
PY
    judged "  is a Process Run Crate"
    sed -i 's/"instrument"/"keywords"/' crate/ro-crate-metadata.json
    if "$python" check.py > stdout 2> stderr; then fail "  without its program it is one, too"; else pass "  without its program it is none"; fi
fi

if has_modules mlperf_logging; then
    expect 0 "a log" export $published --format mllog --out mllog
    cat > check.py <<'PY'
from mlperf_logging.compliance_checker.mlp_parser import parse_file
lines, failed = parse_file('mllog/result_0.txt', ruleset='5.0.0')
assert not failed and [l.key for l in lines].count('eval_accuracy') == 12
assert [l.value['value'] for l in lines if l.key == 'eval_accuracy'][-1] == 0.95
PY
    judged "  MLPerf's parser reads it"
fi

if has_modules trackio; then
    expect 0 "a table" export tiny-seed1 $published --format trackio --out tables
    cat > check.py <<'PY'
import json, os, sys
os.environ["TRACKIO_DIR"] = os.path.join(os.getcwd(), "trackio")
import trackio
from trackio.sqlite_storage import SQLiteStorage
for name, record in (("tiny-seed1", "runs/tiny-seed1"), ("quick-resnet20-seed1", sys.argv[1])):
    trackio.import_csv(f"tables/{name}.csv", "project-" + name, name)
    logs = SQLiteStorage.get_logs("project-" + name, name)
    epochs = [json.loads(line) for line in open(record + "/metrics.jsonl")]
    assert [(log["step"], log["valerror"], log["trainloss"]) for log in logs] == [
        (e["epoch"] + 1, e["validation_error"], e["training_loss"]) for e in epochs]
PY
    judged "  Trackio imports it" "$TOP/results/$published"
fi

# A manifest of CIFAR-10 and a record of it: the run that is published, if there is one.
cifar10=$(grep -l '"name": "msra-resnet20"' "$TOP"/results/published/*/record.json 2> /dev/null | head -n 1)
if [ -n "$cifar10" ] && has_modules mlcroissant; then
    expect 0 "CIFAR-10's description" export "${cifar10%/record.json}" --format croissant --out croissant.json
    cat > check.py <<'PY'
import mlcroissant
dataset = mlcroissant.Dataset(jsonld='croissant.json')
assert not dataset.metadata.ctx.issues.errors
assert {d.id for d in dataset.metadata.distribution} >= {'archive-1', 'training-images-1', 'test-images-2'}
assert dataset.metadata.distribution[0].sha256 == 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd'
PY
    judged "  Croissant's library reads it"
fi

# ---- MLflow ----

if has_modules mlflow; then
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
        # While it is trained.
        expect 0 "a training that is sent" train three.yaml --name live --mlflow "$url"
        expect 0 "  leaves no epoch and no file to be sent" export live --format mlflow --to "$url"
        prints "  it was there: sent 0 parameters, 0 metrics, 0 files"
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
