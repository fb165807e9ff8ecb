# Runs that the tools themselves write, imported; and runs of ours through the tools and back. A tool that SELFSAME_PYTHON does
# not have is skipped.
. "$TOP/check/cli/lib_mlflow.sh"

# runs_script "what" FILE [WORD...]: a script that must end well.
runs_script() {
    what=$1
    shift
    if "$python" "$@" > stdout 2> stderr; then pass "$what"; else fail "$what"; fi
}

cat > three.yaml <<'YAML'
inherit: quick/resnet20.yaml
name: three
model: {depth: 8}
dataset: {training_images: 32, test_images: 20, train_sha256: 3cc266318723b0ed6f160a7ef7d275983db849e473b379772bad4111990f121a, test_sha256: any}
training: {epochs: 3, batch_size: 16, schedule: {drop_epochs: []}}
targets: []
YAML
expect 0 "a run" train three.yaml

# ---- TensorBoard ----

if has_modules tensorboard; then
    # Its own writer, with scalars in both forms and the settings of the plugin hparams.
    cat > write.py <<'PY'
from tensorboard.summary import Writer
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import summary_v2
new = Writer('new')
for step, error in enumerate((90.5, 70.25, 55.125)): new.add_scalar('val_error', error, step=step)
new.close()
old = EventFileWriter('old')
for step, loss in enumerate((2.5, 1.5, 0.5), 1):
    value = summary_pb2.Summary.Value(tag='val/loss', simple_value=loss)
    old.add_event(event_pb2.Event(wall_time=1.7e9 + step, step=step, summary=summary_pb2.Summary(value=[value])))
pb = summary_v2.hparams_pb({'lr': 0.1, 'optimizer': 'sgd', 'nesterov': True})
old.add_event(event_pb2.Event(wall_time=1.7e9, step=0, summary=pb))
old.close()
PY
    runs_script "TensorBoard's writer" write.py
    expect 0 "  new scalars" import new --manifest three.yaml
    [ "$("$python" -c "import json; print([json.loads(l)['validation_error'] for l in open('runs/new/metrics.jsonl')])")" = "[90.5, 70.25, 55.125]" ] && pass "  their values" || fail "  other values"
    expect 0 "  old scalars" import old --manifest three.yaml --column val_loss=val/loss
    [ "$("$python" -c "import json; print([json.loads(l)['validation_loss'] for l in open('runs/old/metrics.jsonl')], sorted(json.load(open('runs/old/record.json'))['imported']['settings']))")" = "[2.5, 1.5, 0.5] ['lr=0.10000000000000001', 'nesterov=true', 'optimizer=sgd']" ] && pass "  their values and settings" || fail "  $("$python" -c "import json; print(json.load(open('runs/old/record.json'))['imported'])")"
    expect 0 "  ours, there" export three-seed1 --format tensorboard --out logs
    # Read by its reader, and written again by its writer.
    cat > again.py <<'PY'
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary import Writer
events = EventAccumulator('logs/three-seed1')
events.Reload()
writer = Writer('logs2')
for tag in events.Tags()['scalars']:
    for event in events.Scalars(tag): writer.add_scalar(tag, event.value, step=event.step)
writer.close()
PY
    runs_script "  read and written again" again.py
    expect 0 "  and back" import logs2 --manifest three.yaml
    runs_script "  has the same metrics" "$TOP/check/cli/same_metrics.py" tensorboard three-seed1 logs2
fi

# ---- MLflow ----

if has_modules mlflow && start_mlflow; then
    expect 0 "a run of ours to MLflow" export three-seed1 --format mlflow --to "$url" --steps
    expect 0 "  and back" import "$url" --experiment three --manifest three.yaml
    back=$(sed -n 's|^imported: runs/\([^,]*\),.*|\1|p' stdout)
    runs_script "  has the same metrics, to the last bit" "$TOP/check/cli/same_metrics.py" mlflow three-seed1 "$back"
    cat > write.py <<'PY'
import sys
from mlflow.tracking import MlflowClient
from mlflow.entities import Metric
client = MlflowClient(sys.argv[1])
experiment = client.create_experiment('theirs & co')
for name, add in (('a', 0), ('a', 1)):
    run = client.create_run(experiment, run_name=name)
    client.log_param(run.info.run_id, 'lr', '0.1')
    metrics = [Metric('acc', (10 + add + epoch) / 100, 1700000000000 + epoch, epoch) for epoch in range(3)]
    # A retry that was written twice, a metric of every step, and values that are no numbers.
    metrics += metrics[1:2] + [Metric('loss', step / 7, 1700000000000, step) for step in range(25000)] if add == 0 else []
    metrics += [Metric('val_loss', float('nan'), 1700000000000, 0), Metric('val_loss', float('inf'), 1700000000000, 1), Metric('val_loss', 1.5, 1700000000000, 2)]
    for begin in range(0, len(metrics), 1000): client.log_batch(run.info.run_id, metrics=metrics[begin:begin + 1000])
    client.set_terminated(run.info.run_id)
    open('id%d' % add, 'w').write(run.info.run_id)
