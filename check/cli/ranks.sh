# Ranks started by a real mpirun give the bits of one process; a rank that is killed ends the run, which goes on with another number of ranks. In
# make check a few of each; RANKS=all, in make check-ci, tries every combination and twenty kills. check/unit/test_shares has all numbers of ranks
# without MPI.

folder=$(dirname "$SELFSAME")/ranks
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# of_kind WORD COMMAND...: the first of the commands that says WORD of itself.
of_kind() {
    word=$1
    shift
    for program in "$@"; do
        if "$program" --version 2> /dev/null | grep -q "$word"; then echo "$program"; return; fi
    done
}
openmpi='' mpich=''
[ ! -f "$folder/selfsame-mpi-openmpi.so" ] || openmpi=$(of_kind 'Open MPI\|OpenRTE' mpirun.openmpi mpirun)
[ ! -f "$folder/selfsame-mpi-mpich.so" ] || mpich=$(of_kind HYDRA mpirun.mpich mpiexec.hydra mpirun)
kinds="${openmpi:+openmpi} ${mpich:+mpich}"

# Without a launcher: what the program says where one started it, but the rest is missing.
cp "$SELFSAME" alone # a program without its modules
for word in OMPI_COMM_WORLD_SIZE PMI_SIZE; do
    env "$word=2" ./alone train quick/resnet20 --dry-run > stdout 2> stderr
    if [ $? -eq 3 ]; then pass "$word=2 without the module: exit 3"; else fail "$word=2 without the module: another exit"; fi
    says "a launcher started 2 processes of this program for .*cannot be opened: .*selfsame-mpi-.*so.*Debian: lib.*-dev), or start one process"
    SELFSAME_MPI_MODULE=$PWD/nothing.so; export SELFSAME_MPI_MODULE
    env "$word=2" ./alone train quick/resnet20 --dry-run > stdout 2> stderr
    if [ $? -eq 3 ]; then pass "  a module that is not there: exit 3"; else fail "  a module that is not there: another exit"; fi
    says "the module that SELFSAME_MPI_MODULE names cannot be opened: .*nothing.so"
    unset SELFSAME_MPI_MODULE
    env "$word=1" ./alone train quick/resnet20 --dry-run > stdout 2> stderr
    if [ $? -eq 0 ]; then pass "  one process needs none"; else fail "  one process is refused"; fi
done
SLURM_STEP_NUM_TASKS=2 ./alone train quick/resnet20 --dry-run > stdout 2> stderr
if [ $? -eq 3 ]; then pass "srun without MPI: exit 3"; else fail "srun without MPI: another exit"; fi
says "srun started 2 tasks of this program without MPI; pass srun --mpi=pmix"

if [ -z "${kinds# }" ]; then echo "skipped the rest: no MPI library here"; return; fi

# launch KIND RANKS WORD...: runs the program with so many ranks; its exit status is in $status.
launcher() {
    case $1 in
    openmpi) echo "$openmpi --oversubscribe -n" ;;
    mpich) echo "$mpich -n" ;;
    esac
}
launch() {
    start=$(launcher "$1") count=$2
    shift 2
    # shellcheck disable=SC2086 # a command and its words
    timeout 300 $start "$count" "$SELFSAME" "$@" > stdout 2> stderr < /dev/null
    status=$?
}
launched() {
    wanted=$1 what="$2: $3, $4 ranks"
    shift 2
    launch "$@"
    if [ "$status" -eq "$wanted" ]; then pass "$what: exit $wanted"; else fail "$what: exit $status, expected $wanted"; fi
}
# once PATTERN: one rank alone says it.
once() {
    if [ "$(grep -c "$1" stderr)" -eq 1 ]; then pass "  says once: $1"; else fail "  does not say once: $1"; fi
}

small() {
    cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
dataset: {training_images: 128, test_images: 40, train_sha256: 37736b71b411efb152b3fa89efe2eb21ae0cd542b0a4398937e3a295ec0cb428, test_sha256: any}
model: {depth: 8}
training: {$1}
targets: []
YAML
}

