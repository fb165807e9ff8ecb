/* selfsame bench: how fast training steps are here, where their time goes, and which share of the machine's arithmetic
 * they use. */
#include <jansson.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/text.h"
#include "commands/bench_against.h"
#include "commands/command.h"
#include "commands/table.h"
#include "commands/with_ranks.h"
#include "experiments/manifest.h"
#include "trainer/engine.h"

enum { WARM_UP_STEPS = 3 };

/* What is measured. */
struct measurement {
    uint32_t steps, batch, conv_count;
    double *step_ms;       /* sorted */
    double *peaks;         /* [steps + 1], sorted: flop/s, measured before, between and after the steps */
    double *shares;        /* [steps], sorted: of the peak, which is the mean of those around the step */
    double *evaluation_ms; /* [steps], sorted: of evaluation_images images each */
    uint32_t evaluation_images;
    double *forward_s, *backward_s;      /* [conv_count] */
    double head_s, update_s, peak_flops; /* peak_flops: the largest, since what disturbs it only lowers it */
    size_t engine_bytes, process_bytes;
    const struct engine_operations *operations;
    enum arithmetic arithmetic;
    const char *engine; /* its description */
    const char *const *facts;
    struct ranks *ranks;          /* NULL: this process alone */
    struct ranks_traffic traffic; /* of all measured steps */
};

static bool hear_nothing(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    (void)context, (void)first, (void)results, (void)count;
    return true;
}

/* Floating-point operations (a multiply-add is two) of the convolutions that a step needs, for one image. */
static double forward_flops(const struct conv_layer *conv)
{
    const uint32_t side = conv->side / conv->stride;
    return 2.0 * side * side * conv->filters * conv->channels * 9.0;
}

/* Data and weights; the first layer has no data gradient. */
static double backward_flops(const struct network *network, uint32_t l)
{
    return (l == 0 ? 1.0 : 2.0) * forward_flops(&network->convs[l]);
}

static double step_flops(const struct network *network, uint32_t batch)
{
    double sum = 0.0;
    for (uint32_t l = 0; l < network->conv_count; l++)
        sum += forward_flops(&network->convs[l]) + backward_flops(network, l);
    return sum * batch;
}

/* Images of noise: the arithmetic takes as long as on any others. */
static enum status make_noise(struct dataset *dataset, uint32_t images, struct error *error)
{
    enum status status = dataset_allocate(dataset, images, error);
    if (status != STATUS_OK)
        return status;
    uint32_t word = 1;
    for (size_t i = 0; i < (size_t)images * DATASET_IMAGE_BYTES; i++) {
        word = word * 1664525u + 1013904223u;
        dataset->images[i] = (uint8_t)(word >> 24);
    }
    for (uint32_t i = 0; i < images; i++)
        dataset->labels[i] = (uint8_t)(i % DATASET_CLASSES);
    return STATUS_OK;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t peak_process_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}

/* As many evaluations of the noise as there were steps. */
static enum status measure_evaluation(struct engine *engine, const struct dataset *noise, struct measurement *m,
                                      struct error *error)
{
    uint8_t *predictions = malloc(noise->count);
    double loss;
    enum status status = predictions != NULL ? STATUS_OK : error_out_of_memory(error, "%u predictions", noise->count);
    m->evaluation_images = noise->count;
    for (uint32_t i = 0; i < m->steps && status == STATUS_OK; i++) {
        double began = clock_seconds();
        status = m->operations->evaluate(engine, predictions, &loss, error);
        m->evaluation_ms[i] = 1e3 * (clock_seconds() - began);
    }
    qsort(m->evaluation_ms, m->steps, sizeof *m->evaluation_ms, compare_doubles);
    free(predictions);
    return status;
}

/* Steps that are timed together. On a CPU it is one. On a GPU, whose engine has no isa, it is a whole series, so that
 * the host's work before and after it hardly counts. */
enum { SERIES_STEPS_MOST = 32 };

static uint32_t series_steps(const struct engine_operations *operations)
{
    return operations->isa == NULL ? SERIES_STEPS_MOST : 1;
}

/* Two batches; for a series, as many as it takes through two passes, whose orders are made before it. Larger batches
 * need no such care. */
