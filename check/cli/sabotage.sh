# Wrong arithmetic, one variant for each of these sections of ARITHMETIC.md, in copies of the program. Each must be caught at the first step, and the
# traces must name the tensor that is computed there.
# Not here yet: evaluation (section 8), which no trace covers, initial weights (9), exp and log (11), and the kernels of AVX2, AVX-512 and CUDA.

. "$TOP/check/cli/lib_faults.sh"

cat > exact-1.yaml << YAML
inherit: quick/resnet20.yaml
name: exact-1
model: {depth: 8}
dataset:
  training_images: 80
  train_sha256: 593139fd29a409f4872e498cdb043bea361793703d57a70157bcf25effe31648
  test_images: 10
  test_sha256: any
training: {steps: 2, batch_size: 20, schedule: {drop_epochs: []}}
targets: []
YAML
sed 's/^name: .*/name: exact-2/; $a arithmetic: exact-2' exact-1.yaml > exact-2.yaml
export SELFSAME_ISA=scalar
for name in exact-1 exact-2; do
    expect 0 "a good run in $name" train $name.yaml --runs runs --name $name
    expect 0 "  and its first step" trace runs/$name --step 1
    expect 0 "  and its second" trace runs/$name --step 2
done

# sabotage SECTION MANIFEST "what" FILE SED_SCRIPT TENSOR [STEP]: with FILE changed so, the first step (or STEP) is the first that differs, and in it
# TENSOR first.
number=0
sabotage() {
    section=$1 manifest=$2 what=$3 file=$4 script=$5 tensor=$6 step=${7-1}
    number=$((number + 1))
    wrong=wrong$number
    set --
    case $file in
    trainer/cpu/reference*) [ ! -f "$build/libreference_fma.a" ] || set -- "" "-DREFERENCE_FMA -mavx -mfma" ;;
    esac
    plant $wrong "$file" "$script" "$@"
    faulty $wrong 0 "section $section, $what" train "$manifest.yaml" --runs runs --name $wrong
    expect 1 "  is caught" compare "runs/$manifest" runs/$wrong
    prints "first difference: epoch 1, step $step (from 1)"
    faulty $wrong 0 "  is traced" trace runs/$wrong --step "$step" --out $wrong.trace
    if [ -n "$tensor" ]; then
        expect 1 "  is named" compare "$manifest-step$step.trace" $wrong.trace
        prints "^differs: $tensor is the first tensor that differs"
    else
        expect 2 "  changes no tensor" compare "$manifest-step$step.trace" $wrong.trace
        prints "^malformed: the tensors agree, and the lines of the ledger do not"
    fi
    rm -rf ${wrong:?}* runs/$wrong
}

within() { printf '%s\n' "/$1(/,/^}/s/$2/$3/"; } # FUNCTION FROM TO: a sed script
layers=trainer/cpu/reference_layers.c
sabotage 2 exact-1 "forward with rounded products" $layers \
    "$(within forward_rows 'fmaf(x\[stride \* q\], tap, acc\[q\])' 'acc[q] + x[stride * q] * tap')" forward/conv1/output
sabotage 2 exact-1 "data gradients with rounded products" $layers \
    "$(within backward_rows 'fmaf(dy\[i\], tap, acc\[i\])' 'acc[i] + dy[i] * tap')" backward/layer3.0.bn1/activation
sabotage 2 exact-1 "the same with stride 2, rows from the last" $layers \
    "$(within backward_strided 'uint32_t r = 0; r < 3; r++' 'uint32_t r = 2; r < 3; r--')" backward/layer2.0.bn2/activation
sabotage 2 exact-1 "weight gradients with rounded products" $layers \
    "$(within conv2d_backward_weight 'fmaf(g, patch\[i\], acc\[i\])' 'acc[i] + g * patch[i]')" gradient/layer3.0.conv2.weight
sabotage 2 exact-1 "groups of a weight gradient in a chain" $layers \
    "$(within group_tree 'dw\[i\] = exact_tree32.*' '{ for (size_t g = 1; g < groups; g++) parts[i] += parts[g * count + i]; dw[i] = parts[i]; }')" \
    gradient/layer3.0.conv2.weight
sabotage 2b exact-2 "channels from the last" trainer/cpu/reference_winograd.c \
    "$(within convolve 'C + c) \* POINTS, \*input = v + (size_t)c \*' 'C + C - 1 - c) * POINTS, *input = v + (size_t)(C - 1 - c) *')" \
    forward/layer1.0.conv1/output
sabotage 2b exact-2 "a tile's weight gradient with rounded products" trainer/cpu/reference_winograd.c \
    "$(within winograd_backward_weight 'fmaf(input\[point\], gradient\[point\], acc\[point\])' 'acc[point] + input[point] * gradient[point]')" \
    gradient/layer3.0.conv2.weight
sabotage 3 exact-1 "a projection with rounded products" $layers \
    "$(within projection_forward 'fmaf(\(x\[.*\]\), \(w\[.*\]\), acc)' 'acc + \1 * \2')" forward/layer2.0.bn2/activation 2 # at first it copies: its weights are 0 and 1
sabotage 4 exact-1 "sums over the pixels in a chain" $layers \
    "$(within batch_norm_sums 'sums\[k\] = exact_tree32(scratch, pixels, 1)' 'sums[k] = 0.0f; for (uint32_t i = 0; i < pixels; i++) sums[k] += scratch[i]')" \
    forward/bn1/sums
sabotage 4 exact-1 "batch norm in two roundings" $layers \
    "$(within 'void batch_norm_forward' 'fmaf(y\[i\], norm\[k\].scale, norm\[k\].shift)' 'y[i] * norm[k].scale + norm[k].shift')" forward/bn1/activation
sabotage 4 exact-1 "running means rounded twice" trainer/cpu/reference.c \
    "$(within update_running 'exact_running(\*running_mean, mean,' 'exact_running(*running_mean, (double)(float)mean,')" after/bn1.running_mean
sabotage 6 exact-1 "logits with rounded products" $layers \
    "$(within linear_forward 'fmaf(\(pool\[c\]\), \(w\[.*\]\), acc)' 'acc + \1 * \2')" forward/linear/output
sabotage 6 exact-1 "another sum of the exponentials" $layers \
    "$(within 'float softmax_loss' 'return exact_logf(sum)' 'return exact_logf(sum * 0x1.0001p+0f)')" forward/loss
sabotage 6 exact-1 "a product with 1 / N" $layers \
    "$(within 'void softmax_backward' '\/ (float)N' '* (1.0f \/ (float)N)')" gradient/bn_logits.weight
sabotage 7 exact-1 "the other form of the momentum" trainer/cpu/reference_backend.c \
    's/exact_update_neon(/exact_update_pytorch(/' after/momentum/bn1.bias
sabotage 9 exact-1 "another word of the random block" trainer/sampler.c \
    's/{ random\[0\], image }/{ random[1], image }/' batch/images
sabotage 10 exact-1 "images divided by 255 and multiplied again" trainer/input.c \
    's/= (float)byte - mean\[c\]/= ((float)byte \/ 255.0f - mean[c] \/ 255.0f) * 255.0f/' forward/input
sabotage 12 exact-1 "a learning rate of one unit more in the first step" trainer/schedule.c \
    "$(within 'float schedule_learning_rate' 'return (float)rate' 'return (float)rate * (step == 0 ? 0x1.000002p+0f : 1.0f)')" batch/learning_rate
sabotage 13 exact-1 "the ledger counts elements from 1" $layers \
    "$(within 'void ledger_digest' '(uint32_t)(first + i)' '(uint32_t)(first + i + 1)')" ""
