/* See soak_check.h. */
#include "trainer/soak_check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/machine.h"

/* ---- what is known ----------------------------------------------------------------------------------------------- */

/* clang-format off */
const struct soak_network soak_networks[SOAK_NETWORKS] = {
    { 2, 1,
      {
          { { { { 0xd31d1c364e107682, 0x857740511e0e7d2e }, 0x4041cd66, 1 },
              { { 0x7299999de97b7921, 0xcb5b2f0cd725c75f }, 0x4025ba0f, 1 } },
            0x4011fad94b800000 },
          { { { { 0x8d000351e9db59f4, 0xc1e38296ebadb098 }, 0x4041cd65, 1 },
              { { 0xba39ab405f5ba1c4, 0xeb7cfafb4c80438a }, 0x4025ba0e, 1 } },
            0x4011fad955200000 },
      } },
    { 1, 16,
      {
          { { { { 0x29366a09cd504b59, 0xff4646d4923625fd }, 0x402239a7, 11 },
              { { 0xb91c23ba07693df8, 0x3cc29f6661780d34 }, 0x40381341, 15 } },
            0x4022baff57e7e000 },
          { { { { 0xd641c37ee9bec9c4, 0x8d3af2d79a8da53c }, 0x402239a7, 11 },
              { { 0x3d200f14f4047422, 0xb6d8497d19eeece0 }, 0x40381341, 15 } },
            0x4022baff4be7e000 },
      } },
    { 0, 64,
      {
          { { { { 0x9d0ee82296ab66ba, 0x5c3d41c0e651d790 }, 0x402030fc, 59 },
              { { 0x80e223344a3f5818, 0x3d31911fd8c6d30e }, 0x4005f941, 47 } },
            0x40a6cf524d000000 },
          { { { { 0x7dbc4d9e4292b584, 0xe3995f7136ec9720 }, 0x402030fb, 59 },
              { { 0x41bc67d786848e61, 0xda373a74743c723f }, 0x4005f93a, 47 } },
            0x40a6d034f4000000 },
      } },
};
/* clang-format on */

/* ---- networks ---------------------------------------------------------------------------------------------------- */

static struct recipe recipe_of(const struct soak_network *soaked, enum arithmetic arithmetic)
{
    struct recipe recipe = proof_recipes[soaked->recipe];
    recipe.arithmetic = arithmetic;
    recipe.training.batch_size = soaked->batch;
    recipe.training.length = SOAK_STEPS;
    return recipe;
}

/* A network on an engine, from the first weights on. */
struct running {
    struct network *network;
    struct engine *engine;
    const struct engine_operations *operations;
    float *values, *momentum;
};

static void running_close(struct running *running)
{
    if (running->engine != NULL)
        running->operations->close(running->engine);
    free(running->values);
    free(running->momentum);
    network_close(running->network);
}

static enum status running_open(struct running *running, const struct soak_engine *engine,
                                const struct soak_network *soaked, uint32_t threads, const struct soak_data *data,
                                struct error *error)
{
    const struct recipe recipe = recipe_of(soaked, engine->arithmetic);
    const struct engine_options options = { .threads = threads, .isa = engine->isa };
    memset(running, 0, sizeof *running);
    running->operations = engine->operations;
    enum status status = network_open(&running->network, &recipe.model, error);
    if (status != STATUS_OK)
        return status;
    running->values = calloc(running->network->value_count, sizeof *running->values);
    running->momentum = calloc(running->network->value_count, sizeof *running->momentum);
    if (running->values == NULL || running->momentum == NULL)
        return error_out_of_memory(error, "%zu weights", running->network->value_count);
    network_initialize(running->network, recipe.training.seed, running->values);
    status = engine->operations->open(&running->engine, &recipe, running->network, &data->training, &data->validation,
                                      &options, error);
    if (status != STATUS_OK)
        return status;
    return engine->operations->set_state(running->engine, running->values, running->momentum, error);
}

struct heard {
    struct step_result result;
};

static bool hear(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    struct heard *heard = context;
    (void)first;
    heard->result = results[count - 1];
    return true;
}

static enum status run_step(struct running *running, uint64_t step, struct step_result *result, struct error *error)
{
    struct heard heard = { .result = { .errors = 0 } };
    const struct step_listener listener = { .context = &heard, .steps = hear };
    uint64_t done;
    enum status status = running->operations->run_steps(running->engine, step, step + 1, &listener, &done, error);
    if (status == STATUS_OK)
        *result = heard.result;
    return status;
}

static bool step_is_known(const struct soak_network *soaked, enum arithmetic arithmetic, uint64_t step,
                          const struct step_result *result)
{
    return memcmp(result->digest, soaked->known[arithmetic].steps[step].digest, sizeof result->digest) == 0 &&
           float_bits(result->loss) == soaked->known[arithmetic].steps[step].loss &&
           result->errors == soaked->known[arithmetic].steps[step].errors;
}