static uint32_t noise_images(const struct engine_operations *operations, const struct recipe *recipe)
{
    const uint32_t batch = recipe->training.batch_size;
    return (series_steps(operations) > 1 && batch <= 256 ? SERIES_STEPS_MOST / 2 : 2) * batch;
}

/* The steps from `first` on, and the peak before and after each: another program that slows a step slows the peaks
 * around it, too. */
static enum status measure_steps(struct engine *engine, uint64_t first, double flops, struct measurement *m,
                                 struct error *error)
{
    const uint32_t most = series_steps(m->operations);
    double step_s[SERIES_STEPS_MOST];
    const struct ranks_traffic before_all = ranks_traffic(m->ranks);
    m->peaks[0] = m->operations->peak_flops(engine);
    for (uint32_t i = 0; i < m->steps;) {
        const uint32_t count = m->steps - i < most ? m->steps - i : most;
        struct engine_profile profile = { .step_s = step_s, .forward_s = m->forward_s, .backward_s = m->backward_s };
        enum status status = m->operations->profile(engine, first + i, first + i + count, &profile, error);
        if (status != STATUS_OK)
            return status;
        m->head_s += profile.head_s;
        m->update_s += profile.update_s;
        const double before = m->peaks[i], after = m->operations->peak_flops(engine);
        for (uint32_t j = 0; j < count; j++, i++) {
            m->step_ms[i] = 1e3 * step_s[j];
            m->peaks[i + 1] = after;
            m->shares[i] = flops / step_s[j] / ((before + after) / 2.0);
        }
    }
    const struct ranks_traffic after_all = ranks_traffic(m->ranks);
    m->traffic.exchanges = after_all.exchanges - before_all.exchanges;
    m->traffic.bytes = after_all.bytes - before_all.bytes;
    qsort(m->step_ms, m->steps, sizeof *m->step_ms, compare_doubles);
    qsort(m->shares, m->steps, sizeof *m->shares, compare_doubles);
    qsort(m->peaks, m->steps + 1, sizeof *m->peaks, compare_doubles);
    m->peak_flops = m->peaks[m->steps];
    return STATUS_OK;
}

/* An engine with the initial weights. */
static enum status open_engine(const struct engine_operations *operations, const struct recipe *recipe,
                               const struct network *network, const struct engine_options *options,
                               const struct dataset *noise, struct engine **engine, struct error *error)
{
    float *values = calloc(network->value_count, sizeof *values),
          *momentum = calloc(network->value_count, sizeof *momentum);
    enum status status = STATUS_OK;
    if (values == NULL || momentum == NULL)
        status = error_out_of_memory(error, "the weights");
    if (status == STATUS_OK) {
        network_initialize(network, recipe->training.seed, values);
        status = operations->open(engine, recipe, network, noise, noise, options, error);
    }
    if (status == STATUS_OK)
        status = operations->set_state(*engine, values, momentum, error);
    free(values);
    free(momentum);
    return status;
}

static enum status measure(const struct network *network, struct measurement *m, struct engine *engine,
                           const struct dataset *noise, struct error *error)
{
    m->step_ms = calloc(m->steps, sizeof *m->step_ms);
    m->peaks = calloc(m->steps + (size_t)1, sizeof *m->peaks);
    m->shares = calloc(m->steps, sizeof *m->shares);
    m->evaluation_ms = calloc(m->steps, sizeof *m->evaluation_ms);
    m->forward_s = calloc(2 * (size_t)network->conv_count, sizeof *m->forward_s);
    if (m->step_ms == NULL || m->peaks == NULL || m->shares == NULL || m->evaluation_ms == NULL || m->forward_s == NULL)
        return error_out_of_memory(error, "the measurement");
    m->backward_s = m->forward_s + network->conv_count;
    m->conv_count = network->conv_count;
    const struct step_listener nobody = { .steps = hear_nothing };
    uint64_t done;
    enum status status = m->operations->run_steps(engine, 0, WARM_UP_STEPS, &nobody, &done, error);
    if (status == STATUS_OK)
        status = measure_steps(engine, WARM_UP_STEPS, step_flops(network, m->batch), m, error);
    if (status == STATUS_OK)
        status = measure_evaluation(engine, noise, m, error);
    if (status != STATUS_OK)
        return status;
    m->engine_bytes = m->operations->memory_bytes(engine);
    m->process_bytes = peak_process_bytes();
    m->engine = m->operations->describe(engine);
    m->facts = m->operations->facts(engine);
    return STATUS_OK;
}

