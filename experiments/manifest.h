/* An experiment's manifest: read, inherited, checked and resolved.
 *
 * inherit      a file relative to the one that says it, else in the experiments folder ($SELFSAME_EXPERIMENTS, the
 *              installed one, the source tree's). Maps are merged key by key; anything else replaces. A key replaces
 *              its rival (epochs and steps, seed and seeds ...).
 * resolved     the canonical text: every key of experiments/schema.c that has a value, in that order, with every
 *              default filled in. If it is read again, it gives the same text.
 * digests      manifest: SHA-256 of the resolved text. Experiment: SHA-256 of the lines "path=value\n" of the keys that
 *              move bits in the table's order, then "seed=N\n" and "version=<arithmetic version>\n". Runs, checkpoints
 *              and resumes belong to the experiment digest. The exact arithmetics share the line arithmetic=exact and
 *              differ in the version. */
#ifndef SELFSAME_MANIFEST_H
#define SELFSAME_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/hash.h"
#include "experiments/schema.h"
#include "trainer/recipe.h"

struct manifest_target {
    bool best;               /* of all epochs; else after the last */
    double value, tolerance; /* percent, percentage points */
    char *source;
    uint64_t n;             /* runs that were made for the value; 1 where the manifest does not say */
    double sd;              /* their standard deviation, percentage points; NaN: not published */
    enum protocol protocol; /* what the value is of them */
};

/* Where a file comes from, and what is published about it. */
struct manifest_source {
    char **urls; /* in the order to try; NULL for none */
    size_t url_count;
    uint64_t bytes; /* 0: not published */
    char md5[33];   /* "": not published; the same holds for: */
    char sha256[DIGEST_HEX_BYTES];
    char sha256_prefix[DIGEST_HEX_BYTES]; /* its first digits, where only those are published */
};

struct manifest {
    char *path; /* as the user named it, for messages that say what to do with it */
    char *name, *description;
    enum dataset_kind dataset_kind;
    uint32_t training_images, test_images; /* embedded; CIFAR-10's for cifar10 */
    char train_sha256[DIGEST_HEX_BYTES];
    char test_sha256[DIGEST_HEX_BYTES]; /* "" for any */
    char *note;                         /* "" for none */
    struct manifest_source *archives;   /* of the data set; the preferred one first */
    size_t archive_count;
    struct manifest_source weights; /* pretrained; all empty where the manifest names none */
    enum weights_format weights_format;
    char *weights_note;   /* NULL: none */
    struct recipe recipe; /* with the first seed */
    uint64_t *seeds;
    size_t seed_count;
    struct manifest_target *targets;
    size_t target_count;
    char *curve_file, *curve_column, *curve_source; /* NULL: no published curve */
    char *resolved;                                 /* the canonical text */
    char sha256[DIGEST_HEX_BYTES];                  /* the manifest digest */
    char *experiment;                               /* the lines of the experiment digest, without seed and version */
};

/* Reads a manifest by its file, or by its path in the experiments folder. STATUS_INPUT names file, line and key. After
 * an error there is nothing to free. */
enum status manifest_read(const char *path, struct manifest *manifest, struct error *error) MUST_USE;
/* The same from a text. Messages name it `name`. */
enum status manifest_read_text(const char *text, size_t bytes, const char *name, struct manifest *manifest,
                               struct error *error) MUST_USE;
/* The same from a run's resolved manifest, which must not inherit: no file of its reader counts. */
enum status manifest_read_resolved(const char *text, size_t bytes, const char *name, struct manifest *manifest,
                                   struct error *error) MUST_USE;
/* Reads a manifest by its path in the experiments folders alone: a file of that name in the current folder does not
 * count. *there: whether there is one; if not, there is nothing to free. */
enum status manifest_read_installed(const char *path, struct manifest *manifest, bool *there,
                                    struct error *error) MUST_USE;
/* The same manifest with only this seed. A run's record has it, so that it trains that run again. */
enum status manifest_with_seed(const struct manifest *manifest, uint64_t seed, struct manifest *one,
                               struct error *error) MUST_USE;
/* The same manifest with this digest of the test data, as --any-test-data needs it. */
enum status manifest_with_test_data(const struct manifest *manifest, const char *sha256, struct manifest *one,
                                    struct error *error) MUST_USE;
/* The same manifest with this arithmetic. */
enum status manifest_with_arithmetic(const struct manifest *manifest, enum arithmetic arithmetic,
                                     struct manifest *other, struct error *error) MUST_USE;
void manifest_free(struct manifest *manifest);

/* "CIFAR-10", or "the embedded data set". */
const char *manifest_data_name(const struct manifest *manifest);

/* SHA-256 of CIFAR-10's official test images, as experiments/cifar10.yaml says. */
#define CIFAR10_TEST_SHA256 "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"

/* The note that every view puts next to an error measured on other test data than the data set's own: a few words, or
 * NULL for the data set's own test data. `test_sha256` is of the data that were used; if it is "", it is not known, and
 * there is no note. */
const char *manifest_test_mark(const struct manifest *manifest, const char *test_sha256);

void manifest_experiment_digest(const struct manifest *manifest, uint64_t seed, char hex[DIGEST_HEX_BYTES]);

#endif
