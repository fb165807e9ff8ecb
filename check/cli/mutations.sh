# exact-2's tests fail when its definition is changed: other points, another order of a sum, another rounding in a
# transform. Each change is made in a copy of the reference, and check/unit/test_winograd.c is built with that copy.
# `make check` makes some of the changes, `make check-ci` all of them (MUTATIONS=all).
# shellcheck disable=SC2086 # flags and file lists are to be split

build=$(dirname "$SELFSAME")
case $(build_flags) in
*-fsanitize* | *--coverage*)
    echo "skipped: the libraries of this build need flags of their own"
    exit 77
    ;;
esac
flags="-std=c11 -O2 ${EXACT_CFLAGS-} -Imutant -I$TOP -I$build -D_GNU_SOURCE -DHAVE_CONFIG_H -include $build/config.h"
flags="$flags ${LIBRARY_CFLAGS-}"
libraries="$build/libsupport.a $build/libreference_plain.a $build/libtrainer.a ${LIBRARY_LIBS-} -lm -pthread"
exact=trainer/exact.h winograd=trainer/cpu/reference_winograd.c layers=trainer/cpu/reference_layers.c
test=check/unit/test_winograd.c
mkdir -p mutant/trainer/cpu mutant/check/unit

# compile FOLDER FILE...: from mutant/ into FOLDER.
compile() {
    to=$1
    shift
    for file; do
        ${CC:-cc} $flags -c -o "$to/$(basename "$file" .c).o" "mutant/$file" 2> stderr || fail "$file does not compile"
    done
}

# mutant "what" FILE SED_SCRIPT TEST...: with FILE changed so, each of these tests fails by one of its assertions.
mutant() {
    what=$1 changed=$2
    sed -e "$3" "$TOP/$changed" > "mutant/$changed"
    if cmp -s "mutant/$changed" "$TOP/$changed"; then fail "$what: nothing was changed"; fi
    shift 3
    rm -rf objects
    cp -r same objects
    case $changed in
    "$exact") compile objects $winograd $test ;; # of reference_layers.c only group_tree counts
    *) compile objects "$changed" ;;
    esac
    ${CC:-cc} -o test_mutant objects/*.o $libraries 2> stderr || fail "$what: does not link"
    for name; do
        ./test_mutant "$name" > stdout 2> stderr
        status=$?
        if [ $status -gt 0 ] && [ $status -lt 100 ] && grep -q '^\[  FAILED  \]' stderr; then
            pass "$what: $name fails$(sed -n 's/.*\(RMS error [^,]*\).*/, \1/p' stderr | head -n 1)"
        else
            fail "$what: $name gives $status"
        fi
    done
    cp "$TOP/$changed" "mutant/$changed"
}