static double median(const double *sorted, uint32_t count)
{
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0;
}

/* The value below which a quarter, or three quarters, of the values lie. */
static double quartile(const double *sorted, uint32_t count, uint32_t quarters)
{
    return sorted[(uint64_t)(count - 1) * quarters / 4];
}

/* Whether something else used the processors meanwhile. */
static bool disturbed(const struct measurement *m)
{
    return quartile(m->peaks, m->steps + 1, 1) < 0.93 * m->peak_flops;
}

static double evaluation_rate(const struct measurement *m)
{
    return 1e3 * m->evaluation_images / median(m->evaluation_ms, m->steps);
}

static void print_table(const struct network *network, const struct measurement *m)
{
    double step_ms = median(m->step_ms, m->steps), flops = step_flops(network, m->batch);
    text_line(stdout, "ResNet-%u, batch %u, %s, engine %s (%s)", network->model.depth, m->batch,
              arithmetic_version(m->arithmetic), m->operations->name, m->engine);
    for (size_t i = 0; m->facts != NULL && m->facts[i] != NULL; i++)
        text_line(stdout, "  %s", m->facts[i]);
    putchar('\n');
    printf("%-16s %-22s %8s %9s %9s %8s %9s %9s\n", "layer", "shape", "fwd ms", "GFLOP/s", "of peak", "bwd ms",
           "GFLOP/s", "of peak");
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *conv = &network->convs[l];
        const char *name = network->tensors[conv->weight].name;
        double forward = m->forward_s[l] / m->steps, backward = m->backward_s[l] / m->steps;
        double forward_rate = forward_flops(conv) * m->batch / forward,
               backward_rate = backward_flops(network, l) * m->batch / backward;
        char shape[32];
        snprintf(shape, sizeof shape, "%u->%u, %ux%u%s", conv->channels, conv->filters, conv->side, conv->side,
                 conv->stride == 2 ? " /2" : "");
        printf("%-16.*s %-22s %8.2f %9.1f %7.0f %% %8.2f %9.1f %7.0f %%\n", (int)(strlen(name) - strlen(".weight")),
               name, shape, 1e3 * forward, 1e-9 * forward_rate, 100.0 * forward_rate / m->peak_flops, 1e3 * backward,
               1e-9 * backward_rate, 100.0 * backward_rate / m->peak_flops);
    }
    printf("%-39s %8.2f\n%-39s %8.2f\n\n", "head (pooling, linear, loss; both ways)", 1e3 * m->head_s / m->steps,
           "update, digest, packing", 1e3 * m->update_s / m->steps);
    printf("step            %.2f ms lower quartile, %.2f median, %.2f upper quartile of %u (%.2f to %.2f)\n",
           quartile(m->step_ms, m->steps, 1), step_ms, quartile(m->step_ms, m->steps, 3), m->steps, m->step_ms[0],
           m->step_ms[m->steps - 1]);
    if (m->ranks != NULL) {
        text_line(stdout, "ranks           %s", ranks_describe(m->ranks));
        printf("exchanged       %" PRIu64 " times a step; each rank gets %.1f KiB a step (rank 0)\n",
               m->traffic.exchanges / m->steps, (double)m->traffic.bytes / m->steps / 1024.0);
    }
    printf("images          %.0f per second in training, %.0f in evaluation (medians)\n", 1e3 * m->batch / step_ms,
           evaluation_rate(m));
    printf("arithmetic      %.2f GFLOP a step in direct convolutions, %.1f GFLOP/s\n", 1e-9 * flops,
           1e-6 * flops / step_ms);
    printf("FMA peak        %.1f GFLOP/s at most, %.1f median, measured before and after each step\n",
           1e-9 * m->peak_flops, 1e-9 * median(m->peaks, m->steps + 1));
    printf("used of it      %.1f %% upper quartile, %.1f median, %.1f lower quartile of the steps\n",
           100.0 * quartile(m->shares, m->steps, 3), 100.0 * median(m->shares, m->steps),
           100.0 * quartile(m->shares, m->steps, 1));
    if (disturbed(m))
        printf("disturbed       the peak fell to %.1f GFLOP/s in a quarter of the measurements, because other programs "
               "use these processors; trust the best quartile, or compare two builds with --against\n",
               1e-9 * quartile(m->peaks, m->steps + 1, 1));
    printf("memory          %.1f MiB in the engine (without the data sets), %.0f MiB peak of the process\n",
           (double)m->engine_bytes / 1048576.0, (double)m->process_bytes / 1048576.0);
}