static bool differs(const struct network *network, const float *a, const float *b, int32_t tensor)
{
    const struct tensor *t = tensor < 0 ? NULL : &network->tensors[tensor];
    return t != NULL && memcmp(a + t->offset, b + t->offset, t->count * sizeof *a) != 0;
}

/* The first tensor that a step computed wrongly, from two states after it: the running statistics follow from the
 * forward pass, so they come first and in its order; then the parameters, in the order of the backward pass. */
static const char *first_difference(const struct network *network, const float *a, const float *b)
{
    enum { PER_LAYER = 7, HEAD = 6 };
    for (uint32_t i = 0; i < network->conv_count; i++) {
        const struct conv_layer *conv = &network->convs[i];
        const int32_t statistics[] = { (int32_t)conv->running_mean, (int32_t)conv->running_variance,
                                       conv->projection_mean, conv->projection_variance };
        for (size_t k = 0; k < sizeof statistics / sizeof *statistics; k++)
            if (differs(network, a, b, statistics[k]))
                return network->tensors[statistics[k]].name;
    }
    const int32_t head[HEAD] = { network->logits_mean, network->logits_variance, network->logits_gamma,
                                 network->logits_beta, network->linear_bias,     network->linear_weight };
    for (size_t k = 0; k < HEAD; k++)
        if (differs(network, a, b, head[k]))
            return network->tensors[head[k]].name;
    for (uint32_t i = network->conv_count; i-- > 0;) {
        const struct conv_layer *conv = &network->convs[i];
        const int32_t parameters[] = { conv->projection_gamma, conv->projection_beta, conv->projection,
                                       (int32_t)conv->gamma,   (int32_t)conv->beta,   (int32_t)conv->weight };
        for (size_t k = 0; k < sizeof parameters / sizeof *parameters; k++)
            if (differs(network, a, b, parameters[k]))
                return network->tensors[parameters[k]].name;
    }
    return NULL;
}

/* Computes the same steps by the reference, and compares the states. */
static void name_tensor(struct running *wrong, const struct soak_network *soaked, uint64_t step,
                        const struct soak_data *data, const struct soak_engine *reference, char *what, size_t size)
{
    struct running right;
    struct error error;
    struct step_result result;
    enum status status = wrong->operations->get_state(wrong->engine, wrong->values, wrong->momentum, &error);
    if (status == STATUS_OK)
        status = running_open(&right, reference, soaked, 1, data, &error);
    else
        memset(&right, 0, sizeof right);
    bool known = true;
    for (uint64_t s = 0; status == STATUS_OK && s <= step; s++) {
        status = run_step(&right, s, &result, &error);
        known = known && status == STATUS_OK && step_is_known(soaked, reference->arithmetic, s, &result);
    }
    if (status == STATUS_OK)
        status = right.operations->get_state(right.engine, right.values, right.momentum, &error);
    if (status != STATUS_OK)
        snprintf(what, size, "which tensor is not known: %.80s", error.message);
    else if (!known)
        snprintf(what, size, "which tensor is not known: the scalar reference, too, gave other bits this time");
    else {
        const char *name = first_difference(right.network, wrong->values, right.values);
        if (name == NULL)
            name = memcmp(wrong->momentum, right.momentum, right.network->value_count * sizeof *right.momentum) != 0
                       ? "the momentum"
                       : "no tensor, but the loss, the errors or the digest";
        snprintf(what, size, "first wrong: %s", name);
    }
    running_close(&right);
}

/* Says what was wrong. The caller may be bound to a core, and is left on `elsewhere`. */
static void explain(struct running *running, const struct soak_network *soaked, uint64_t step,
                    const struct soak_data *data, const struct soak_engine *reference, int elsewhere,
                    char what[SOAK_WHAT_BYTES])
{
    struct error ignored;
    char tensor[SOAK_WHAT_BYTES / 2];
    if (elsewhere >= 0 && machine_pin_thread((uint32_t)elsewhere, &ignored) != STATUS_OK)
        elsewhere = -1;
    name_tensor(running, soaked, step, data, reference, tensor, sizeof tensor);
    snprintf(what, SOAK_WHAT_BYTES, "network of %u image%s, step %" PRIu64 ", %s", soaked->batch,
             soaked->batch == 1 ? "" : "s", step, tensor);
}

