/* Checks a run's files of weights against its record: metrics.jsonl has a digest for every epoch. */
#ifndef SELFSAME_WEIGHTS_CHECK_H
#define SELFSAME_WEIGHTS_CHECK_H

#include "results/record.h"
#include "trainer/network.h"

/* Weights that were read from `path` of the run are the last epoch's; while a process is at it, some epoch's. *epoch
 * (may be NULL) is that epoch, from 0. STATUS_INPUT where they are not. */
enum status weights_check(const struct record *record, const char *path, const struct network *network,
                          const float *values, uint64_t *epoch, struct error *error) MUST_USE;

/* The same for weights that are about to be used. The path may be that of a run's weights or of one of its checkpoints;
 * other files are not checked. The run's record is opened, which checks it. */
enum status weights_check_used(const char *path, const struct network *network, const float *values,
                               struct error *error) MUST_USE;

/* Reads the run's weights, if they are there, and its checkpoints, and compares them with its record. */
struct weights_found {
    bool weights;
    uint64_t epoch; /* theirs, from 0 */
    size_t checkpoints;
    bool source_changes; /* that file (results/source_changes.h) */
};
enum status weights_check_all(const struct record *record, struct weights_found *found, struct error *error) MUST_USE;

/* record_open and weights_check_all, again where a process that is at the run changed a file in between: every byte
 * of the record is checked. */
enum status record_open_whole(struct record **record, const char *runs, const char *run, struct weights_found *found,
                              struct error *error) MUST_USE;

#endif
