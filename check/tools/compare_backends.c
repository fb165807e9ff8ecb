/* Runs the same few steps on every backend that this processor has and compares all that they leave with the scalar
 * reference.
 *
 *   compare_backends [depth=8] [variant=msra] [batch=5] [last=3] [steps=2] [momentum=neon] [adversity=none]
 *                    [threads=1,...] [arithmetic=exact-1] [reference=fma] [only=ISA|fused]
 *
 * Exit status 0 when all bits agree, 1 when some differ (the first differing tensor is named), 2 for a bad argument. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/support/backends.h"

#include "base/clock.h"
#include "trainer/exact.h"

enum { THREADS_MAX = 8 };

struct request {
    struct trial trial;
    uint32_t threads[THREADS_MAX + 1]; /* ends with 0 */
    bool plain;
    const char *only;
};

static bool parse_name(const char *text, const char *const *names, uint32_t count, uint32_t *index)
{
    for (*index = 0; *index < count; ++*index) {
        if (strcmp(text, names[*index]) == 0)
            return true;
    }
    return false;
}

static bool parse_number(const char *text, uint32_t least, uint32_t most, uint32_t *number)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *number = (uint32_t)value;
    return end != text && *end == '\0' && value >= least && value <= most;
}

/* Numbers with commas between them. */
static bool parse_threads(const char *text, uint32_t threads[THREADS_MAX + 1])
{
    for (uint32_t count = 0; count < THREADS_MAX; text++) {
        char *end;
        const unsigned long value = strtoul(text, &end, 10);
        if (end == text || value < 1 || value > 256)
            return false;
        threads[count++] = (uint32_t)value;
        threads[count] = 0;
        if (*end == '\0')
            return true;
        if (*end != ',')
            return false;
        text = end;
    }
    return false;
}

static bool parse(struct request *request, const char *argument)
{
    static const char *const momentums[] = { "neon", "pytorch" };
    struct trial *trial = &request->trial;
    const char *text = strchr(argument, '=');
    if (text == NULL)
        return false;
    const size_t length = (size_t)(text++ - argument);
    const struct {
        const char *name;
        uint32_t least, most, *number;
    } numbers[] = {
        { "depth", 8, 1202, &trial->depth },
        { "batch", 1, 4096, &trial->batch },
        { "last", 1, 4096, &trial->last },
        { "steps", 1, TRIAL_STEPS_MAX, &trial->steps },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strlen(numbers[i].name) == length && strncmp(argument, numbers[i].name, length) == 0)
            return parse_number(text, numbers[i].least, numbers[i].most, numbers[i].number);
    }
    uint32_t index = 0;
    if (strncmp(argument, "threads=", length + 1) == 0)
        return parse_threads(text, request->threads);
    if (strncmp(argument, "variant=", length + 1) == 0)
        return parse_name(text, VARIANTS, VARIANT_COUNT, &trial->variant);
    if (strncmp(argument, "momentum=", length + 1) == 0) {
        bool known = parse_name(text, momentums, 2, &index);
        trial->momentum = index == 0 ? MOMENTUM_NEON : MOMENTUM_PYTORCH;
        return known;
    }
    if (strncmp(argument, "adversity=", length + 1) == 0) {
        bool known = parse_name(text, ADVERSITIES, ADVERSITY_COUNT, &index);
        trial->adversity = (enum adversity)index;
        return known;
    }
    if (strncmp(argument, "arithmetic=", length + 1) == 0) {
        trial->arithmetic = strcmp(text, "exact-2") == 0 ? ARITHMETIC_EXACT_2 : ARITHMETIC_EXACT_1;
        return trial->arithmetic == ARITHMETIC_EXACT_2 || strcmp(text, "exact-1") == 0;
    }
    if (strncmp(argument, "reference=", length + 1) == 0) {
        request->plain = strcmp(text, "plain") == 0;
        return request->plain || strcmp(text, "fma") == 0;
    }
    request->only = text;
    return strncmp(argument, "only=", length + 1) == 0;
}

/* Asked for by only=. */
static bool wanted(const struct request *request, const struct backend_operations *operations)
{
    if (request->only == NULL)
        return true;
    if (strcmp(request->only, "fused") == 0)
        return strcmp(operations->isa, "scalar") != 0;
    return strcmp(request->only, operations->isa) == 0;
}

/* Runs one backend against the expected outcome (or makes it, where that is NULL). Returns the exit status. */
static int compare(const struct request *request, const struct network *network, const struct dataset *data,
                   const struct backend_operations *operations, uint32_t threads, const struct outcome *expected,
                   struct outcome *outcome)
{
    char text[512];
    struct error error;
    double began = clock_seconds();
    if (trial_run(&request->trial, network, data, operations, threads, outcome, &error) != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", operations->variant, error.message);
        return 2;
    }
    const struct backend_outcome *last = &outcome->by_step[outcome->steps - 1];
    printf("%-40s %u threads  %6.2f s  loss %-13.9g errors %-3u digest %016" PRIx64 "%016" PRIx64 " %s\n",
           operations->variant, threads, clock_seconds() - began, (double)last->loss, last->errors, last->digest[0],
           last->digest[1], last->non_finite);
    const char *difference =
        expected == NULL ? NULL : outcome_difference(&request->trial, network, expected, outcome, text, sizeof text);
    if (difference == NULL)
        return 0;
    printf("    differs from the reference: %s\n", difference);
    return 1;
}

int main(int argc, char **argv)
{
    struct request request = { .trial = { .depth = 8, .batch = 5, .last = 3, .steps = 2 }, .threads = { 1 } };
    for (int i = 1; i < argc; i++) {
        if (!parse(&request, argv[i])) {
            fprintf(
                stderr,
                "compare_backends: cannot use '%s'; the head of check/tools/compare_backends.c lists the arguments\n",
                argv[i]);
            return 2;
        }
    }
    if (request.trial.last > request.trial.batch)
        request.trial.last = request.trial.batch;
    struct error error;
    struct network *network = NULL;
    struct dataset data = { 0 }, none = { 0 };
    const struct recipe recipe = trial_recipe(&request.trial);
    if (network_open(&network, &recipe.model, &error) != STATUS_OK ||
        embedded_make(&data, request.trial.batch + TRIAL_IMAGES, &none, 1, &error) != STATUS_OK) {
        fprintf(stderr, "compare_backends: %s\n", error.message);
        return 2;
    }
    const struct backend_operations *reference = request.plain ? &backend_reference_plain : reference_backend();
    struct outcome expected;
    int worst = compare(&request, network, &data, reference, 1, NULL, &expected);
    for (size_t i = 0; backends[i] != NULL; i++) {
        if (!backends[i]->supported() || !wanted(&request, backends[i]))
            continue;
        for (const uint32_t *threads = request.threads; *threads > 0 && worst != 2; threads++) {
            if (backends[i] == reference ? *threads == 1 : backends[i] == &backend_reference_plain && !request.plain)
                continue;
            struct outcome outcome;
            int status = compare(&request, network, &data, backends[i], *threads, &expected, &outcome);
            worst = status > worst ? status : worst;
            outcome_free(&outcome);
        }
    }
    outcome_free(&expected);
    dataset_free(&data);
    dataset_free(&none);
    network_close(network);
    return worst;
}
