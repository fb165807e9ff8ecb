/* What a step pays for its threads: trainer/cpu/THREADS.md has what it prints.
 *
 *   barriers [depth=20] [batch=128] [arithmetic=exact-1] [threads=1] [steps=10]
 *
 * A pass is one piece of work for the team (team_run): it begins with one barrier and ends with another. The program
 * takes each pass's shortest time over the steps, and the time between passes, in which one thread works: of one thread
 * the processor's time, which other programs on the machine hardly change. It times passes without work, whose threads
 * spin for the next one, and with pauses between them, so that they sleep. From one thread's times it computes what
 * more threads could do at best, if each took its items at the same speed: the items of a pass are not divided, and
 * what is between passes is not shared. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check/support/backends.h"

#include "base/clock.h"
#include "trainer/cpu/team.h"

enum { PASSES_MAX = 8192, EMPTY_PASSES = 2000, SLEEPERS_PASSES = 200 };

static struct {
    bool on; /* a step is running */
    clockid_t clock;
    uint32_t items, count;
    double in_passes;
    struct {
        uint32_t items;
        double seconds; /* the shortest so far */
    } passes[PASSES_MAX];
    double step_s, between_s; /* the shortest so far */
    uint32_t steps;
} seen;
static const struct backend_operations *operations;

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(seen.clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void __real_team_run(struct team *team, void (*work)(void *context, uint32_t thread), void *context);
void __wrap_team_run(struct team *team, void (*work)(void *context, uint32_t thread), void *context);
void __real_team_share(struct team *team, uint32_t count, bool down);
void __wrap_team_share(struct team *team, uint32_t count, bool down);

void __wrap_team_share(struct team *team, uint32_t count, bool down)
{
    seen.items = count;
    __real_team_share(team, count, down);
}

void __wrap_team_run(struct team *team, void (*work)(void *context, uint32_t thread), void *context)
{
    if (!seen.on || seen.count == PASSES_MAX) {
        __real_team_run(team, work, context);
        return;
    }
    const double began = seconds_now();
    __real_team_run(team, work, context);
    const double seconds = seconds_now() - began;
    seen.in_passes += seconds;
    if (seen.steps == 0 || seconds < seen.passes[seen.count].seconds)
        seen.passes[seen.count].seconds = seconds;
    seen.passes[seen.count++].items = seen.items;
}

/* In the place of the backend's step. */
static void timed_step(struct backend *backend, const struct backend_batch *batch, float learning_rate,
                       struct backend_outcome *outcome)
{
    seen.count = 0;
    seen.in_passes = 0.0;
    seen.on = true;
    const double began = seconds_now();
    operations->step(backend, batch, learning_rate, outcome);
    const double step_s = seconds_now() - began, between_s = step_s - seen.in_passes;
    seen.on = false;
    if (seen.steps == 0 || step_s < seen.step_s)
        seen.step_s = step_s;
    if (seen.steps == 0 || between_s < seen.between_s)
        seen.between_s = between_s;
    seen.steps++;
}

static const struct backend_operations *fastest(void)
{
#ifdef HAVE_X86_64
    if (backend_avx512.supported())
        return &backend_avx512;
    if (backend_avx2.supported())
        return &backend_avx2;
#endif
    return &backend_reference_plain;
}

static void no_work(void *context, uint32_t thread)
{
    (void)context, (void)thread;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Prints the microseconds of a pass without work; with a pause before each, the threads sleep by then. */
static void print_empty_passes(struct team *team, uint32_t passes, bool pause)
{
    static double us[EMPTY_PASSES];
    for (uint32_t i = 0; i < passes; i++) {
        const struct timespec millisecond = { .tv_nsec = 1000000 };
        if (pause)
            (void)nanosleep(&millisecond, NULL);
        const double began = clock_seconds();
        team_run(team, no_work, NULL);
        us[i] = 1e6 * (clock_seconds() - began);
    }
    qsort(us, passes, sizeof *us, compare_doubles);
    printf("no work   %.2f us a pass%s; the shortest %.2f\n", us[passes / 2], pause ? " after a pause" : "", us[0]);
}

static bool parse(const char *argument, struct trial *trial, uint32_t *threads)
{
    const struct {
        const char *name;
        uint32_t least, most, *number;
    } numbers[] = { { "depth=", 8, 1202, &trial->depth },
                    { "batch=", 1, 4096, &trial->batch },
                    { "steps=", 1, TRIAL_STEPS_MAX, &trial->steps },
                    { "threads=", 1, 1024, threads } };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const size_t length = strlen(numbers[i].name);
        char *end;
        if (strncmp(argument, numbers[i].name, length) != 0)
            continue;
        const unsigned long value = strtoul(argument + length, &end, 10);
        *numbers[i].number = (uint32_t)value;
        return end != argument + length && *end == '\0' && value >= numbers[i].least && value <= numbers[i].most;
    }
    trial->arithmetic = strcmp(argument, "arithmetic=exact-2") == 0 ? ARITHMETIC_EXACT_2 : ARITHMETIC_EXACT_1;
    return trial->arithmetic == ARITHMETIC_EXACT_2 || strcmp(argument, "arithmetic=exact-1") == 0;
}

/* From one thread's times. */
static void print_prediction(void)
{
    static const uint32_t threads[] = { 1, 2, 4, 8, 16, 32, 64, 128 };
    printf("threads   step ms   speed-up, if barriers took no time\n");
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        double seconds = seen.between_s, one = seen.between_s;
        for (uint32_t p = 0; p < seen.count; p++) {
            const uint32_t items = seen.passes[p].items, turns = (items + threads[t] - 1) / threads[t];
            seconds += seen.passes[p].seconds * turns / items;
            one += seen.passes[p].seconds;
        }
        printf("%7" PRIu32 " %9.2f %10.1f\n", threads[t], 1e3 * seconds, one / seconds);
    }
}