static enum status print_json(const struct network *network, const struct measurement *m, struct error *error)
{
    double step_ms = median(m->step_ms, m->steps), flops = step_flops(network, m->batch);
    json_t *layers = json_array();
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *conv = &network->convs[l];
        json_array_append_new(layers,
                              json_pack("{s:s, s:f, s:f, s:f, s:f}", "weight", network->tensors[conv->weight].name,
                                        "forward_ms", 1e3 * m->forward_s[l] / m->steps, "forward_gflops",
                                        1e-9 * forward_flops(conv) * m->batch * m->steps / m->forward_s[l],
                                        "backward_ms", 1e3 * m->backward_s[l] / m->steps, "backward_gflops",
                                        1e-9 * backward_flops(network, l) * m->batch * m->steps / m->backward_s[l]));
    }
    json_t *json = json_pack(
        "{s:i, s:i, s:s, s:s, s:i, s:{s:f, s:f, s:f, s:f, s:f}, s:f, s:f, s:f, s:f, s:f, s:b, s:f, s:f, s:I, s:I, s:I, "
        "s:I, s:I, s:o}",
        "depth", (int)network->model.depth, "batch", (int)m->batch, "engine", m->engine, "arithmetic",
        arithmetic_version(m->arithmetic), "steps", (int)m->steps, "step_ms", "median", step_ms, "min", m->step_ms[0],
        "lower_quartile", quartile(m->step_ms, m->steps, 1), "upper_quartile", quartile(m->step_ms, m->steps, 3), "max",
        m->step_ms[m->steps - 1], "images_per_s", 1e3 * m->batch / step_ms, "evaluation_images_per_s",
        evaluation_rate(m), "gflop_per_step", 1e-9 * flops, "peak_gflops", 1e-9 * m->peak_flops, "share_of_peak",
        median(m->shares, m->steps), "disturbed", (int)disturbed(m), "head_ms", 1e3 * m->head_s / m->steps, "update_ms",
        1e3 * m->update_s / m->steps, "engine_bytes", (json_int_t)m->engine_bytes, "process_bytes",
        (json_int_t)m->process_bytes, "ranks", (json_int_t)ranks_count(m->ranks), "exchanges_per_step",
        (json_int_t)(m->traffic.exchanges / m->steps), "bytes_received_per_step",
        (json_int_t)(m->traffic.bytes / m->steps), "layers", layers);
    return json_print(json, error);
}

static const struct option_definition options[] = {
    { "steps", "N", OPTION_INTEGER, 1, 100000, NULL, "steps to time after three that warm up; default: 20" },
    { "batch", "N", OPTION_INTEGER, 1, 65536, NULL, "images in a step; default: the manifest's" },
    { "depth", "N", OPTION_INTEGER, 8, 10000, NULL, "depth of the network; default: the manifest's" },
    OPTION_ARITHMETIC,
    OPTION_ENGINE,
    { "precision", "NAME", OPTION_CHOICE, 0, 0, "fp32|tf32|bf16",
      "precision of products, for the engine cudnn; default: the manifest's, else fp32" },
    OPTION_THREADS,
    OPTION_ISA,
    { "against", "PROGRAM", OPTION_TEXT, 0, 0, NULL,
      "another build of selfsame, which takes its steps in turn with this one; prints the times of both. PROGRAM may "
      "contain options, in quotes" },
    { "in-turn", NULL, OPTION_FLAG, 0, 0, NULL,
      "take a step for each line of standard input, and print its time and digest; --against starts the other build "
      "so" },
    { "dry-run", NULL, OPTION_FLAG, 0, 0, NULL, "only say how much memory the engine would take" },
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "table|json", "table or json; default: table" },
    OPTIONS_END,
};

