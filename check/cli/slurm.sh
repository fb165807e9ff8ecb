# sweep --slurm on Debian's Slurm: a controller and two nodes on this machine, one of which dies in the middle of an
# array. Everything of Slurm is in this test's folder. Part of `make check-ci`.
needs munged slurmctld slurmd sbatch squeue scontrol scancel python3

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
model: {depth: 8}
training: {steps: 100, batch_size: 16, schedule: {drop_epochs: []}}
targets: []
YAML

# ---- Slurm ----

host=$(hostname -s)
ports=$(python3 -c 'import socket
sockets = [socket.socket() for _ in range(3)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in sockets])')
# shellcheck disable=SC2086 # three words
set -- $ports
mkdir state a b
mkdir -m 700 munge
head -c 64 /dev/urandom > munge/key
chmod 600 munge/key
cat > slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$1
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$PWD/munge/socket
StateSaveLocation=$PWD/state
SlurmctldPidFile=$PWD/slurmctld.pid
SlurmdPidFile=$PWD/slurmd-%n.pid
SlurmdSpoolDir=$PWD/%n
SlurmctldLogFile=$PWD/slurmctld.log
SlurmdLogFile=$PWD/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmdTimeout=5
KillWait=20
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=a NodeHostname=$host NodeAddr=127.0.0.1 Port=$2 CPUs=1
NodeName=b NodeHostname=$host NodeAddr=127.0.0.1 Port=$3 CPUs=1
PartitionName=all Nodes=a,b Default=YES
CONF
export SLURM_CONF="$PWD/slurm.conf"
daemons=
# shellcheck disable=SC2046,SC2086 # lists of processes
stop_slurm() {
    kill -9 $daemons $(of_slurm) 2> /dev/null
    wait
}
# The processes of this Slurm's jobs (each has our SLURM_CONF), and Slurm's own above them; of_slurm b: on node b.
of_slurm() {
    for environment in /proc/[0-9]*/environ; do
        process=${environment#/proc/}
        process=${process%/environ}
        { [ "$process" != $$ ] && tr '\0' '\n' < "$environment" > variables; } 2> /dev/null || continue
        if grep -q -x "SLURM_CONF=$SLURM_CONF" variables && grep -q -x "SLURMD_NODENAME=${1:-[ab]}" variables; then
            echo "$process"
            parent=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status" 2> /dev/null)
            [ "$(cat "/proc/$parent/comm" 2> /dev/null)" != slurmstepd ] || echo "$parent"
        fi
    done
}
trap stop_slurm EXIT
munged --foreground --force --key-file="$PWD/munge/key" --socket="$PWD/munge/socket" --pid-file="$PWD/munge/pid" \
    --seed-file="$PWD/munge/seed" > munge/log 2>&1 &
daemons=$!
slurmctld -D > slurmctld.out 2>&1 &
daemons="$daemons $!"
slurmd -D -N a > a.out 2>&1 &
daemons="$daemons $!"
slurmd -D -N b > b.out 2>&1 &
node_b=$!
daemons="$daemons $node_b"
for i in $(seq 100); do
    [ "$(sinfo -h -t idle -o %D 2> /dev/null)" != 2 ] || break
    sleep 0.2
done
if [ "$(sinfo -h -t idle -o %D 2> stderr)" = 2 ]; then
    pass "two nodes are idle"
else
    tail -n 5 slurmctld.out a.out b.out munge/log
    fail "Slurm does not start"
    finish
fi

# ---- ranks on two nodes ----

sed 's/steps: 100/steps: 2/' tiny.yaml > short.yaml
run train short.yaml --runs alone
srun -N2 -n2 "$SELFSAME" train short.yaml --runs ranks > stdout 2> stderr
if [ $? -eq 3 ]; then pass "srun without MPI: exit 3"; else fail "srun without MPI: another exit"; fi
says "srun started 2 tasks of this program without MPI; pass srun --mpi=pmix for Open MPI or --mpi=pmi2 for MPICH"
if [ -f "$(dirname "$SELFSAME")/ranks/selfsame-mpi-mpich.so" ]; then
    srun -N2 -n2 --mpi=pmi2 "$SELFSAME" train short.yaml --runs ranks > stdout 2> stderr
    if [ $? -eq 0 ]; then pass "srun --mpi=pmi2 for MPICH: exit 0"; else fail "srun --mpi=pmi2 for MPICH: another exit"; fi
    same alone/tiny-seed1/ledger.txt ranks/tiny-seed1/ledger.txt "  the same ledger"
    if grep -q '"ranks": 2,$' ranks/tiny-seed1/record.json; then pass "  the record names two ranks"; else fail "  the record does not name two ranks"; fi
fi
srun -n1 "$SELFSAME" train short.yaml --runs single > stdout 2> stderr
same alone/tiny-seed1/ledger.txt single/tiny-seed1/ledger.txt "srun with one task: the same ledger"

# until_ended SECONDS: until no job is left. Slurm starts a task again two minutes after it put it back into the queue;
# that wait is left out.
until_ended() {
    for i in $(seq "$1"); do
        [ -n "$(squeue -h)" ] || { pass "  the array ends"; return; }
        for again in $(squeue -h -r -t pending -o '%i %r' | sed -n 's/ BeginTime$//p'); do
            scontrol update JobId="$again" StartTime=now
        done
        sleep 1
    done
    squeue > stdout
    fail "  jobs are left after $1 s"
}
# trained RUNS "PROCESSES:STEPS ..." SEED...
trained() {
    runs=$1 wanted=$2
    shift 2
    got=$(for seed in "$@"; do
        printf '%s:' "$(sed -n 's/.*"sessions": \([0-9]*\).*/\1/p' "$runs/tiny-seed$seed/record.json")"
        printf '%s ' "$(grep -c '^ *[0-9]' "$runs/tiny-seed$seed/ledger.txt")"
    done)
    if [ "$got" = "$wanted " ]; then
        pass "  processes and steps of each run: $wanted"
    else
        fail "  processes and steps of each run: $got, expected $wanted"
    fi
}
# job_of: the number of the job that sweep printed.
job_of() { sed -n 's/^job:     \([0-9]*\), .*/\1/p' stdout; }
# steps_in FILE COUNT: until a ledger has more than so many lines.
steps_in() {
    for i in $(seq 600); do
        if [ -s "$1" ] && [ "$(wc -l < "$1")" -gt "$2" ]; then return; fi
        sleep 0.1
    done
    fail "$1 does not get $2 lines"
}

# ---- an array, and a node that dies ----

expect 3 "a partition that is not there" sweep tiny.yaml --seeds 1-5 --slurm -- --cpus-per-task=1 --partition=nowhere
says "sbatch did not take the array (exit status 1)"
expect 0 "five runs as an array" sweep tiny.yaml --seeds 1-5 --slurm -- --cpus-per-task=1
prints "^job:     [0-9]*, an array of 5 tasks$"
prints "^summary: .*selfsame sweep tiny.yaml --seeds 1-5 --summary$"
job=$(job_of)
summary=$(sed -n 's/^summary: //p' stdout)
for i in $(seq 100); do
    seed=$(squeue -h -t running -w b -o %K)
    [ -z "$seed" ] || break
    sleep 0.1
done
steps_in "runs/tiny-seed$seed/ledger.txt" 10
# The second line of what sweep prints under "follow:".
expect 0 "status while the array is at work" status --runs runs
prints "^tiny-seed$seed: running"
# All that runs on the node ends at once, as in a power cut.
# shellcheck disable=SC2046 # a list of processes
kill -9 $node_b $(of_slurm b)
pass "node b dies in the middle of task $seed"
eval "$summary" > stdout 2> stderr
prints "^tiny-seed$seed  *stopped "
# The same command while the array is at work: what runs twice at a time refuses, and what is finished is left alone.
expect 0 "the array a second time, in the meantime" sweep tiny.yaml --seeds 1-5 --slurm -- --cpus-per-task=1
second=$(job_of)
until_ended 180
eval "$summary" > stdout 2> stderr
prints '^tiny  *exact-1  *5  *5 '
trained runs "$(echo 1:100 1:100 1:100 1:100 1:100 | awk -v task="$seed" '{ $task = "2:100"; print }')" 1 2 3 4 5
"$SELFSAME" train tiny.yaml --seed "$seed" --runs alone > stdout 2> stderr
expect 0 "the run of the dead node, and one alone" compare "runs/tiny-seed$seed" "alone/tiny-seed$seed"
prints '^identical'
if cat runs/sweep-logs/slurm-"$second"_*.log | grep -q 'is in use by\|is finished'; then
    pass "a doubled task refuses, or finds its run finished"
else
    fail "no doubled task refuses"
fi
if grep -q "into runs/tiny-seed$seed" "runs/sweep-logs/slurm-${job}_$seed.log"; then
    pass "the output is in sweep-logs"
else
    fail "no output is in sweep-logs"
fi
expect 0 "the same command again" sweep tiny.yaml --seeds 1-5 --slurm -- --cpus-per-task=1
says "nothing is left to do: 5 of 5 runs are finished"

# ---- requeue and scancel ----

expect 0 "one more" sweep tiny.yaml --seeds 6 --slurm -- --cpus-per-task=1
job=$(job_of)
steps_in runs/tiny-seed6/ledger.txt 10
scontrol requeue "$job" > stdout 2> stderr || fail "scontrol requeue"
until_ended 120
trained runs 2:100 6
expect 0 "and one" sweep tiny.yaml --seeds 7 --slurm -- --cpus-per-task=1
steps_in runs/tiny-seed7/ledger.txt 10
scancel "$(job_of)"
until_ended 60
if grep -q 'to go on: ' runs/sweep-logs/slurm-"$(job_of)"_1.log; then
    pass "scancel stops it with a checkpoint"
else
    fail "scancel does not stop it with a checkpoint"
fi
expect 0 "the same command goes on" sweep tiny.yaml --seeds 7 --slurm -- --cpus-per-task=1
until_ended 120
trained runs 2:100 7

# ---- a site's own template: modules, variables and a container ----

# What a copy of the template may have before its last line, and in it. Here the container is a program that notes what
# it was given and runs it.
cat > container <<'SH'
#!/bin/sh
printf '%s\n' "$SITE_MODULE $*" >> "$SITE_LOG"
[ "$1" = exec ] && shift 2
exec "$@"
SH
chmod 755 container
sed -e "s|^cd |module() { SITE_MODULE=\"\$*\"; export SITE_MODULE; }\nmodule load selfsame\nexport SITE_LOG='$PWD/site'\ncd |" \
    -e "s|^exec |exec '$PWD/container' exec image.sif |" "$TOP/experiments/sweep.sbatch" > site.sbatch
expect 0 "two runs by a site's template" sweep tiny.yaml --seeds 8-9 --slurm --template site.sbatch -- --cpus-per-task=1
until_ended 180
trained runs "1:100 1:100" 8 9
if [ "$(grep -c '^load selfsame exec image.sif .* --task [12]$' site)" -eq 2 ]; then
    pass "  each task in the container, with the module"
else
    fail "  not each task in the container"
    cat site
fi
expect 0 "the summary at the end" sweep tiny.yaml --seeds 1-9 --summary --format json
cp stdout summary.json
if python3 - <<'PY'
import json, statistics
rows = json.load(open("summary.json"))
files = ["runs/tiny-seed%d/metrics.jsonl" % seed for seed in range(1, 10)]
errors = [json.loads(list(open(file))[-1])["validation_error"] for file in files]
assert len(rows) == 1 and rows[0]["runs"] == rows[0]["finished"] == 9
assert abs(rows[0]["mean"] - statistics.mean(errors)) < 0.006 and abs(rows[0]["sd"] - statistics.stdev(errors)) < 0.0006
PY
then pass "  its mean and deviation are those of the records"; else fail "  its numbers are not those of the records"; fi
