/* Writes a run record during a training: what train() reports goes into the folder that results/record.h describes.
 *
 * order    An epoch reaches the disk as ledger, weights, metrics, checkpoint, record.json, each durable before the
 *          next. So a process that is killed at any instant loses at most the work since its last checkpoint. A resumed
 *          run ends with the files of an uninterrupted one, except for times.
 * lock     From recorder_open to recorder_close no other process can write the run. */
#ifndef SELFSAME_RECORDER_H
#define SELFSAME_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results/metrics.h"
#include "results/source_changes.h"
#include "trainer/network.h"
#include "trainer/recipe.h"
#include "trainer/train.h"

/* What is to be recorded. All of it outlives the recorder. */
struct recorder_options {
    const char *runs, *name;                   /* the runs folder; the run's name: one folder's name in it */
    bool resume;                               /* continue an unfinished run; one that does not exist is begun */
    const char *manifest_name, *manifest_text; /* the latter resolved: becomes manifest.yaml */
    const char *manifest_sha256, *experiment_sha256;
    const char *arithmetic; /* its version, such as "exact-1" */
    bool exact;
    bool any_device; /* exact on engines of more than one kind of device: engine_any_device */
    const struct recipe *recipe;
    const struct network *network;
    uint32_t training_images, validation_images;
    const char *training_data_sha256, *validation_data_sha256;
    const struct source_changes *changes; /* of the program; may be NULL */
    const char *const *notes;             /* on the data, for the record; NULL after the last; may be NULL */
    uint64_t keep_every;                  /* keep the checkpoints of epochs that this divides; 0: the usual ones */
    uint64_t epochs;                      /* stop after so many; 0: all of the recipe */
    const char *engine_name, *engine_description;
    const char *const *engine_facts; /* texts up to a NULL, or NULL */
    size_t engine_bytes;
    bool others;                      /* this process trains other runs at the same time */
    uint32_t ranks;                   /* that compute together; 1: this process alone */
    const char *ranks_description;    /* their library and hosts; NULL for one */
    const char *pci_address;          /* of the device that computes; NULL: the processor */
    void (*say)(const char *message); /* news that need no action, such as a damaged checkpoint; may be NULL */
};

struct recorder;

/* Begins a run, or resumes it: then state, whose arrays the caller has allocated, is that of the newest good
 * checkpoint; else state is left alone and must be that before the first step. STATUS_INPUT: the run exists and is
 * finished, or unfinished without `resume`, or is of another experiment or measures its errors on other test data, or
 * its data changed in memory, or no checkpoint of it is good. STATUS_ENVIRONMENT: the folder cannot be written, or
 * another process holds it. The message says what to do. */
enum status recorder_open(struct recorder **recorder, const struct recorder_options *options,
                          struct training_state *state, struct error *error) MUST_USE;

/* The callbacks steps, epoch and interrupted of a listener whose context is the recorder; the others are NULL. */
struct train_listener recorder_listener(struct recorder *recorder);

/* The digests of the training data and the test data in memory after the training, with a blank between them, for the
 * record that recorder_finish writes. Those of the program and of the manifest it takes itself. */
void recorder_data_after(struct recorder *recorder, const char *digests);

/* Records how the training ended: OK is finished, STATUS_NO failed with `message`, anything else interrupted. */
enum status recorder_finish(struct recorder *recorder, enum status outcome, const char *message,
                            struct error *error) MUST_USE;

/* The run's folder, and the last epoch that was recorded (NULL before the first). */
const char *recorder_path(const struct recorder *recorder);
const struct metrics_row *recorder_last(const struct recorder *recorder);

/* Releases the lock; without recorder_finish the record stays "running", as a killed process leaves it. NULL is
 * fine. */
void recorder_close(struct recorder *recorder);

#endif
