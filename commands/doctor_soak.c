#include "commands/doctor_soak.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/machine.h"
#include "base/progress.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/table.h"
#include "fetch/data/embedded.h"
#include "trainer/soak.h"

static enum status parse_duration(const char *text, double *seconds, struct error *error)
{
    static const struct {
        char unit;
        double seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    const size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (digits == 0 || digits > 6 || text[digits] != units[i].unit || text[digits + 1] != '\0')
            continue;
        *seconds = (double)strtoul(text, NULL, 10) * units[i].seconds;
        if (*seconds > 0)
            return STATUS_OK;
    }
    return error_set(error, STATUS_INPUT,
                     "--soak: '%s' is no duration; give a number and a unit, such as 30s, 10m, 8h or 2d", text);
}

/* ---- what works here --------------------------------------------------------------------------------------------- */

/* Adds an engine with an instruction set if it opens; one that does not is missing from this machine. */
static enum status add_engine(struct soak_options *options, const struct soak_engine *engine,
                              const struct soak_data *data, struct error *error)
{
    struct engine *opened;
    struct network *network;
    enum status status = soak_vector_open(engine, &opened, &network, data, error);
    if (status == STATUS_ENVIRONMENT)
        return STATUS_OK;
    if (status != STATUS_OK)
        return status;
    engine->operations->close(opened);
    network_close(network);
    if (options->engine_count < SOAK_ENGINES_MAX)
        options->engines[options->engine_count++] = *engine;
    return STATUS_OK;
}

static enum status add_engines(struct soak_options *options, const struct soak_data *data, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < engine_entry_count && status == STATUS_OK; i++) {
        const struct engine_entry *entry = &engine_entries[i];
        const struct engine_operations *operations = entry->operations;
        if (operations == NULL || !operations->exact)
            continue;
        for (enum arithmetic a = ARITHMETIC_EXACT_1; a <= ARITHMETIC_EXACT_2 && status == STATUS_OK; a++) {
            struct soak_engine engine = { .operations = operations, .arithmetic = a };
            if (!entry->computes[a])
                continue;
            if (operations->isa == NULL)
                status = add_engine(options, &engine, data, error);
            for (size_t k = 0; operations->isa != NULL && operations->isa(k) != NULL && status == STATUS_OK; k++) {
                engine.isa = operations->isa(k);
                status = add_engine(options, &engine, data, error);
            }
        }
    }
    if (status == STATUS_OK && options->engine_count == 0)
        status = error_set(error, STATUS_ENVIRONMENT, "no exact engine works here; selfsame doctor says why");
    return status;
}

static const char *engine_name(const struct soak_engine *engine)
{
    return engine->isa != NULL ? engine->isa : engine->operations->name;
}

/* ---- while it runs ----------------------------------------------------------------------------------------------- */

struct watch {
    struct progress progress;
    double seconds;
    uint64_t wrong; /* that were shown */
};

static void show_progress(void *context, double elapsed_s, uint64_t checks, uint64_t wrong, const char *label)
{
    struct watch *watch = context;
    char text[2 * SOAK_LABEL_BYTES + 32];
    const double done = elapsed_s < watch->seconds ? elapsed_s : watch->seconds;
    if (wrong > 0)
        snprintf(text, sizeof text, "%" PRIu64 " WRONG, %s", wrong, label);
    else
        snprintf(text, sizeof text, "%s", label);
    progress_report(&watch->progress, text, checks, (uint64_t)(1e3 * done), (uint64_t)(1e3 * watch->seconds));
}

/* What is soaked, before the first answer. */
static void print_beginning(const struct soak_options *options)
{
    char time[PROGRESS_TIME_BYTES];
    fprintf(stderr, "selfsame doctor: known answers for %s on %u core%s:", progress_time(options->seconds, time),
            options->core_count, options->core_count == 1 ? "" : "s");
    for (size_t i = 0; i < options->engine_count; i++)
        fprintf(stderr, "%s %s in %s", i > 0 ? "," : "", engine_name(&options->engines[i]),
                arithmetic_version(options->engines[i].arithmetic));
    fputc('\n', stderr);
}

/* ---- the report -------------------------------------------------------------------------------------------------- */

static void name_core(int64_t core, char text[32])
{
    if (core >= 0)
        snprintf(text, 32, "core %" PRId64, core);
    else
        snprintf(text, 32, core == SOAK_CARD ? "the card" : "all cores together");
}

static void print_count(const char *name, const struct soak_count *count)
{
    text_line(stdout, "  %-28s %9" PRIu64 " %9" PRIu64 " %10.1f", name, count->checks, count->wrong, count->seconds);
}