# The same way without a change, as a control.
for file in $exact $winograd $layers $test; do cp "$TOP/$file" "mutant/$file"; done
mkdir same
compile same $winograd $layers $test
${CC:-cc} -o test_same same/*.o $libraries 2> stderr || fail "nothing changed: does not link"
if ./test_same > stdout 2> stderr; then
    pass "nothing changed: all tests pass"
else
    fail "nothing changed: a test fails"
fi

# ---- points: the transforms at 0, a, -a, b, -b and infinity, which make a right convolution for any a and b ----

points() { # A B: a sed script
    awk -v a="$1" -v b="$2" '
        function literal(old, new) {
            gsub(/\./, "\\.", old)
            new = sprintf("%.9g", new)
            first = first sprintf("s/\\<%sf/@%d@/g;", old, ++count)
            second = second sprintf("s/@%d@/%sf/g;", count, new ~ /\./ ? new : new ".0")
        }
        BEGIN {
            A = a * a; B = b * b
            literal("0.625", a); literal("0.390625", A); literal("0.244140625", A * a)
            literal("1.5", b); literal("2.25", B); literal("3.375", B * b)
            literal("1.40625", a * B); literal("0.5859375", A * b)
            literal("0.87890625", A * B); literal("2.640625", A + B)
            literal("1.45263671875", 2 * A * (B - A)); literal("8.3671875", 2 * B * (B - A))
            literal("3.71875", 2 * (B - A)); literal("3.2684326171875", 2 * (B - A) * A * B)
            literal("3.486328125", 2 * (B - A) * a * b)
            print "/^EXACT void exact_winograd/,/^}/{" first second "}"
        }'
}
pairs="1 2/0.6875 1.5"
[ "${MUTATIONS-}" != all ] || pairs="$pairs/0.5 1.5/0.75 1.5/0.625 1.25"
while read -r a b; do
    mutant "points $a and $b" $exact "$(points "$a" "$b")" test_errors_16 test_transforms
done << PAIRS
$(echo "$pairs" | tr / '\n')
PAIRS

# ---- orders: of channels, of a transform's two dimensions, of tiles, images and groups in a weight gradient ----

bits='test_*_against_rationals'
error=
[ "${MUTATIONS-}" != all ] || error=test_errors_16
within() { printf '%s\n' "/void $1(/,/^}/s/$2/$3/"; } # FUNCTION FROM TO: a sed script
terms='C + c) \* POINTS, \*input = v + (size_t)c \*'
mutant "channels from last to first" $winograd \
    "$(within convolve "$terms" 'C + C - 1 - c) * POINTS, *input = v + (size_t)(C - 1 - c) *')" "$bits" $error
mutant "neighbouring channels exchanged" $winograd \
    "$(within convolve "$terms" 'C + (c ^ 1)) * POINTS, *input = v + (size_t)(c ^ 1) *')" "$bits" $error
mutant "rows of a square before its columns" $winograd \
    "$(within transform 'square + j, INPUT' 'square + (size_t)j * INPUT, 1')
$(within transform 'square + (size_t)i \* INPUT, 1' 'square + i, INPUT')" "$bits" $error
mutant "tiles by columns" $winograd \
    "$(within winograd_backward_weight 'tile \/ across \(.*\) tile % across' 'tile % across \1 tile \/ across')" \
    "$bits" $error
mutant "images from last to first" $winograd \
    "$(within winograd_backward_weight '((size_t)n \*' '((size_t)(end - 1 - (n - begin)) *')" "$bits" # one at side 32
mutant "groups of 128 tiles" $exact 's/return 1024 \/ (side \* side)/return 2048 \/ (side * side)/' "$bits" $error
mutant "groups in a chain" $layers "$(within group_tree 'dw\[i\] = exact_tree32.*' \
    '{ for (size_t g = 1; g < groups; g++) parts[i] += parts[g * count + i]; dw[i] = parts[i]; }')" \
    test_groups_against_rationals $error

# ---- roundings: every fma of a transform in two operations, every division as a product, the one sum of three ----

if [ "${MUTATIONS-}" = all ]; then
    split='/^EXACT void exact_winograd_input/i static float split(float a, float b, float c) { return a * b + c; }'
    grep -n '' "$TOP/$exact" | sed -n '/:EXACT void exact_winograd/,/:}/p' | grep 'fmaf(\| / ' > places
    while IFS=: read -r line text; do
        for word in 'fmaf(' ' / '; do
            at=1
            for _ in $(printf '%s' "$text" | grep -o "$word" | tr ' ' _); do
                case $word in
                ' / ')
                    mutant "line $line, division" $exact "${line}s, / \([^;]*\);, * (1.0f / (\1));," test_transforms
                    ;;
                *) mutant "line $line, fma $at" $exact "$split
${line}s/fmaf(/split(/$at" test_transforms ;;
                esac
                at=$((at + 1))
            done
        done
    done < places
    mutant "the sum of three" $exact 's/(m0 + p) + t/m0 + (p + t)/' test_transforms
fi
