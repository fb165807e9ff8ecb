# Downloads: from a server that misbehaves in every way we could think of, and from a real one, over TLS too.
needs python3

unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
servers=
trap 'for server in $servers; do kill "$server" 2> /dev/null; done' EXIT

size() { wc -c < "$1" | tr -d ' '; }
digest() { sha256sum "$1" | cut -d ' ' -f 1; }
# weights FILE.yaml 'URL, URL' [more keys]: a manifest that needs no data and names the file as its weights.
weights() {
    printf 'inherit: quick/resnet20.yaml\nweights: {urls: [%s], bytes: %s, sha256: %s%s}\n' "$2" "$bytes" "$sha256" "${3:+, $3}" > "$1"
}

head -c 300000 /dev/urandom > file
bytes=$(size file) sha256=$(digest file)
python3 "$TOP/check/cli/bad_server.py" file port log &
servers=$!
while [ ! -s port ]; do sleep 0.05; done
bad=http://127.0.0.1:$(cat port)

# gets MODE "what" [option...]: a fetch from that mode into an empty store succeeds, and the file is whole.
gets() {
    mode=$1 what=$2
    shift 2
    rm -rf store
    weights m.yaml "'$bad/$mode/w'"
    expect 0 "$what" fetch m.yaml --retry-delay 0 "$@"
    if cmp -s file "store/sha256/$sha256"; then pass "  whole"; else fail "  not whole"; fi
    if [ -z "$(ls store/partial)" ]; then pass "  nothing left over"; else fail "  left over: $(ls store/partial)"; fi
}
# refuses STATUS MODE PATTERN "what" [option...]: a fetch from that mode fails so, and leaves nothing that looks like the file.
refuses() {
    wanted_status=$1 mode=$2 pattern=$3 what=$4
    shift 4
    rm -rf store
    weights m.yaml "'$bad/$mode/w'"
    expect "$wanted_status" "$what" fetch m.yaml --retry-delay 0 --retry 1 "$@"
    says "/$mode/w: .*$pattern"
    if [ -z "$(ls store/sha256 2> /dev/null)" ]; then pass "  nothing in the store"; else fail "  something in the store"; fi
}

gets good "a good server"
prints "^weights: $PWD/store/sha256/$sha256 (w, fetched"
rm -f log
expect 0 "again" fetch m.yaml
prints "present"
if [ -f log ]; then fail "  asks the server"; else pass "  without the network"; fi

gets cut "cut after each eighth, --retry 8" --retry 8
if [ "$(grep -c . log)" -eq 8 ] && [ "$(grep -c 206 log)" -eq 7 ]; then pass "  eight requests, seven of them for the rest"; else fail "  requests: $(cat log)"; fi
gets cut-once "cut in the middle"
says "trying again"
gets bare "cut, and nothing to resume by but the digest"
gets no-length "no Content-Length"
gets ignores "a server that ignores ranges"
gets other-range "another range than the one asked for"
says "does not send the bytes that were asked for"
gets changed "another file after a cut"
gets changed-rude "another file after a cut, with the condition ignored"
says "has changed"
gets changed-silent "another file after a cut, and no way to see it but the digest"
says "SHA-256"
gets refuses-rest "416 after a cut"
gets busy "503 once"
gets later "429 with Retry-After"
gets moved "a redirect"
refuses 3 drip "it ends after [0-9]* bytes" "a few bytes at a time"
refuses 2 short "it has 150000 bytes there, not 300000" "a shorter Content-Length"
refuses 2 long "it has 300001 bytes there, not 300000" "a longer Content-Length"
gets lies "more than the Content-Length says"
refuses 2 endless "it has more than its 300000 bytes" "an endless body"
refuses 2 other "it has SHA-256 [0-9a-f]*, not $sha256" "other bytes"
refuses 3 404 "404 (not found)" "404"
refuses 3 403 "answers 403" "403"
refuses 3 503 "503 (unavailable)" "503 for ever"
refuses 2 page "it has 26 bytes there" "a log-in page"
refuses 3 empty "0 bytes" "an empty answer"
refuses 3 loop "more than [0-9]* redirects" "redirects in a circle"
refuses 3 to-file "this protocol is not used" "a redirect to a local file"
refuses 3 slow "too slow" "a body that drips" --speed-time 1 --retry 0
refuses 3 silent "does not answer" "no answer" --speed-time 1 --retry 0

