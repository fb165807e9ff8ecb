# exact-2 through the whole program: digests and names, the same bits everywhere, resume, records, refusals.

tiny 'epochs: 3, batch_size: 70, schedule: {drop_epochs: [2]}'
experiment() { # of a manifest with these lines added
    printf 'inherit: quick/resnet20.yaml\nname: x\n%b' "$1" > x.yaml
    "$SELFSAME" manifest x.yaml | sed -n 's/^# experiment digest.* \([0-9a-f]\{64\}\).*/\1/p'
}

# Digests: exact is exact-1; exact-2 differs in the line of the version alone.
expect 0 "arithmetic: exact-1" manifest msra/resnet20.yaml
one=$(experiment '')
named=$(experiment 'arithmetic: exact-1\n')
two=$(experiment 'arithmetic: exact-2\n')
if [ -n "$one" ] && [ "$one" = "$named" ]; then pass "exact-1 is exact"; else fail "exact-1 is $named, exact is $one"; fi
example=$(sed -n 's/^    \(dataset\.kind=\|dataset\.\|model\.\|training\.\|arithmetic=\|seed=\|version=\)/\1/p' "$TOP/trainer/ARITHMETIC.md")
hash_of() { printf '%s\n' "$1" | sha256sum | cut -c1-64; }
if [ "$(hash_of "$example")" = "$one" ]; then pass "  with the digest of ARITHMETIC.md's example"; else fail "  not the example's digest: $one"; fi
if [ "$(hash_of "$(printf '%s' "$example" | sed s/exact-1/exact-2/)")" = "$two" ]; then
    pass "  and exact-2 with that of the other version"
else
    fail "  exact-2's digest is $two"
fi

# Names: the option and the manifests of exact-2 come to the same run, so that the arithmetic alone differs.
for recipe in msra quick; do
    for depth in 20 32 56 110; do
        expect 0 "$recipe $depth, its own manifest" train --dry-run --runs runs "$recipe/resnet$depth-exact-2.yaml"
        prints "^run:        runs/$recipe-resnet$depth-exact-2-seed1"
        cp stdout by_manifest
        expect 0 "  --arithmetic exact-2" train --dry-run --runs runs "$recipe/resnet$depth.yaml" --arithmetic exact-2
        same by_manifest stdout "  is the same run"
    done
done
expect 0 "and back" train --dry-run --runs runs msra/resnet20-exact-2.yaml --arithmetic exact
prints "^run:        runs/msra-resnet20-seed1"
prints "^arithmetic: exact-1"

# The same bits with any instruction set, any threads, and after a stop.
expect 0 "a run in exact-2" train tiny.yaml --arithmetic exact-2 --runs runs --threads 2
if [ -d runs/tiny-exact-2-seed1 ]; then pass "  is called so"; else fail "  no run of that name: $(ls runs)"; fi
expect 0 "on plain loops" train tiny.yaml --arithmetic exact-2 --runs scalar --threads 3 --isa scalar
expect 0 "  identical" compare runs/tiny-exact-2-seed1 scalar/tiny-exact-2-seed1
expect 0 "from its own manifest, in two sessions" train runs/tiny-exact-2-seed1/manifest.yaml --runs half --epochs 1
expect 0 "  the second" train runs/tiny-exact-2-seed1/manifest.yaml --runs half --resume --threads 1
expect 0 "  identical" compare runs/tiny-exact-2-seed1 half/tiny-exact-2-seed1
record=runs/tiny-exact-2-seed1/record.json
if grep -q '"version": "exact-2"' "$record"; then pass "the record says exact-2"; else fail "the record does not say exact-2"; fi
if grep -q '"COMPILER"' "$record" && ! grep -q '"DEVICE"' "$record"; then
    pass "  and claims no other device"
else
    fail "  and its claims are wrong"
fi

