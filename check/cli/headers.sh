# Headers: each compiles by itself, and twice; those that CUDA shares are C11, C++ and CUDA; -ffast-math stops the build.
# shellcheck disable=SC2086,SC2046,SC2254 # flags and file lists are to be split

build=$(dirname "$SELFSAME")
common="-I$TOP -I$build -D_GNU_SOURCE -DHAVE_CONFIG_H -include $build/config.h ${LIBRARY_CFLAGS-}"
strict="-Wall -Wextra -Werror -fsyntax-only"

# compiles "what is tested" COMMAND WORD...: the command succeeds, silently.
compiles() {
    what=$1
    shift
    if "$@" > stdout 2> stderr && [ ! -s stderr ]; then pass "$what"; else fail "$what"; fi
}

# refuses "what is tested" COMMAND WORD...: the command fails with exact.h's own message.
refuses() {
    what=$1
    shift
    if "$@" > stdout 2> stderr; then fail "$what: compiled"; else pass "$what: refused"; fi
    says "selfsame cannot be built with -ffast-math or a part of it"
}

# The build's compiler, and the others that are here.
c_compilers=${CC:-cc}
for other in gcc clang; do
    case ${CC:-cc} in
    $other | "$other "*) ;;
    *) if command -v $other > /dev/null; then c_compilers="$c_compilers
$other"; fi ;;
    esac
done

# ---- every header by itself: as the first line of a file, and a second time behind it ----

