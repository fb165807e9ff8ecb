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

# A runs folder that is a link to another place is its owner's own; one that leads nowhere is named.
mkdir real
ln -s real linked
ln -s nowhere leads-nowhere
expect 0 "a runs folder that is a link" train tiny.yaml --runs linked --epochs 1
if [ -f real/tiny-seed1/record.json ]; then pass "  the run is there"; else fail "  the run is elsewhere"; fi
expect 3 "  a link that leads nowhere" train tiny.yaml --runs leads-nowhere --epochs 1
says "leads-nowhere is a link that leads nowhere; name another folder"

command -v gnuplot > /dev/null || { echo "skipped: figures, since there is no gnuplot"; finish; }
# A published curve leads to files in the plots folder alone. The run is good in all else.
for curve in ../../../../../../../../dev/zero ../README.md . /dev/zero; do
    rm -rf runs/foreign
    printf 'inherit: tiny.yaml\nname: foreign\ncurve: {file: %s, column: resnet20, source: nobody}\n' $curve > foreign.yaml
    "$SELFSAME" train foreign.yaml --runs runs --name foreign --epochs 1 > stdout 2> stderr || fail "a foreign run"
    for command in "plot --out figures" "report --out foreign.html"; do
        # shellcheck disable=SC2086 # a command and its option
        timeout 60 "$SELFSAME" ${command%% *} --runs runs foreign ${command#* } > stdout 2> stderr
        status=$?
        if [ $status -eq 2 ]; then pass "${command%% *}, a curve in $curve: exit 2"; else fail "${command%% *}, a curve in $curve: exit $status"; fi
        says "curve.file: $curve does not name a file in the plots folder"
    done
done
mkdir tmp
TMPDIR=$PWD/tmp
export TMPDIR
mkdir tmp/selfsame-plot-killed
: > tmp/selfsame-plot-killed/figure.gp
expect 0 "a figure" plot --runs runs planted --out figures
# gnuplot ends with the program, however that ends. (A process that nobody has waited for yet is a zombie, Z.)
mkdir bin
printf '#!/bin/sh\necho $$ > gnuplot.pid\nexec sleep 60\n' > bin/gnuplot
chmod +x bin/gnuplot
for signal in KILL TERM; do
    rm -f gnuplot.pid
    PATH=$PWD/bin:$PATH "$SELFSAME" plot --runs runs planted --out figures --format svg > stdout 2> stderr &
    process=$!
    for _ in $(seq 100); do [ -s gnuplot.pid ] || sleep 0.05; done
    kill -s $signal "$process"
    wait "$process" 2> /dev/null
    gone=
    for _ in $(seq 100); do
        case $(sed -n 's/^State:[[:blank:]]*//p' "/proc/$(cat gnuplot.pid)/status" 2> /dev/null) in '' | Z*) gone=yes && break ;; esac
        sleep 0.05
    done
    if [ -n "$gone" ]; then pass "gnuplot ends when plot gets SIG$signal"; else fail "gnuplot goes on after SIG$signal" && kill "$(cat gnuplot.pid)"; fi
done
expect 0 "another figure" plot --runs runs planted --out figures --format svg
if [ -z "$(ls tmp)" ]; then pass "  a killed one's temporary folder is gone"; else fail "  still there: $(ls tmp)"; fi
finish
