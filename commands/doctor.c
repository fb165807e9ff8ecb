/* selfsame doctor: what the machine has, which engines work, and whether the exact ones give the known bits. */
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/build_info.h"
#include "base/machine.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/doctor_soak.h"
#include "commands/table.h"
#include "fetch/data/embedded.h"
#include "ranks/ranks.h"
#include "results/environment.h"
#include "trainer/device.h"
#include "trainer/engine.h"
#include "trainer/exact.h"
#include "trainer/proof.h"

/* ---- what is found out ------------------------------------------------------------------------------------------- */

enum verdict {
    VERDICT_EXACT,      /* the known digest */
    VERDICT_OTHER_BITS, /* another one, of an engine that says it is exact */
    VERDICT_REPEATS,    /* an engine for fast arithmetic gave the same digest twice */
    VERDICT_VARIES,     /* or did not */
    VERDICT_MISSING,    /* missing from this build, processor or machine: no fault */
    VERDICT_FAILED      /* it was opened, and failed */
};

static const char *const verdicts[] = { "exact", "other bits", "repeats itself", "varies", "missing", "failed" };

/* One engine, with one of its instruction sets. */
struct finding {
    const struct engine_entry *entry;
    enum arithmetic arithmetic;
    const char *isa; /* NULL: the engine has none */
    enum verdict verdict;
    struct proof proof;
    struct error error; /* VERDICT_MISSING, VERDICT_FAILED */
};

enum { FINDINGS_MAX = 16, MODULE_REASON_BYTES = 4096 };

struct report {
    uint32_t threads;
    bool pin;
    struct device device;
    struct error device_error;
    enum status device_status;
    struct finding findings[FINDINGS_MAX];
    size_t count;
};

static enum verdict judge_failure(const struct proof *proof, enum status status)
{
    return !proof->opened && status == STATUS_ENVIRONMENT ? VERDICT_MISSING : VERDICT_FAILED;
}

static void examine(struct finding *finding, const struct report *report, const struct dataset *training,
                    const struct dataset *validation)
{
    const struct engine_operations *operations;
    const struct engine_options options = { .threads = report->threads, .isa = finding->isa, .pin = report->pin };
    struct proof again;
    const enum arithmetic arithmetic = finding->arithmetic;
    const char *known = proof_known_digest(arithmetic);
    enum status status = engine_choose(finding->entry->name, arithmetic, &operations, &finding->error);
    if (status == STATUS_OK)
        status = proof_run(operations, arithmetic, &options, training, validation, &finding->proof, &finding->error);
    if (status == STATUS_OK && known != NULL) {
        finding->verdict = strcmp(finding->proof.digest, known) == 0 ? VERDICT_EXACT : VERDICT_OTHER_BITS;
        return;
    }
    if (status == STATUS_OK)
        status = proof_run(operations, arithmetic, &options, training, validation, &again, &finding->error);
    if (status == STATUS_OK)
        finding->verdict = strcmp(finding->proof.digest, again.digest) == 0 ? VERDICT_REPEATS : VERDICT_VARIES;
    else
        finding->verdict = judge_failure(&finding->proof, status);
}

/* One for each arithmetic that the engine computes. */
static void add_findings(struct report *report, const struct engine_entry *entry, const char *isa)
{
    for (int i = 0; i < ARITHMETIC_COUNT; i++)
        if (entry->computes[i] && report->count < FINDINGS_MAX)
            report->findings[report->count++] =
                (struct finding){ .entry = entry, .arithmetic = (enum arithmetic)i, .isa = isa };
}

static enum status find_out(struct report *report, struct error *error)
{
    struct dataset training, validation;
    report->device_status = device_open(&report->device, &report->device_error);
    for (size_t i = 0; i < engine_entry_count; i++) {
        const struct engine_entry *entry = &engine_entries[i];
        if (entry->operations == NULL || entry->operations->isa == NULL)
            add_findings(report, entry, NULL);
        else {
            for (size_t k = 0; entry->operations->isa(k) != NULL; k++)
                add_findings(report, entry, entry->operations->isa(k));
        }
    }
    enum status status = embedded_make(&training, PROOF_TRAINING_IMAGES, &validation, PROOF_VALIDATION_IMAGES, error);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < report->count; i++)
        examine(&report->findings[i], report, &training, &validation);
    dataset_free(&training);
    dataset_free(&validation);
    return STATUS_OK;
}

static size_t count_verdict(const struct report *report, enum verdict verdict)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++)
        count += report->findings[i].verdict == verdict;
    return count;
}

