/* selfsame bench: how fast training steps are here, where their time goes, and which share of the machine's arithmetic
 * they use. */
#include <assert.h>
#include <jansson.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "commands/bench_against.h"
#include "commands/bench_measure.h"
#include "commands/bench_scaling.h"
#include "commands/command.h"
#include "commands/number_list.h"
#include "commands/table.h"
#include "commands/with_ranks.h"
#include "experiments/manifest.h"
#include "trainer/engine.h"

/* The convolutions, each way. */
static enum status print_layers(const struct network *network, const struct measurement *m, struct error *error)
{
    static const struct table_column columns[] = {
        { "layer", false, 0 }, { "shape", false, 0 }, { "fwd ms", true, 0 },  { "GFLOP/s", true, 0 },
        { "peak %", true, 1 }, { "bwd ms", true, 0 }, { "GFLOP/s", true, 0 }, { "peak %", true, 1 },
    };
    struct table *table = table_open(columns, sizeof columns / sizeof *columns);
    if (table == NULL)
        return error_out_of_memory(error, "a table");
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *conv = &network->convs[l];
        const char *name = network->tensors[conv->weight].name;
        const double seconds[] = { m->forward_s[l] / m->steps, m->backward_s[l] / m->steps },
                     flops[] = { bench_forward_flops(conv), bench_backward_flops(network, l) };
        table_cell(table, "%.*s", (int)(strlen(name) - strlen(".weight")), name);
        table_cell(table, "%u->%u %ux%u%s", conv->channels, conv->filters, conv->side, conv->side,
                   conv->stride == 2 ? "/2" : "");
        for (int way = 0; way < 2; way++) {
            const double rate = flops[way] * m->batch / seconds[way];
            table_number(table, 2, 1e3 * seconds[way]);
            table_number(table, 1, 1e-9 * rate);
            table_number(table, 0, 100.0 * rate / m->peak_flops);
        }
    }
    enum status status = table_print(table, NULL, error);
    table_close(table);
    return status;
}

static enum status print_table(const struct network *network, const struct measurement *m, struct error *error)
{
    double step_ms = bench_median(m->step_ms, m->steps), flops = bench_step_flops(network, m->batch);
    text_fact(stdout, 2, "ResNet-%u, batch %u, %s, engine %s (%s)", network->model.depth, m->batch,
              arithmetic_version(m->arithmetic), m->operations->name, m->engine);
    for (size_t i = 0; m->facts != NULL && m->facts[i] != NULL; i++)
        text_fact(stdout, 2, "  %s", m->facts[i]);
    putchar('\n');
    enum status status = print_layers(network, m, error);
    if (status != STATUS_OK)
        return status;
    putchar('\n');
    text_fact(stdout, 16, "head            %.2f ms: pooling, linear, loss; both ways", 1e3 * m->head_s / m->steps);
    text_fact(stdout, 16, "update          %.2f ms: update, digest, packing", 1e3 * m->update_s / m->steps);
    text_fact(stdout, 16,
              "step            %.2f ms lower quartile, %.2f median, %.2f upper quartile of %u (%.2f to %.2f)",
              bench_quartile(m->step_ms, m->steps, 1), step_ms, bench_quartile(m->step_ms, m->steps, 3), m->steps,
              m->step_ms[0], m->step_ms[m->steps - 1]);
    if (m->ranks != NULL) {
        text_fact(stdout, 16, "ranks           %s", ranks_describe(m->ranks));
        text_fact(stdout, 16, "exchanged       %" PRIu64 " times a step; each rank gets %.1f KiB a step (rank 0)",
                  m->traffic.exchanges / m->steps, (double)m->traffic.bytes / m->steps / 1024.0);
    }
    text_fact(stdout, 16, "images          %.0f per second in training, %.0f in evaluation (medians)",
              1e3 * m->batch / step_ms, bench_evaluation_rate(m));
    text_fact(stdout, 16, "arithmetic      %.2f GFLOP a step in direct convolutions, %.1f GFLOP/s", 1e-9 * flops,
              1e-6 * flops / step_ms);
    text_fact(stdout, 16, "FMA peak        %.1f GFLOP/s at most, %.1f median, measured before and after each step",
              1e-9 * m->peak_flops, 1e-9 * bench_median(m->peaks, m->steps + 1));
    text_fact(stdout, 16, "used of it      %.1f %% upper quartile, %.1f median, %.1f lower quartile of the steps",
              100.0 * bench_quartile(m->shares, m->steps, 3), 100.0 * bench_median(m->shares, m->steps),
              100.0 * bench_quartile(m->shares, m->steps, 1));
    if (bench_disturbed(m))
        text_fact(
            stdout, 16,
            "disturbed       the peak fell to %.1f GFLOP/s in a quarter of the measurements, because other programs "
            "use these processors; trust the best quartile, or compare two builds with --against",
            1e-9 * bench_quartile(m->peaks, m->steps + 1, 1));
    text_fact(stdout, 16,
              "memory          %.1f MiB in the engine (without the data sets), %.0f MiB peak of the process",
              (double)m->engine_bytes / 1048576.0, (double)m->process_bytes / 1048576.0);
    return STATUS_OK;
}

