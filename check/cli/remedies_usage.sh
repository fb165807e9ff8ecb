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
python3 -c 'open("wide.yaml", "wb").write(open("tiny.yaml").read().encode("utf-16"))'
expect 2 "a manifest in UTF-16" manifest wide.yaml
says "wide.yaml is a text in UTF-16: save it as UTF-8"
python3 -c 'text = open("wide.yaml", encoding="utf-16").read(); open("narrow.yaml", "w", encoding="utf-8-sig", newline="\r\n").write(text)'
expect 0 "  saved as UTF-8, with what editors add" manifest narrow.yaml
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
expect 2 "two manifests of one name" sweep tiny.yaml narrow.yaml --runs swept
says "two runs are called tiny-seed1, of .*; name each manifest once, and give different manifests different names"
sed 's/^\(.*name: \)tiny/\1other/' narrow.yaml > other-name.yaml
expect 0 "  different names" sweep tiny.yaml other-name.yaml --runs swept
ln -s "$PWD" runs/tiny-seed1/tags
expect 2 "tags that are a link" tag runs/tiny-seed1 mine
says "tags is a symbolic link, .*; put a folder in its place"
rm runs/tiny-seed1/tags
mkdir runs/tiny-seed1/tags
expect 0 "  a folder" tag runs/tiny-seed1 mine
expect 2 "no tag to remove" tag runs/tiny-seed1 --remove
remove=$(sed -n 's/.*: selfsame tag \(.*\) TAG... --remove$/\1/p' stderr)
expect 0 "  one" tag "$remove" mine --remove
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

# ---- traces, several runs, Slurm ---------------------------------------------------------------------------------------------------------

expect 0 "a trace" trace $run --step 1 --out one.trace
expect 0 "another" trace $run --step 1 --out other.trace
expect 2 "three traces" compare one.trace other.trace one.trace
says "compared with one other trace; name two"
expect 2 "traces with --trace" compare one.trace other.trace --trace
says "leave them out to compare traces"
expect 0 "  without" compare one.trace other.trace
expect 0 "another seed" train tiny.yaml --runs runs --seed 2
expect 2 "three runs with --trace" compare $run runs/tiny-seed2 $run --trace
says "for two runs, without --tolerance, and prints text; leave the rest out"
expect 1 "  two" compare $run runs/tiny-seed2 --trace
expect 2 "an engine without --trace" compare $run runs/tiny-seed2 --engine cpu
says "engine goes with --trace"
expect 1 "  with it" compare $run runs/tiny-seed2 --engine cpu --trace

expect 0 "a packed run" pack $run --out packed.tar
expect 2 "  cannot be tagged" tag packed.tar mine
says "packed.tar is a packed run; unpack it first: selfsame unpack packed.tar$"
expect 0 "    unpacked" unpack packed.tar --runs unpacked
expect 0 "    it can" tag unpacked/tiny-seed1 mine
expect 2 "  nor signed" attest packed.tar --key mine.pem
says "take it out with selfsame unpack, sign it, and pack it"
expect 0 "    unpacked, it is signed" attest unpacked/tiny-seed1 --key mine.pem
expect 0 "    and packed" pack unpacked/tiny-seed1 --out signed.tar
expect 0 "    with its statement" verify signed.tar --signatures --key mine.pub.pem
expect 2 "a run that comes with the program" tag published/quick/quick-resnet20-seed1 mine
says "stays as it is; copy its folder .*/quick-resnet20-seed1 first"
cp -r "$(sed -n 's/.*copy its folder \(.*\) first$/\1/p' stderr)" copied
expect 0 "  its copy" tag copied mine

if command -v sbatch > /dev/null; then
    echo "skipped: a machine without Slurm, since this one has it"
else
    expect 3 "an array without Slurm" sweep tiny.yaml --seeds 1-2 --runs runs --slurm
    says "sbatch cannot be started: .*; give the command where Slurm is, or train here with --jobs N; the script is "
    # Where Slurm is: its sbatch gets the script.
    mkdir bin
    printf '#!/bin/sh\ncat > submitted\nfor script; do :; done\ncp "$script" submitted\necho 7\n' > bin/sbatch
    chmod +x bin/sbatch
    PATH="$PWD/bin:$PATH" expect 0 "  with sbatch" sweep tiny.yaml --seeds 1-3 --runs runs --slurm
    if grep -q '^#SBATCH' submitted; then pass "    it has the script"; else fail "    it has no script"; fi
    expect 0 "  with --jobs" sweep tiny.yaml --seeds 1-2 --runs runs --jobs 2
fi

# ---- weights of a manifest -----------------------------------------------------------------------------------------------------------------

sum=$(sha256sum $run/weights.safetensors | cut -d ' ' -f 1)
printf 'inherit: tiny.yaml\nweights: {urls: ["file://%s"], sha256: %s}\n' "$PWD/$run/weights.safetensors" "$sum" > published.yaml
expect 3 "weights that were not fetched" eval --manifest published.yaml --data none
says "not in the store .*; selfsame fetch published.yaml downloads them, .*; or name their file with --weights"
expect 0 "  their file" eval --manifest published.yaml --weights $run/weights.safetensors
expect 0 "  fetched" fetch published.yaml
expect 0 "  they are found" eval --manifest published.yaml
