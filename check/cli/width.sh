# What people read fits in 80 columns, in a pipe and on a terminal of that width, however long the usual names and paths
# are. Only what cannot be cut goes beyond: a path, a URL or a digest, with its label before it.
needs python3

long=an-ordinary-name-of-an-experiment-with-a-warm-up
cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: $long
dataset: {training_images: 144, test_images: 24, train_sha256: e95904a9cab21c9133f410b213b10aa9508ec82f95f7cbbb0a52e36643303924, test_sha256: any}
model: {depth: 8}
training: {epochs: 2, batch_size: 72, schedule: {drop_epochs: [1]}}
targets: [{metric: final_error, value: 90, tolerance: 100, source: "a page with a long title, in its second table"}]
YAML
runs=$PWD/runs/of-a-student/of-the-second-year
mkdir -p "$runs"
for seed in 1 2; do "$SELFSAME" train tiny.yaml --runs "$runs" --seed $seed > trained$seed 2> stderr || fail "a run"; done
run=$runs/$long-seed1 other=$runs/$long-seed2
"$SELFSAME" train tiny.yaml --runs "$runs" --arithmetic exact-2 --epochs 1 > trained 2> stderr || fail "a run in exact-2"
"$SELFSAME" key new mine > stdout && "$SELFSAME" attest "$run" --key mine.pem > stdout || fail "a statement"
python3 - "$run/weights.safetensors" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
length, = struct.unpack_from("<Q", data)
header = json.loads(data[8:8 + length])
header["__metadata__"] = {"a note on these weights": "they were trained on a machine that has since been given away, " * 3}
prefix = "module.feature_extractor."
text = json.dumps({name if name[0] == "_" else prefix + name: entry for name, entry in header.items()}).encode()
open("prefixed.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data[8 + length:])
PY

# The widest lines of a command, on a pipe and on a terminal. A line is at most 80 columns wide, or ends with a path, a
# URL or a digest that begins within 32 of them.
cat > widths.py <<'PY'
import fcntl, os, re, struct, subprocess, sys, termios

def on_terminal(words):
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.DEVNULL)
    os.close(slave)
    text = b""
    try:
        while more := os.read(master, 65536):
            text += more
    except OSError: # the terminal's other end is closed
        pass
    return process.wait(), text

def on_pipe(words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.returncode, done.stdout

def may_be_wide(line):
    word = line.split()[-1].rstrip(":,;.")
    return ("/" in word or re.search("[0-9a-f]{64}", word)) and line.rstrip(":,;.").rfind(word) <= 32

status = 0
for run in on_pipe, on_terminal:
    code, text = run(sys.argv[2:])
    lines = text.decode().splitlines()
    if code != int(sys.argv[1]) or not lines:
        sys.exit(f"{run.__name__}: exit {code}, {len(lines)} lines")
    for line in lines:
        if len(line) > 80 and not may_be_wide(line):
            print(f"{run.__name__}: {len(line)} columns: {line}")
            status = 1
sys.exit(status)
PY
# fits STATUS WORD...
fits() {
    wanted=$1
    shift
    if python3 widths.py "$wanted" "$SELFSAME" "$@" > stdout 2> stderr; then pass "$*"; else fail "$*"; fi
}

if awk 'length > 80 && !/^record:/ { exit 1 }' trained1; then pass "train"; else fail "train is wider"; fi
fits 0 train tiny.yaml --dry-run --runs "$runs"
fits 0 train msra/resnet110.yaml msra/resnet56.yaml --dry-run --arithmetic exact-2 --engine cpu
fits 0 inspect "$run/weights.safetensors"
fits 0 inspect prefixed.safetensors
fits 0 inspect "$run/weights.safetensors" --rename conv1=a-name-that-has-no-place-in-such-a-network
fits 0 bench --depth 110 --dry-run
fits 0 bench tiny.yaml --depth 20 --steps 1 --batch 4
fits 0 bench tiny.yaml --threads 1,2 --steps 1 --batch 4
fits 0 bench tiny.yaml --steps 1 --batch 4 --against "$SELFSAME --threads 1"
fits 0 eval --weights "$run/weights.safetensors" --per-class --against "$other/weights.safetensors"
fits 1 compare "$run" "$other"
fits 1 compare "$run" "$other" --all
fits 2 compare "$run" "$other" "$runs/$long-exact-2-seed1"
fits 2 compare "$run" "$runs/$long-exact-2-seed1"
fits 0 compare published/msra-resnet20-seed1 published/msra-resnet20-seed1 --all
fits 0 compare "$run" "$other" vs "$other" "$run" --statistics --points 1
fits 0 targets "$run" "$other"
fits 0 targets "$run" --by tiny.yaml
fits 0 runs --runs "$runs"
fits 0 runs --runs "$runs" --group seed
fits 0 table "$run" "$other"
fits 0 status --runs "$runs"
fits 0 check "$run"
fits 0 verify "$run" --signatures --key mine.pub.pem
fits 0 verify "$run" --sample 1 --beacon "a text that the auditor has chosen"
"$SELFSAME" trace "$run" --step 1 --out first.trace > stdout && "$SELFSAME" trace "$other" --step 1 --out second.trace > stdout || fail "traces"
fits 0 trace "$run" --step 1 --out first.trace --force
fits 1 compare first.trace second.trace
fits 0 convert "$run/weights.safetensors" weights.pth --force
fits 0 experiments
fits 0 sweep tiny.yaml --seeds 1-3 --dry-run --runs "$runs"
fits 0 sweep tiny.yaml --seeds 1-2 --summary --runs "$runs"
fits 0 seeds --points 0.5 --sd 0.2
fits 0 new recipe.yaml --recipe msra --depth 20 --force
fits 0 tag "$run" a-tag
fits 0 doctor --soak 1s
fits 0 manifest --schema
fits 0 --version
for command in $("$SELFSAME" help --words commands); do
    "$SELFSAME" "$command" --help | sed '/^Examples:/,$d' > help
    if awk 'length > 80 { exit 1 }' help; then pass "$command --help"; else fail "$command --help is wider"; fi
done