# ---- bits --------------------------------------------------------------------------------------------------------------

small 'steps: 2, batch_size: 128, schedule: {drop_epochs: []}'
# A batch of 128 images has 8 units in exact-2, 32 in exact-1.
combinations='2,1,exact-1 3,2,exact-2'
[ "${RANKS:-}" != all ] || combinations=$(for ranks in 2 3 5 8; do for threads in 1 2; do for bits in exact-1 exact-2; do echo "$ranks,$threads,$bits"; done; done; done)
for bits in exact-1 exact-2; do
    expect 0 "one process in $bits" train tiny.yaml --arithmetic "$bits" --runs one --name "$bits"
    grep -q RANKS one/$bits/record.json && fail "  its record claims RANKS"
done
for kind in $kinds; do
    for combination in $combinations; do
        ranks=${combination%%,*} bits=${combination##*,} threads=${combination#*,}
        threads=${threads%,*} run=$kind/$bits-$ranks-$threads
        launched 0 "$bits, $threads threads" "$kind" "$ranks" train tiny.yaml --arithmetic "$bits" --threads "$threads" --runs "$kind" --name "${run##*/}"
        for file in ledger.txt weights.safetensors; do same "one/$bits/$file" "$run/$file" "  the same $file"; done
        run compare "one/$bits" "$run"
        prints identical
    done
    if grep -q '"RANKS"' "$run/record.json"; then pass "  the record claims RANKS"; else fail "  the record does not claim RANKS"; fi
    if grep -q "\"ranks\": $ranks,\$" "$run/record.json" &&
        grep -q "\"ranks_description\": \"$ranks ranks by .*MPI.* 0 to $((ranks - 1)) on $(uname -n)\"" "$run/record.json" &&
        grep -q "\"description\": \".*, $ranks ranks of $threads thread" "$run/record.json"; then
        pass "  and names ranks and hosts"
    else
        fail "  but names no ranks and hosts"
    fi
    expect 0 "  the record is whole" check "$run"
done

known_isas
for fastest in $isas; do
    run bench --isa "$fastest" --steps 1 --batch 1 --depth 8
    [ "$status" -ne 0 ] || break
done

# ---- what is refused ---------------------------------------------------------------------------------------------------

for kind in $kinds; do
    launched 2 "a run that is finished" "$kind" 2 train tiny.yaml --runs one --name exact-1
    once "the run one/exact-1 is finished"
    launched 2 "more ranks than units" "$kind" 9 train tiny.yaml --arithmetic exact-2 --runs refused
    once "9 ranks are too many: a batch of 128 images has 8 units of 16 images in this arithmetic.*start at most 8 ranks"
    launched 2 "several runs at a time" "$kind" 2 train tiny.yaml tiny.yaml --together 2 --runs refused
    once "ranks train one run at a time"
    # Each rank finds another manifest, or the same with other test images.
    for change in 's/^model:.*/model: {depth: 14}/' 's/test_images: 40/test_images: 41/'; do
        mkdir -p own/0 own/1
        cp tiny.yaml own/0
        sed "$change" tiny.yaml > own/1/tiny.yaml
        timeout 300 $(launcher "$kind") 2 sh -c 'cd own/${OMPI_COMM_WORLD_RANK:-$PMI_RANK} && exec "$0" "$@"' \
            "$SELFSAME" train tiny.yaml --runs ../../refused > stdout 2> stderr < /dev/null
        if [ $? -eq 2 ]; then pass "$kind, $change on rank 1: exit 2"; else fail "$kind, $change on rank 1: another exit"; fi
        once "rank 1 on .* has other images than rank 0 on\|rank 1 on .* has another manifest or other options than rank 0 on"
    done
    # Rank 0 has the scalar reference, rank 1 the fastest set of this processor.
    if [ "$fastest" != scalar ]; then
        timeout 300 $(launcher "$kind") 2 sh -c \
            '[ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" != 0 ] || export SELFSAME_ISA=scalar; exec "$0" "$@"' \
            "$SELFSAME" train tiny.yaml --runs refused > stdout 2> stderr < /dev/null
        if [ $? -eq 2 ]; then pass "$kind, two instruction sets: exit 2"; else fail "$kind, two instruction sets: another exit"; fi
        once "rank 1 on .* has another instruction set than rank 0 on .*; give all of them one that every host has, with --isa"
        launched 0 "  with --isa" "$kind" 2 train tiny.yaml --runs "$kind" --name isa --isa "$fastest"
        same one/exact-1/ledger.txt "$kind/isa/ledger.txt" "  the same ledger"
    else
        echo "skipped: two instruction sets, since this processor has one"
    fi
    [ ! -d refused ] || fail "what was refused left a folder"
done
imitation=$(dirname "$SELFSAME")/check/selfsame_on_host # has the engine cuda on every machine
if [ -x "$imitation" ]; then
    timeout 300 $(launcher "$kind") 2 "$imitation" train tiny.yaml --engine cuda --runs refused > stdout 2> stderr < /dev/null
    if [ $? -eq 2 ]; then pass "the engine cuda: exit 2"; else fail "the engine cuda: another exit"; fi
    once "2 ranks were started, but the engine cuda computes in one process; start one process, or pass --engine cpu"
fi
kind=${kinds% *} kind=${kind# }
[ -n "$kind" ] || kind=${kinds# }
for kind_of_after in $kinds; do # what --after starts is no rank
    launched 0 "--after" "$kind_of_after" 2 train tiny.yaml --runs after --name "$kind_of_after" --epochs 1 \
        --after "env > after.variables; '$SELFSAME' train tiny.yaml --dry-run > after.plan; true"
    if grep -q '^\(OMPI_COMM\|PMI\)' after.variables; then fail "  its command got the launcher's variables"; else pass "  its command gets none of the launcher's variables"; fi
    if grep -q '^experiment:' after.plan && ! grep -q '^ranks:' after.plan; then pass "  and may be selfsame"; else fail "  and cannot be selfsame"; fi
done
run status --runs after "$kind"
prints "^  2 ranks by .*MPI.* on "
launch "$kind" 2 train quick/resnet20 --dry-run
prints "^ranks:  *2 ranks by .*MPI.* on "
if [ "$(grep -c '^experiment:' stdout)" -eq 1 ]; then pass "--dry-run: one rank prints"; else fail "--dry-run: not one rank prints"; fi
launch "$kind" 2 bench --depth 8 --batch 8 --steps 1 --threads 1
prints "^exchanged  *17 times a step; each rank gets .* KiB a step"

# ---- stopped, killed, resumed ------------------------------------------------------------------------------------------

# in_background KIND RANKS WORD...: as launch; the launcher's number is in $process.
in_background() {
    start=$(launcher "$1") count=$2
    shift 2
    $start "$count" "$SELFSAME" "$@" > stdout 2> stderr < /dev/null &
    process=$!
}
# Ranks of this test: processes of the program whose folder is this one.
our_ranks() {
    for one in $(pgrep -x selfsame); do
        [ "$(readlink "/proc/$one/cwd")" != "$PWD" ] || echo "$one"
    done
}
# gone "what": the launcher has ended within 30 seconds, and no rank is left.
gone() {
    turns=0
    while kill -0 "$process" 2> /dev/null && [ "$turns" -lt 300 ]; do
        sleep 0.1
        turns=$((turns + 1))
    done
    wait "$process" 2> /dev/null
    for turn in 1 2 3 4 5 6 7 8 9 10; do
        [ -n "$(our_ranks)" ] || break
        sleep 0.2
    done
    if [ "$turns" -lt 300 ] && [ -z "$(our_ranks)" ]; then return; fi
    fail "$1: ranks are left"
    # shellcheck disable=SC2046 # numbers
    kill -9 "$process" $(our_ranks) 2> /dev/null
}
litter() { find "$1" -name '*.tmp*' -o -name '.*.??????' -o -name 'core*'; }

# Long enough that the launcher has told the ranks to stop before they are done: Open MPI's takes a second or two.
small 'epochs: 30, batch_size: 32, schedule: {drop_epochs: [17]}'
expect 0 "one process, thirty epochs" train tiny.yaml --runs whole
for kind in $kinds; do
    # Open MPI kills the ranks a second after it told them to stop, but a step may take longer on a busy machine.
    OMPI_MCA_odls_base_sigkill_timeout=5
    export OMPI_MCA_odls_base_sigkill_timeout
    in_background "$kind" 3 train tiny.yaml --runs "stopped-$kind" --threads 1
    unset OMPI_MCA_odls_base_sigkill_timeout
    grows "$process" "stopped-$kind/tiny-seed1/ledger.txt" 5
    kill -TERM "$process"
    gone "SIGTERM to $kind's launcher"
    says "to go on, with any number of ranks: .* --resume"
    says "stopped on request after step"
    if grep -q '"state": "interrupted"' "stopped-$kind/tiny-seed1/record.json"; then pass "  stopped with a checkpoint"; else fail "  not stopped with a checkpoint"; fi
    launched 0 "resumed for some epochs with fewer ranks" "$kind" 2 train tiny.yaml --runs "stopped-$kind" --resume --threads 1 --epochs 24
    expect 0 "resumed to its end in one process" train tiny.yaml --runs "stopped-$kind" --resume
    for file in ledger.txt weights.safetensors; do same "whole/tiny-seed1/$file" "stopped-$kind/tiny-seed1/$file" "  the same $file"; done
    if grep -q '"RANKS"' "stopped-$kind/tiny-seed1/record.json"; then pass "  the record still claims RANKS"; else fail "  the record forgot RANKS"; fi
done

wanted=2
[ "${RANKS:-}" != all ] || wanted=20
kills=0 tries=0
while [ "$kills" -lt "$wanted" ] && [ "$tries" -lt 80 ]; do
    tries=$((tries + 1))
    # shellcheck disable=SC2086 # words
    set -- $kinds
    shift $((tries % $#))
    ranks=$((2 + tries % 3))
    in_background "$1" "$ranks" train tiny.yaml --runs killed --resume --threads 1
    sleep "$(awk -v seed="$$$tries" 'BEGIN { srand(seed); printf "%.3f", 0.3 + 1.7 * rand() }')"
    victim=$(our_ranks | awk -v seed="$$$tries" 'BEGIN { srand(seed) } { line[NR] = $0 } END { if (NR > 0) print line[1 + int(rand() * NR)] }')
    if [ -n "$victim" ] && kill -9 "$victim" 2> /dev/null; then kills=$((kills + 1)); fi
    gone "kill $kills of a rank"
    if grep -q '"state": "finished"' killed/tiny-seed1/record.json 2> /dev/null; then
        same whole/tiny-seed1/weights.safetensors killed/tiny-seed1/weights.safetensors "  finished with the same weights after $kills kills"
        rm -rf killed
    fi
done
if [ "$kills" -eq "$wanted" ]; then pass "$kills ranks were killed at random instants"; else fail "only $kills ranks were killed in $tries tries"; fi
run train tiny.yaml --runs killed --resume
if [ "$status" -eq 0 ] || grep -q "is finished" stderr; then pass "resumed to its end"; else fail "not resumed: exit $status"; fi
for file in ledger.txt weights.safetensors; do same "whole/tiny-seed1/$file" "killed/tiny-seed1/$file" "  the same $file"; done
if [ -z "$(litter killed)" ]; then pass "  nothing half-written is left"; else fail "  half-written files are left: $(litter killed)"; fi