static bool all_exact(const struct report *report)
{
    return count_verdict(report, VERDICT_EXACT) > 0 && count_verdict(report, VERDICT_OTHER_BITS) == 0 &&
           count_verdict(report, VERDICT_VARIES) == 0 && count_verdict(report, VERDICT_FAILED) == 0;
}

/* The names of the findings with a verdict, such as "cpu avx2 in exact-1, cuda in exact-1". */
static void name_findings(const struct report *report, enum verdict verdict, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < report->count; i++) {
        const struct finding *finding = &report->findings[i];
        const size_t used = strlen(text);
        if (finding->verdict == verdict)
            snprintf(text + used, size - used, "%s%s%s%s in %s", used > 0 ? ", " : "", finding->entry->name,
                     finding->isa != NULL ? " " : "", finding->isa != NULL ? finding->isa : "",
                     arithmetic_version(finding->arithmetic));
    }
}

/* Wrong bits come before what failed, and both before a machine on which nothing works. */
static enum status conclude(const struct report *report, struct error *error)
{
    char names[256];
    if (count_verdict(report, VERDICT_OTHER_BITS) > 0) {
        name_findings(report, VERDICT_OTHER_BITS, names, sizeof names);
        return error_set(
            error, STATUS_NO,
            "not exact here: %s; do not trust the digests of runs made with it. First check the compiler, its flags "
            "and the hardware's memory, then report the output of selfsame doctor --format json",
            names);
    }
    if (count_verdict(report, VERDICT_VARIES) > 0) {
        name_findings(report, VERDICT_VARIES, names, sizeof names);
        return error_set(error, STATUS_NO, "%s does not repeat its results here: two runs of one recipe differ", names);
    }
    for (size_t i = 0; i < report->count; i++) {
        const struct finding *finding = &report->findings[i];
        if (finding->verdict == VERDICT_FAILED) {
            *error = finding->error;
            return error_prefix(error, "%s%s%s", finding->entry->name, finding->isa != NULL ? " " : "",
                                finding->isa != NULL ? finding->isa : "");
        }
    }
    if (count_verdict(report, VERDICT_EXACT) == 0)
        return error_set(error, STATUS_ENVIRONMENT,
                         "no engine for exact arithmetic works here; the lines above say why");
    return STATUS_OK;
}

/* ---- printing it ------------------------------------------------------------------------------------------------- */

static double mebibytes(size_t bytes)
{
    return (double)bytes / 1048576.0;
}

static void print_device(const struct report *report)
{
    const struct device *device = &report->device;
    if (device_build_toolkit[0] != '\0')
        text_fact(stdout, 11, "kernels    CUDA %s, for %s", device_build_toolkit, device_build_architectures);
    if (device->driver[0] != '\0' || device->driver_version != 0)
        text_fact(stdout, 11, "driver     %s%sfor CUDA up to %d.%d", device->driver,
                  device->driver[0] != '\0' ? ", " : "", device->driver_version / 1000,
                  device->driver_version % 1000 / 10);
    if (device->name[0] != '\0')
        text_fact(
            stdout, 11,
            "card       %s, compute capability %d.%d, %u multiprocessors, %.0f MiB (%.0f free), %.0f MiB of L2, ECC "
            "%s",
            device->name, device->major, device->minor, device->multiprocessors, mebibytes(device->memory_bytes),
            mebibytes(device->free_bytes), mebibytes(device->l2_bytes), device->ecc ? "on" : "off");
    if (report->device_status != STATUS_OK)
        text_fact(stdout, 11, "card       %s%s",
                  device->name[0] != '\0' ? "cannot be used: " : "none: ", report->device_error.message);
}

/* Of the table of engines. */
#define FINDING "%-6s %-6s %-9s "
enum { FINDING_COLUMN = 24 };

static void print_finding(const struct finding *finding)
{
    const char *engine = finding->entry->name, *isa = finding->isa != NULL ? finding->isa : "",
               *arithmetic = arithmetic_version(finding->arithmetic), *verdict = verdicts[finding->verdict];
    if (finding->verdict == VERDICT_MISSING || finding->verdict == VERDICT_FAILED) {
        /* An instruction set is missing here, and no option named it. */
        const char *message = finding->error.message, *end = strchr(message, ',');
        const bool cut = finding->verdict == VERDICT_MISSING && finding->isa != NULL && end != NULL;
        text_fact(stdout, FINDING_COLUMN, FINDING "%s: %.*s", engine, isa, arithmetic, verdict,
                  (int)(cut ? end - message : INT_MAX), message);
        return;
    }
    text_fact(stdout, FINDING_COLUMN, FINDING "%s: %.16s (%s)", engine, isa, arithmetic, verdict, finding->proof.digest,
              finding->proof.description);
    for (const char *fact = finding->proof.facts; *fact != '\0';) {
        const size_t length = strcspn(fact, "\n");
        text_fact(stdout, FINDING_COLUMN, "%*s%.*s", FINDING_COLUMN, "", (int)length, fact);
        fact += length + (fact[length] == '\n');
    }
}

