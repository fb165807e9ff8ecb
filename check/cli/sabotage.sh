# Wrong arithmetic: a variant for every function that computes, in each engine. All lie in copies of the sources that are built into one program, and
# the setting SABOTAGE chooses one of them; the program that users get has no place for a fault. Each variant must be seen to be caught, at the right
# step, and the traces must name the tensor that is computed there. check/sabotage/README.md says how a variant is written.
# shellcheck disable=SC2046,SC2086 # flags, options, libraries and file lists are to be split

. "$TOP/check/cli/lib_faults.sh"

tables=$TOP/check/sabotage
tab=$(printf '\t')
cat "$tables"/*.variants | awk -f "$tables/variants.awk" > written || fail "the tables are not well formed"
while IFS=$tab read -r number section engines what recipe file function from rest; do
    case $file in *'*'*) file=$(cd "$TOP" && grep -l -e "$from" -- $file | head -n 1) ;; esac # of several files, the one that has it
    printf '%s\t' "$number" "$section" "$engines" "$what" "$recipe" "$file" "$function" "$from"
    printf '%s\n' "$rest"
done < written > variants
host=$build/check/selfsame_on_host
[ -x "$host" ] || { echo "skipped: the variants of CUDA, since this build has no program on the imitation of CUDA"; host=; }

# ---- the program of all variants ----

# Each changed source in planted/, with all of its variants: what is right unless SABOTAGE is the number of a variant.
cut -f 6 variants | sort -u > files
while read -r file; do
    mkdir -p "planted/$(dirname "$file")"
    awk -F "$tab" -v file="$file" -f "$tables/plant.awk" variants > script
    sed -f script "$TOP/$file" > "planted/$file" || fail "$file: a variant is no change that sed can make"
done < files
while IFS=$tab read -r number section engines what recipe file rest; do
    grep -q "(sabotage != $number)" "planted/$file" || fail "section $section, $what: nothing was changed in $file"
done < variants

includes="-Iplanted -I$TOP -I$build -include $build/config.h -include $tables/sabotage.h"
plain="-std=c11 -O1 -w ${EXACT_CFLAGS-} -D_GNU_SOURCE -DHAVE_CONFIG_H $includes ${LIBRARY_CFLAGS-}"
fma="-mavx -mfma -DREFERENCE_FMA" avx2="-mavx2 -mfma -DFUSED_VECTOR=8"
avx512="-mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx2 -mfma -mprefer-vector-width=512 -DFUSED_VECTOR=16"
mkdir -p objects
source_of() { if [ -f "planted/$1" ]; then echo "planted/$1"; else echo "$TOP/$1"; fi; }
# object NAME FILE FLAGS...: a line that compiles it.
object() {
    name=$1 from=$(source_of "$2")
    shift 2
    printf '%s\n' "${CC:-cc} $* -c -o objects/$name.o $from"
}
{
    object sabotage check/sabotage/sabotage.c $plain
    for file in "$TOP"/trainer/*.c "$TOP"/trainer/cpu/*.c; do
        file=${file#"$TOP"/}
        case $file in
        trainer/engines.c) ;;
        *) object "$(basename "$file" .c)" "$file" $plain ;;
        esac
        case $file in
        trainer/cpu/reference*) [ ! -f "$build/libreference_fma.a" ] || object "$(basename "$file" .c)_fma" "$file" $plain $fma ;;
        esac
    done
    object embedded fetch/data/embedded.c $plain
    if [ -f "$build/libavx2.a" ]; then
        object avx2 trainer/cpu/fused/fused.c $plain $avx2
        object avx512 trainer/cpu/fused/fused.c $plain $avx512
    fi
    for file in ${host:+"$TOP"/trainer/gpu/*.c "$TOP"/trainer/cuda/*.c "$TOP"/trainer/gpu/*.cu "$TOP"/trainer/cuda/*.cu}; do
        file=${file#"$TOP"/}
        name=$(echo "${file#trainer/}" | tr /. __)
        case $file in
        trainer/gpu/absent.c) ;;
        *.cu) object "$name" "$file" "-x c++ -I$TOP/check/cuda_host ${plain#-std=c11} -std=c++17 -fno-exceptions -fno-rtti -pthread ${CUDA_HOST_CFLAGS-}" ;;
        *) object "$name" "$file" "-I$TOP/check/cuda_host" $plain -DGPU_ARENA_WATCH=cuda_host_piece ;;
        esac
    done
} > commands
xargs -d '\n' -P 2 -n 1 sh -c < commands 2> stderr || fail "a changed source does not compile"
if [ -n "$host" ]; then program=${ON_HOST_OBJECTS-} libraries=${ON_HOST_LIBS-}; else program=${PROGRAM_OBJECTS-} libraries=${PROGRAM_LIBS-}; fi
rest=
for library in $libraries; do
    case $library in # what was compiled anew is not taken from the build
    *libreference_* | *libavx* | *libcuda_on_host_a-* | check/on_host/*) ;;
    *) rest="$rest $library" ;;
    esac
done
here=$PWD
(cd "$build" && ${CC:-cc} -pthread -o "$here/wrong" $program "$here"/objects/*.o $rest -lm) 2> stderr || fail "the changed sources do not link"

# ---- the registry: no function computes without a variant ----

# Without optimisation and inlining each function is there by itself, and its machine code says whether it computes.
registry=
case $(uname -m) in x86_64) command -v objdump > stdout && registry=1 ;; esac
# computes ENGINE FLAGS... FILE: adds to functions-ENGINE.
computes() {
    engine=$1
    shift
    ${CC:-cc} "$@" -O0 -fno-inline -Dalways_inline=noinline -c -o bare.o 2> stderr || fail "$*: does not compile"
    objdump -d -r -C --no-show-raw-insn bare.o | awk -f "$tables/functions.awk" | sort -u >> "functions-$engine"
}
# registered ENGINE: each of functions-ENGINE has a variant of that engine (`any`: of any) or a reason to have none.
registered() {
    awk -F "$tab" -v engine="$1" 'engine == "any" || index(" " $3 " ", " " engine " ") { print $7 }' variants > known
    sed -n 's/^\([a-z0-9_]*\) .*/\1/p' "$tables/exempt" >> known
    sort -u known > all
    sort -u "functions-$1" | comm -23 - all > strangers
    [ ! -s strangers ]
}
if [ -n "$registry" ]; then
    bare="-w -std=c11 ${EXACT_CFLAGS-} -D_GNU_SOURCE -DHAVE_CONFIG_H -I$TOP -I$build -include $build/config.h ${LIBRARY_CFLAGS-}"
    for file in "$TOP"/trainer/cpu/reference*.c; do computes scalar $bare $file; done
    for file in "$TOP"/trainer/sampler.c "$TOP"/trainer/schedule.c "$TOP"/trainer/input.c "$TOP"/trainer/network.c "$TOP"/trainer/random.c \
        "$TOP"/trainer/digests.c "$TOP"/trainer/dataset.c "$TOP"/trainer/train.c "$TOP"/trainer/cpu/engine.c \
        "$TOP"/trainer/cpu/shares.c; do
        computes any $bare $file
    done
    [ ! -f "$build/libavx2.a" ] || computes avx2 $bare $avx2 "$TOP/trainer/cpu/fused/fused.c"
    [ ! -f "$build/libavx512.a" ] || computes avx512 $bare $avx512 "$TOP/trainer/cpu/fused/fused.c"
    for file in ${host:+"$TOP"/trainer/gpu/[!p]*.cu "$TOP"/trainer/cuda/*.cu}; do
        computes cuda -x c++ ${bare#-w -std=c11} -w -std=c++17 -fno-exceptions -fno-rtti -I"$TOP/check/cuda_host" $file
        awk '/__global__/ { text = "" } { text = text " " $0 } match(text, /[a-z0-9_]+\(const struct/) && text ~ /__global__/ {
            print substr(text, RSTART, index(substr(text, RSTART), "(") - 1); text = "" }' "$file" >> functions-cuda
    done
    for list in functions-*; do
        engine=${list#functions-}
        if registered "$engine"; then
            pass "$(sort -u "$list" | wc -l) functions of $engine compute, and each has a variant"
        else
            fail "of $engine, these compute and have no variant in check/sabotage, nor a reason in exempt: $(tr '\n' ' ' < strangers)"
        fi
    done
    printf 'float new_kernel(float x);\nfloat new_kernel(float x) { return x * 1.5f; }\n' > new.c
    computes scalar $bare new.c
    if registered scalar; then fail "a new kernel is not refused"; elif grep -q '^new_kernel$' strangers; then pass "a new kernel is refused"; fi
    while read -r name reason; do
        case $name in '#'*) continue ;; esac
        grep -qx "$name" functions-* || fail "check/sabotage/exempt has $name, which computes nowhere"
    done < "$tables/exempt"
else
    echo "skipped: the registry of functions, which takes objdump and an x86-64 processor"
fi
for engine in scalar avx2 avx512 cuda; do
    for section in 1 2 2b 3 4 4b 5 6 7 8 9 10 11 12 13; do
        case $engine-$section in cuda-2b | cuda-4b) continue ;; esac # of exact-2 and of projection-bn it has nothing
        awk -F "$tab" -v e="$engine" -v s="$section" '$2 == s && index(" " $3 " ", " " e " ") { found = 1 } END { exit !found }' variants ||
            fail "section $section has no variant for $engine"
    done
done

# ---- good runs and their traces ----

cat > msra.yaml << YAML
inherit: quick/resnet20.yaml
name: msra
model: {depth: 8}
dataset:
  training_images: 15
  train_sha256: b13fa963a6c7138d82637c040aabccacd3292aac48e1fb179a339fc135c50035
  test_images: 10
  test_sha256: any
training: {steps: 8, batch_size: 6, schedule: {drop_steps: [5]}}
targets: []
YAML
# recipe NAME SED_SCRIPT: msra.yaml, changed.
recipe() { sed "s/^name: .*/name: $1/; $2" msra.yaml > "$1.yaml"; }
recipe tiles '$a arithmetic: exact-2'
recipe normed 's/^model: .*/model: {depth: 8, shortcut: projection-bn}/'
recipe option-a 's/^model: .*/model: {depth: 8, shortcut: pad-both, linear_bias: uniform, final_batch_norm: false, batch_norm: {unbiased_variance: true}}/
s/^dataset:/&\n  padding: {mode: zero}\n  normalization: {kind: pixel-mean}/
s/^training: {/&last_batch: short, optimizer: {form: pytorch}, /'
recipe constants 's/^dataset:/&\n  padding: {mode: zero-raw}\n  normalization: {kind: constants, mean: [0.4, 0.5, 0.45], deviation: [0.2, 0.25, 0.3]}/'
recipe subnormal 's/^training: .*/training: {steps: 8, batch_size: 6, optimizer: {momentum: 0, weight_decay: 0}, schedule: {learning_rate: 1e-9, drop_factor: 1e-9, drop_steps: [1, 2, 3]}}/'
recipe deep 's/depth: 8/depth: 38/; s/batch_size: 6/batch_size: 2/'
recipe diverging 's/^training: .*/training: {steps: 8, batch_size: 6, optimizer: {momentum: 0, weight_decay: 1}, schedule: {learning_rate: 1000, drop_epochs: []}}/'
for recipe in msra tiles normed option-a constants subnormal; do
    expect 0 "a good run of $recipe" train $recipe.yaml --runs runs --name $recipe --keep-checkpoints all
    for step in 1 4; do expect 0 "  its step $step" trace runs/$recipe --step $step; done
done
expect 0 "a good run of deep, of which the engine cuda makes outputs again" train deep.yaml --runs runs --name deep
expect 0 "  its first step" trace runs/deep --step 1
expect 0 "the first step of msra's third epoch" trace runs/msra --step 6
expect 1 "a good run of diverging" train diverging.yaml --runs runs --name diverging
diverged=$(sed -n 's/.* step \([0-9]*\) (from 1): a number.*/\1/p' stderr)
expect 1 "  its last step" trace runs/diverging --step "$diverged"
cp stderr blame

# ---- the variants ----

right=$SELFSAME
# with NUMBER expect ...: the program of all variants, in which that one is wrong; 0: none.
with() {
    SELFSAME=$PWD/wrong SABOTAGE=$1
    export SABOTAGE
    shift
    "$@"
    SELFSAME=$right
    unset SABOTAGE
}
engines=scalar
for isa in avx2 avx512; do
    [ -f "$build/lib$isa.a" ] || continue
    run trace runs/msra --step 4 --isa $isa --out isa.trace --force
    if [ $status -eq 0 ]; then engines="$engines $isa"; else echo "skipped: the variants of $isa, which this processor does not have"; fi
done
engines="$engines${host:+ cuda}"
# at ENGINE: the options that choose it.
at() { case $1 in cuda) echo "--engine cuda" ;; *) echo "--isa $1 --threads 1" ;; esac; }
for engine in $engines; do
    for recipe in msra tiles normed option-a; do
        case $engine-$recipe in cuda-tiles | cuda-normed) continue ;; esac
        with 0 expect 0 "$engine: with no variant, $recipe" trace runs/$recipe --step 4 $(at $engine) --out none.trace --force
        same $recipe-step4.trace none.trace "  is right"
    done