# A mirror whose answer is no HTTP, or too much of it, does not stand in the way of the next one.
for mode in huge-header many-headers http09 banner nothing half-header bad-status bad-length bad-chunks bad-encoding bad-redirect long-line; do
    rm -rf store
    weights m.yaml "'$bad/$mode/w', '$bad/good/w'"
    expect 0 "a mirror that answers $mode, and a good one" fetch m.yaml --retry 0
    says "/$mode/w: "
    weights m.yaml "'$bad/$mode/w'"
    rm -rf store
    run fetch m.yaml --retry 0
    if [ "$status" -eq 3 ] || [ "$status" -eq 2 ]; then pass "  alone: exit $status"; else fail "  alone: exit $status"; fi
    says "cannot download w: $bad/$mode/w: "
    if [ "$mode" = http09 ]; then says "it does not answer in HTTP"; fi
done
rm -rf store
weights m.yaml "'$bad/endless-100/w', '$bad/good/w'"
timeout 60 "$SELFSAME" fetch m.yaml --retry 0 --speed-time 1 > stdout 2> stderr
if [ $? -eq 0 ]; then pass "a mirror that never comes to its answer, and a good one"; else fail "a mirror that never comes to its answer"; fi

rm -rf store
weights m.yaml "'http://127.0.0.1:1/w', 'http://nowhere.invalid/w', '$bad/404/w', '$bad/other/w', '$bad/good/mirror'"
expect 0 "the fifth mirror" fetch m.yaml --retry-delay 0
says "127.0.0.1:1/w"
rm -rf store
weights m.yaml "'$bad/cut-once/mirrors', '$bad/good/mirrors'"
rm -f log
expect 0 "a mirror that is cut, and another" fetch m.yaml --retry 0
if grep -q "good/mirrors bytes=150000-" log; then pass "  which sends the rest alone"; else fail "  log: $(cat log)"; fi
rm -rf store
weights m.yaml "'$bad/404/w', 'http://127.0.0.1:1/w'"
expect 3 "no mirror" fetch m.yaml --retry 0
says "404/w: .*; http://127.0.0.1:1/w: "
rm -rf store
weights m.yaml "'file://$PWD/file'"
expect 0 "a file" fetch m.yaml
weights m.yaml "'file://$PWD/nothing'"
rm -rf store
expect 3 "a file that is not there" fetch m.yaml --retry 0
says "nothing"

# What is published of a file may be less than its SHA-256.
published() {
    rm -rf store
    printf 'inherit: quick/resnet20.yaml\nweights: {urls: ["%s/good/w"], %s}\n' "$bad" "$2" > m.yaml
    expect "$1" "only $2" fetch m.yaml --retry 0
}
md5=$(md5sum file | cut -d ' ' -f 1)
published 0 "md5: '$md5'"
expect 0 "  and again" fetch m.yaml --offline
prints "sha256/$sha256 .*present"
published 2 "md5: '00000000000000000000000000000000'"
says "it has MD5 $md5"
published 0 "sha256_prefix: '$(echo "$sha256" | cut -c 1-8)'"
expect 0 "  and again" fetch m.yaml --offline
published 2 "sha256_prefix: '00000000'"
says "does not begin with 00000000"
published 2 "bytes: 300000"
says "no sha256, sha256_prefix or md5"

# A proxy, as curl users set it.
rm -rf store
weights m.yaml "'http://somewhere.invalid/good/proxy'"
http_proxy=$bad
export http_proxy
expect 0 "through a proxy" fetch m.yaml --retry 0
rm -rf store
no_proxy=somewhere.invalid
export no_proxy
expect 3 "  but not where no_proxy says" fetch m.yaml --retry 0
unset http_proxy no_proxy