static void print_report(const struct soak_options *options, const struct soak_report *report)
{
    char name[SOAK_LABEL_BYTES], time[PROGRESS_TIME_BYTES], processor[MACHINE_NAME_BYTES];
    machine_processor_name("/proc/cpuinfo", processor);
    text_fact(stdout, 2, "soak of %s: %s on %u core%s, %" PRIu64 " complete round%s",
              progress_time(report->seconds, time), processor[0] != '\0' ? processor : "a processor",
              options->core_count, options->core_count == 1 ? "" : "s", report->rounds, report->rounds == 1 ? "" : "s");
    printf("\n  %-28s %9s %9s %10s\n", "", "checks", "wrong", "seconds");
    for (uint32_t i = 0; i < options->core_count; i++) {
        name_core(options->cores[i], name);
        print_count(name, &report->cores[i]);
    }
    if (report->together.checks > 0)
        print_count("all cores together", &report->together);
    if (report->card.checks > 0)
        print_count("the card", &report->card);
    putchar('\n');
    for (size_t i = 0; i < options->engine_count; i++) {
        snprintf(name, sizeof name, "%s in %s", engine_name(&options->engines[i]),
                 arithmetic_version(options->engines[i].arithmetic));
        print_count(name, &report->engines[i]);
    }
    putchar('\n');
    for (size_t i = 0; i < SOAK_KINDS; i++)
        print_count(soak_kind(options, i, name), &report->kinds[i]);
    putchar('\n');
    for (size_t i = 0; i < report->fault_count; i++) {
        const struct soak_fault *fault = &report->faults[i];
        name_core(fault->core, name);
        text_fact(stdout, 2, "WRONG after %s: %s, %s in %s: %s", progress_time(fault->at_s, time), name,
                  engine_name(&options->engines[fault->engine]),
                  arithmetic_version(options->engines[fault->engine].arithmetic), fault->what);
    }
    text_fact(stdout, 0, "%" PRIu64 " checks, %" PRIu64 " wrong%s", report->all.checks, report->all.wrong,
              report->rounds == 0 ? "; too short for one round, so that not everything was computed" : "");
}

static json_t *count_json(const char *key, json_t *name, const struct soak_count *count)
{
    return json_pack("{s:o, s:I, s:I, s:f}", key, name, "checks", (json_int_t)count->checks, "wrong",
                     (json_int_t)count->wrong, "seconds", count->seconds);
}

static json_t *engine_json(const struct soak_engine *engine)
{
    return json_sprintf("%s in %s", engine_name(engine), arithmetic_version(engine->arithmetic));
}

static enum status print_json(const struct soak_options *options, const struct soak_report *report, struct error *error)
{
    char name[SOAK_LABEL_BYTES];
    json_t *cores = json_array(), *engines = json_array(), *kinds = json_array(), *faults = json_array();
    for (uint32_t i = 0; i < options->core_count; i++)
        json_add(&cores, count_json("core", json_integer(options->cores[i]), &report->cores[i]));
    for (size_t i = 0; i < options->engine_count; i++)
        json_add(&engines, count_json("engine", engine_json(&options->engines[i]), &report->engines[i]));
    for (size_t i = 0; i < SOAK_KINDS; i++)
        json_add(&kinds, count_json("check", json_string(soak_kind(options, i, name)), &report->kinds[i]));
    for (size_t i = 0; i < report->fault_count; i++) {
        const struct soak_fault *fault = &report->faults[i];
        char core[32];
        name_core(fault->core, core);
        json_add(&faults, json_pack("{s:s, s:o, s:f, s:s}", "core", core, "engine",
                                    engine_json(&options->engines[fault->engine]), "after_seconds", fault->at_s, "what",
                                    fault->what));
    }
    json_t *json = json_pack(
        "{s:f, s:I, s:b, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "seconds", report->seconds, "rounds",
        (json_int_t)report->rounds, "stopped", (int)report->stopped, "checks", (json_int_t)report->all.checks, "wrong",
        (json_int_t)report->all.wrong, "cores", cores, "together", count_json("core", json_null(), &report->together),
        "card", count_json("core", json_null(), &report->card), "engines", engines, "kinds", kinds, "faults", faults);
    return json_print(json, error);
}

static enum status conclude(const struct soak_options *options, const struct soak_report *report, struct error *error)
{
    char core[32];
    if (report->all.wrong == 0 && report->stopped)
        return error_set(error, STATUS_INTERRUPTED, "stopped on request; nothing was wrong so far");
    if (report->all.wrong == 0)
        return STATUS_OK;
    const struct soak_fault *fault = &report->faults[0];
    name_core(fault->core, core);
    return error_set(error, STATUS_NO,
                     "%" PRIu64 " of %" PRIu64 " answers were wrong, the first with %s on %s; do not trust what this "
                     "machine computes. Check its cooling, voltage, memory and firmware, and soak it again",
                     report->all.wrong, report->all.checks, engine_name(&options->engines[fault->engine]), core);
}

enum status doctor_soak(const char *duration, bool json, struct error *error)
{
    struct soak_options *options = calloc(1, sizeof *options);
    struct soak_report *report = calloc(1, sizeof *report);
    struct soak_data data = { .training = { .count = 0 } };
    struct watch watch = { .wrong = 0 };
    enum status status = STATUS_OK;
    if (options == NULL || report == NULL) {
        status = error_out_of_memory(error, "the report");
        goto out;
    }
    status = parse_duration(duration, &options->seconds, error);
    if (status == STATUS_OK)
        status = embedded_make(&data.training, SOAK_TRAINING_IMAGES, &data.validation, SOAK_VALIDATION_IMAGES, error);
    if (status == STATUS_OK)
        status = add_engines(options, &data, error);
    if (status != STATUS_OK)
        goto out;
    soak_machine(options);
    options->reference = (struct soak_engine){ .operations = &engine_cpu, .isa = "scalar" };
    options->stop = stop_requested;
    options->progress = show_progress;
    options->context = &watch;
    watch.seconds = options->seconds;
    stop_watch("\nselfsame doctor: stopping; the report follows\n", NULL);
    print_beginning(options);
    progress_open(&watch.progress, "checks");
    status = soak_run(options, &data, report, error);
    progress_clear(&watch.progress);
    if (status != STATUS_OK && report->all.wrong == 0)
        goto out;
    if (json && status == STATUS_OK)
        status = print_json(options, report, error);
    else if (!json)
        print_report(options, report);
    if (status == STATUS_OK)
        status = conclude(options, report, error);
out:
    dataset_free(&data.training);
    dataset_free(&data.validation);
    free(options);
    free(report);
    return status;
}