/* Without --arithmetic, the engine decides, whatever the manifest says, because noise has no digest to keep. */
static enum status choose(const struct arguments *arguments, struct recipe *recipe,
                          const struct engine_operations **operations, struct error *error)
{
    static const char *const precisions[] = { "fp32", "tf32", "bf16" };
    const char *name = arguments_text(arguments, "engine"), *precision = arguments_text(arguments, "precision");
    recipe->arithmetic = arguments_arithmetic(arguments, recipe->arithmetic);
    for (size_t i = 0; arguments_text(arguments, "arithmetic") == NULL && name != NULL && i < engine_entry_count; i++) {
        const struct engine_entry *entry = &engine_entries[i];
        for (int other = 0; strcmp(entry->name, name) == 0 && !entry->computes[recipe->arithmetic]; other++)
            if (entry->computes[other])
                recipe->arithmetic = (enum arithmetic)other;
    }
    if (precision != NULL && recipe->arithmetic != ARITHMETIC_FAST)
        return error_set(error, STATUS_INPUT, "--precision %s: only the engine cudnn has precisions", precision);
    for (uint32_t i = 0; precision != NULL && i < sizeof precisions / sizeof *precisions; i++) {
        if (strcmp(precisions[i], precision) == 0)
            recipe->precision = (enum precision)i;
    }
    return engine_choose(name, recipe->arithmetic, operations, error);
}

static enum status predict(const struct recipe *recipe, const struct network *network,
                           const struct engine_operations *operations, const struct engine_options *engine_options,
                           bool json, struct error *error)
{
    size_t bytes;
    const uint32_t images = noise_images(operations, recipe);
    enum status status =
        engine_predict_memory(operations, recipe, network, images, images, engine_options, &bytes, error);
    if (status == STATUS_OK && json)
        printf("{ \"depth\": %u, \"batch\": %u, \"engine\": \"%s\", \"engine_bytes\": %zu }\n", recipe->model.depth,
               recipe->training.batch_size, operations->name, bytes);
    else if (status == STATUS_OK)
        printf("ResNet-%u, batch %u, engine %s: %.1f MiB in the engine (without the data sets)\n", recipe->model.depth,
               recipe->training.batch_size, operations->name, (double)bytes / 1048576.0);
    return status;
}

/* ---- in turn with another build ---------------------------------------------------------------------------------- */

/* This program's side. */
struct stepper {
    const struct engine_operations *operations;
    struct engine *engine;
    uint64_t step;
    struct step_result result;
};

static bool hear_step(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    (void)first, (void)count;
    ((struct stepper *)context)->result = results[0];
    return true;
}

static enum status take_step(void *context, double *step_ms, uint64_t digest[2], struct error *error)
{
    struct stepper *stepper = context;
    const struct step_listener listener = { .context = stepper, .steps = hear_step };
    uint64_t done;
    const double began = clock_seconds();
    enum status status =
        stepper->operations->run_steps(stepper->engine, stepper->step, stepper->step + 1, &listener, &done, error);
    *step_ms = 1e3 * (clock_seconds() - began);
    stepper->step++;
    memcpy(digest, stepper->result.digest, sizeof stepper->result.digest);
    return status;
}

/* The options of the other program, unless it has its own. */
static void list_words(const struct arguments *arguments, const char *command, const char *words[32])
{
    static const char *const names[] = { "batch", "depth", "arithmetic", "engine", "precision", "threads", "isa" };
    size_t count = 0;
    words[count++] = arguments->operand_count > 0 ? arguments->operands[0] : "msra/resnet20.yaml";
    words[count++] = "--in-turn";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        static char texts[sizeof names / sizeof *names][24];
        snprintf(texts[i], sizeof texts[i], "--%s", names[i]);
        if (arguments_text(arguments, names[i]) == NULL || strstr(command, texts[i]) != NULL)
            continue;
        words[count++] = texts[i];
        words[count++] = arguments_text(arguments, names[i]);
    }
    words[count] = NULL;
}

