# Runs of other tools as records, and their way back. A few lines of Python write the files; check/cli/import_tools.sh has
# the tools themselves write them.

# three TEST: the manifest of a run of three epochs and six steps, evaluated on the images with this digest.
three() {
    cat <<YAML
inherit: quick/resnet20.yaml
name: three
model: {depth: 8}
dataset: {training_images: 32, test_images: 20, train_sha256: 3cc266318723b0ed6f160a7ef7d275983db849e473b379772bad4111990f121a, test_sha256: $1}
training: {epochs: 3, batch_size: 16, schedule: {drop_epochs: []}}
targets: [{metric: final_error, value: 61.0, tolerance: 1, source: "a page"}]
YAML
}
three any > any.yaml
cat > log.csv <<'CSV'
epoch,train_loss,test_err,note
1,2.30,90.0,=1+1
2,2.10,75.5,"a, ""quoted""
second line"
3,1.90,60.25,
CSV

# read RUN KEY: a value of record.json, as JSON.
read_record() { python3 -c "import json, sys; value = json.load(open(sys.argv[1] + '/record.json'))
for key in sys.argv[2].split('.'): value = value.get(key, 'absent') if isinstance(value, dict) else value
print(json.dumps(value))" "$1" "$2"; }
# is RUN KEY VALUE
is() { got=$(read_record "$1" "$2"); if [ "$got" = "$3" ]; then pass "  $2 is $3"; else fail "  $2 is $got, not $3"; fi; }

expect 0 "ours" train any.yaml --runs ours
three "$(python3 -c 'import json; print(json.load(open("ours/three-seed1/record.json"))["validation_data"]["sha256"])')" > three.yaml

# ---- CSV ----

expect 0 "CSV" import log.csv --manifest three.yaml --column val_error=test_err --name theirs
prints "^imported: runs/theirs, 3 epochs, from CSV"
is runs/theirs state '"imported"'
is runs/theirs imported.tool '"CSV"'
is runs/theirs imported.source '"log.csv"'
is runs/theirs imported.sha256 "\"$(sha256sum < log.csv | cut -c 1-64)\""
is runs/theirs imported.columns '["epoch = epoch - 1", "training_loss = train_loss", "validation_error = test_err"]'
is runs/theirs arithmetic.version '"fast"'
is runs/theirs arithmetic.exact false
is runs/theirs result.validation_error 60.25
is runs/theirs result.training_error null
is runs/theirs result.weights_sha256 null
is runs/theirs result.best_epoch 2
is runs/theirs engine '"absent"'
is runs/theirs host '"absent"'
is runs/theirs program '"absent"'
if [ "$(ls -A runs/theirs | tr '\n' ' ')" = "manifest.yaml metrics.jsonl record.json " ]; then pass "  three files"; else fail "  $(ls -A runs/theirs)"; fi
if [ "$(ls -A runs | tr '\n' ' ')" = "theirs " ]; then pass "  nothing else"; else fail "  $(ls -A runs)"; fi
expect 2 "the same name again" import log.csv --manifest three.yaml --column val_error=test_err --name theirs
says "runs/theirs exists already; choose another name with --name"
expect 0 "  another name, from the file's" import log.csv --manifest three.yaml --column val_error=test_err
prints "^imported: runs/log,"
printf 'Epoch;top1\n0;0.1\n1;0.25\n2;NA\n' > semicolons.csv
expect 0 "accuracies, fractions, a semicolon, and an epoch that is missing" import semicolons.csv --manifest three.yaml \
    --column epoch=Epoch --column val_accuracy=top1 --fractions val_accuracy
is runs/semicolons imported.columns '["epoch = Epoch", "validation_error = 100 - 100 * top1"]'
is runs/semicolons result.epochs 2
is runs/semicolons result.validation_error 75.0
printf '\357\273\277step\tval_error\r\n2\t90\r\n4\tnan\r\n6\t40\r\n' > steps.tsv
expect 0 "steps, tabs, and a value that is not finite" import steps.tsv --manifest three.yaml --steps
says "1 value of 'val_error' is not finite, and recorded as missing"
is runs/steps imported.notes "[\"the seed is not known; 1, of the manifest, stands for it\", \"1 value of 'val_error' is not finite, and recorded as missing\"]"
if grep -q '"epoch": 1.*"validation_error": null' runs/steps/metrics.jsonl; then pass "  it is null"; else fail "  it is not null"; fi
printf '\n\n epoch , test_err \n1 , 50 \n\n2 ,40\n' > blanks.csv
expect 0 "empty lines, and blanks around names and numbers" import blanks.csv --manifest three.yaml --column val_error=test_err
is runs/blanks result.epochs 2
is runs/blanks result.validation_error 40.0
printf '\377\376e\0p\0o\0c\0h\0' > wide.csv
expect 2 "UTF-16" import wide.csv --manifest three.yaml
says "wide.csv is a text in UTF-16: save it as UTF-8"
expect 0 "on images that nobody names" import log.csv --manifest any.yaml --column val_error=test_err --name unknown --runs unknown
is unknown/unknown validation_data.sha256 null
gzip -k log.csv
expect 0 "compressed" import log.csv.gz --manifest three.yaml --column val_error=test_err --name gz --seed 7
is runs/gz experiment.seed 7
is runs/gz imported.notes '"absent"'

# ---- mistakes, each with its line ----

# refused "what" PATTERN CSV [OPTION...]
refused() {
    what=$1 pattern=$2
    printf '%b' "$3" > bad.csv
    shift 3
    expect 2 "$what" import bad.csv --manifest three.yaml "$@"
    says "$pattern"
    [ ! -e runs/bad ] || fail "  there is a record"
}
expect 2 "no manifest" import log.csv
says "import needs --manifest FILE"
expect 2 "no source" import none.csv --manifest three.yaml
says "none.csv cannot be read: No such file"
expect 2 "a word that is none" import log.csv --manifest three.yaml --column val_eror=test_err
says "--column: there is no metric 'val_eror'; did you mean 'val_error'?"
expect 2 "a column that is not there" import log.csv --manifest three.yaml --column val_error=tst_err
says "--column val_error=tst_err: log.csv has train_loss, test_err, note"
expect 2 "no form" import log.csv --manifest three.yaml --column val_error
says "not of the form OURS=THEIRS"
expect 2 "two columns for one metric" import log.csv --manifest three.yaml --column val_error=test_err --column val_accuracy=train_loss
says "validation_error is already taken from 'test_err'"
expect 2 "a server's option" import log.csv --manifest three.yaml --run abc
says "--run is for an MLflow server"
refused "empty" "bad.csv is empty" ''
refused "nothing that is a metric" "bad.csv has a, b, and none of it has the name of a metric" 'epoch,a,b\n1,2,3\n'
refused "no counter" "bad.csv:1: there is no column 'epoch'; say which column counts the epochs, such as --column epoch=Ep" 'Ep,val_error\n1,90\n'
refused "a formula" "bad.csv:3: 'val_error' is '=1+1', which is no number" 'epoch,val_error\n1,90\n2,=1+1\n'
refused "a percent sign" "bad.csv:2: 'val_error' is '90%', which is no number" 'epoch,val_error\n1,90%\n'
refused "hexadecimal" "bad.csv:2: 'val_error' is '0x1p3'" 'epoch,val_error\n1,0x1p3\n'
refused "a short row" "bad.csv:3: the row has 1 cell, but the heading has 2" 'epoch,val_error\n1,90\n2\n'
refused "half an epoch" "bad.csv:2: 'epoch' is '0.5', which is no whole number" 'epoch,val_error\n0.5,90\n'
refused "two values" "bad.csv:3: 'val_error' has 80 for the epoch 1, but bad.csv:2 has 90 for the same epoch (1); pass --last" 'epoch,val_error\n1,90\n1,80\n'
refused "a first epoch of 5" "bad.csv:2: the first epoch is called 5, which is neither 0 nor 1" 'epoch,val_error\n5,90\n'
refused "before the first" "bad.csv:2: the epoch 0 is before the first, 1" 'epoch,val_error\n0,90\n1,80\n' --first-epoch 1
refused "after the last" "bad.csv:3: the epoch 4 is after the end of the training, which has 3 epochs by the manifest three" 'epoch,val_error\n1,90\n4,80\n'
refused "a step after the last" "bad.csv:2: the step 7 is after the end" 'step,val_error\n7,90\n' --steps
refused "more than 100 %" "bad.csv:2: 'val_error' is 101, which is no percentage" 'epoch,val_error\n1,101\n'
refused "no fraction" "bad.csv:2: 'val_error' is 90, which is no fraction of 1" 'epoch,val_error\n1,90\n' --fractions val_error
refused "a unit that is not said" "bad.csv:2: no value of 'val_error' is above 1: if these are fractions, pass --fractions validation_error" 'epoch,val_error\n1,0.9\n2,0.8\n'
refused "an open quotation mark" "bad.csv:2: a cell's quotation mark has no closing one" 'epoch,val_error\n"1,90\n2,3\n'
refused "letters after a quotation mark" "bad.csv:2: after a closing quotation mark there is more" 'epoch,val_error\n"1"x,90\n'
refused "two columns of one name" "bad.csv:1: two columns are called 'val_error'" 'epoch,val_error,val_error\n1,2,3\n'
refused "a NUL" "bad.csv: byte 17 is a NUL" 'epoch,val_error\n1\000,90\n'
refused "a control character" "there is no column 'epoch'.*--column epoch=\\\\x1b\[2Jx" '\033[2Jx,val_error\n1,90\n'
refused "a list of what is no percentage" "--fractions train_loss: only errors and accuracies" 'epoch,val_error\n1,90\n' --fractions train_loss
refused "steps that do not rise" "end_step is 2 for epoch 1 (from 0), and does not rise" 'epoch,end_step\n1,4\n2,2\n'
refused "a number of images and a half" "'validation_errors' is 1.5, but validation_errors is a whole number" 'epoch,validation_errors\n1,1.5\n'
printf 'epoch,val_error\n1,90\n1,80\n' > last.csv
expect 0 "  --last" import last.csv --manifest three.yaml --last
is runs/last result.validation_error 80.0
printf 'epoch,val_error\n1,0.9\n' > small.csv
expect 0 "  --percent" import small.csv --manifest three.yaml --percent val_error
is runs/small result.validation_error 0.9
printf 'epoch,val_error\n5,90\n' > late.csv
expect 2 "  --first-epoch, and the training's end" import late.csv --manifest three.yaml --first-epoch 2
says "the epoch 5 is after the end of the training"
expect 0 "  --first-epoch" import late.csv --manifest three.yaml --first-epoch 4
python3 -c "
print('epoch,val_error')
for i in range(1000000): print('%d,%r' % (i % 3, 90 - i % 3))" > million.csv
expect 0 "a million rows" import million.csv --manifest three.yaml
is runs/million result.epochs 3

# ---- what the other commands make of it ----

expect 0 "check" check theirs
prints "its files agree; it is imported"
prints "imported  *CSV, from log.csv; there are no steps and no weights to check"
expect 0 "runs" runs --format csv --columns run,state,error,weights,train_error,steps
prints "^theirs,imported,60.25,,,"
expect 0 "runs --where" runs --where "state = 'imported' and error < 61 and error > 60" --format csv --columns run
prints "^theirs"
expect 0 "status" status theirs
prints "validation error 60.25 %, training error missing, best 60.25 % after epoch 3"
expect 0 "targets" targets theirs
prints "^theirs (imported), final error %: met: 60.25 % is 0.75 points below 61.00 %"
expect 1 "targets of a run that is not whole" targets semicolons
prints "unfinished: 2 of 3"
expect 0 "table" table theirs steps
prints "theirs: imported, not computed by selfsame: CSV, from log.csv"
expect 0 "ours" train three.yaml
expect 2 "compare, on images that nobody names" compare three-seed1 unknown/unknown --tolerance validation_error=abs:100
says "it is not known on which images validation_error was measured"
printf 'epoch,val_error\n1,80\n2,70\n3,60.25\n' > another.csv
expect 0 "  another run on such images" import another.csv --manifest any.yaml --name another --runs unknown
expect 2 "  they may be other ones" compare unknown/unknown unknown/another --tolerance validation_error=abs:100
says "it is not known on which images validation_error was measured"
expect 1 "  and no target is met on them" targets unknown/another
prints "not-comparable: on images"
expect 2 "compare" compare three-seed1 theirs
prints "not-comparable: the second run was computed by another tool and imported (CSV), so it has no bits to compare"
expect 0 "  a result" compare three-seed1 theirs --tolerance validation_error=abs:100
expect 2 "  a result that is missing" compare three-seed1 theirs --tolerance training_error=abs:100
says "an imported run has no training_error for this epoch"
sed 's/60.25/61.5/' log.csv > log2.csv
expect 0 "another seed of theirs" import log2.csv --manifest three.yaml --column val_error=test_err --seed 2
expect 1 "  --statistics" compare --statistics theirs log2 vs three-seed1 --format json
prints '"arithmetic": "imported"'
prints '"verdict": "differs"'
expect 0 "  the same bytes are no second sample" compare --statistics theirs log
prints "same-document: runs/theirs and runs/log are one record and a copy of it"
expect 0 "runs --group seed" runs --group seed --format csv
expect 2 "verify" verify theirs --epoch 1
says "runs/theirs was imported (CSV, from log.csv): selfsame did not compute it, so there are no weights and no ledger, and nothing to verify"
expect 2 "trace" trace theirs --step 1
says "nothing to trace"
expect 0 "a key" key new k
expect 2 "attest" attest theirs --key k.pem
says "nothing to sign"
expect 2 "attest --reproduces" attest three-seed1 --key k.pem --reproduces theirs
says "does not reproduce"
expect 2 "train --resume" train three.yaml --name theirs --resume
says "nothing to continue; choose another name with --name"
expect 2 "train" train three.yaml --name theirs
says "nothing to continue"
expect 2 "model-card" export theirs --format model-card --out card.md
says "nothing to publish as its own; --format csv, tensorboard and mlflow take such a run"
expect 0 "pack" pack theirs
expect 0 "  and check" check theirs.tar
expect 0 "report" report theirs three-seed1 steps --no-figures --out page.html
if grep -q "theirs was not computed by selfsame" page.html && grep -q "error missing\|<td></td>" page.html && ! grep -q ">-*nan\|nan %" page.html; then pass "  the page says whose it is"; else fail "  the page"; fi
if command -v gnuplot > /dev/null; then
    expect 0 "plot" plot theirs log2 three-seed1 steps --kind error,loss,rate,time,seeds,depth,machines --format svg
    if grep -q "theirs, imported: 60.25 %" figures/*-full.svg; then pass "  the legend says so"; else fail "  the legend"; fi
    if grep -q "nan %" figures/*.svg; then fail "  a nan in it"; else pass "  no nan in it"; fi
    expect 0 "report with figures" report theirs three-seed1 steps --out drawn.html
    # Nothing is known of their machines, so that figure has nothing to show.
    expect 0 "  of imported runs alone" report theirs --out alone.html
    if grep -q "Validation error\|validation error" alone.html && ! grep -q "Time per epoch by depth" alone.html; then pass "  has what they have"; else fail "  the figures"; fi
    expect 2 "plot of their machines" plot theirs --kind machines
    says "none of these runs says on which machine it ran"
fi

# ---- nothing makes it a run of selfsame ----

# forged "what" PATTERN SED: an edited record, with the digest of its text put right.
forged() {
    rm -rf runs/forged && cp -r runs/theirs runs/forged
    sed -i "$3" runs/forged/record.json
    digest=$(grep -v '"record_sha256"' runs/forged/record.json | sha256sum | cut -c 1-64)
    sed -i "s/\"record_sha256\": \"[0-9a-f]*\"/\"record_sha256\": \"$digest\"/" runs/forged/record.json
    expect 2 "$1" check forged
    says "$2"
}
forged "another state" '"imported.tool" is there\|"result.steps" is not a whole number' 's/"state": "imported"/"state": "finished"/'
forged "no source" '"imported.source" is missing' '/"source": /d'
forged "exact" 'by the manifest it is' 's/"exact": false/"exact": true/'
sed -i 's/"weights_sha256": null/"weights_sha256": "'"$(printf '%064d' 0)"'"/' runs/forged/metrics.jsonl
expect 2 "a digest of weights" check forged
cp -r runs/theirs runs/with && cp runs/three-seed1/ledger.txt runs/with/
expect 2 "a ledger" check with
says "the run was imported, but there is ledger.txt, which it cannot have"
cp -r runs/three-seed1 runs/nulls && sed -i 's/"weights_sha256": "[0-9a-f]*"/"weights_sha256": null/; s/"chain_sha256": "[0-9a-f]*"/"chain_sha256": null/' runs/nulls/metrics.jsonl
expect 2 "a run of ours without digests" check nulls
rm -rf runs/forged runs/with runs/nulls

# ---- there and back ----

back() { if python3 "$TOP/check/cli/same_metrics.py" "$@" > stdout 2> stderr; then pass "  has the same metrics"; else fail "  other metrics"; fi; }
expect 0 "CSV there" export three-seed1 --format csv --out csv
expect 0 "  and back" import csv/three-seed1.csv --manifest three.yaml --name from-csv
back csv three-seed1 from-csv
expect 0 "  a run that was imported, there" export theirs --format csv --out csv
expect 0 "  and back" import csv/theirs.csv --manifest three.yaml --name again
same runs/theirs/metrics.jsonl runs/again/metrics.jsonl "  is the same"
expect 0 "Trackio's CSV" export three-seed1 theirs --format trackio --out trackio
if head -n 1 trackio/theirs.csv | grep -q '^step,timestamp,endstep,lr,trainloss,' && sed -n 4p trackio/theirs.csv | grep -q '^3,,,,1.8999999999999999,,,60.25'; then pass "  has its columns"; else cat trackio/theirs.csv > stdout; fail "  has other columns"; fi
expect 0 "TensorBoard there" export three-seed1 theirs --format tensorboard --out logs
expect 0 "  and back" import logs/three-seed1 --manifest three.yaml --name from-events
back tensorboard three-seed1 from-events
is runs/from-events imported.status '"success"'
if read_record runs/from-events imported.settings | grep -q '"training.batch_size=16"'; then pass "  with its settings"; else fail "  without settings"; fi
expect 0 "  what was missing is missing" import logs/theirs --manifest three.yaml --name from-events2
is runs/from-events2 result.training_error null
gzip -k logs/three-seed1/events*
expect 0 "  compressed" import logs/three-seed1/events*.gz --manifest three.yaml --name from-gz
back tensorboard three-seed1 from-gz
same runs/from-gz/metrics.jsonl runs/from-events/metrics.jsonl "  is the same"
rm logs/three-seed1/events*.gz

# Folders in the folder, tensors, and a file that is cut: as Keras writes them.
cat > keras.py <<'PY'
import os
from event_file import *
for folder, values in (('train', (0.2, 0.3, 0.5)), ('validation', (0.1, 0.25, 0.4))):
    os.makedirs('keras/' + folder)
    with open('keras/%s/events.out.tfevents.1700000000.host.1.0.v2' % folder, 'wb') as file:
        file.write(VERSION + scalar(0, b'keras', field(8, b'\x08\x07' + field(2, b'') + field(8, b'{}'))))
        for step, value in enumerate(values): file.write(scalar(step, b'epoch_accuracy', tensor(value)))
        file.write(scalar(3, b'epoch_accuracy', tensor(1))[:-3])
PY
python3 keras.py
expect 0 "Keras's folders" import keras --manifest three.yaml --column train_accuracy=train/epoch_accuracy \
    --column val_accuracy=validation/epoch_accuracy --fractions train_accuracy,val_accuracy
says "validation/events.*ends in a torn record of [0-9]* bytes, which was left out"
is runs/keras result.validation_error 59.99999940395355
is runs/keras imported.sha256 "\"$(cd keras && sha256sum train/* validation/* | sha256sum | cut -c 1-64)\""
expect 2 "a folder without any" import csv --manifest three.yaml
says "csv holds no event files"
cp -r keras loop && ln -s ../loop loop/train/loop
expect 0 "  a link that leads back" import loop --manifest three.yaml --column val_accuracy=validation/epoch_accuracy --fractions val_accuracy

# Bits that were turned: the checksums see each; and fields that lie, under right checksums.
cat > damage.py <<'PY'
import glob, os, random, struct, subprocess, sys
from event_file import *
[name] = glob.glob('logs/three-seed1/*tfevents*')
data = open(name, 'rb').read()
random.seed(1)
def run(text, what, wanted=(2,)):
    open('damaged.tfevents', 'wb').write(text)
    done = subprocess.run([os.environ['SELFSAME'], 'import', 'damaged.tfevents', '--manifest', 'three.yaml', '--name', 'damaged'], capture_output=True)
    assert done.returncode in wanted, (what, done)
    assert done.returncode == 0 or b'damaged.tfevents' in done.stderr, (what, done)
    assert done.returncode == 2 or os.path.isdir('runs/damaged')
    subprocess.run(['rm', '-rf', 'runs/damaged'])
    assert not [f for f in os.listdir('runs') if f.startswith('.new')]
    return done.stderr
for _ in range(25):
    at = random.randrange(len(data))
    # A length that grows beyond the file is a torn end; then what is before it may be a run.
    run(data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1:], 'bit at %d' % at)
for _ in range(10): run(data[:random.randrange(len(data))], 'cut', (0, 2))
good = scalar(1, b'validation_error', number(50))
run(VERSION + good, 'good', (0,))
assert b'no value' not in run(good + VERSION, 'no version')
assert b'byte 40: the record is no message' in run(VERSION + record(b'\x0a\xff\xff\xff\xff\x0f'), 'a length beyond the record')
assert b'is no message' in run(VERSION + record(b'\x80' * 20), 'a number that does not end')
assert b'is no message' in run(VERSION + record(b'\x0b'), 'a group')
assert b'is called -5' in run(VERSION + scalar(2**64 - 5, b'validation_error', number(50)) + good, 'a negative step')
assert b'after the end' in run(VERSION + good + scalar(2**62, b'validation_error', number(50)), 'a step of 2^62')
run(VERSION + scalar(1, b'\x1b[2J\xff\x00x', number(50)), 'a tag of any bytes')
run(VERSION + scalar(1, b'validation_error', number(float('nan'))), 'a NaN alone')
run(VERSION + scalar(1, b'validation_error', number(float('inf'))) + scalar(2, b'validation_error', number(50)), 'an infinity', (0,))
run(VERSION + scalar(1, b'validation_error', tensor(50) + number(50)), 'a tensor and a number', (0,))
run(VERSION + scalar(1, b'validation_error', field(8, b'\x08\x01' + field(4, b'x' * 400))), 'a tensor of 100 numbers')
run(struct.pack('<Q', 2**63) + struct.pack('<I', checksum(struct.pack('<Q', 2**63))) + b'x' * 100, 'a record of 2^63 bytes')
run(b'', 'nothing')
print('%d bytes' % len(data))
PY
if SELFSAME="$SELFSAME" python3 damage.py > stdout 2> stderr; then pass "damaged event files: $(cat stdout)"; else fail "damaged event files"; fi

# ---- mlruns ----

mkdir -p mlruns/1/abc/metrics/group mlruns/1/abc/params
printf 'artifact_uri: file:///x\nend_time: 1700000300000\nentry_point_name: %s\nexperiment_id: "1"\nlifecycle_stage: active\nrun_id: abc\nrun_name: brave-bee\nstart_time: 1700000000000\nstatus: 3\ntags: []\n' "''" > mlruns/1/abc/meta.yaml
printf '1700000100000 90.5 0\n1700000200000 70.25 1 cifar 1234\n1700000300000 55 2\n' > mlruns/1/abc/metrics/val_error
printf '1700000100000 nan 0\n' > mlruns/1/abc/metrics/train_loss
printf '1700000100000 3 0\n' > mlruns/1/abc/metrics/group/other
printf '0.1' > mlruns/1/abc/params/lr
expect 0 "a folder of mlruns" import mlruns/1/abc --manifest three.yaml
prints "^imported: runs/brave-bee, 3 epochs, from MLflow"
is runs/brave-bee imported.status '"FINISHED"'
is runs/brave-bee imported.settings '["lr=0.1"]'
is runs/brave-bee time.started '"2023-11-14T22:13:20Z"'
is runs/brave-bee result.best_validation_error 55.0
# Links, with which somebody who gives you the folder could have your files shown to those who get your record.
mkdir mine
echo 'my secret' > mine/secret
ln -s ../../../../mine/secret mlruns/1/abc/params/theirs
ln -s ../../../../mine mlruns/1/abc/params/all
expect 0 "links among the parameters" import mlruns/1/abc --manifest three.yaml --name linked
says "the symbolic link mlruns/1/abc/params/theirs was left out"
is runs/linked imported.settings '["lr=0.1"]'
if grep -r secret runs/linked; then fail "  the secret is in the record"; else pass "  the secret is not in the record"; fi
rm mlruns/1/abc/params/theirs mlruns/1/abc/params/all
mv mlruns/1/abc/params kept
ln -s ../../../mine mlruns/1/abc/params
expect 0 "a link in the place of the parameters" import mlruns/1/abc --manifest three.yaml --name folder
is runs/folder imported.settings '"absent"'
rm mlruns/1/abc/params
mv kept mlruns/1/abc/params
printf 'run_name: my-secret\n' > mine/meta.yaml
mkdir mlruns/1/meta
ln -s ../../../mine/meta.yaml mlruns/1/meta/meta.yaml
expect 2 "a link in the place of meta.yaml" import mlruns/1/meta --manifest three.yaml --name x
if grep -q my-secret stderr; then fail "  its words are shown"; else pass "  its words are not shown"; fi
printf '1700000100000 90.5 0\nx\n' > mlruns/1/abc/metrics/val_error
expect 2 "a line that is none" import mlruns/1/abc --manifest three.yaml --name x
says 'metrics/val_error:2: the line is not of the form "time value step"'
expect 2 "no file of numbers" import /dev/null --manifest three.yaml --name x
says "/dev/null is neither a regular file nor a folder"
printf '1700000100000 90.5 99999999999999999999\n' > mlruns/1/abc/metrics/val_error
expect 2 "a step that is too large" import mlruns/1/abc --manifest three.yaml --name x
says 'metrics/val_error:1: '

# ---- a server of MLflow, as far as import asks ----

cat > server.py <<'PY'
import http.server, json, os, urllib.parse
history = {'val_error': [(0, 90.5), (1, 70.25), (2, 55.0)], 'acc': [(0, 0.1)]}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self): self.do_GET()
    def do_GET(self):
        body = json.loads(self.rfile.read(int(self.headers.get('Content-Length', 0))) or b'{}')
        url = urllib.parse.urlparse(self.path)
        mode, path = url.path[1:].split('/')[0], url.path
        query = dict(urllib.parse.parse_qsl(url.query))
        said, code = {}, 200
        if path.endswith('experiments/get-by-name'):
            if query['experiment_name'] == 'cifar & co': said = {'experiment': {'experiment_id': '7'}}
            else: said, code = {'error_code': 'RESOURCE_DOES_NOT_EXIST', 'message': 'no'}, 404
        elif path.endswith('runs/search'):
            last = body.get('page_token') == 'two'
            said = {'runs': [{'info': {'run_id': 'r2' if last else 'r1'}}]}
            if not last or mode == 'endless': said['next_page_token'] = 'two'
            if mode == 'endless' and last: said['runs'] = []
        elif path.endswith('runs/get') and query['run_id'] == 'gone': said, code = {'error_code': 'RESOURCE_DOES_NOT_EXIST', 'message': 'no such run'}, 404
        elif path.endswith('runs/get'):
            said = {'run': {'info': {'run_id': query['run_id'], 'experiment_id': '7', 'run_name': '../a\x1b b/c', 'status': 'FINISHED', 'start_time': '1700000000000', 'end_time': 1700000300000},
                            'data': {'metrics': [{'key': k} for k in history], 'params': [{'key': 'lr', 'value': '0.1\x1b[2J'}]}}}
            if mode == 'empty': said = {'run': {}}
        elif path.endswith('metrics/get-history'):
            page = int(query.get('page_token', 0))
            values = history[query['metric_key']]
            step, value = values[page]
            entry = {'key': query['metric_key'], 'value': value, 'timestamp': 1, 'step': str(step)}
            if mode == 'nan': entry['value'] = 'NaN'
            if mode == 'text': entry['value'] = 'x'
            if mode == 'half': entry['step'] = 0.5
            if mode == 'none': del entry['value']
            said = {'metrics': [entry]}
            if page + 1 < len(values): said['next_page_token'] = str(page + 1)
            if mode == 'endless': said = {'metrics': [], 'next_page_token': '0'}
        text = json.dumps(said).encode()
        if mode == 'cut': text = text[:-2]
        self.send_response(code)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
open('port.new', 'w').write(str(server.server_address[1]))
os.rename('port.new', 'port')
server.serve_forever()
PY
python3 server.py &
server=$!
for _ in $(seq 100); do [ -e port ] || sleep 0.1; done
url=http://127.0.0.1:$(cat port)
expect 2 "no run is named" import "$url/x" --manifest three.yaml
says "say which run of $url/x: --run ID, --experiment NAME"
expect 0 "a run" import "$url/x" --manifest three.yaml --run r1
prints "^imported: runs/a-b-c, 3 epochs, from MLflow"
is runs/a-b-c imported.source "\"$url/x/#/experiments/7/runs/r1\""
is runs/a-b-c imported.settings '["lr=0.1\\x1b[2J"]'
is runs/a-b-c time.updated '"2023-11-14T22:18:20Z"'
expect 0 "the address of its page" import "$url/x/#/experiments/7/runs/r1" --manifest three.yaml --name page
same runs/page/metrics.jsonl runs/a-b-c/metrics.jsonl "  is the same"
is runs/page imported.sha256 "$(read_record runs/a-b-c imported.sha256)"
rm -r runs/page
expect 0 "an experiment, of which one run is here" import "$url/x" --manifest three.yaml --experiment "cifar & co"
prints "^imported already: runs/a-b-c, from MLflow, run r1$"
prints "^imported: runs/a-b-c-r2,"
mv runs/a-b-c a-b-c
expect 0 "  the same once more" import "$url/x" --manifest three.yaml --experiment "cifar & co"
prints "^imported: runs/a-b-c-r1,"
prints "^imported already: runs/a-b-c-r2, from MLflow, run r2$"
same runs/a-b-c-r1/metrics.jsonl a-b-c/metrics.jsonl "  has the same metrics"
rm -r runs/a-b-c-r1
cp -r runs/three-seed1 runs/a-b-c-r1
expect 2 "  with another run in a place" import "$url/x" --manifest three.yaml --experiment "cifar & co"
remedy=$(sed -n 's/.*by itself, with \(--run [^ ]* --name\) NAME.*/\1/p' stderr)
# shellcheck disable=SC2086 # options and their values
expect 0 "    what the message says: $remedy" import "$url/x" --manifest three.yaml $remedy mine
rm -r runs/a-b-c-r1
expect 2 "  that is not there" import "$url/x" --manifest three.yaml --experiment none
says "has no experiment 'none'"
expect 3 "a run that is not there" import "$url/x" --manifest three.yaml --run gone
says "the server says RESOURCE_DOES_NOT_EXIST: no such run"
expect 2 "an id that is none" import "$url/x" --manifest three.yaml --run 'a/../b'
says "is no id of a run of MLflow"
expect 2 "only a NaN" import "$url/nan" --manifest three.yaml --run r1 --name y
says "has no value for any epoch"
for mode in text half none endless empty cut; do
    expect 3 "a server that answers otherwise ($mode)" import "$url/$mode" --manifest three.yaml --run r1 --name y
    says "$url"
    [ ! -e runs/y ] || fail "  there is a record"
done
expect 3 "a list of runs that does not end" import "$url/endless" --manifest three.yaml --experiment "cifar & co"
says "does not end"
kill "$server" && wait "$server" 2> /dev/null
expect 3 "no server" import "$url/x" --manifest three.yaml --run r1
says "no answer: "
