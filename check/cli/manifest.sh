# Manifests: what is read, what is refused and how it is said.

for file in "$TOP"/experiments/*/*resnet*.yaml; do
    name=${file#"$TOP"/experiments/}
    expect 0 "$name resolves" manifest "$file"
    cp stdout resolved.yaml
    expect 0 "$name, resolved, reads back" manifest resolved.yaml
    grep -v '^#' stdout > again; grep -v '^#' resolved.yaml > once
    same once again "  to the same text"
    grep '^# .* digest' resolved.yaml > digests; grep '^# .* digest' stdout > digests_again
    same digests digests_again "  and digests"
done

expect 0 "a manifest by its place in the experiments folder" manifest msra/resnet20.yaml
grep '^# experiment' stdout > msra20
expect 0 "the schema" manifest --schema
prints "^training.batch_size"

# A depth or a seed takes a few lines.
printf 'inherit: msra/resnet20.yaml\nname: deeper\nmodel: {depth: 26}\ntraining: {seeds: [1, 2, 3]}\n' > new.yaml
expect 0 "a new depth with three seeds" manifest new.yaml
prints "^  depth: 26"
prints "^  seeds: \[1, 2, 3\]"
if grep -q "^  seed: " stdout; then fail "seeds leave the inherited seed"; else pass "seeds replace the inherited seed"; fi
printf 'inherit: msra/resnet20.yaml\ntargets: []\ndescription: other\n' > other.yaml
expect 0 "other targets" manifest other.yaml
grep '^# experiment' stdout > other20
same msra20 other20 "  leave the experiment digest alone"
printf 'inherit: msra/resnet20.yaml\ntraining: {seed: 2}\n' > seed2.yaml
run manifest seed2.yaml
grep '^# experiment' stdout > seed2
if cmp -s msra20 seed2; then fail "another seed has the same digest"; else pass "another seed has another experiment digest"; fi

# refused LINE "key or pattern" TEXT: the manifest of that text, on top of msra/resnet20.yaml, is refused at that line.
refused() {
    printf 'inherit: msra/resnet20.yaml\n%b\n' "$3" > bad.yaml
    expect 2 "refused: $(printf '%s' "$3" | tr '\n' ' ')" manifest bad.yaml
    says "bad.yaml:$1: $2"
}
refused 2 "model.depht: unknown key; did you mean 'depth'" 'model: {depht: 20}'
refused 3 "training.batchsize: unknown key; did you mean 'batch_size'" 'training:\n  batchsize: 4'
refused 2 "modle: unknown key; did you mean 'model'" 'modle: {depth: 20}'
refused 2 "model.depth: must be a whole number" 'model: {depth: deep}'
refused 2 "model.depth: must be a whole number" 'model: {depth: "20"}'
refused 2 "model.depth: must be a whole number" 'model: {depth: [20]}'
refused 2 "model: is a section" 'model: 20'
refused 2 "model.depth: 21 is not 6n+2; the nearest depths are 20 and 26" 'model: {depth: 21}'
refused 2 "training.batch_size: 0 is out of bounds; it must be 1 to 65536" 'training: {batch_size: 0}'
refused 2 "training.batch_size: 60000 images a step are more than the training set has, 50000" 'training: {batch_size: 60000}'
refused 2 "training.schedule.drop_epochs: a drop at 180 comes after the training" 'training: {schedule: {drop_epochs: [90, 180]}}'
refused 2 "training.schedule.drop_epochs: 90 comes after 135; drops must increase" 'training: {schedule: {drop_epochs: [135, 90]}}'
refused 2 "training.steps: cannot be given together with training.epochs" 'training: {epochs: 3, steps: 100, schedule: {drop_epochs: []}}'
refused 2 "training.schedule.warmup.epochs: a warm-up of 180 takes up the whole training" 'training: {schedule: {warmup: {epochs: 180, learning_rate: 0.1}}}'
refused 2 "training.seeds: 4 is given twice" 'training: {seeds: [4, 4]}'
refused 2 "training.seeds: is an empty list" 'training: {seeds: []}'
refused 2 "model.final_batch_norm: must be true or false" 'model: {final_batch_norm: yes}'
refused 2 "model.shortcut: 'b' is not one of projection|pad-end|pad-both|projection-bn" 'model: {shortcut: b}'
refused 2 "dataset.train_sha256: must be 64 lower-case hex digits" 'dataset: {train_sha256: abc}'
refused 2 "dataset.training_images: only for an embedded data set" 'dataset: {training_images: 100}'
refused 2 "precision: only arithmetic: fast can have another precision" 'precision: tf32'
refused 3 "precision: 'half' is not one of fp32|tf32|bf16" 'arithmetic: fast\nprecision: half'
refused 2 "name: .* is not a name" 'name: a/b'
refused 3 "model: this key was given already in line 2" 'model: {depth: 20}\nmodel: {depth: 32}'
refused 2 "anchors are not allowed" 'model: &x {depth: 20}'
refused 2 "tags are not allowed" 'name: !!str x'
refused 3 "a second document" 'name: x\n---\nname: y'
refused 2 "aliases are not allowed" 'model: *x'
refused 3 "not valid YAML: did not find expected ',' or '}' while parsing a flow mapping that begins in line 2" 'model: {depth: 20'
refused 2 "targets\[0\].tolerance: is missing" 'targets: [{metric: final_error, value: 8, source: x}]'
refused 2 "targets: unknown key 'valu'" 'targets: [{metric: final_error, valu: 8}]'

# Where data and weights come from.
sum=c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
cat > sources.yaml <<YAML
inherit: msra/resnet20.yaml
dataset:
  archives: [{urls: ["file:///a%20b", "http://h/b"], bytes: 5, sha256: $sum}]
weights: {urls: ["https://h/w.th"], bytes: 7, md5: "00112233445566778899001122334455", sha256_prefix: "12345678", format: torch, note: "it's old"}
YAML
expect 0 "other sources" manifest sources.yaml
grep '^# experiment' stdout > sources20
same msra20 sources20 "  leave the experiment digest alone"
prints "^    - urls: \['file:///a%20b', 'http://h/b'\]"
prints "^  sha256_prefix: '12345678'"
cp stdout resolved.yaml
expect 0 "  and read back" manifest resolved.yaml
grep -v '^#' stdout > again; grep -v '^#' resolved.yaml > once
same once again "  to the same text"
printf 'inherit: msra/resnet20.yaml\ndataset: {archives: []}\n' > none.yaml
expect 0 "archives taken back" manifest none.yaml
if grep -q archives stdout; then fail "  and still there"; else pass "  leave nothing in the resolved form"; fi
expect 0 "quick is drawn by code" manifest quick/resnet20.yaml
if grep -q archives stdout; then fail "  and has archives"; else pass "  and has no archives"; fi
refused 2 "dataset.archives: must be a list of maps" 'dataset: {archives: 3}'
refused 2 "dataset.archives: entry 1 must be a map of urls, bytes, md5 and sha256" 'dataset: {archives: [3]}'
refused 2 "dataset.archives\[0\].bytes: is missing" 'dataset: {archives: [{urls: ["http://h/b"]}]}'
refused 2 "dataset.archives: unknown key 'url'" 'dataset: {archives: [{url: "http://h/b"}]}'
refused 2 "dataset.archives: entry 1 has neither sha256 nor md5" 'dataset: {archives: [{urls: ["http://h/b"], bytes: 5}]}'
refused 2 "dataset.archives\[0\].urls: must begin with https://" 'dataset: {archives: [{urls: ["ftp://h/b"], bytes: 5}]}'
refused 2 "dataset.archives\[0\].urls: must be a list of URLs" 'dataset: {archives: [{urls: "http://h/b", bytes: 5}]}'
refused 2 "dataset.archives\[0\].urls: must be a list of URLs" 'dataset: {archives: [{urls: [], bytes: 5}]}'
refused 2 "dataset.archives\[0\].urls: has a blank" 'dataset: {archives: [{urls: ["http://h/a b"], bytes: 5}]}'
refused 2 "dataset.archives\[0\].md5: must be 32 lower-case hex digits" 'dataset: {archives: [{urls: ["http://h/b"], bytes: 5, md5: abc}]}'
refused 2 "dataset.archives\[0\].bytes: 0 is out of bounds" 'dataset: {archives: [{urls: ["http://h/b"], bytes: 0}]}'
refused 2 "weights.sha256_prefix: must be 8 to 64 lower-case hex digits" 'weights: {sha256_prefix: "1234567"}'
refused 2 "weights.sha256_prefix: cannot be given together with weights.sha256" 'weights: {sha256_prefix: "12345678", sha256: '"$sum"'}'
refused 2 "weights.format: 'pickle' is not one of auto|neon|torch|safetensors" 'weights: {format: pickle}'
refused 2 "weights.url: unknown key; did you mean 'urls'" 'weights: {url: x}'
printf 'inherit: quick/resnet20.yaml\ndataset: {archives: [{urls: ["http://h/b"], bytes: 5, sha256: %s}]}\n' $sum > bad.yaml
expect 2 "refused: an archive of the embedded data set" manifest bad.yaml
says "bad.yaml:2: dataset.archives: an embedded data set needs no archive"

refused 2 "model.depth: a key has no dot" 'model.depth: 26'
refused 2 "an empty key" '"": {model: {depth: 26}}'
refused 2 "anchors are not allowed" '&a model: {depth: 26}'
refused 2 "curve: is a section" 'curve: 3'
refused 2 "name: .* is not a name" 'name: -x'
refused 2 "training.schedule.drop_epochs: has 17 drops; at most 16" 'training: {schedule: {drop_epochs: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}}'
refused 2 "training.schedule.drop_steps: is an empty list" 'training: {schedule: {drop_steps: []}}'
refused 2 "nested too deeply" 'name: [[[[[[[[[[1]]]]]]]]]]'

# A missing key has no line.
printf 'inherit: msra/resnet20.yaml\ntraining: {schedule: {warmup: {epochs: 1}}}\n' > bad.yaml
expect 2 "a warm-up without its rate" manifest bad.yaml
says "bad.yaml: training.schedule.warmup.learning_rate: a warm-up needs it"
printf 'name: x\n' > alone.yaml
expect 2 "a manifest without what is required" manifest alone.yaml
says "alone.yaml: dataset.kind: is missing"
expect 2 "a manifest that is not there" manifest nowhere.yaml
says "nowhere.yaml"
printf 'inherit: gone.yaml\n' > orphan.yaml
expect 2 "a base that is not there" manifest orphan.yaml
says "orphan.yaml:1: inherit: .*gone.yaml"
printf 'inherit: b.yaml\n' > a.yaml
printf 'inherit: a.yaml\n' > b.yaml
expect 2 "bases in a circle" manifest a.yaml
says "b.yaml:1: inherit: goes in a circle: a.yaml <- b.yaml <- a.yaml"
mkdir -p one two
printf 'inherit: ../two/b.yaml\n' > one/a.yaml
printf 'inherit: ../one/a.yaml\n' > two/b.yaml
expect 2 "bases in a circle, by other names" manifest one/a.yaml
says "goes in a circle: one/../two/../one/a.yaml <- one/../two/b.yaml <- one/a.yaml"
printf '\377\376 name: x\n' > binary.yaml
expect 2 "not text" manifest binary.yaml
says "binary.yaml"
: > empty.yaml
expect 2 "an empty file" manifest empty.yaml
says "empty.yaml: name: is missing"

# A key in the wrong section, or in none.
refused 2 "training.learning_rate: unknown key; did you mean training.schedule.learning_rate or training.schedule.warmup.learning_rate?" \
    'training: {learning_rate: 0.2}'
refused 2 "schedule: unknown key; did you mean training.schedule?" 'schedule: {learning_rate: 0.2}'
refused 2 "model.epsilon: unknown key; did you mean model.batch_norm.epsilon?" 'model: {epsilon: 0.1}'
refused 2 "sead: unknown key; did you mean training.seed" 'sead: 3'
refused 2 "epochs: unknown key; did you mean training.epochs" 'epochs: 3\ndepth: 20'
refused 2 "zebra: unknown key; selfsame manifest --schema" 'zebra: 3'

# A tab, wherever YAML does not take one.
refused 3 "column 1 is a tab; use spaces" 'training:\n\tepochs: 3'
refused 2 "column 1 is a tab; use spaces" '\ttraining: {epochs: 3}'
refused 4 "column 3 is a tab; use spaces" 'training:\n  epochs: 3\n  \tbatch_size: 4'
refused 3 "column 2 is a tab; use spaces" 'targets:\n-\tmetric: final_error\n'
printf 'inherit: quick/resnet20\nname: x\ndescription:\ta # a\ttab\n' > fine.yaml
expect 0 "tabs elsewhere" manifest fine.yaml

# What does not fit is told where its author can mend it, although the other half is inherited.
printf 'inherit: quick/resnet20\nname: shorter\ntraining:\n  epochs: 3\n' > shorter.yaml
expect 2 "a shorter training with the drops of a longer one" manifest shorter.yaml
says "shorter.yaml:4: training.epochs: does not fit training.schedule.drop_epochs (.*/quick/base.yaml:[0-9]*): a drop at 8"
says "for no drops write training: {schedule: {drop_epochs: \[\]}}"
printf 'inherit: shorter.yaml\nname: other\nmodel: {depth: 8}\n' > child.yaml
expect 2 "  inherited once more" manifest child.yaml
says "shorter.yaml:4: training.epochs: does not fit"
printf 'inherit: shorter.yaml\ntraining: {schedule: {drop_epochs: []}}\n' > mended.yaml
expect 0 "  with what the message says" manifest mended.yaml
printf 'inherit: quick/resnet20\ndataset: {kind: cifar10}\n' > kind.yaml
expect 2 "another data set" manifest kind.yaml
says "kind.yaml:2: dataset.kind: does not fit dataset.training_images (.*base.yaml:"
