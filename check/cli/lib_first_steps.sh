# Sourced by first_steps.sh and builds.sh: a program's first steps against the published ledgers.

# steps DEPTH STEPS: a manifest of so many steps; the length moves no bit of them. Ten test images: here the training counts.
# A DEPTH is 20, or in exact-2 20-exact-2.
steps() {
    cat > "steps-$1-$2.yaml" <<YAML
inherit: quick/resnet$1.yaml
name: steps-$1-$2
dataset: {test_images: 10, test_sha256: any}
training: {steps: $2, schedule: {drop_epochs: []}}
YAML
}

# check_ledger PROGRAM DEPTH STEPS ISA THREADS LABEL
check_ledger() {
    steps "$2" "$3"
    if ! "$1" train "steps-$2-$3.yaml" --isa "$4" --threads "$5" --runs runs --name steps > stdout 2> stderr; then
        fail "$6: depth $2, $4, $5 threads: training failed"
        return
    fi
    gzip -dc "$TOP/results/published/quick/quick-resnet$2-seed1/ledger.txt.gz" | head -n $(($3 + 1)) > published
    if cmp -s published runs/steps/ledger.txt; then
        pass "$6: depth $2, $4, $5 threads: the published first $3 steps"
    else
        fail "$6: depth $2, $4, $5 threads: not the published first $3 steps"
    fi
    rm -rf runs
}

# The vector engines that this build and processor have. Exit 3 is a processor without; anything else is no reason to skip one.
vectors=
known_isas
for isa in $isas; do
    case $isa in scalar | avx) continue ;; esac
    run bench --isa "$isa" --steps 1 --batch 1 --depth 8
    case $status in
    0) vectors="$vectors $isa" ;;
    3) echo "skipped: no $isa here" ;;
    *) fail "bench --isa $isa: exit $status" ;;
    esac
done

# check_build PROGRAM LABEL DEPTH...: the first steps with two threads
check_build() {
    program=$1 label=$2
    shift 2
    for depth in "$@"; do
        for isa in $vectors; do check_ledger "$program" "$depth" 3 "$isa" 2 "$label"; done
        check_ledger "$program" "$depth" 1 scalar 2 "$label"
    done
}
