# What other users may plant where they can write: links in a runs folder, a curve that leads elsewhere, leftovers of
# killed processes.

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
dataset: {test_images: 10, test_sha256: any}
training: {epochs: 2, batch_size: 500, schedule: {drop_epochs: [1]}}
targets: []
YAML
printf 'years of work\n' > victim
cp victim original

# refused "what" PATTERN: a run into the planted folder is refused, and nothing outside was written.
refused() {
    expect 2 "train where $1" train tiny.yaml --runs runs --name planted
    says "planted/$2"
    same victim original "  the victim is as it was"
    if [ -z "$(ls victims)" ]; then pass "  nothing in the victim's folder"; else fail "  in the victim's folder: $(ls victims)"; fi
    rm -rf runs/planted
}
mkdir victims
for name in .lock metrics.jsonl ledger.txt; do
    mkdir -p runs/planted
    ln -s "$PWD/victim" "runs/planted/$name"
    refused "$name is a symbolic link" "$name is a symbolic link"
    mkdir -p runs/planted
    ln victim "runs/planted/$name"
    refused "$name is a hard link" "$name has 2 names"
done
mkdir -p runs/planted
ln -s "$PWD/victims" runs/planted/checkpoints
refused "checkpoints is a symbolic link" "checkpoints is a symbolic link"

# The same in a run that is to go on.
expect 0 "a run" train tiny.yaml --runs runs --name planted --epochs 1
cp -r runs/planted good
for name in .lock metrics.jsonl ledger.txt; do
    rm -rf runs/planted
    cp -r good runs/planted
    cat "runs/planted/$name" > victim
    cp victim original
    ln -sf "$PWD/victim" "runs/planted/$name"
    expect 2 "--resume where $name is a symbolic link" train tiny.yaml --runs runs --name planted --resume
    same victim original "  the victim is as it was"
    rm "runs/planted/$name"
    ln victim "runs/planted/$name"
    expect 2 "--resume where $name is a hard link" train tiny.yaml --runs runs --name planted --resume
    same victim original "  the victim is as it was"
    # The remedy: a copy in its place.
    rm "runs/planted/$name"
    cp victim "runs/planted/$name"
    expect 0 "  and with a copy in its place" train tiny.yaml --runs runs --name planted --resume
done
# Files that appear whole replace a link, and leave what it led to alone.
rm -rf runs/planted
cp -r good runs/planted
for name in manifest.yaml record.json weights.safetensors; do
    cp "good/$name" "victims/$name"
    ln -sf "$PWD/victims/$name" "runs/planted/$name"
done
expect 0 "--resume where whole files are links" train tiny.yaml --runs runs --name planted --resume
for name in manifest.yaml record.json weights.safetensors; do same "good/$name" "victims/$name" "  $name of the victim is as it was"; done
# A run's folder may lie elsewhere by its owner's own link.
rm -rf runs/planted
cp -r good elsewhere
ln -s "$PWD/elsewhere" runs/planted
expect 0 "--resume of a run whose folder is linked to another disk" train tiny.yaml --runs runs --name planted --resume

# A killed process's half-written output goes with the next one's.
"$SELFSAME" convert good/weights.safetensors out.pth > stdout 2> stderr || fail "convert"
: > out.pth.abcdef.selfsame.tmp
: > out.pth.abcdef.tmp
rm out.pth
expect 0 "convert over what a killed one left" convert good/weights.safetensors out.pth
if [ ! -e out.pth.abcdef.selfsame.tmp ]; then pass "  it is gone"; else fail "  it is still there"; fi
if [ -e out.pth.abcdef.tmp ]; then pass "  and somebody's own file is not"; else fail "  a file of the user's is gone"; fi

command -v gnuplot > /dev/null || { echo "skipped: figures, since there is no gnuplot"; finish; }
# A published curve leads to files in the plots folder alone.
for curve in ../../../../../../../../dev/zero ../README.md . /dev/zero; do
    rm -rf runs/foreign
    cp -r good runs/foreign
    sed "\$a curve: {file: $curve, column: resnet20, source: nobody}" good/manifest.yaml > runs/foreign/manifest.yaml
    timeout 60 "$SELFSAME" plot --runs runs foreign --out figures > stdout 2> stderr
    status=$?
    if [ $status -eq 2 ] || [ $status -eq 3 ]; then pass "a curve in $curve: exit $status"; else fail "a curve in $curve: exit $status"; fi
    says "foreign\|$curve\|curve.file"
done
mkdir tmp
TMPDIR=$PWD/tmp
export TMPDIR
mkdir tmp/selfsame-plot-killed
: > tmp/selfsame-plot-killed/figure.gp
expect 0 "a figure" plot --runs runs planted --out figures
if [ -z "$(ls tmp)" ]; then pass "  a killed one's temporary folder is gone"; else fail "  still there: $(ls tmp)"; fi
finish
