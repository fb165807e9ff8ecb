# Many threads on one machine: threads that stay on their processors, the table of bench, and the bits of 64 threads,
# which few machines have processors for.

tiny
usable=$(nproc)
more=$((usable + 1))

# ---- --pin ----

expect 0 "threads on processors of their own" train tiny.yaml --threads 1 --pin --runs pinned
says "1 thread, pinned), into pinned/tiny-seed1"
expect 0 "and free ones" train tiny.yaml --threads 2 --runs free
expect 0 "  the bits are the same" compare pinned/tiny-seed1 free/tiny-seed1
prints '^identical'
if [ "$usable" -gt 1 ]; then
    expect 0 "as many as there are processors" train tiny.yaml --threads "$usable" --pin --runs all
    expect 0 "  the bits are the same" compare pinned/tiny-seed1 all/tiny-seed1
    prints '^identical'
fi
expect 3 "more threads than processors" train tiny.yaml --threads "$more" --pin --runs many
says "there are $more threads and only $usable processor"
command=$(sed -n "s/.*pass \(--threads [0-9]*\), or leave out --pin.*/\1/p" stderr)
# shellcheck disable=SC2086 # two words
expect 0 "  what it says to pass" train tiny.yaml $command --pin --runs many
# The processors of this process, not of the machine.
if command -v taskset > stdout; then
    one=$(taskset -pc $$ | sed 's/.*: \([0-9]*\).*/\1/')
    taskset -c "$one" "$SELFSAME" train tiny.yaml --threads 2 --pin --runs mask > stdout 2> stderr
    status=$?
    if [ $status -eq 3 ]; then pass "two threads on a mask of one: exit 3"; else fail "a mask of one: exit $status"; fi
    says "there are 2 threads and only 1 processor that"
fi
expect 2 "two runs at a time, pinned" train tiny.yaml quick/resnet20 --together 2 --pin --runs two
says "same processors"
# Ranks on one machine: mpirun gives each processors of its own, or they would share them.
if [ -f "$(dirname "$SELFSAME")/ranks/selfsame-mpi-openmpi.so" ] && command -v mpirun.openmpi > stdout &&
    [ "$usable" -gt 1 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    for binding in none core; do
        mpirun.openmpi --bind-to $binding -n 2 "$SELFSAME" train tiny.yaml --threads 1 --pin --runs "ranks-$binding" \
            > stdout 2> stderr
        status=$?
        case $binding in
        none) wanted=2 ;;
        core) wanted=0 ;;
        esac
        if [ "$status" -eq "$wanted" ]; then pass "ranks, bound to $binding"; else fail "ranks, $binding: $status"; fi
        [ $binding = core ] || says "have mpirun bind them, such as with --bind-to core"
    done
    expect 0 "  the bits are the same" compare pinned/tiny-seed1 ranks-core/tiny-seed1
    prints '^identical'
else
    echo "skipped: pinned ranks, since there is no Open MPI or one processor alone"
fi
expect 2 "two processes of sweep, pinned" sweep tiny.yaml --seeds 1-2 --jobs 2 --pin
says "same processors"
expect 0 "sweep passes it on" sweep tiny.yaml --seeds 3 --threads 1 --pin
log=runs/sweep-logs/tiny-seed3.log
if grep -q '1 thread, pinned' $log; then pass "  to the training"; else fail "  not to the training"; fi
expect 0 "doctor" doctor --threads 1 --pin
prints "1 thread used, each on a processor of its own"
prints "^exact: yes"
expect 2 "a soak" doctor --soak 1s --pin
says "leave out --pin"

# ---- bench ----

expect 0 "bench with several numbers of threads" bench --depth 8 --batch 8 --steps 3 --threads 1,2
prints '^threads  *step_ms'
prints '^ *1 .* 1\.00 .* 100 '
prints '^ *2 '
prints '^best   --threads [12]: .* ms a step'
prints '^bits   equal with every number of threads$'
expect 0 "a range, and JSON" bench --depth 8 --batch 8 --steps 2 --threads 1-3 --arithmetic exact-2 --format json
cp stdout scaling.json
if python3 - <<'PY'
import json
scaling = json.load(open("scaling.json"))["scaling"]
rows = scaling["rows"]
assert [row["threads"] for row in rows] == [1, 2, 3] and scaling["bits_agree"] is True
assert scaling["best_threads"] == min(rows, key=lambda row: row["step_ms"])["threads"]
for row in rows:
    assert abs(row["speed_up"] - rows[0]["step_ms"] / row["step_ms"]) < 1e-9
    assert abs(row["efficiency"] - row["speed_up"] / row["threads"]) < 1e-9
    assert abs(row["images_per_s"] - 8e3 / row["step_ms"]) < 1e-6 * row["images_per_s"]
PY
then pass "  its numbers agree"; else fail "  its numbers do not agree"; fi
expect 0 "more threads than processors" bench --depth 8 --batch 8 --steps 1 --threads "1,$more"
prints " oversubscribed"
expect 3 "  not pinned" bench --depth 8 --batch 8 --steps 1 --threads "1,$more" --pin
says "only $usable processor"
for threads in 0 1,,2 1,1 1025 two 3-1; do
    expect 2 "--threads $threads" bench --depth 8 --threads "$threads"
    says '^selfsame bench: --threads '
done
for other in --dry-run --in-turn "--against selfsame"; do
    # shellcheck disable=SC2086 # two words
    expect 2 "several numbers and $other" bench --threads 1,2 $other
    says "takes one number of threads"
done
expect 2 "several numbers, elsewhere" train tiny.yaml --threads 1,2
says "threads"

# ---- 64 threads ----

tiny 'steps: 3, batch_size: 128, schedule: {drop_epochs: []}'
for arithmetic in exact-1 exact-2; do
    name=tiny-seed1
    [ $arithmetic = exact-1 ] || name=tiny-exact-2-seed1
    expect 0 "$arithmetic with one thread" train tiny.yaml --arithmetic $arithmetic --threads 1 --runs one
    expect 0 "$arithmetic with 64 threads" train tiny.yaml --arithmetic $arithmetic --threads 64 --runs sixty-four
    says "64 threads"
    expect 0 "  the same run" compare "one/$name" "sixty-four/$name"
    prints '^identical'
done

# ---- what a step pays for its threads ----

barriers=$(dirname "$SELFSAME")/check/tools/barriers
if [ -x "$barriers" ]; then
    # The page's table: depth, and passes a step.
    for depth in 20 32; do
        passes=$(sed -n "s/^| $depth | \([0-9]*\) .*/\1/p" "$TOP/trainer/cpu/THREADS.md")
        for arithmetic in exact-1 exact-2; do
            if "$barriers" depth=$depth batch=4 steps=1 arithmetic=$arithmetic > stdout 2> stderr &&
                grep -q "^passes    $passes a step$" stdout; then
                pass "depth $depth in $arithmetic: $passes passes a step"
            else
                fail "depth $depth in $arithmetic: not $passes passes a step"
            fi
        done
    done
else
    echo "skipped: passes a step, since check/tools/barriers is not built"
fi