# Surroundings.
rm -rf store
weights m.yaml "'$bad/good/w'"
expect 3 "--offline" fetch m.yaml --offline
says "not in the store .*--offline"
expect 2 "no manifest" fetch
says "needs MANIFEST"
expect 0 "an empty store, listed" fetch --list --verify --prune
: > blocked
expect 3 "a store below a file" fetch m.yaml --store blocked/store
says "blocked"
(
    ulimit -f 200 # blocks of 512 bytes: as on a full disk
    "$SELFSAME" fetch m.yaml > stdout 2> stderr
)
if [ $? -eq 3 ]; then pass "no room: exit 3"; else fail "no room: another exit"; fi
says "partial/$sha256"
expect 0 "  and with room again" fetch m.yaml
printf 'x' | dd of="store/sha256/$sha256" bs=1 seek=1000 conv=notrunc 2> /dev/null
expect 1 "--verify of a damaged file" fetch --verify
says "damaged"
expect 0 "  which is then fetched anew" fetch m.yaml
prints "fetched"
printf 'y' | dd of="store/sha256/$sha256" bs=1 seek=1000 conv=notrunc 2> /dev/null
expect 2 "eval of damaged stored weights" eval --manifest m.yaml
says "the stored weights of quick-resnet20 are damaged: .* has SHA-256 .*, not $sha256; selfsame fetch m.yaml downloads them again"
expect 0 "a damaged file is fetched anew without --verify, too" fetch m.yaml
says "damaged, and moved to .*/damaged"
prints "fetched"
if cmp -s file "store/sha256/$sha256"; then pass "  whole"; else fail "  not whole"; fi
expect 0 "  and good" fetch --verify
prints "good"
expect 0 "--prune" fetch --prune
prints "^damaged .*removed"
expect 0 "--list as JSON" fetch --list --format json
if python3 -c 'import json; [item] = json.load(open("stdout")); assert item["bytes"] == 300000, item'; then pass "  is JSON"; else fail "  is not"; fi

