/* Judges runs by a published result. Every verdict comes with the numbers that decided it, in words.
 *
 * met            what was measured lies within the target's tolerance
 * within-spread  it does not, but a t test cannot tell the two apart. The target must be a mean, and one of the two
 *                spreads must be known: of several runs here, or the published one. A test that is so weak that it
 *                would only see a difference of more than TARGET_WEAK tolerances explains nothing
 * missed         neither
 * unfinished     a run is not done, or there are fewer runs than the best of n needs
 * not-comparable measured on other images, for another depth, or the best of more runs than the published value; or an
 *                imported run does not have the error */
#ifndef SELFSAME_TARGET_H
#define SELFSAME_TARGET_H

#include "experiments/manifest.h"
#include "results/run_group.h"
#include "results/statistics.h"

enum target_verdict {
    TARGET_MET,
    TARGET_WITHIN_SPREAD,
    TARGET_MISSED,
    TARGET_UNFINISHED,
    TARGET_NOT_COMPARABLE,
    TARGET_VERDICTS
};

/* Such as "within-spread". */
const char *target_verdict_name(enum target_verdict verdict);
/* Whether a result counts as reproduced: met or within-spread. */
bool target_reproduced(enum target_verdict verdict);

#define TARGET_WEAK 5.0

struct judgement {
    enum target_verdict verdict;
    char detail[128];         /* what is unfinished or not comparable, in a few words; else "" */
    double measured;          /* by the target's protocol, percent; NaN: nothing yet */
    struct summary sample;    /* of the group */
    struct interval interval; /* 95 %: of the mean; of one run, what its number of test images leaves open */
    double difference;        /* measured less published */
    struct t_test test;       /* of the two means; p is NaN where no spread is known */
    double sees;              /* the difference that it sees in 4 of 5 cases; NaN as well */
    char because[640];        /* sentences without the last full stop */
};

/* `owner` is the manifest that states the target: the runs' own, or another one.
 * errors   STATUS_ENVIRONMENT without memory. */
enum status target_judge(const struct run_group *group, const struct manifest *owner,
                         const struct manifest_target *target, struct judgement *judgement,
                         struct error *error) MUST_USE;

#endif