# exact-1 is another run, whose record claims other devices, and whose bits are not compared.
expect 0 "a run in exact-1" train tiny.yaml --runs runs
if grep -q '"DEVICE"' runs/tiny-seed1/record.json; then pass "  claims other devices"; else fail "  claims no other device"; fi
expect 2 "compare across them" compare runs/tiny-seed1 runs/tiny-exact-2-seed1
prints "not-comparable"
says "never give the same bits; compare the results with --tolerance validation_error=abs:X"
expect 0 "  with a tolerance" compare runs/tiny-seed1 runs/tiny-exact-2-seed1 --tolerance validation_error=abs:100
prints "^within-tolerance: "
expect 2 "the one on the other's folder" train tiny.yaml --runs runs --name tiny-exact-2-seed1 --resume
says "another experiment"

# Evaluation: the run's own arithmetic, or the one that was asked for.
expect 0 "an evaluation" eval --weights runs/tiny-exact-2-seed1/weights.safetensors
cp stdout own
expect 0 "in exact-2" eval --weights runs/tiny-exact-2-seed1/weights.safetensors --arithmetic exact-2 --isa scalar
same own stdout "  is the same"
expect 0 "in exact-1" eval --weights runs/tiny-exact-2-seed1/weights.safetensors --arithmetic exact-1

# Weights from elsewhere are evaluated in exact-1, so that error counts stay PyTorch's, unless exact-2 is asked for. An
# engine without exact-2 tells which one was meant; a build without that engine ends with 3.
cp runs/tiny-exact-2-seed1/weights.safetensors elsewhere.safetensors
asks_exact_2() { # "what" WANTED WORD...: whether eval says that the engine cuda does not compute exact-2
    what=$1 wanted=$2
    shift 2
    run eval --weights elsewhere.safetensors --engine cuda "$@"
    said=no
    ! grep -q "exact-2, which the engine cuda does not compute" stderr || said=yes
    if [ $said = "$wanted" ]; then pass "$what"; else fail "$what: exit $status"; fi
}
asks_exact_2 "weights from elsewhere: exact-1" no --manifest tiny.yaml
asks_exact_2 "  exact-2 by the option" yes --manifest tiny.yaml --arithmetic exact-2
asks_exact_2 "  exact-2 by the manifest" yes --manifest runs/tiny-exact-2-seed1/manifest.yaml
expect 0 "  evaluated" eval --weights elsewhere.safetensors --manifest tiny.yaml
cp stdout elsewhere
expect 0 "  as exact-1 does" eval --weights elsewhere.safetensors --manifest tiny.yaml --arithmetic exact-1
same elsewhere stdout "  the same"
for manifest in "$TOP"/experiments/akamaster/resnet*.yaml "$TOP"/experiments/pretrained/*.yaml; do
    expect 0 "$(basename "$manifest")" manifest "$manifest"
    prints '^arithmetic: exact$'
done

# Engines that do not have it; each remedy works.
for engine in cuda cudnn; do
    expect 2 "--engine $engine" train tiny.yaml --arithmetic exact-2 --engine $engine --runs runs --name refused
    says "the arithmetic is exact-2, which the engine $engine does not compute; pass --engine cpu, or choose another experiment with --arithmetic"
    expect 2 "  also in eval" eval --weights runs/tiny-exact-2-seed1/weights.safetensors --engine $engine
    says "the engine $engine does not compute"
    expect 2 "  and in bench" bench --arithmetic exact-2 --engine $engine --dry-run
    says "the engine $engine does not compute"
done
if [ -e runs/refused ]; then fail "  left a folder"; else pass "  and leaves no folder"; fi
expect 0 "--engine cpu" train tiny.yaml --arithmetic exact-2 --engine cpu --dry-run --runs runs --name refused
expect 2 "an unknown arithmetic" train tiny.yaml --arithmetic exact-3 --runs runs
says "exact|exact-1|exact-2|fast"
printf 'inherit: quick/resnet20.yaml\narithmetic: exact-3\n' > unknown.yaml
expect 2 "an unknown arithmetic of a manifest" manifest unknown.yaml
says "arithmetic: 'exact-3' is not one of exact|exact-1|exact-2|fast"
