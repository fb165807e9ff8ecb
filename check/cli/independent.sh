# The second implementation (check/independent) and the program agree: on its vectors, on a fresh run, and on what is refused.

has_modules numpy || exit 77
independent=$TOP/check/independent
again() { "$python" "$independent/independent.py" "$@" > stdout 2> stderr < /dev/null; status=$?; }

again vectors
if [ "$status" -eq 0 ]; then pass "every vector"; else fail "vectors: exit $status"; fi
prints "^[0-9]* vectors, [0-9]* of them refused; 0 failed$"

# ---- the program refuses the same records ----

vectors=$independent/vectors
number=0
for vector in "$vectors"/refused-*.json "$vectors/record.json"; do
    grep -q '"kind": "record"' "$vector" || continue
    number=$((number + 1))
    again edit "$vector" "record$number"
    if [ "$status" -ne 0 ]; then fail "$vector cannot be made"; continue; fi
    case $vector in
        */record.json) expect 0 "check of the record itself" check "record$number" ;;
        *) expect 2 "check: $(basename "$vector" .json)" check "record$number" ;;
    esac
done
if [ "$number" -ge 14 ]; then pass "records: $number"; else fail "records: $number, expected 14 or more"; fi

# ---- a fresh run, of a seed that no vector has ----

cat > tiny.yaml <<YAML
inherit: quick/resnet20.yaml
name: tiny
dataset: {training_images: 10, test_images: 10, test_sha256: any, train_sha256: $(sed -n 's/.*train_sha256: \([0-9a-f]*\).*/\1/p' "$vectors/record/manifest.yaml")}
model: {depth: 8}
training: {steps: 2, batch_size: 3, seed: 9007199254740991, schedule: {drop_epochs: []}}
targets: []
YAML
expect 0 "a run" train tiny.yaml --runs runs
run=$(echo runs/tiny-seed*)
again replay "$run"
if [ "$status" -eq 0 ]; then pass "replay"; else fail "replay: exit $status"; fi
prints "^identical: 2 steps, 1 epoch"

# ---- a flipped bit in its weights ----

"$python" - "$run/weights.safetensors" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(-1000, 2)
    byte = file.read(1)[0]
    file.seek(-1000, 2)
    file.write(bytes([byte ^ 1]))
PYTHON
again check "$run"
if [ "$status" -eq 1 ]; then pass "a flipped bit in the weights is refused"; else fail "a flipped bit: exit $status"; fi
says "weights digest"
expect 2 "and by the program" check "$run"
