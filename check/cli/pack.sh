# A run in one file, and back: the same bytes wherever it is packed, read where a folder is, and nothing hostile comes in.

tiny
expect 0 "a run" train tiny.yaml --runs runs
run=runs/tiny-seed1

# ---- the same bytes ----

echo figure > $run/error.svg
expect 0 "pack" pack $run
says "left out.*tiny-seed1/error.svg"
prints "^packed: tiny-seed1.tar, "
digest=$(sed -n 's/^sha256: //p' stdout)
if [ "$(sha256sum < tiny-seed1.tar)" = "$digest  -" ]; then pass "  its SHA-256 is that of the file"; else fail "  another SHA-256"; fi
expect 2 "  a file that exists is kept" pack $run
expect 0 "  or replaced" pack $run --force
expect 2 "  is no file of weights" inspect tiny-seed1.tar
says "selfsame unpack takes its weights.safetensors out"
expect 0 "    unpacked" unpack tiny-seed1.tar --runs unpacked
expect 0 "    it has one" inspect unpacked/tiny-seed1/weights.safetensors
cp -rp $run elsewhere
chmod 600 elsewhere/*.jsonl
touch -d 2001-01-01 elsewhere/record.json
expect 0 "a copy of another name, with other times and modes" pack elsewhere
same tiny-seed1.tar elsewhere.tar "  gives the same bytes"
if tar --version 2> /dev/null | grep -q GNU; then
    mkdir -p by-tar
    cp -r $run by-tar/run
    changes=
    if [ -e by-tar/run/source-changes.diff.gz ]; then changes=run/source-changes.diff.gz; fi # as a changed tree's program writes it
    (cd by-tar && tar --format=ustar --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=0644 -cf ../by-tar.tar run/record.json run/manifest.yaml \
        run/metrics.jsonl run/ledger.txt run/weights.safetensors $changes run/checkpoints/*)
    same tiny-seed1.tar by-tar.tar "  and so does GNU tar"
fi
expect 0 "without checkpoints" pack $run --no-checkpoints --out small.tar
if [ "$(tar -tf small.tar | grep -c checkpoints)" -eq 0 ]; then pass "  there are none"; else fail "  there are some"; fi

# ---- read where a folder is ----

expect 0 "check" check tiny-seed1.tar
prints "^tiny-seed1.tar: its files agree; it is finished"
expect 0 "compare" compare $run tiny-seed1.tar
prints "^same-document: "
prints "runs/tiny-seed1 and tiny-seed1.tar"
expect 0 "  and over a URL" compare "file://$PWD/tiny-seed1.tar" $run
prints "^same-document: "
expect 3 "  one that is not there" compare "file://$PWD/none.tar" $run
expect 1 "targets" targets tiny-seed1.tar
says "tiny-seed1.tar: its manifest tiny has no targets"
# ---- over the network: http, and https with a certificate of our own ----

if command -v openssl > stdout && python3 -c 'import ssl' 2> stderr; then
    unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
    openssl req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out tls.pem -days 2 -subj "/CN=localhost" -addext subjectAltName=DNS:localhost 2> stderr
    mkdir www
    cp tiny-seed1.tar www/
    python3 -c 'import sys; data = bytearray(open("tiny-seed1.tar", "rb").read()); data[len(data) // 2] ^= 1; open("www/flipped.tar", "wb").write(data)'
    head -c 100000 tiny-seed1.tar > www/cut.tar
    cat > server.py <<'PY'
import functools, http.server, ssl, threading
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="www")
plain, tls = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("tls.pem", "tls.key")
tls.socket = context.wrap_socket(tls.socket, server_side=True)
threading.Thread(target=plain.serve_forever, daemon=True).start()
open("ports.new", "w").write(f"{plain.server_port} {tls.server_port}\n")
__import__("os").rename("ports.new", "ports")
tls.serve_forever()
PY
    python3 server.py 2> server.log &
    server=$!
    trap 'kill "$server" 2> /dev/null' EXIT
    while [ ! -s ports ] && kill -0 "$server" 2> /dev/null; do sleep 0.05; done
    read -r plain tls < ports
    plain=http://127.0.0.1:$plain tls=https://localhost:$tls
    expect 0 "another computation of it" train tiny.yaml --runs again
    expect 0 "compare with a packed run over http" compare "$plain/tiny-seed1.tar" again/tiny-seed1
    prints "^identical: "
    prints "$plain/tiny-seed1.tar and again/tiny-seed1"
    expect 3 "over https, with a certificate that nobody vouches for" compare again/tiny-seed1 "$tls/tiny-seed1.tar"
    says "its certificate is not trusted .*CURL_CA_BUNDLE=FILE"
    CURL_CA_BUNDLE=$PWD/tls.pem
    export CURL_CA_BUNDLE
    expect 0 "  which CURL_CA_BUNDLE has trusted" compare again/tiny-seed1 "$tls/tiny-seed1.tar" --format json
    if python3 -c 'import json; r, = json.load(open("stdout")); assert r["verdict"] == "identical"'; then pass "  identical"; else fail "  not identical"; fi
    expect 0 "  one of each" compare "$plain/tiny-seed1.tar" "$tls/tiny-seed1.tar"
    prints "^same-document: "
    expect 0 "  checked there" check "$tls/tiny-seed1.tar"
    expect 0 "  traced there, too" compare "$tls/tiny-seed1.tar" again/tiny-seed1 --trace
    for kind in flipped cut; do
        expect 2 "  a $kind one" compare again/tiny-seed1 "$tls/$kind.tar"
        says "$tls/$kind.tar"
    done
    expect 3 "  one that is not there" compare again/tiny-seed1 "$tls/none.tar"
    says "404"
    kill "$server"
    wait "$server" 2> /dev/null
    expect 3 "  a server that is gone" compare again/tiny-seed1 "$plain/tiny-seed1.tar"
    unset CURL_CA_BUNDLE
else
    echo "skipped: packed runs over the network, which take openssl and python3"
fi

if find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'selfsame-run-*' -newer tiny.yaml 2> /dev/null | grep -q .; then
    fail "a temporary folder is left"
else
    pass "no temporary folder is left"
fi

# ---- and back ----

expect 0 "unpack" unpack tiny-seed1.tar --runs back
prints "^unpacked: back/tiny-seed1, "
rm $run/error.svg
rm -f $run/.lock
if diff -r $run back/tiny-seed1 > stdout 2> stderr; then pass "  the same files"; else fail "  other files"; fi
expect 2 "  never over another run" unpack tiny-seed1.tar --runs back
says "choose another name with --name"
expect 0 "  under another name" unpack tiny-seed1.tar --runs back --name other
expect 2 "  but not any" unpack tiny-seed1.tar --runs back --name ../up
expect 0 "again" pack back/other --out again.tar
same tiny-seed1.tar again.tar "  to the same bytes"
cp -r $run gzipped
gzip -n gzipped/ledger.txt
expect 0 "a compressed ledger is packed as it is" pack gzipped
expect 0 "  and read" check gzipped.tar
printf 'x' | dd of=gzipped/weights.safetensors bs=1 seek=9999 conv=notrunc 2> /dev/null
expect 2 "a damaged run is not packed" pack gzipped --out damaged.tar
if [ -n "$(find . -name 'damaged.tar*')" ]; then fail "  but a file is left"; else pass "  and no file is left"; fi
# Two at once, into one file: each puts its own there as a whole.
for try in 1 2 3; do
    "$SELFSAME" pack $run --force --out both.tar > first 2>&1 &
    first=$!
    "$SELFSAME" pack $run --force --out both.tar > second 2>&1 &
    second=$!
    wait "$first" && wait "$second"
    status=$?
    if [ $status -eq 0 ]; then pass "two at once, $try"; else fail "two at once, $try: $(cat first second)"; fi
    same tiny-seed1.tar both.tar "  the same bytes"
done
: > both.tar.killed.selfsame.tmp
expect 0 "after a process that was killed" pack $run --force --out both.tar
if [ "$(echo both.tar*)" = both.tar ]; then pass "  what it left is gone"; else fail "  left: $(echo both.tar*)"; fi
mkdir -p back/.new-killed/run
: > back/.new-killed/run/record.json
expect 0 "the same of unpack" unpack tiny-seed1.tar --runs back --name after
if [ -e back/.new-killed ]; then fail "  what it left is there"; else pass "  what it left is gone"; fi

# ---- hostile ----

cat > hostile.py <<'PY'
import gzip, io, sys, tarfile
good = open("tiny-seed1.tar", "rb").read()
files = {m.name: tarfile.open("tiny-seed1.tar").extractfile(m).read() for m in tarfile.open("tiny-seed1.tar")}
def header(name, size, **other):
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in other.items():
        setattr(info, key, value)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[329:345] = b"0000000\0" * 2  # as GNU tar
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)
def pad(data, unit=512): return data + bytes(-len(data) % unit)
def entry(name, data=b"", **other): return header(name, len(data), **other) + pad(data)
def whole(*entries): return pad(b"".join(entries) + bytes(1024), 10240)
all = [entry(n, d) for n, d in files.items()]
assert whole(*all) == good and list(files)[3] == "run/ledger.txt"
first = all[0]
bad = {
    "absolute": (whole(entry("/run/record.json", b"x")), "absolute path"),
    "climbing": (whole(entry("run/../record.json", b"x")), "climbs out"),
    "climbing-first": (whole(entry("../run/record.json", b"x")), "climbs out"),
    "symbolic": (whole(header("run/record.json", 0, type=b"2", linkname="/etc/passwd")), "is a link"),
    "hard": (whole(first, header("run/manifest.yaml", 0, type=b"1", linkname="run/record.json")), "is a link"),
    "folder": (whole(header("run/checkpoints", 0, type=b"5")), "neither a file"),
    "fifo": (whole(header("run/record.json", 0, type=b"6")), "neither a file"),
    "long-name": (whole(header("././@LongLink", 9, type=b"L") + pad(b"run/other")), "no entry of a POSIX tar\\|neither a file"),
    "twice": (whole(first, *all), "comes twice"),
    "order": (whole(all[1], first, *all[2:]), "out of order"),
    "stranger": (whole(first, entry("run/.bashrc", b"x")), "not a file of a run"),
    "deep": (whole(first, entry("run/checkpoints/a/step-1.safetensors", b"x")), "not a file of a run"),
    "ledgers": (whole(*all[:4], entry("run/ledger.txt.gz", gzip.compress(files["run/ledger.txt"])), *all[4:]), "a second ledger"),
    "checkpoint": (whole(*all, entry("run/checkpoints/step-1.safetensors", b"x")), "not a file of a run"),
    "checkpoint-name": (whole(*all, entry("run/checkpoints/step-x.safetensors", b"x")), "not a file of a run"),
    "hidden": (whole(first, entry("run/attestations/.json", b"x")), "not a file of a run"),
    "large": (whole(header("run/record.json", 1 << 30)), "too large"),
    "huge": (whole(header("run/weights.safetensors", (1 << 33) - 1)), "too large"),
    "owner": (whole(entry("run/record.json", files["run/record.json"], uid=1000), *all[1:]), "another time, owner or mode"),
    "mode": (whole(entry("run/record.json", files["run/record.json"], mode=0o4755), *all[1:]), "another time, owner or mode"),
    "time": (whole(entry("run/record.json", files["run/record.json"], mtime=1), *all[1:]), "another time, owner or mode"),
    "trailing": (good + b"x", "something follows"),
    "trailing-zeros": (good + bytes(512), "something follows"),
    "cut": (good[:-10240], "it ends at byte"),
    "cut-inside": (good[:700], "it ends at byte"),
    "no-end": (b"".join(all), "it ends at byte"),
    "padding": (first[:-1] + b"x" + b"".join(all[1:]) + bytes(1024), "is not zero"),
    "empty": (whole(), "record.json"),
    "nothing": (b"", "it ends at byte"),
    "text": (b"run/" + b"x" * 20000, "no entry of a POSIX tar"),
    "swapped": (whole(*[entry(n, d[:-2] + b"9\n" if n == "run/ledger.txt" else d) for n, d in files.items()]), "contradict"),
}
for name, (data, says) in bad.items():
    open(name + ".tar", "wb").write(data)
    print(name, says)
PY
if python3 hostile.py > list 2> stderr; then pass "$(wc -l < list) hostile files"; else fail "hostile.py"; fi
while read -r name pattern; do
    expect 2 "$name: unpack" unpack "$name.tar" --runs into
    says "$pattern"
    expect 2 "  check" check "$name.tar"
    says "^selfsame check: .*$name.tar"
    if [ -n "$(ls -A into)" ]; then fail "  something is in the runs folder: $(ls -A into)"; fi
done < list
# Any byte of it, anywhere.
python3 - <<'PY' > offsets
import random
random.seed(1)
size = len(open("tiny-seed1.tar", "rb").read())
print(*[random.randrange(size) for _ in range(25)], *range(100, 512, 60), 0, size - 1, sep="\n")
PY
kept=0
while read -r offset; do
    cp tiny-seed1.tar flipped.tar
    python3 -c "import sys; f = open('flipped.tar', 'r+b'); f.seek($offset); b = f.read(1)[0]; f.seek($offset); f.write(bytes([b ^ 1]))"
    run check flipped.tar
    [ "$status" -eq 2 ] || { kept=$((kept + 1)); echo "byte $offset: exit $status"; }
done < offsets
if [ $kept -eq 0 ] && [ "$(wc -l < offsets)" -ge 30 ]; then
    pass "every flipped bit of $(wc -l < offsets) is refused"
else
    fail "$kept flipped bits of $(wc -l < offsets) are not refused"
fi