# An archive: zeros are a valid data set, if a dull one.
mkdir -p plain/cifar-10-batches-bin
for name in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    head -c 30730000 /dev/zero > plain/cifar-10-batches-bin/$name.bin
done
tar -C plain --sort=name --mtime=@0 --owner=0 --group=0 -cf - cifar-10-batches-bin | gzip -n > zeros.tar.gz # the same bytes each time
training=$(head -c 153650000 /dev/zero | sha256sum | cut -d ' ' -f 1)
# dataset FILE.yaml ARCHIVE [digest of the training data [of the test data]]
dataset() {
    cat > "$1" <<YAML
inherit: msra/resnet20.yaml
dataset:
  train_sha256: ${3:-$training}
  test_sha256: ${4:-$(head -c 30730000 /dev/zero | sha256sum | cut -d ' ' -f 1)}
  archives: [{urls: ["file://$PWD/$2"], bytes: $(size "$2"), sha256: $(digest "$2")}]
YAML
}
rm -rf store
dataset d.yaml zeros.tar.gz
expect 3 "training without the data" train d.yaml --runs runs
says "selfsame fetch d.yaml downloads it (170 MB); .*--data"
expect 3 "fetch of a data set without network" fetch d.yaml --offline
says "not in the store .*; if you already have CIFAR-10, .*--data"
expect 0 "a data set" fetch d.yaml
prints "^data: $PWD/store/unpacked/"
if (cd store/unpacked/*/ && sha256sum -c SHA256SUMS) > sums 2>&1; then pass "  sha256sum agrees"; else fail "  sha256sum: $(cat sums)"; fi
printf 'inherit: d.yaml\nweights: {urls: ["file://%s"], sha256: %s}\n' "$PWD/file" "$sha256" > both.yaml
rm -rf store
expect 0 "--only weights" fetch both.yaml --only weights
if [ -z "$(ls store/unpacked)" ]; then pass "  no data"; else fail "  data, too"; fi
expect 3 "  and the data are not there" fetch both.yaml --offline
expect 0 "both" fetch both.yaml
prints "^data: "
prints "^weights: .*present"
expect 2 "--only weights of a manifest without" fetch d.yaml --only weights
says "names no URL for its weights"
printf 'inherit: d.yaml\nname: dull\nmodel: {depth: 8}\ntraining: {steps: 1, schedule: {drop_epochs: []}}\n' > dull.yaml
expect 0 "  is found without --data" train dull.yaml --runs runs
expect 0 "--prune of an archive that is unpacked" fetch --prune
prints "^file .*$(digest zeros.tar.gz).*removed"
expect 0 "  leaves the data" fetch d.yaml --offline
prints "present"
printf 'x' | dd of="$(ls -d store/unpacked/*)/cifar-10-batches-bin/test_batch.bin" bs=1 seek=1000 conv=notrunc 2> /dev/null
expect 1 "--verify of damaged data" fetch --verify
says "test_batch.bin has SHA-256"
expect 0 "  which is then unpacked anew" fetch d.yaml
# Where the manifest takes any test data, only the store knows what they were.
dataset any.yaml zeros.tar.gz "$training" any
printf 'inherit: any.yaml\nname: any\nmodel: {depth: 8}\ntraining: {steps: 1, schedule: {drop_epochs: []}}\n' > any-dull.yaml
printf 'x' | dd of="$(ls -d store/unpacked/*)/cifar-10-batches-bin/test_batch.bin" bs=1 seek=1000 conv=notrunc 2> /dev/null
expect 2 "training on damaged test data" train any-dull.yaml --runs any-runs
says "the stored data set is damaged: .*test_batch.bin has SHA-256 .*; selfsame fetch any-dull.yaml downloads it again"
expect 0 "  which it does" fetch any-dull.yaml
expect 0 "  and then training" train any-dull.yaml --runs any-runs
printf 'x' | dd of="$(ls -d store/unpacked/*)/cifar-10-batches-bin/data_batch_2.bin" bs=1 seek=1000 conv=notrunc 2> /dev/null
expect 0 "data that training would miss are unpacked anew" fetch d.yaml
says "data_batch_2.bin has SHA-256"
rm -rf store
dataset d.yaml zeros.tar.gz 0000000000000000000000000000000000000000000000000000000000000000
expect 2 "other images than the manifest's" fetch d.yaml
says "the training data have SHA-256 $training"

# The Python version, as Python 2 and numpy wrote it: the same images, so the same digest. Byte for byte, since no numpy may be here.
cat > make_python.py <<'PYTHON'
import io, struct, sys, tarfile
def text(data): return b"U" + bytes([len(data)]) + data
def integer(number): return b"K" + bytes([number]) if number < 256 else b"M" + struct.pack("<H", number)
labels = b"](" + b"".join(integer(0) for i in range(10000)) + b"e"
if len(sys.argv) > 1:
    labels = labels.replace(b"K\0", b"K\x0a", 1)
images = bytes(10000 * 3072)
array = (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + integer(0) + b"\x85" + text(b"b") + b"\x87R("
         + integer(1) + integer(10000) + integer(3072) + b"\x86cnumpy\ndtype\n" + text(b"u1") + integer(0) + integer(1) + b"\x87R("
         + integer(3) + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff" + integer(0) + b"tb\x89"
         + b"T" + struct.pack("<i", len(images)) + images + b"tb")
batch = b"\x80\x02}(" + text(b"data") + array + text(b"labels") + labels + text(b"batch_label") + text(b"a batch") + b"u."
with tarfile.open("python.tar.gz", "w:gz", compresslevel=1) as tar:
    for name in ["data_batch_%d" % i for i in range(1, 6)] + ["test_batch"]:
        entry = tarfile.TarInfo("cifar-10-batches-py/" + name)
        entry.size = len(batch)
        tar.addfile(entry, io.BytesIO(batch))
PYTHON
python3 make_python.py
rm -rf store
dataset d.yaml python.tar.gz
expect 0 "the Python version" fetch d.yaml
expect 0 "  is found without --data" train dull.yaml --runs python-runs
expect 0 "  with the binary version's bits" compare runs/dull-seed1 python-runs/dull-seed1
cp -r store/unpacked/*/cifar-10-batches-py batches
expect 0 "  and as a folder" train dull.yaml --runs folder-runs --data batches
python3 make_python.py bad
rm -rf store
dataset d.yaml python.tar.gz
expect 2 "a label over 9 in it" fetch d.yaml
says "data_batch_1: byte [0-9]*: label 0 .* is not an integer of 0 to 9"
for what in 's/labels/lapels/' 's/ndarray/ndarroy/'; do
    sed "$what" batches/data_batch_2 > spoilt && cp spoilt batches/data_batch_2
    expect 2 "a batch with $what" train dull.yaml --runs spoilt-runs --data batches
    says "batches/data_batch_2"
done

# Archives that hold what they should not. make_bad.py KIND OUT: zeros.tar.gz, spoilt.
cat > make_bad.py <<'PYTHON'
import io, sys, tarfile
kind, out = sys.argv[1:]
data = open("zeros.tar.gz", "rb").read()
if kind == "cut":
    open(out, "wb").write(data[:-1000])
elif kind == "damaged":
    middle = len(data) // 2
    open(out, "wb").write(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:])