PY
    runs_script "MLflow's client" write.py "$url"
    expect 0 "  its runs" import "$url" --experiment "theirs & co" --manifest three.yaml --column val_accuracy=acc --fractions val_accuracy
    says "2 values of 'val_loss' are not finite"
    expect 0 "  one of them" import "$url/#/experiments/2/runs/$(cat id0)" --manifest three.yaml --column val_accuracy=acc --fractions val_accuracy --name one
    "$python" -c "
import json
record = json.load(open('runs/one/record.json'))
rows = [json.loads(l) for l in open('runs/one/metrics.jsonl')]
assert record['imported']['status'] == 'FINISHED' and record['imported']['settings'] == ['lr=0.1'], record
assert [round(r['validation_error'], 9) for r in rows] == [90, 89, 88] and [r['validation_loss'] for r in rows] == [None, None, 1.5], rows
" > stdout 2> stderr && pass "  its values, settings and status" || fail "  other values"
    # 25,000 values of a metric: more than a page. Each epoch has two steps, so the last of all is not of this training.
    expect 2 "  more values than the training has steps" import "$url" --run "$(cat id0)" --manifest three.yaml --column train_loss=loss --steps --last --name steps
    says "is after the end of the training"
    # An imported run goes there as well, and says what it is.
    expect 0 "  an imported run, there" export one --format mlflow --to "$url" --no-files
    "$python" -c "
from mlflow.tracking import MlflowClient
client = MlflowClient('$url')
[run] = [r for r in client.search_runs([client.get_experiment_by_name('three').experiment_id]) if r.info.run_name == 'one']
assert run.data.tags['selfsame.imported'].startswith('MLflow, from ') and run.data.tags['selfsame.state'] == 'imported', run.data.tags
assert 'validation_error' in run.data.metrics and 'training_error' not in run.data.metrics
" > stdout 2> stderr && pass "  with tags that say so" || fail "  without its tags"
    kill "$server" && wait "$server" 2> /dev/null

    # The folder mlruns, as MLflow's file store writes it.
    cat > files.py <<'PY'
import os
os.environ['MLFLOW_ALLOW_FILE_STORE'] = 'true'
from mlflow.store.tracking.file_store import FileStore
from mlflow.entities import Metric, Param, RunStatus
store = FileStore(os.path.abspath('mlruns'))
experiment = store.create_experiment('files')
run = store.create_run(experiment, 'me', 1700000000000, [], 'filed')
store.log_param(run.info.run_id, Param('opt/lr', '0.1'))
for epoch in range(3): store.log_metric(run.info.run_id, Metric('val/error', 90 - epoch, 1700000000000, epoch))
store.update_run_info(run.info.run_id, RunStatus.FINISHED, 1700000300000, 'filed')
open('folder', 'w').write('mlruns/%s/%s' % (experiment, run.info.run_id))
PY
    runs_script "MLflow's file store" files.py
    expect 0 "  its folder" import "$(cat folder)" --manifest three.yaml --column val_error=val/error
    prints "^imported: runs/filed, 3 epochs"
    grep -q '"opt/lr=0.1"' runs/filed/record.json && grep -q '"status": "FINISHED"' runs/filed/record.json && pass "  settings and status" || fail "  other settings"
fi

# ---- neptune-exporter ----

if has_modules pyarrow; then
    cat > write.py <<'PY'
import decimal, os, pyarrow as pa, pyarrow.parquet as parquet
os.makedirs('neptune/team/project', exist_ok=True)
rows = [dict(project_id='team/project', run_id='RES-1', attribute_path='metrics/error', attribute_type='float_series', step=decimal.Decimal(step), float_value=90.5 - step)
        for step in range(3)]
rows += [dict(project_id='team/project', run_id='RES-1', attribute_path='sys/name', attribute_type='string', step=None, float_value=None)]
schema = pa.schema([('project_id', pa.string()), ('run_id', pa.string()), ('attribute_path', pa.string()), ('attribute_type', pa.string()),
                    ('step', pa.decimal128(18, 6)), ('float_value', pa.float64())])
parquet.write_table(pa.Table.from_pylist(rows, schema), 'neptune/team/project/part_0.parquet')
parquet.write_table(pa.table({'a': [1]}), 'other.parquet')
PY
    runs_script "parquet as neptune-exporter writes it" write.py
    runs_script "  to CSV" "$TOP/exchange/neptune_to_csv.py" neptune csv
    expect 0 "  imported" import csv/RES-1.csv --manifest three.yaml --column epoch=step --column val_error=metrics/error
    grep -q '"validation_error": 88.5' runs/RES-1/record.json && pass "  its values" || fail "  other values"
    if "$python" "$TOP/exchange/neptune_to_csv.py" neptune csv > stdout 2> stderr; then fail "  a file was replaced"; else says "exists already"; fi
    mkdir others && mv other.parquet others
    if "$python" "$TOP/exchange/neptune_to_csv.py" others csv2 > stdout 2> stderr; then fail "  other files were read"; else says "has no column run_id"; fi
fi