static void print_side(const char *name, double *step_ms, uint32_t steps)
{
    qsort(step_ms, steps, sizeof *step_ms, compare_doubles);
    text_line(stdout, "%-24s %8.2f ms lower quartile, %.2f median, %.2f upper quartile (%.2f to %.2f)", name,
              quartile(step_ms, steps, 1), median(step_ms, steps), quartile(step_ms, steps, 3), step_ms[0],
              step_ms[steps - 1]);
}

/* Both in turn, this one first in every second round. */
static enum status bench_against(struct stepper *stepper, const struct arguments *arguments, uint32_t steps,
                                 struct error *error)
{
    const char *command = arguments_text(arguments, "against"), *words[32];
    struct opponent opponent;
    double *ours = calloc(3 * (size_t)steps, sizeof *ours);
    uint32_t parted = steps;
    if (ours == NULL)
        return error_out_of_memory(error, "%" PRIu32 " steps", steps);
    double *theirs = ours + steps, *ratios = theirs + steps;
    list_words(arguments, command, words);
    enum status status = opponent_open(&opponent, command, words, error);
    for (uint32_t i = 0; status == STATUS_OK && i < steps + WARM_UP_STEPS; i++) {
        const uint32_t at = i < WARM_UP_STEPS ? 0 : i - WARM_UP_STEPS;
        uint64_t our_digest[2] = { 0 }, their_digest[2] = { 0 };
        if (i % 2 == 0)
            status = take_step(stepper, &ours[at], our_digest, error);
        if (status == STATUS_OK)
            status = opponent_step(&opponent, &theirs[at], their_digest, error);
        if (status == STATUS_OK && i % 2 == 1)
            status = take_step(stepper, &ours[at], our_digest, error);
        if (status == STATUS_OK && parted == steps && memcmp(our_digest, their_digest, sizeof our_digest) != 0)
            parted = i;
        ratios[at] = ours[at] / theirs[at];
    }
    opponent_close(&opponent);
    if (status == STATUS_OK) {
        print_side("this program", ours, steps);
        print_side(command, theirs, steps);
        qsort(ratios, steps, sizeof *ratios, compare_doubles);
        printf("this to the other        %8.3f lower quartiles, %.3f medians, %.3f median of the rounds\n",
               quartile(ours, steps, 1) / quartile(theirs, steps, 1), median(ours, steps) / median(theirs, steps),
               median(ratios, steps));
        if (parted < steps)
            printf("bits                     differ from step %" PRIu32 " on\n", parted + 1);
        else
            printf("bits                     equal after every step\n");
    }
    free(ours);
    return status;
}

/* The same from every rank, or an error on all. */
static enum status check_ranks(const struct arguments *arguments, const struct engine_operations *operations,
                               struct ranks *ranks, struct error *error)
{
    if (ranks != NULL && (arguments_flag(arguments, "in-turn") || arguments_text(arguments, "against") != NULL))
        return error_set(error, STATUS_INPUT,
                         "--against and --in-turn are for one process; leave them out, or start one");
    return ranks_check_engine(ranks, operations, error);
}