# The pieces of trainer/cpu/fused are one source, built once for each instruction set, with its flags.
flags_of() {
    case $1 in
    trainer/gpu/* | trainer/cuda/* | trainer/cudnn/kernels.h | check/*cuda* | check/ptx/*) echo "-I$TOP/check/cuda_host" ;; # instead of CUDA's own
    trainer/cpu/fused/*.h)
        echo "-DFUSED_VECTOR=16 -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx2 -mfma" ;;
    esac
}

cd "$TOP" || exit 99
headers=$( (git ls-files "*.h" 2> /dev/null | grep . || find . -name "*.h" | sed "s,^./,,") | grep -v "^check/goldens/\|^check/cudnn/\|^check/.*test_cuda_host.h\|^build")
kernel_headers=$(ls trainer/gpu/*.cuh trainer/cuda/*.cuh check/cuda_host/cuda_runtime.h check/cuda_host/device.h)
cd "$OLDPWD" || exit 99
compiler=${CC:-cc}
for header in $headers; do
    case $header in
    trainer/cpu/fused/*.h)
        grep -q '^#define HAVE_X86_64 1' "$build/config.h" || continue ;;
    trainer/cudnn/kernels.h) ;;
    trainer/cudnn/*) continue ;; # these include cuDNN's and cuBLAS's own
    check/cuda_host/cuda_runtime.h | check/cuda_host/device.h) continue ;; # C++
    esac
    printf '#include "%s"\n#include "%s"\n' "$header" "$header" > alone.c
    # Pieces of one source have static functions, which the file at hand does not call.
    compiles "$header alone" $compiler -std=c11 $common $strict -Wno-unused-function $(flags_of "$header") alone.c
done

printf 'int main(void) { return 0; }\n' > plain.cpp
if $compiler -x c++ -std=c++17 -fsyntax-only plain.cpp 2> stderr; then
    for header in $kernel_headers; do
        printf '#include "%s"\n#include "%s"\n' "$header" "$header" > alone.cpp
        compiles "$header alone" $compiler -x c++ -std=c++17 $common $strict -Wno-unused-function -Wno-unknown-pragmas $(flags_of trainer/cuda/) alone.cpp
    done
else
    echo "skipped: the kernels' headers: $compiler compiles no C++"
fi

# ---- what CUDA code includes: C11 with every compiler, C++, and nvcc ----

shared="trainer/exact.h trainer/engine.h trainer/input.h trainer/network.h trainer/recipe.h trainer/sampler.h trainer/schedule.h
    trainer/dataset.h base/error.h trainer/random.h trainer/device.h"
for header in $shared; do printf '#include "%s"\n' "$header"; done > shared.c
cat >> shared.c <<'C'
/* Each inline function is called, so that each is compiled. */
float call(double *v64, float *v32, unsigned long long *digest, float x);
float call(double *v64, float *v32, unsigned long long *digest, float x)
{
    struct exact_norm norm = exact_norm_from_sums(exact_tree64(v64, 4, 1), (double)exact_tree32(v32, 4, 1), 4.0, 1e-5, x, x);
    struct exact_norm_gradient gradient = exact_norm_backward(&norm, 1.0, 2.0, 4.0);
    uint64_t sums[2] = { 0, 0 };
    exact_ledger_add(sums, 1, 2);
    digest[0] = sums[0];
    exact_update_neon(v32, v32 + 1, gradient.slope, x, x, x);
    exact_update_pytorch(v32, v32 + 1, gradient.constant, x, x, x);
    v32[2] = (float)(sample_augmented(1, 2, 3, 4, true, true).row + exact_mean_of_32(5));
    return exact_norm_finite(&norm) ? exact_relu(exact_expf(x)) + exact_logf(x) + exact_running(x, exact_unbiased(1.0, 2.0), 0.1)
                                    : (float)exact_group_count(32, 2);
}
C
cp shared.c shared.cpp
echo "$c_compilers" | while read -r compiler; do
    compiles "the shared headers with $compiler -std=c11" $compiler -std=c11 $common $strict -Wshadow -Wpointer-arith shared.c
done > shared_results
cat shared_results
failures=$((failures + $(grep -c '^not ok' shared_results)))
for compiler in g++ clang++; do
    if command -v $compiler > /dev/null; then
        compiles "the shared headers with $compiler" $compiler -std=c++17 $common $strict shared.cpp
    else
        echo "skipped: the shared headers as C++: no $compiler here"
    fi
done
nvcc=$(command -v "${NVCC:-nvcc}" || true)
if [ -n "$nvcc" ]; then
    { cat shared.cpp
      printf '__global__ void kernel(float *w) { exact_update_neon(w, w + 1, exact_expf(w[2]), 0.1f, 0.9f, exact_logf(w[3])); }\n'
    } > shared.cu
    compiles "the shared headers with nvcc, host and device" "$nvcc" -std=c++17 -fmad=false -I"$TOP" -Xcompiler -Wall,-Wextra -Werror all-warnings \
        -c -o shared.o shared.cu
    # What the imitation declares, held against the toolkit's own header: values by assertion, functions by declaring them twice.
    imitation=$TOP/check/cuda_host/cuda_runtime_api.h
    toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")/include
    { printf '#include <cuda_runtime_api.h>\n#define CUDA_HOST_DEFAULT(value)\n'
      sed -n -e 's/^ *X(\(cuda[A-Za-z]*\), \([0-9]*\),.*/\1 \2/p' -e 's/^ *\(cuda[A-Za-z]*\) = \([0-9]*\),\{0,1\}$/\1 \2/p' \
          -e 's/^#define \(cuda[A-Za-z]*\) \(0x[0-9]*\)$/\1 \2/p' "$imitation" | sed 's/\(.*\) \(.*\)/_Static_assert((int)\1 == \2, "\1");/'
      sed -n -e '/^c[a-z A-Z_*]*cuda[A-Za-z0-9]*(/,/;/p' "$imitation"
    } > toolkit.c
    if [ "$(grep -c _Static_assert toolkit.c)" -gt 80 ] && [ "$(grep -c '^cudaError_t cuda' toolkit.c)" -gt 45 ]; then
        compiles "the imitation of CUDA declares what the toolkit does" ${CC:-cc} -std=c11 -isystem "$toolkit" -Werror -fsyntax-only toolkit.c
    else
        fail "the imitation of CUDA: its declarations were not found"
    fi
else
    echo "skipped: the shared headers with nvcc: it is not on the path"
fi

# ---- -ffast-math, where the build's own flags do not take it back: exact.h stops it ----

source=$TOP/trainer/random.c
compiler=${CC:-cc}
compiles "a source that includes exact.h, with the build's flags" $compiler -std=c11 $common ${EXACT_CFLAGS-} -fsyntax-only "$source"
# gcc's -Ofast is not among them: behind the build's -fno-fast-math it leaves that off.
for flag in -ffast-math -ffinite-math-only -funsafe-math-optimizations -freciprocal-math -fno-signed-zeros; do
    if $compiler -O2 $flag -dM -E -x c /dev/null | grep -q '__FAST_MATH__\|__FINITE_MATH_ONLY__ 1\|__ASSOCIATIVE_MATH__\|__RECIPROCAL_MATH__\|__NO_SIGNED_ZEROS__'; then
        refuses "CFLAGS=$flag" $compiler -std=c11 $common ${EXACT_CFLAGS-} -O2 $flag -fsyntax-only "$source"
    else
        echo "skipped: CFLAGS=$flag: $compiler does not tell the sources of it"
    fi
done
# clang 14 warns that one of these flags takes the place of another.
compiles "-ffast-math that is taken back" $compiler -std=c11 $common -O2 -ffast-math ${EXACT_CFLAGS-} -fno-fast-math -Wno-overriding-t-option \
    -fsyntax-only "$source"