done

# traced NUMBER "what" ENGINE RECIPE STEP: the step of the good run, computed wrongly, comes out otherwise than its ledger says.
traced() {
    with "$1" expect 1 "$2" trace "runs/$4" --step "$5" $(at "$3") --out wrong.trace --force
    says "step $5 comes out otherwise here than its ledger says"
    run compare "$4-step$5.trace" wrong.trace
}
# named TENSOR: the traces that were compared last differ there first.
named() { prints "^differs: $1 is the first tensor that differs"; }
# trained NUMBER "what" ENGINE RECIPE STATUS: a run that was computed wrongly, compared with the good one.
trained() {
    rm -rf runs/wrong
    with "$1" expect 0 "$2" train "$4.yaml" --runs runs --name wrong --keep-checkpoints all $(at "$3")
    expect "$5" "  is compared" compare "runs/$4" runs/wrong
}
while IFS=$tab read -r number section in fault recipe file function from to caught; do
    for engine in $in; do
        case " $engines " in *" $engine "*) ;; *) continue ;; esac
        title="section $section, $engine: $fault"
        set -- $caught
        case $1 in
        ledger)
            traced $number "$title" $engine $recipe 4
            prints "^malformed: the tensors agree, and the lines of the ledger do not"
            ;;
        momentum)
            with $number expect 0 "$title" trace runs/$recipe --step 4 $(at $engine) --out wrong.trace --force
            run compare $recipe-step4.trace wrong.trace
            named "$2"
            ;;
        initial)
            traced $number "$title" $engine $recipe 1
            named "$2"
            ;;
        run)
            trained $number "$title" $engine $recipe 1
            prints "first difference: epoch [0-9]*, step $2 (from 1)"
            with $number expect 0 "  is traced" trace runs/wrong --step $2 $(at $engine) --out wrong.trace --force
            run compare "$recipe-step$2.trace" wrong.trace
            named "$3"
            ;;
        epoch)
            trained $number "$title" $engine $recipe 1
            prints "first epoch that differs: $2: $3"
            ;;
        record)
            trained $number "$title" $engine $recipe 2
            says "contradict each other.*${caught#record }"
            ;;
        data)
            with $number expect 2 "$title" train $recipe.yaml --runs runs --name refused
            says "the training data have SHA-256"
            ;;
        blame)
            with $number run trace runs/$recipe --step $diverged $(at $engine) --out wrong.trace --force
            if cmp -s blame stderr; then fail "$title: the same tensor is blamed"; else pass "$title: $(head -n 1 stderr)"; fi
            ;;
        *)
            traced $number "$title" $engine $recipe 4
            named "$1"
            ;;
        esac
    done
done < variants