/* The modules for ranks. */
static void print_modules(void)
{
    char library[MODULE_REASON_BYTES];
    const char *name;
    for (size_t i = 0; (name = ranks_module(i, library, sizeof library)) != NULL; i++)
        text_fact(stdout, 11, "%-10s %s%s", i == 0 ? "ranks" : "", library[0] != '\0' ? library : name,
                  library[0] != '\0' ? "" : ": not in this build; configure finds it by its mpicc");
}

static void print_table(const struct report *report)
{
    struct environment environment;
    environment_read(&environment);
    program_print_version(stdout);
    putchar('\n');
    text_fact(stdout, 11, "system     %s", environment.system);
    text_fact(stdout, 11, "processor  %s, %" PRIu64 " processors, %u thread%s used%s", environment.cpu,
              environment.cpus, report->threads, report->threads == 1 ? "" : "s",
              report->pin ? ", each on a processor of its own" : "");
    print_device(report);
    print_modules();
    putchar('\n');
    text_fact(stdout, FINDING_COLUMN, FINDING "ResNet-8 by three recipes: three steps and an evaluation", "engine",
              "set", "bits");
    for (size_t i = 0; i < report->count; i++)
        print_finding(&report->findings[i]);
    putchar('\n');
    text_fact(stdout, 7,
              "exact: %s (%zu of %zu that work give the known digest, %.16s in exact-1 and %.16s in exact-2)",
              all_exact(report) ? "yes" : "no", count_verdict(report, VERDICT_EXACT),
              count_verdict(report, VERDICT_EXACT) + count_verdict(report, VERDICT_OTHER_BITS),
              proof_known_digest(ARITHMETIC_EXACT_1), proof_known_digest(ARITHMETIC_EXACT_2));
}

static json_t *modules_json(void)
{
    char library[MODULE_REASON_BYTES];
    const char *name;
    json_t *object = json_object();
    for (size_t i = 0; (name = ranks_module(i, library, sizeof library)) != NULL; i++)
        json_put(&object, name, library[0] != '\0' ? json_text(library) : json_null());
    return object;
}

static json_t *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? json_text(text) : json_null();
}

/* Null where there is no device that can be used: device_error then says why. */
static json_t *device_json(const struct report *report)
{
    const struct device *device = &report->device;
    if (report->device_status != STATUS_OK)
        return json_null();
    return json_pack("{s:i, s:o, s:[i, i], s:I, s:I, s:I, s:I, s:b, s:o, s:i, s:i}", "index", device->index, "name",
                     json_text(device->name), "compute_capability", device->major, device->minor, "multiprocessors",
                     (json_int_t)device->multiprocessors, "memory_bytes", (json_int_t)device->memory_bytes,
                     "free_bytes", (json_int_t)device->free_bytes, "l2_bytes", (json_int_t)device->l2_bytes, "ecc",
                     (int)device->ecc, "driver", text_or_null(device->driver), "driver_cuda", device->driver_version,
                     "runtime_cuda", device->runtime_version);
}

static json_t *facts_json(const char *facts)
{
    json_t *array = json_array();
    while (*facts != '\0') {
        const size_t length = strcspn(facts, "\n");
        json_add(&array, json_stringn(facts, length));
        facts += length + (facts[length] == '\n');
    }
    return array;
}

static json_t *finding_json(const struct finding *finding)
{
    const bool worked = finding->verdict != VERDICT_MISSING && finding->verdict != VERDICT_FAILED;
    return json_pack("{s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "engine", finding->entry->name, "isa",
                     text_or_null(finding->isa), "arithmetic", arithmetic_version(finding->arithmetic), "verdict",
                     verdicts[finding->verdict], "digest", text_or_null(finding->proof.digest), "description",
                     text_or_null(finding->proof.description), "facts", facts_json(finding->proof.facts), "message",
                     text_or_null(worked ? NULL : finding->error.message));
}

