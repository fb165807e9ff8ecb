# Signed statements: made, verified by us and by others, valid after a copy, a rename and packing; and a changed byte anywhere is refused.

tiny
"$SELFSAME" train tiny.yaml --runs runs > /dev/null 2>&1
"$SELFSAME" train tiny.yaml --runs runs --name mine --threads 1 > /dev/null 2>&1
"$SELFSAME" train tiny.yaml --runs runs --name other --seed 2 > /dev/null 2>&1
run=runs/tiny-seed1

# ---- keys ----

expect 0 "a key" key new alice
id=$(sed -n 's/^key id:  *//p' stdout)
if [ "$(sha256sum < alice.pub.pem)" = "$id  -" ]; then pass "  its id is the SHA-256 of the public file"; else fail "  another id"; fi
if [ "$(stat -c %a alice.pem)" = 600 ]; then pass "  the private one is for its owner alone"; else fail "  others can read the private key"; fi
cp alice.pem kept.pem
expect 2 "  is never replaced" key new alice
same alice.pem kept.pem "    and is as it was"
expect 0 "another" key new bob
expect 2 "key without new" key old alice
if command -v openssl > /dev/null; then
    if openssl ec -in alice.pem -pubout 2> /dev/null | cmp -s - alice.pub.pem; then pass "openssl finds the same public key"; else fail "openssl finds another public key"; fi
    openssl ecparam -name secp256k1 -genkey -noout -out koblitz.pem 2> /dev/null
    openssl ecparam -name secp384r1 -genkey -noout -out p384.pem 2> /dev/null
    openssl genrsa -out rsa.pem 2048 2> /dev/null
    openssl ec -in alice.pem -aes128 -passout pass:x -out locked.pem 2> /dev/null
    for file in koblitz.pem p384.pem rsa.pem; do
        expect 2 "$file" attest $run --key $file
        says "another kind than ECDSA on P-256"
    done
    expect 2 "an encrypted key, which asks for nothing" attest $run --key locked.pem
    says "not encrypted"
fi
expect 2 "a public key cannot sign" attest $run --key alice.pub.pem
expect 2 "no key" attest $run

# ---- statements ----

expect 1 "a run that nobody signed" verify $run --signatures --key alice.pub.pem
says "holds no signed statement"
expect 0 "attest" attest $run --key alice.pem
short=$(printf %.16s "$id")
prints "^signed: $run/attestations/provenance-$short.json"
prints "^signed: $run/attestations/weights-$short.json"
expect 0 "verify" verify $run --signatures --key alice.pub.pem
prints "^good signature by alice.pub.pem (key $short...): provenance-$short.json"
prints "it says that 5 files were computed by selfsame "
prints "^good signature by alice.pub.pem (key $short...): weights-$short.json"
prints "does not prove that the"
expect 0 "  check takes the signed run" check $run
expect 1 "  by another key" verify $run --signatures --key bob.pub.pem
says "signed by a key that you named"
prints "^not verified, for want of the public key $short"
expect 1 "  by no key" verify $run --signatures
says "name the public keys that you trust"
expect 0 "  by both" verify $run --signatures --key bob.pub.pem --key alice.pub.pem --format json
if python3 -c 'import json; l = json.load(open("stdout")); assert len(l) == 2 and all(e["verified"] and e["key"] == "alice.pub.pem" for e in l)'; then pass "  as json"; else fail "  as json"; fi

cp -r $run renamed
expect 0 "a copy of another name is as valid" verify renamed --signatures --key alice.pub.pem
gzip -n renamed/ledger.txt
expect 0 "  and one with a compressed ledger" verify renamed --signatures --key alice.pub.pem
rm -r renamed
expect 0 "pack" pack $run --out signed.tar
expect 0 "  a packed one" verify signed.tar --signatures --key alice.pub.pem
expect 2 "  which must be unpacked to be signed" attest signed.tar --key bob.pem
expect 0 "unpack" unpack signed.tar --runs back
expect 0 "  valid still" verify back/tiny-seed1 --signatures --key alice.pub.pem

# ---- equivalence ----

expect 0 "bob got the same" attest runs/mine --key bob.pem --reproduces signed.tar
prints "^signed: runs/mine/attestations/equivalence-"
expect 0 "  verify" verify runs/mine --signatures --key bob.pub.pem
prints "it says that this run, computed on .*(.*1 thread), and the record .* are identical, and 3 files of theirs the same"
cp runs/mine/attestations/equivalence-*.json back/tiny-seed1/attestations/
expect 0 "  it holds for the other run, too" verify back/tiny-seed1 --signatures --key bob.pub.pem
expect 1 "a copy reproduces nothing" attest runs/mine --key bob.pem --reproduces runs/mine
says "nothing was signed: same-document"
expect 1 "nor does another experiment" attest runs/other --key bob.pem --reproduces $run
says "nothing was signed: other-experiment"
if [ -e runs/other/attestations ]; then fail "  but something was written"; else pass "  and nothing was written"; fi

# ---- changed ----