enum status soak_network_check(const struct soak_engine *engine, const struct soak_network *soaked, uint32_t threads,
                               const struct soak_data *data, const struct soak_engine *reference, int elsewhere,
                               bool (*stop)(void *context), void *context, char what[SOAK_WHAT_BYTES],
                               struct error *error)
{
    struct running running;
    uint8_t predictions[SOAK_VALIDATION_IMAGES];
    const struct soak_engine same = { .operations = reference->operations,
                                      .isa = reference->isa,
                                      .arithmetic = engine->arithmetic };
    double loss = 0.0;
    enum status status = running_open(&running, engine, soaked, threads, data, error);
    for (uint64_t step = 0; status == STATUS_OK && step < SOAK_STEPS; step++) {
        struct step_result result;
        if (stop(context)) {
            status = STATUS_INTERRUPTED;
            break;
        }
        status = run_step(&running, step, &result, error);
        if (status == STATUS_NO)
            snprintf(what, SOAK_WHAT_BYTES, "network of %u images: %.160s", soaked->batch, error->message);
        else if (status == STATUS_OK && !step_is_known(soaked, engine->arithmetic, step, &result)) {
            explain(&running, soaked, step, data, &same, elsewhere, what);
            status = STATUS_NO;
        }
    }
    if (status == STATUS_OK) {
        status = engine->operations->evaluate(running.engine, predictions, &loss, error);
        if (status == STATUS_NO)
            snprintf(what, SOAK_WHAT_BYTES, "network of %u images: %.160s", soaked->batch, error->message);
    }
    if (status == STATUS_OK && double_bits(loss) != soaked->known[engine->arithmetic].evaluation) {
        snprintf(what, SOAK_WHAT_BYTES, "network of %u images, the loss of the evaluation after its last step",
                 soaked->batch);
        status = STATUS_NO;
    }
    running_close(&running);
    return status;
}

size_t soak_network_bytes(const struct soak_engine *engine, const struct soak_network *soaked, uint32_t threads)
{
    const struct recipe recipe = recipe_of(soaked, engine->arithmetic);
    const struct engine_options options = { .threads = threads, .isa = engine->isa };
    struct network *network;
    struct error ignored;
    if (engine->operations->predict_memory == NULL || network_open(&network, &recipe.model, &ignored) != STATUS_OK)
        return 0;
    const size_t bytes =
        engine->operations->predict_memory(&recipe, network, SOAK_TRAINING_IMAGES, SOAK_VALIDATION_IMAGES, &options);
    network_close(network);
    return bytes;
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

static float first_number(uint32_t i)
{
    return ((float)i + 0.5f) / SOAK_PERIOD; /* exact */
}

enum status soak_vector_answer(float answer[SOAK_PERIOD], struct error *error)
{
    static const uint64_t known = 0x260314e32fa69f9a;
    uint64_t digest = 0;
    for (uint32_t i = 0; i < SOAK_PERIOD; i++) {
        float x = first_number(i);
        for (int pass = 0; pass < SOAK_PASSES; pass++)
            x = 3.9f * fmaf(-x, x, x);
        answer[i] = x;
        digest = (digest ^ float_bits(x)) * 0x100000001b3u; /* FNV-1a, by words */
    }
    if (digest == known)
        return STATUS_OK;
    return error_set(error, STATUS_NO,
                     "plain C computes other bits here than those that are known (%016" PRIx64 ", not %016" PRIx64
                     "); check the compiler and its flags, and then the processor",
                     digest, known);
}

static enum status check_once(const struct engine_operations *operations, struct engine *engine, float *values,
                              size_t bytes, const float answer[SOAK_PERIOD], char what[SOAK_WHAT_BYTES])
{
    const size_t count = bytes / sizeof *values;
    for (size_t i = 0; i < count; i++)
        values[i] = first_number((uint32_t)(i % SOAK_PERIOD));
    const uint32_t lanes = operations->exercise(engine, values, count, SOAK_PASSES);
    for (size_t i = 0; i < count; i += SOAK_PERIOD) {
        if (memcmp(values + i, answer, SOAK_PERIOD * sizeof *answer) == 0)
            continue;
        size_t k = 0;
        while (float_bits(values[i + k]) == float_bits(answer[k]))
            k++;
        snprintf(what, SOAK_WHAT_BYTES, "vectors in %zu KiB, number %zu, lane %zu of %u: %08" PRIx32 ", not %08" PRIx32,
                 bytes / 1024, i + k, (i + k) % lanes, lanes, float_bits(values[i + k]), float_bits(answer[k]));
        return STATUS_NO;
    }
    return STATUS_OK;
}

enum status soak_vector_check(const struct engine_operations *operations, struct engine *engine, float *values,
                              size_t bytes, const float answer[SOAK_PERIOD], char what[SOAK_WHAT_BYTES])
{
    enum status status = STATUS_OK;
    for (size_t done = 0; status == STATUS_OK && done < SOAK_VECTOR_BYTES; done += bytes)
        status = check_once(operations, engine, values, bytes, answer, what);
    return status;
}

enum status soak_vector_open(const struct soak_engine *engine, struct engine **opened, struct network **network,
                             const struct soak_data *data, struct error *error)
{
    const struct recipe recipe = recipe_of(&soak_networks[0], engine->arithmetic);
    const struct engine_options options = { .threads = 1, .isa = engine->isa };
    *opened = NULL;
    enum status status = network_open(network, &recipe.model, error);
    if (status != STATUS_OK)
        return status;
    status = engine->operations->open(opened, &recipe, *network, &data->training, &data->validation, &options, error);
    if (status != STATUS_OK) {
        network_close(*network);
        *network = NULL;
    }
    return status;
}
