/* How far a whole network's gradients are from binary64's, in exact-1, exact-2 and bfloat16, by layer and together:
 * ARITHMETIC.md section 15 has what it prints.
 *
 *   gradient_errors [depth=20] [batch=32]
 *
 * inputs   the recipe of the 2016 replication, its initial weights with seed 7 (biases and norms moved a little, as
 *          check/support/step_case.c does), the first images of the embedded data set, neither cropped nor flipped.
 * errors   |ours - binary64's| / |binary64's| over all elements of a tensor, or of the network, as Euclidean norms.
 * ReLUs    a ReLU whose input is nearly 0 passes in one arithmetic and not in another, and a few of these outweigh all
 *          roundings. So there are two binary64 gradients: with ReLUs of its own, and with those of the run that it is
 *          held against, which leaves the roundings alone.
 * bfloat16 is emulated: convolutions and the linear layer round what they read and what they leave to bfloat16; their
 *          sums and all else are binary64, so that a real one is hardly nearer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/support/step_case.h"
#include "fetch/data/embedded.h"

enum { VARIANT = 0, IMAGE = DATASET_IMAGE_BYTES };

/* One arithmetic's gradients, and which ReLUs passed. */
struct run {
    const char *name;
    double *gradients;
    uint8_t **masks;
    double own, same; /* the errors of the whole: each with ReLUs of its own, both with this run's */
    size_t flipped;   /* ReLUs that pass what binary64's do not, or the other way round */
    double *layers;   /* [tensor_count] with this run's */
};

/* The case with other images: the embedded data set's. */
static struct step_case open_case(uint32_t depth, uint32_t N)
{
    struct step_case c = case_open(VARIANT, depth, N);
    struct dataset none;
    struct error error;
    input_close(c.input);
    dataset_free(&c.data);
    if (embedded_make(&c.data, N, &none, 1, &error) != STATUS_OK ||
        input_open(&c.input, &c.recipe.input, &c.data, &error) != STATUS_OK) {
        fprintf(stderr, "gradient_errors: %s\n", error.message);
        exit(3);
    }
    dataset_free(&none);
    for (uint32_t n = 0; n < N; n++)
        input_load_plain(c.input, c.data.images + (size_t)n * IMAGE, c.images + (size_t)n * IMAGE, DATASET_PIXELS,
                         DATASET_SIDE, 1);
    return c;
}

static const struct backend_operations *fastest(void)
{
    size_t i = 0;
    while (!backends[i]->supported())
        i++;
    return backends[i];
}

/* A step whose momentum afterwards is the gradient: PyTorch's form from no momentum, without decay. The ReLUs are the
 * reference's, whose bits are the backend's. */
static struct run run_exact(struct step_case *c, enum arithmetic arithmetic)
{
    struct backend *backend;
    struct error error;
    struct backend_outcome outcome;
    struct run run = { .name = arithmetic_version(arithmetic) };
    c->recipe.arithmetic = arithmetic;
    c->recipe.training.momentum_form = MOMENTUM_PYTORCH;
    c->recipe.training.weight_decay = 0.0;
    float *values = allocate(c->network->value_count, sizeof *values),
          *momentum = allocate(c->network->value_count, sizeof *momentum);
    if (fastest()->open(&backend, &c->recipe, c->network, 2, false, NULL, &error) != STATUS_OK) {
        fprintf(stderr, "gradient_errors: %s\n", error.message);
        exit(3);
    }
    fastest()->set_state(backend, c->values, momentum);
    const struct backend_batch batch = { .count = c->N, .data = &c->data, .input = c->input };
    fastest()->step(backend, &batch, 0.1f, &outcome);
    fastest()->get_state(backend, values, momentum);
    fastest()->close(backend);
    run.gradients = widened(momentum, c->network->value_count);
    free(values);
    free(momentum);
    struct forward32 forward = run_forward32(c);
    if (memcmp(&forward.loss, &outcome.loss, sizeof outcome.loss) != 0) {
        fprintf(stderr, "gradient_errors: the reference's loss is not the backend's\n");
        exit(1);
    }
    run.masks = forward.masks;
    free(forward.logits);
    return run;
}

/* In binary64, or with `rounded` in bfloat16; with the ReLUs `masks`, or of its own. */
static struct run run_wide(const struct step_case *c, const char *name, bool rounded, uint8_t **masks)
{
    struct network64 wide;
    struct run run = { .name = name };
    network64_open(&wide, c->network, c->N, c->values, c->images, c->data.labels);
    wide.bfloat16 = rounded;
    wide.masks = (const uint8_t *const *)masks;
    network64_forward(&wide, 0);
    network64_backward(&wide);
    run.gradients = wide.gradients;
    run.masks = wide.passed;
    wide.gradients = NULL;
    wide.passed = allocate(c->network->conv_count, sizeof *wide.passed);
    network64_close(&wide);
    return run;
}