int main(int argc, char **argv)
{
    struct trial trial = { .depth = 20, .batch = 128, .steps = 10, .momentum = MOMENTUM_NEON };
    uint32_t threads = 1;
    for (int i = 1; i < argc; i++) {
        if (!parse(argv[i], &trial, &threads)) {
            fprintf(stderr, "barriers: cannot use '%s'; the head of check/tools/barriers.c lists the arguments\n",
                    argv[i]);
            return 2;
        }
    }
    trial.last = trial.batch;
    struct error error;
    struct network *network = NULL;
    struct dataset data = { 0 }, none = { 0 };
    struct outcome outcome = { 0 };
    struct team *team = NULL;
    const struct recipe recipe = trial_recipe(&trial);
    operations = fastest();
    struct backend_operations timed = *operations;
    timed.step = timed_step;
    seen.clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    int result = 2;
    if (network_open(&network, &recipe.model, &error) != STATUS_OK ||
        embedded_make(&data, trial.batch + TRIAL_IMAGES, &none, 1, &error) != STATUS_OK ||
        trial_run(&trial, network, &data, &timed, threads, &outcome, &error) != STATUS_OK ||
        team_open(&team, threads, &error) != STATUS_OK) {
        fprintf(stderr, "barriers: %s\n", error.message);
        goto out;
    }
    printf("depth %" PRIu32 ", batch %" PRIu32 ", %s, %s, %" PRIu32 " thread%s\n", trial.depth, trial.batch,
           arithmetic_version(trial.arithmetic), operations->variant, threads, threads == 1 ? "" : "s");
    printf("passes    %" PRIu32 " a step\n", seen.count);
    printf("step      %.2f ms, of which %.3f ms between passes\n", 1e3 * seen.step_s, 1e3 * seen.between_s);
    print_empty_passes(team, EMPTY_PASSES, false);
    print_empty_passes(team, SLEEPERS_PASSES, true);
    if (threads == 1)
        print_prediction();
    result = 0;
out:
    team_close(team);
    outcome_free(&outcome);
    dataset_free(&data);
    dataset_free(&none);
    network_close(network);
    return result;
}
