# Manifests: what is read, what is refused and how it is said.

for file in "$TOP"/experiments/*/resnet*.yaml; do
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
    printf "inherit: msra/resnet20.yaml\n$3\n" > bad.yaml
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
refused 2 "training.batch_size: 60000 images a step are more than the 50000" 'training: {batch_size: 60000}'
refused 2 "training.schedule.drop_epochs: a drop at 180 comes when training is over" 'training: {schedule: {drop_epochs: [90, 180]}}'
refused 2 "training.schedule.drop_epochs: 90 comes after 135; drops must increase" 'training: {schedule: {drop_epochs: [135, 90]}}'
refused 2 "training.steps: stands beside training.epochs" 'training: {epochs: 3, steps: 100, schedule: {drop_epochs: []}}'
refused 2 "training.schedule.warmup.epochs: a warm-up of 180 leaves nothing" 'training: {schedule: {warmup: {epochs: 180, learning_rate: 0.1}}}'
refused 2 "training.seeds: 4 stands there twice" 'training: {seeds: [4, 4]}'
refused 2 "training.seeds: is an empty list" 'training: {seeds: []}'
refused 2 "model.final_batch_norm: must be true or false" 'model: {final_batch_norm: yes}'
refused 2 "model.shortcut: 'b' is none of projection|pad-end|pad-both" 'model: {shortcut: b}'
refused 2 "dataset.train_sha256: must be 64 lower-case hex digits" 'dataset: {train_sha256: abc}'
refused 2 "dataset.training_images: only for an embedded data set" 'dataset: {training_images: 100}'
refused 2 "arithmetic: this build has no engine for fast arithmetic" 'arithmetic: fast'
refused 2 "name: .* is no name" 'name: a/b'
refused 3 "model: this key was given already in line 2" 'model: {depth: 20}\nmodel: {depth: 32}'
refused 2 "anchors are not allowed" 'model: &x {depth: 20}'
refused 2 "tags are not allowed" 'name: !!str x'
refused 3 "a second document" 'name: x\n---\nname: y'
refused 2 "aliases are not allowed" 'model: *x'
refused 3 "not valid YAML: did not find expected ',' or '}' while parsing a flow mapping that begins in line 2" 'model: {depth: 20'
refused 2 "targets\[0\].tolerance: is missing" 'targets: [{metric: final_error, value: 8, source: x}]'
refused 2 "targets: unknown key 'valu'" 'targets: [{metric: final_error, valu: 8}]'

refused 2 "model.depth: a key has no dot" 'model.depth: 26'
refused 2 "an empty key" '"": {model: {depth: 26}}'
refused 2 "anchors are not allowed" '&a model: {depth: 26}'
refused 2 "curve: is a section" 'curve: 3'
refused 2 "name: .* is no name" 'name: -x'
refused 2 "training.schedule.drop_epochs: has 17 drops; at most 16" 'training: {schedule: {drop_epochs: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}}'
refused 2 "training.schedule.drop_steps: is an empty list" 'training: {schedule: {drop_steps: []}}'
refused 2 "nested too deeply" 'name: [[[[[[[[[[1]]]]]]]]]]'

# What is missing stands in no line.
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