# refused "what": verify says 2 of ./changed, and says why.
refused() {
    expect 2 "$1" verify changed --signatures --key alice.pub.pem --key bob.pub.pem
    says "${2:-.}"
    rm -rf changed
    cp -r back/tiny-seed1 changed
}
cp -r back/tiny-seed1 changed
sed -i 's/"wall_seconds": /&1/; /record_sha256/d' changed/record.json
refused "a time in the record, with a record that agrees with itself" "changed/record.json is not what was signed"
rm changed/weights.safetensors
refused "weights that are gone" "weights.safetensors is not what was signed"
"$SELFSAME" attest runs/other --key alice.pem > /dev/null
cp runs/other/attestations/provenance-*.json changed/attestations/
refused "another run's statement" "is not what was signed"
cat > flip.py <<'PY'
import base64, glob, json, os, random, shutil, subprocess, sys
random.seed(7)
program, short, offsets = sys.argv[1], sys.argv[2], int(sys.argv[3])
def verify(folder):
    return subprocess.run([program, "verify", folder, "--signatures", "--key", "alice.pub.pem", "--key", "bob.pub.pem"], capture_output=True).returncode
files = [f for f in glob.glob("changed/**", recursive=True) if os.path.isfile(f) and not f.endswith(".lock")]
assert len(files) >= 8, files
kept = []
for file in files:
    data = open(file, "rb").read()
    for offset in [0, len(data) - 1] + [random.randrange(len(data)) for _ in range(offsets)]:
        changed = bytearray(data)
        changed[offset] ^= 1 << random.randrange(8)
        open(file, "wb").write(changed)
        status = verify("changed")
        if status != 2:
            kept.append((file, offset, status))
    open(file, "wb").write(data)
assert verify("changed") == 0
print(len(files), "files;", "kept:", kept)
sys.exit(bool(kept))
PY
if python3 flip.py "$SELFSAME" "$short" 5 > stdout 2> stderr; then pass "a flipped bit of any file is refused: $(cat stdout)"; else fail "a flipped bit is not refused: $(cat stdout)"; fi

# ---- by others ----

if has_modules "model_signing, securesystemslib"; then
    cat > others.py <<'PY'
import base64, copy, glob, hashlib, json, random, subprocess, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
import model_signing
random.seed(3)
def key(name):
    pem = open(name, "rb").read()
    return SSlibKey.from_crypto(load_pem_public_key(pem), keyid=hashlib.sha256(pem).hexdigest())
alice, bob = key("alice.pub.pem"), key("bob.pub.pem")
def good(envelope, key):
    try:
        Envelope.from_dict(copy.deepcopy(envelope)).verify([key], 1)
        return True
    except Exception:
        return False
folder = "back/tiny-seed1/"
for name, owner, other in ((glob.glob(folder + "attestations/provenance-*")[0], alice, bob), (glob.glob(folder + "attestations/equivalence-*")[0], bob, alice)):
    envelope = json.load(open(name))
    assert good(envelope, owner) and not good(envelope, other), name
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1" and statement["predicateType"] == "https://slsa.dev/provenance/v1"
    for subject in statement["subject"]:
        assert hashlib.sha256(open(folder + subject["name"], "rb").read()).hexdigest() == subject["digest"]["sha256"]
    for part in ("payload", "sig"):
        for _ in range(40):
            changed = copy.deepcopy(envelope)
            at = changed if part == "payload" else changed["signatures"][0]
            raw = bytearray(base64.b64decode(at[part]))
            raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
            at[part] = base64.b64encode(raw).decode()
            assert not good(changed, owner), (name, part)
from in_toto_attestation.v1.statement import Statement
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
for name in glob.glob(folder + "attestations/*"):
    envelope = json.load(open(name))
    envelope = envelope.get("dsseEnvelope", envelope)
    message = json_format.Parse(base64.b64decode(envelope["payload"]), statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
def models(weights, signature, public):
    try:
        model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public).verify(weights, signature)
        return True
    except Exception:
        return False
signature = glob.glob(folder + "attestations/weights-*")[0]
assert models(folder + "weights.safetensors", signature, "alice.pub.pem")
assert not models(folder + "weights.safetensors", signature, "bob.pub.pem")
weights = open(folder + "weights.safetensors", "rb").read()
for _ in range(10):
    changed = bytearray(weights)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    open("changed.safetensors", "wb").write(changed)
    assert not models("changed.safetensors", signature, "alice.pub.pem")
bundle = json.load(open(signature))
for part in ("payload", "sig"):
    for _ in range(10):
        changed = copy.deepcopy(bundle)
        at = changed["dsseEnvelope"] if part == "payload" else changed["dsseEnvelope"]["signatures"][0]
        raw = bytearray(base64.b64decode(at[part]))
        raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
        at[part] = base64.b64encode(raw).decode()
        json.dump(changed, open("changed.json", "w"))
        assert not models(folder + "weights.safetensors", "changed.json", "alice.pub.pem"), part
print("ok")
PY
    if "$python" others.py > stdout 2> stderr && [ "$(tail -n 1 stdout)" = ok ]; then
        pass "securesystemslib verifies the envelopes, model-signing the weights, and both refuse changes"
    else
        fail "other tools do not agree"
    fi
fi