static enum status print_json(const struct report *report, struct error *error)
{
    struct environment environment;
    struct record_facts facts = { .format = 0 };
    json_t *engines = json_array();
    environment_read(&environment);
    environment_describe(&environment, &facts);
    for (size_t i = 0; i < report->count; i++)
        json_add(&engines, finding_json(&report->findings[i]));
    json_t *json =
        json_pack("{s:s, s:o, s:o, s:i, s:{s:o, s:o}, s:o, s:o, s:o, s:o, s:s, s:{s:s, s:s}, s:b}", "arithmetic",
                  arithmetic_version(ARITHMETIC_EXACT_1), "program", record_json_section(&facts, "program"), "host",
                  record_json_section(&facts, "host"), "threads", (int)report->threads, "build_cuda", "toolkit",
                  text_or_null(device_build_toolkit), "architectures", text_or_null(device_build_architectures),
                  "device", device_json(report), "device_error",
                  text_or_null(report->device_status != STATUS_OK ? report->device_error.message : NULL), "ranks",
                  modules_json(), "engines", engines, "known_digest", proof_known_digest(ARITHMETIC_EXACT_1),
                  "known_digests", arithmetic_version(ARITHMETIC_EXACT_1), proof_known_digest(ARITHMETIC_EXACT_1),
                  arithmetic_version(ARITHMETIC_EXACT_2), proof_known_digest(ARITHMETIC_EXACT_2), "exact",
                  (int)all_exact(report));
    return json_print(json, error);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static enum status run_doctor(const struct arguments *arguments, struct error *error)
{
    const char *format = arguments_text(arguments, "format"), *soak = arguments_text(arguments, "soak");
    if (soak != NULL && arguments_flag(arguments, "pin"))
        return error_set(error, STATUS_INPUT, "a soak keeps its threads on their processors anyway: leave out --pin");
    if (soak != NULL && arguments_integer(arguments, "threads", 0) > 0)
        return error_set(error, STATUS_INPUT, "a soak uses every core: leave out --threads, or run it under taskset");
    if (soak != NULL)
        return doctor_soak(soak, format != NULL && strcmp(format, "json") == 0, error);
    struct report *report = calloc(1, sizeof *report);
    if (report == NULL)
        return error_out_of_memory(error, "the report");
    report->pin = arguments_flag(arguments, "pin");
    report->threads = (uint32_t)arguments_integer(arguments, "threads", machine_processors_usable());
    enum status status = find_out(report, error);
    if (status == STATUS_OK && format != NULL && strcmp(format, "json") == 0)
        status = print_json(report, error);
    else if (status == STATUS_OK)
        print_table(report);
    if (status == STATUS_OK)
        status = conclude(report, error);
    free(report);
    return status;
}

static const struct option_definition options[] = {
    OPTION_THREADS,
    OPTION_PIN,
    { "soak", "DURATION", OPTION_TEXT, 0, 0, NULL,
      "compute known answers on every core for so long, such as 30s, 10m or 8h; exit 1 if one is wrong" },
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "table|json", "table or json; default: table" },
    OPTIONS_END,
};

const struct command doctor_command = {
    .name = "doctor",
    .operands = "",
    .summary = "say what this machine has, and test each engine with known answers",
    .options = options,
    .description =
        "Prints the program's version and build, the processor, the card and its driver. Then it trains three small "
        "networks with every engine and instruction set, and prints a line for each: the digest, or why the engine "
        "does not work on this machine.\n\n"
        "Every exact engine must give the digest that is compiled into this program, one for each of the exact "
        "arithmetics. An engine for fast arithmetic must give the same digest twice.\n\n"
        "The exit status is 0 if every engine that works here gives the right digest, 1 if one gives other bits, and "
        "3 if one fails or none works. Missing hardware, such as a GPU, is no failure.\n\n"
        "With --soak it computes known answers until the time is over, on every core alone and on all cores at once: "
        "with each instruction set and exact engine, with working sets for each level of the caches and for the "
        "memory. The report says what was computed where. For a wrong answer it names the core, the instruction set, "
        "the step and the first wrong tensor, or the number and the lane of a vector. Ctrl-C ends it with the report "
        "so far, and the exit status 130; it is 1 if an answer was wrong. Of several cards it tests the first; "
        "CUDA_VISIBLE_DEVICES chooses another.\n\n"
        "mprime's torture test and OpenDCDiag look for the same faults, with other instructions and more of them; "
        "nobody has compared how many each finds. The soak does not replace them: it computes what selfsame itself "
        "computes, and so finds what would spoil a run.",
    .examples = "selfsame doctor\tbefore the first run on a new machine\n"
                "selfsame doctor --format json\tfor reporting a problem\n"
                "selfsame doctor --soak 8h\ta night of known answers, before a long run\n",
    .operands_min = 0,
    .operands_max = 0,
    .run = run_doctor,
};