static enum status print_json(const struct network *network, const struct measurement *m, struct error *error)
{
    double step_ms = bench_median(m->step_ms, m->steps), flops = bench_step_flops(network, m->batch);
    json_t *layers = json_array();
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct conv_layer *conv = &network->convs[l];
        json_add(
            &layers,
            json_pack("{s:s, s:o, s:o, s:o, s:o}", "weight", network->tensors[conv->weight].name, "forward_ms",
                      json_number(1e3 * m->forward_s[l] / m->steps), "forward_gflops",
                      json_number(1e-9 * bench_forward_flops(conv) * m->batch * m->steps / m->forward_s[l]),
                      "backward_ms", json_number(1e3 * m->backward_s[l] / m->steps), "backward_gflops",
                      json_number(1e-9 * bench_backward_flops(network, l) * m->batch * m->steps / m->backward_s[l])));
    }
    json_t *json = json_pack(
        "{s:i, s:i, s:s, s:s, s:i, s:{s:f, s:f, s:f, s:f, s:f}, s:f, s:f, s:f, s:f, s:f, s:b, s:f, s:f, s:I, s:I, s:I, "
        "s:I, s:I, s:o}",
        "depth", (int)network->model.depth, "batch", (int)m->batch, "engine", m->engine, "arithmetic",
        arithmetic_version(m->arithmetic), "steps", (int)m->steps, "step_ms", "median", step_ms, "min", m->step_ms[0],
        "lower_quartile", bench_quartile(m->step_ms, m->steps, 1), "upper_quartile",
        bench_quartile(m->step_ms, m->steps, 3), "max", m->step_ms[m->steps - 1], "images_per_s",
        1e3 * m->batch / step_ms, "evaluation_images_per_s", bench_evaluation_rate(m), "gflop_per_step", 1e-9 * flops,
        "peak_gflops", 1e-9 * m->peak_flops, "share_of_peak", bench_median(m->shares, m->steps), "disturbed",
        (int)bench_disturbed(m), "head_ms", 1e3 * m->head_s / m->steps, "update_ms", 1e3 * m->update_s / m->steps,
        "engine_bytes", (json_int_t)m->engine_bytes, "process_bytes", (json_int_t)m->process_bytes, "ranks",
        (json_int_t)ranks_count(m->ranks), "exchanges_per_step", (json_int_t)(m->traffic.exchanges / m->steps),
        "bytes_received_per_step", (json_int_t)(m->traffic.bytes / m->steps), "layers", layers);
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
    { "threads", "N[,N]...", OPTION_TEXT, 0, 0, NULL,
      "threads, 1 to 1024; default: one per processor. With several numbers, such as 1,2,4 or 1-8, the steps are timed "
      "with each of them, and a table says how they compare and which is the best" },
    OPTION_PIN,
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
    const uint32_t images = bench_noise_images(operations, recipe);
    enum status status =
        engine_predict_memory(operations, recipe, network, images, images, engine_options, &bytes, error);
    if (status == STATUS_OK && json)
        printf("{ \"depth\": %u, \"batch\": %u, \"engine\": \"%s\", \"engine_bytes\": %zu }\n", recipe->model.depth,
               recipe->training.batch_size, operations->name, bytes);
    else if (status == STATUS_OK)
        text_fact(stdout, 2, "ResNet-%u, batch %u, engine %s: %.1f MiB in the engine (without the data sets)",
                  recipe->model.depth, recipe->training.batch_size, operations->name, (double)bytes / 1048576.0);
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
    if (arguments_flag(arguments, "pin") && strstr(command, "--pin") == NULL)
        words[count++] = "--pin";
    words[count] = NULL;
}

static void print_side(const char *name, double *step_ms, uint32_t steps)
{
    qsort(step_ms, steps, sizeof *step_ms, bench_compare_doubles);
    text_fact(stdout, 25, "%-24s %8.2f ms lower quartile, %.2f median, %.2f upper quartile (%.2f to %.2f)", name,
              bench_quartile(step_ms, steps, 1), bench_median(step_ms, steps), bench_quartile(step_ms, steps, 3),
              step_ms[0], step_ms[steps - 1]);
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
        qsort(ratios, steps, sizeof *ratios, bench_compare_doubles);
        text_fact(stdout, 25, "this to the other        %8.3f lower quartiles, %.3f medians, %.3f median of the rounds",
                  bench_quartile(ours, steps, 1) / bench_quartile(theirs, steps, 1),
                  bench_median(ours, steps) / bench_median(theirs, steps), bench_median(ratios, steps));
        if (parted < steps)
            printf("bits                     differ from step %" PRIu32 " on\n", parted + 1);
        else
            printf("bits                     equal after every step\n");
    }
    free(ours);
    return status;
}