static void run_free(const struct step_case *c, struct run *run)
{
    for (uint32_t l = 0; l < c->network->conv_count; l++)
        free(run->masks[l]);
    free(run->masks);
    free(run->gradients);
    free(run->layers);
}

/* Over the parameters of one tensor, or of all where `tensor` is negative. */
static double error_of(const struct step_case *c, const struct run *run, const struct run *wide, int64_t tensor)
{
    double difference = 0.0, size = 0.0;
    for (uint32_t t = 0; t < c->network->tensor_count; t++) {
        const struct tensor *at = &c->network->tensors[t];
        if (at->role != TENSOR_PARAMETER || (tensor >= 0 && t != tensor))
            continue;
        for (size_t i = at->offset; i < at->offset + at->count; i++) {
            difference += (run->gradients[i] - wide->gradients[i]) * (run->gradients[i] - wide->gradients[i]);
            size += wide->gradients[i] * wide->gradients[i];
        }
    }
    return sqrt(difference / size);
}

static void measure(const struct step_case *c, struct run *run, const struct run *own)
{
    struct run same = run_wide(c, "binary64", false, run->masks);
    for (uint32_t l = 0; l < c->network->conv_count; l++) {
        const struct conv_layer *layer = &c->network->convs[l];
        for (size_t i = 0; i < (size_t)c->N * layer->filters * network64_pixels(layer); i++)
            run->flipped += run->masks[l][i] != own->masks[l][i];
    }
    run->own = error_of(c, run, own, -1);
    run->same = error_of(c, run, &same, -1);
    run->layers = allocate(c->network->tensor_count, sizeof *run->layers);
    for (uint32_t t = 0; t < c->network->tensor_count; t++)
        run->layers[t] = c->network->tensors[t].role == TENSOR_PARAMETER ? error_of(c, run, &same, t) : 0.0;
    run_free(c, &same);
}

static uint32_t argument(int argc, char **argv, const char *name, uint32_t value)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, strlen(name)) == 0)
            value = (uint32_t)strtoul(argv[i] + strlen(name), NULL, 10);
    }
    return value;
}

int main(int argc, char **argv)
{
    enum { EXACT_1, EXACT_2, BFLOAT16, RUNS };
    const uint32_t depth = argument(argc, argv, "depth=", 20), batch = argument(argc, argv, "batch=", 32);
    struct step_case c = open_case(depth, batch);
    struct run own = run_wide(&c, "binary64", false, NULL);
    struct run runs[RUNS] = { run_exact(&c, ARITHMETIC_EXACT_1), run_exact(&c, ARITHMETIC_EXACT_2),
                              run_wide(&c, "bfloat16", true, NULL) };
    printf("depth %u, batch %u\n%-28s", depth, batch, "");
    for (int r = 0; r < RUNS; r++) {
        measure(&c, &runs[r], &own);
        printf(" %10s", runs[r].name);
    }
    printf("  exact-2 / exact-1\n%-28s", "all, ReLUs of its own");
    for (int r = 0; r < RUNS; r++)
        printf(" %10.2e", runs[r].own);
    printf("  %.2f\n%-28s", runs[EXACT_2].own / runs[EXACT_1].own, "all, the same ReLUs");
    for (int r = 0; r < RUNS; r++)
        printf(" %10.2e", runs[r].same);
    printf("  %.2f\n", runs[EXACT_2].same / runs[EXACT_1].same);
    printf("%-28s", "ReLUs that differ");
    for (int r = 0; r < RUNS; r++)
        printf(" %10zu", runs[r].flipped);
    printf("\n");
    double largest = 0.0;
    for (uint32_t l = 0; l < c.network->conv_count; l++) {
        const uint32_t t = (uint32_t)c.network->convs[l].weight;
        const double ratio = runs[EXACT_2].layers[t] / runs[EXACT_1].layers[t];
        printf("%-28s", c.network->tensors[t].name);
        for (int r = 0; r < RUNS; r++)
            printf(" %10.2e", runs[r].layers[t]);
        printf("  %.2f\n", ratio);
        largest = fmax(largest, ratio);
    }
    printf("the largest ratio of a layer: %.2f\n", largest);
    for (int r = 0; r < RUNS; r++)
        run_free(&c, &runs[r]);
    run_free(&c, &own);
    case_close(&c);
    return 0;
}
