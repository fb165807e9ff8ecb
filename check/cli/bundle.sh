# make gpu-bundle: a folder that runs where there is a C library, a driver for the card, and nothing else of ours.
# A build of its own: part of `make check-ci`.

build=$(dirname "$SELFSAME")
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES

if ! "$SELFSAME" doctor 2> stderr | grep -q '^kernels    CUDA'; then
    if make -s -C "$build" gpu-bundle > made 2>&1; then fail "a bundle without CUDA"; else pass "no bundle of a build without CUDA"; fi
    if grep -q "this build has no CUDA" made; then pass "  which says why"; else fail "  which does not say why"; cat made; fi
    finish
fi
if make -s -C "$build" gpu-bundle > made 2>&1; then pass "make gpu-bundle"; else fail "make gpu-bundle"; cat made; finish; fi
if xz -dc "$build/selfsame-gpu-bundle.tar.xz" | tar x 2> stderr; then pass "  it unpacks"; else fail "  it does not unpack"; finish; fi
size=$(wc -c < "$build/selfsame-gpu-bundle.tar.xz")
if [ "$size" -lt 8388608 ]; then pass "  it is under 8 MiB"; else fail "  it has $size bytes"; fi

# Of libraries it asks for the C library's alone.
other=$(ldd selfsame-gpu-bundle/selfsame | grep -vE 'linux-vdso|libm\.|libc\.|ld-linux' || true)
if [ -z "$other" ]; then pass "  it needs the C library alone"; else fail "  it needs $other"; fi
for file in check-gpu publish README.md COPYING tests/test_ptx experiments/quick/resnet20.yaml \
    results/published/quick/quick-resnet110-seed1/ledger.txt.gz experiments/msra/resnet110.yaml; do
    [ -f "selfsame-gpu-bundle/$file" ] || fail "  $file is missing"
done

CUDA_VISIBLE_DEVICES=-1 # a machine that has a card hides it
export CUDA_VISIBLE_DEVICES
selfsame-gpu-bundle/check-gpu --results results > stdout 2> stderr
status=$?
if [ $status -eq 3 ]; then pass "its script without a card: exit 3"; else fail "its script without a card: exit $status"; fi
says "^no GPU here: ."

# In a root folder that has nothing but the C library.
if [ "$(id -u)" -ne 0 ] || ! command -v chroot > /dev/null; then
    echo "skipped: the bundle in an empty root folder, which takes root and chroot"
    finish
fi
mkdir -p root/tmp
ldd selfsame-gpu-bundle/selfsame | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "root$(dirname "$library")" && cp -L "$library" "root$library"
done
mv selfsame-gpu-bundle root/bundle
in_root() {
    chroot root /bundle/selfsame "$@" > stdout 2> stderr
    status=$?
}
in_root doctor
if [ $status -eq 0 ]; then pass "doctor in an empty root"; else fail "doctor in an empty root: exit $status"; fi
prints "^exact: yes"
in_root train --engine cuda /bundle/experiments/quick/resnet20.yaml
if [ $status -eq 3 ]; then pass "the engine cuda in an empty root: exit 3"; else fail "the engine cuda in an empty root: exit $status"; fi
says "no NVIDIA driver here"
in_root fetch /bundle/experiments/msra/resnet20.yaml
if [ $status -eq 3 ]; then pass "a download in an empty root: exit 3"; else fail "a download in an empty root: exit $status"; fi
says "download"
