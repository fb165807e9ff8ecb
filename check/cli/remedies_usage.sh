# What a message about a manifest or a command line tells you to do, done. remedies.sh follows the messages about files, engines and runs.

tiny 'steps: 2, batch_size: 16, schedule: {drop_epochs: []}'

# mends "what" PATTERN BAD GOOD: the manifest is refused with that remedy, and accepted with it.
mends() {
    what=$1 pattern=$2
    printf '%b' "$3" > bad.yaml
    printf '%b' "$4" > good.yaml
    expect 2 "$what" manifest bad.yaml
    says "$pattern"
    expect 0 "  mended" manifest good.yaml
}

# ---- manifests -----------------------------------------------------------------------------------------------------------------------------

archive='inherit: msra/resnet20.yaml\ndataset: {archives: [{urls: ["http://host/file"], bytes: 5'
mends "an archive without a digest" "neither sha256 nor md5.*give one of the two" "$archive}]}\n" "$archive, md5: 0123456789abcdef0123456789abcdef}]}\n"
mends "a digest of too few digits" "md5: must be 32 lower-case hex digits" "$archive, md5: 0123}]}\n" "$archive, md5: 0123456789abcdef0123456789abcdef}]}\n"
mends "an archive for the embedded data" "needs no archive; write archives: \[\]" \
    'inherit: tiny.yaml\ndataset: {archives: [{urls: ["http://host/file"], bytes: 5, md5: 0123456789abcdef0123456789abcdef}]}\n' \
    'inherit: tiny.yaml\ndataset: {archives: []}\n'
mends "epochs and steps" "cannot be given together with .*; give one of the two" 'inherit: tiny.yaml\ntraining: {epochs: 1, steps: 2}\n' 'inherit: tiny.yaml\ntraining: {epochs: 1}\n'
mends "no drops, as steps" "is an empty list; write drop_epochs: \[\] for no drops" 'inherit: tiny.yaml\ntraining: {schedule: {drop_steps: []}}\n' \
    'inherit: tiny.yaml\ntraining: {schedule: {drop_epochs: []}}\n'
mends "no seed" "give at least one seed" 'inherit: tiny.yaml\ntraining: {seeds: []}\n' 'inherit: tiny.yaml\ntraining: {seeds: [1]}\n'
mends "a dot in a key" "write sections one below the other, such as model: {depth: 20}" 'inherit: tiny.yaml\nmodel.depth: 20\n' 'inherit: tiny.yaml\nmodel: {depth: 20}\n'
mends "a section with a value" "is a section; write its keys and values below it" 'inherit: tiny.yaml\nmodel: 20\n' 'inherit: tiny.yaml\nmodel:\n  depth: 20\n'
mends "a tab" "column 1 is a tab; use spaces" 'inherit: tiny.yaml\nmodel:\n\tdepth: 20\n' 'inherit: tiny.yaml\nmodel:\n  depth: 20\n'
mends "an anchor" "anchors are not allowed; use inherit" 'inherit: tiny.yaml\nmodel: &shared {depth: 20}\n' 'inherit: tiny.yaml\nmodel: {depth: 20}\n'
mends "a tag" "tags are not allowed; write the value plainly" 'inherit: tiny.yaml\nmodel: {depth: !!int 20}\n' 'inherit: tiny.yaml\nmodel: {depth: 20}\n'
mends "a blank in a URL" "write those as %20 and so on" 'inherit: tiny.yaml\nweights: {urls: ["http://host/a file"], bytes: 5, md5: 0123456789abcdef0123456789abcdef}\n' \
    'inherit: tiny.yaml\nweights: {urls: ["http://host/a%%20file"], bytes: 5, md5: 0123456789abcdef0123456789abcdef}\n'
printf 'inherit: tiny.yaml\nmodel: {width: 20}\n' > bad.yaml
expect 2 "a key that there is not" manifest bad.yaml
says "selfsame manifest --schema lists them all"
expect 0 "  they are listed" manifest --schema
prints "^model.depth"

# ---- command lines -------------------------------------------------------------------------------------------------------------------------

expect 2 "a run named twice" train tiny.yaml tiny.yaml --runs runs --together 2
says "two of the runs are called tiny-seed1; name each run once"
expect 0 "  once" train tiny.yaml --runs runs --together 2
run=runs/tiny-seed1
expect 2 "an evaluation of nothing" eval
says "needs --weights FILE, or --manifest FILE of one that names weights"
expect 2 "an evaluation of a manifest that names no weights" eval --manifest tiny.yaml
says "names no file of weights; name one with --weights"
expect 0 "  with --weights" eval --manifest tiny.yaml --weights $run/weights.safetensors
expect 2 "a part of a name that no tensor has" convert --rename nothing=something $run/weights.safetensors out.safetensors
says "selfsame inspect lists them"
expect 0 "  they are listed" inspect $run/weights.safetensors
prints "conv1.weight"
expect 0 "a file" convert $run/weights.safetensors out.safetensors
expect 2 "  that exists" convert $run/weights.safetensors out.safetensors
says "give another name, or --force to replace it"
expect 0 "  another name" convert $run/weights.safetensors other.safetensors
expect 0 "  replaced" convert $run/weights.safetensors out.safetensors --force
expect 2 "nothing to verify" verify $run
says "--signatures, --epoch N or --sample N; selfsame check compares a run's files"
expect 0 "  check does" check $run
expect 0 "  an epoch" verify $run --epoch 1
expect 1 "no statement" verify $run --signatures
says "selfsame attest makes them"
expect 2 "a statement without a key" attest $run
says "needs --key FILE, a private key; selfsame key new makes one"
expect 0 "  a key" key new mine
expect 0 "  a statement" attest $run --key mine.pem
expect 0 "  verified" verify $run --signatures --key mine.pub.pem

# ---- a run that is being trained -----------------------------------------------------------------------------------------------------------

sed 's/^name: tiny/name: busy/; s/depth: 8/depth: 20/; s/steps: 2,/steps: 2000,/' tiny.yaml > busy.yaml
"$SELFSAME" train busy.yaml --runs runs --isa scalar > trained 2>&1 &
process=$!
grows "$process" runs/busy-seed1/ledger.txt 1
expect 3 "packed while it is trained" pack runs/busy-seed1
says "is being trained; wait for the training to end, or stop it"
expect 3 "attested while it is trained" attest runs/busy-seed1 --key mine.pem
says "is being trained; wait for the training to end, or stop it"
expect 3 "trained twice at a time" train busy.yaml --runs runs --resume
says "is in use by .*; wait for it to end, or stop it"
kill -INT "$process"
wait "$process"
expect 0 "  stopped, it is packed" pack runs/busy-seed1
expect 0 "  and goes on" train busy.yaml --runs runs --resume --epochs 1