static enum status bench(struct manifest *manifest, const struct arguments *arguments, struct ranks *ranks,
                         struct error *error)
{
    struct recipe recipe = manifest->recipe;
    const char *format = arguments_text(arguments, "format");
    recipe.training.batch_size = (uint32_t)arguments_integer(arguments, "batch", recipe.training.batch_size);
    recipe.model.depth = (uint32_t)arguments_integer(arguments, "depth", recipe.model.depth);
    recipe.training.length_unit = UNIT_STEP;
    recipe.training.length = UINT32_MAX;
    struct engine_options engine_options = { .threads = (uint32_t)arguments_integer(arguments, "threads", 0),
                                             .isa = arguments_text(arguments, "isa"),
                                             .ranks = ranks };
    struct measurement m = { .ranks = ranks,
                             .steps = (uint32_t)arguments_integer(arguments, "steps", 20),
                             .batch = recipe.training.batch_size };
    struct network *network = NULL;
    struct engine *engine = NULL;
    struct dataset noise = { .count = 0 };
    const bool json = format != NULL && strcmp(format, "json") == 0;
    const bool leads = ranks_own(ranks) == 0;
    enum status status = choose(arguments, &recipe, &m.operations, error);
    if (status == STATUS_OK)
        status = check_ranks(arguments, m.operations, ranks, error);
    if (status == STATUS_OK)
        status = network_open(&network, &recipe.model, error);
    if (status == STATUS_OK && arguments_flag(arguments, "dry-run")) {
        if (leads)
            status = predict(&recipe, network, m.operations, &engine_options, json, error);
        goto out;
    }
    if (status == STATUS_OK)
        status = make_noise(&noise, noise_images(m.operations, &recipe), error);
    if (status == STATUS_OK)
        status = open_engine(m.operations, &recipe, network, &engine_options, &noise, &engine, error);
    struct stepper stepper = { .operations = m.operations, .engine = engine };
    if (status == STATUS_OK && arguments_flag(arguments, "in-turn")) {
        status = opponent_serve(take_step, &stepper, error);
        goto out;
    }
    if (status == STATUS_OK && arguments_text(arguments, "against") != NULL) {
        status = bench_against(&stepper, arguments, m.steps, error);
        goto out;
    }
    m.arithmetic = recipe.arithmetic;
    status = ranks_agree(ranks, status, NULL, error);
    if (status == STATUS_OK)
        status = measure(network, &m, engine, &noise, error);
    if (status == STATUS_OK && leads) {
        if (json)
            status = print_json(network, &m, error);
        else
            print_table(network, &m);
    }
out:
    if (engine != NULL)
        m.operations->close(engine);
    free(m.step_ms);
    free(m.peaks);
    free(m.shares);
    free(m.evaluation_ms);
    free(m.forward_s);
    dataset_free(&noise);
    network_close(network);
    return status;
}

static enum status run_bench(const struct arguments *arguments, struct error *error)
{
    struct manifest manifest;
    struct ranks *ranks;
    const char *path = arguments->operand_count > 0 ? arguments->operands[0] : "msra/resnet20.yaml";
    enum status status = manifest_read(path, &manifest, error);
    if (status != STATUS_OK)
        return status;
    status = ranks_open(&ranks, error);
    if (status == STATUS_OK)
        status = ranks_leave(ranks, "bench", bench(&manifest, arguments, ranks, error), error);
    manifest_free(&manifest);
    return status;
}

const struct command bench_command = {
    .name = "bench",
    .operands = "[MANIFEST]",
    .summary = "time training steps, and say which part takes how long",
    .options = options,
    .description =
        "Runs training steps of the manifest's network on images of noise. It needs no data set. The default "
        "manifest is the installed msra/resnet20.yaml.\n\n"
        "It prints the quartiles of a step's time, images per second in training and evaluation, and the rate of "
        "every convolution, forward and backward. It also prints the share of the machine's measured FMA peak, and "
        "the memory.\n\n"
        "The peak is measured before and after each step, on the same threads and with the same instructions. The "
        "share counts the operations of direct convolutions. exact-2 needs fewer, so its share may pass 100 %. "
        "check/tools/bench_pytorch.py in the source tree compares this with PyTorch.\n\n"
        "Under mpirun, the ranks compute each step together. The output then says how often they exchanged something, "
        "and how many bytes.\n\n"
        "With --against, this program and another build take their steps in turn. Other programs on the machine then "
        "disturb both alike.",
    .examples = "selfsame bench\tResNet-20 at batch 128\n"
                "selfsame bench --depth 110 --threads 2\tResNet-110 on two threads\n"
                "mpirun -n 2 selfsame bench --threads 1\ttwo ranks of one thread\n"
                "selfsame bench --against ../before/selfsame\tagainst another build, step by step\n"
                "selfsame bench --arithmetic exact-2 --against 'selfsame --arithmetic exact-1'\tagainst itself\n",
    .operands_min = 0,
    .operands_max = 1,
    .run = run_bench,
};