elif kind == "crc":
    open(out, "wb").write(data[:-8] + bytes([data[-8] ^ 1]) + data[-7:])
elif kind == "trailing":
    open(out, "wb").write(data + b"more")
elif kind == "text":
    open(out, "wb").write(b"this is no archive\n" * 100)
else:
    with tarfile.open(out, "w:gz", compresslevel=1) as tar:
        def add(name, size=0, **facts):
            entry = tarfile.TarInfo(name)
            entry.size = size
            for key, value in facts.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(bytes(size)))
        folder = "cifar-10-batches-bin/"
        if kind == "climbing": add(folder + "../../evil", 3)
        if kind == "absolute": add("/tmp/selfsame-evil", 3)
        if kind == "unknown": add(folder + "evil", 3)
        if kind == "symlink": add(folder + "test_batch.bin", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        if kind == "hardlink": add(folder + "test_batch.bin", type=tarfile.LNKTYPE, linkname="/etc/passwd")
        if kind == "device": add(folder + "test_batch.bin", type=tarfile.CHRTYPE)
        if kind == "fifo": add(folder + "test_batch.bin", type=tarfile.FIFOTYPE)
        if kind == "size": add(folder + "test_batch.bin", 30730001)
        if kind == "bomb": add(folder + "readme.html", 1 << 33)  # ends before its gzip stream does by the file object: the header is what counts
        if kind == "twice": add(folder + "readme.html", 3), add(folder + "readme.html", 3)
        if kind == "mixed": add(folder + "readme.html", 3), add("cifar-10-batches-py/readme.html", 3)
        if kind == "missing": add(folder + "readme.html", 3)
        if kind == "many": [add(folder, type=tarfile.DIRTYPE) for i in range(100)]
PYTHON
# spoilt KIND PATTERN
spoilt() {
    rm -rf store
    python3 make_bad.py "$1" bad.tar.gz 2> /dev/null
    dataset d.yaml bad.tar.gz
    expect 2 "an archive, spoilt: $1" fetch d.yaml
    says "$2"
    if [ -z "$(ls store/unpacked)" ]; then pass "  nothing unpacked"; else fail "  unpacked: $(ls store/unpacked)"; fi
}
spoilt cut "ends before its gzip stream does"
spoilt damaged "store/sha256/"
spoilt crc "incorrect data check"
spoilt trailing "has more bytes after its gzip stream"
spoilt text "not a gzip file"
spoilt climbing "leads out of its folder"
spoilt absolute "has an absolute path"
if [ -e /tmp/selfsame-evil ]; then fail "  written outside"; else pass "  nothing outside"; fi
spoilt unknown "is not among those"
spoilt symlink "is a symbolic link"
spoilt hardlink "is a hard link"
spoilt device "is neither a file nor a folder"
spoilt fifo "is neither a file nor a folder"
spoilt size "has a size that such a file cannot have"
spoilt bomb "has a size that such a file cannot have"
spoilt twice "comes twice"
spoilt mixed "belongs to another archive"
spoilt missing "does not contain cifar-10-batches-bin/data_batch_1.bin"
spoilt many "more than [0-9]* entries"
head -c 300000000 /dev/zero | gzip -1 > bad.tar.gz
rm -rf store
dataset d.yaml bad.tar.gz
expect 2 "a stream of zeros without end" fetch d.yaml
says "unpacks to more than\|contains no file"
printf 'inherit: d.yaml\ndataset: {archives: [{urls: ["file:///nowhere"], bytes: 5, sha256: %s}, {urls: ["file://%s"], bytes: %s, md5: "%s"}]}\n' \
    "$sha256" "$PWD/zeros.tar.gz" "$(size zeros.tar.gz)" "$(md5sum zeros.tar.gz | cut -d ' ' -f 1)" > second.yaml
rm -rf store
expect 0 "the second archive, known by its MD5" fetch second.yaml --retry 0
says "trying the next archive"
expect 0 "  and again" fetch second.yaml --offline

# ---- a real server ------------------------------------------------------------------------------------------------------------------
nginx=$(command -v nginx || ls /usr/sbin/nginx "$(dirname "$SELFSAME")/server/usr/sbin/nginx" 2> /dev/null | head -n 1)
if [ -z "$nginx" ] || ! "$nginx" -v 2> /dev/null || ! command -v openssl > /dev/null; then
    echo "skipped: the cases that want nginx and openssl"
    finish
fi
plain_port=$(free_port) tls_port=$(free_port)
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj "/CN=selfsame test CA" 2> /dev/null
openssl req -newkey rsa:2048 -nodes -keyout tls.key -out tls.csr -subj "/CN=localhost" 2> /dev/null
printf 'subjectAltName=DNS:localhost\n' > tls.extensions
openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile tls.extensions -out tls.pem 2> /dev/null
mkdir www
head -c 20000000 /dev/urandom > www/large
cp file www/file
cat > nginx.conf <<NGINX
$([ "$(id -u)" -ne 0 ] || echo "user root;")
daemon off;
worker_processes 1;
pid $PWD/nginx.pid;
error_log $PWD/nginx.error;
events {}
http {
    log_format bytes '\$request_uri \$status \$body_bytes_sent';
    access_log $PWD/nginx.log bytes;
    client_body_temp_path $PWD/nginx.1; proxy_temp_path $PWD/nginx.2; fastcgi_temp_path $PWD/nginx.3;
    uwsgi_temp_path $PWD/nginx.4; scgi_temp_path $PWD/nginx.5;
    server {
        listen 127.0.0.1:$plain_port;
        listen 127.0.0.1:$tls_port ssl;
        ssl_certificate $PWD/tls.pem;
        ssl_certificate_key $PWD/tls.key;
        root $PWD/www;
        location /slow/ { alias $PWD/www/; limit_rate 8m; }
        location /down/ { return 302 http://127.0.0.1:$plain_port/file; }
    }
}
NGINX
"$nginx" -p "$PWD" -c "$PWD/nginx.conf" -e "$PWD/nginx.error" &
servers="$servers $!"
tries=0
until python3 -c "import socket; socket.create_connection(('127.0.0.1', $plain_port))" 2> /dev/null || [ $tries -ge 100 ]; do
    tries=$((tries + 1))
    sleep 0.05
done

rm -rf store
weights m.yaml "'https://localhost:$tls_port/file'"
expect 3 "TLS with a certificate that nobody vouches for" fetch m.yaml
says "its certificate is not trusted .*--cacert FILE"
expect 0 "  which --cacert has trusted" fetch m.yaml --cacert ca.pem
rm -rf store
CURL_CA_BUNDLE=$PWD/ca.pem
export CURL_CA_BUNDLE
expect 0 "TLS with CURL_CA_BUNDLE" fetch m.yaml
rm -rf store
weights m.yaml "'https://127.0.0.1:$tls_port/file'"
expect 3 "TLS with a certificate for another name" fetch m.yaml
weights m.yaml "'https://localhost:$tls_port/down/'"
expect 3 "a redirect from https to http" fetch m.yaml
says "https may lead only to https"
unset CURL_CA_BUNDLE

bytes=$(size www/large) sha256=$(digest www/large)
weights m.yaml "'http://127.0.0.1:$plain_port/slow/large'"
# sent PATH: the bytes that nginx sent for it.
sent() { awk -v path="$1" '$1 == path { sum += $3 } END { print sum + 0 }' nginx.log; }

rm -rf store
for delay in 0.11 0.23 0.07 0.31 0.17 0.05 0.29 0.13 0.19 0.21; do
    "$SELFSAME" fetch m.yaml > /dev/null 2>&1 &
    process=$!
    sleep "$delay"
    kill -9 "$process"
    wait "$process" 2> /dev/null
done
part=$(size "store/partial/$sha256")
if [ "$part" -gt 0 ] && [ "$part" -lt "$bytes" ]; then pass "killed ten times: $part of $bytes bytes are there"; else fail "killed ten times: $part bytes"; fi
expect 0 "  and then left alone" fetch m.yaml
if cmp -s www/large "store/sha256/$sha256"; then pass "  whole"; else fail "  not whole"; fi
sleep 0.2
if [ "$(sent /slow/large)" -le $((bytes * 5 / 4)) ]; then pass "  $(sent /slow/large) bytes were sent for $bytes"; else fail "  $(sent /slow/large) bytes were sent for $bytes"; fi

rm -rf store
"$SELFSAME" fetch m.yaml > stdout 2> stderr &
process=$!
while [ ! -s "store/partial/$sha256" ]; do sleep 0.02; done
kill -INT "$process"
wait "$process"
if [ $? -eq 130 ]; then pass "SIGINT: exit 130"; else fail "SIGINT: another exit"; fi
says "the same command continues from there"
part=$(size "store/partial/$sha256")
expect 0 "  it does" fetch m.yaml --format json
if grep -q "\"received_bytes\": $((bytes - part))" stdout; then pass "  with just the rest"; else fail "  not just the rest of $bytes after $part"; fi

rm -rf store
before=$(sent /slow/large)
"$SELFSAME" fetch m.yaml > first.out 2> first.err &
first=$!
while [ ! -s "store/partial/$sha256" ]; do sleep 0.02; done
expect 0 "two processes at once: the second" fetch m.yaml
says "another process is using large"
prints "present"
wait "$first"
if [ $? -eq 0 ] && grep -q fetched first.out; then pass "  and the first"; else fail "  the first: $(cat first.err)"; fi
sleep 0.2
if [ $(($(sent /slow/large) - before)) -eq "$bytes" ]; then pass "  downloaded once"; else fail "  $(($(sent /slow/large) - before)) bytes sent"; fi

rm -rf store
"$SELFSAME" fetch m.yaml > /dev/null 2>&1 &
process=$!
while [ ! -s "store/partial/$sha256" ]; do sleep 0.02; done
kill -9 "$process"
wait "$process" 2> /dev/null
sleep 1.1 # so that the time of the change is another one
head -c "$bytes" /dev/urandom > www/large
sha256=$(digest www/large)
mv "store/partial/"*[0-9a-f] "store/partial/$sha256" && mv store/partial/*.origin "store/partial/$sha256.origin"
weights m.yaml "'http://127.0.0.1:$plain_port/slow/large'"
expect 0 "the file changed on nginx between two tries" fetch m.yaml
if cmp -s www/large "store/sha256/$sha256"; then pass "  whole"; else fail "  not whole"; fi