/* None given: an empty list. */
static enum status read_threads(const struct arguments *arguments, struct number_list *threads, struct error *error)
{
    static const struct number_bounds bounds = { .low = 1, .high = 1024, .count = 64, .what = "numbers of threads" };
    static const char *const one[] = { "against", "in-turn", "dry-run" };
    const char *text = arguments_text(arguments, "threads");
    if (text == NULL)
        return STATUS_OK;
    enum status status = number_list_parse(threads, "threads", text, &bounds, error);
    for (size_t i = 0; status == STATUS_OK && threads->count > 1 && i < sizeof one / sizeof *one; i++) {
        if (arguments_text(arguments, one[i]) != NULL)
            return error_set(error, STATUS_INPUT, "--threads %s: --%s takes one number of threads", text, one[i]);
    }
    return status;
}

/* The same from every rank, or an error on all. */
static enum status check_ranks(const struct arguments *arguments, const struct engine_operations *operations,
                               const struct number_list *threads, struct ranks *ranks, struct error *error)
{
    if (ranks != NULL && (arguments_flag(arguments, "in-turn") || arguments_text(arguments, "against") != NULL))
        return error_set(error, STATUS_INPUT,
                         "--against and --in-turn are for one process; leave them out, or start one");
    if (ranks != NULL && (threads->count > 1 || arguments_flag(arguments, "pin")))
        return error_set(error, STATUS_INPUT,
                         "--pin and several numbers of --threads are for one process; leave them out, or start one");
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
    struct number_list threads = { .numbers = NULL };
    struct engine_options engine_options = { .isa = arguments_text(arguments, "isa"),
                                             .pin = arguments_flag(arguments, "pin"),
                                             .ranks = ranks };
    struct measurement m = { .ranks = ranks,
                             .steps = (uint32_t)arguments_integer(arguments, "steps", 20),
                             .batch = recipe.training.batch_size };
    struct network *network = NULL;
    struct engine *engine = NULL;
    struct dataset noise = { .count = 0 };
    const bool json = format != NULL && strcmp(format, "json") == 0;
    const bool leads = ranks_own(ranks) == 0;
    enum status status = read_threads(arguments, &threads, error);
    if (status == STATUS_OK && threads.count == 1)
        engine_options.threads = (uint32_t)threads.numbers[0];
    if (status == STATUS_OK)
        status = choose(arguments, &recipe, &m.operations, error);
    if (status == STATUS_OK)
        status = check_ranks(arguments, m.operations, &threads, ranks, error);
    if (status == STATUS_OK)
        status = network_open(&network, &recipe.model, error);
    if (status == STATUS_OK && arguments_flag(arguments, "dry-run")) {
        if (leads)
            status = predict(&recipe, network, m.operations, &engine_options, json, error);
        goto out;
    }
    if (status == STATUS_OK)
        status = bench_noise(&noise, bench_noise_images(m.operations, &recipe), error);
    if (status == STATUS_OK && threads.count > 1) {
        status = bench_scaling(network, &recipe, engine_options, &noise, &m, &threads, json, error);
        goto out;
    }
    if (status == STATUS_OK)
        status = bench_open_engine(m.operations, &recipe, network, &engine_options, &noise, &engine, error);
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
    assert(status != STATUS_OK || network != NULL);
    if (status == STATUS_OK)
        status = bench_measure(network, &m, engine, &noise, error);
    if (status == STATUS_OK && leads) {
        if (json)
            status = print_json(network, &m, error);
        else
            status = print_table(network, &m, error);
    }
out:
    if (engine != NULL)
        m.operations->close(engine);
    bench_measurement_free(&m);
    number_list_free(&threads);
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
        "With several numbers of threads it prints a line for each: the median step, the speed-up over the first line, "
        "and the share of the ideal speed-up. A line with more threads than there are processors is called "
        "oversubscribed. The bits must be equal, or it exits with 1.\n\n"
        "With --against, this program and another build take their steps in turn. Other programs on the machine then "
        "disturb both alike.",
    .examples = "selfsame bench\tResNet-20 at batch 128\n"
                "selfsame bench --depth 110 --threads 2\tResNet-110 on two threads\n"
                "mpirun -n 2 selfsame bench --threads 1\ttwo ranks of one thread\n"
                "selfsame bench --threads 1,2,4,8 --pin\thow the time depends on the threads\n"
                "selfsame bench --against ../before/selfsame\tagainst another build, step by step\n"
                "selfsame bench --arithmetic exact-2 --against 'selfsame --arithmetic exact-1'\tagainst itself\n",
    .operands_min = 0,
    .operands_max = 1,
    .run = run_bench,
};
