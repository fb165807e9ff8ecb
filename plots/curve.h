/* Published curves: validation error by epoch, a column of a table in the plots folder. Also how near a run is to
 * one. */
#ifndef SELFSAME_CURVE_H
#define SELFSAME_CURVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/file.h"
#include "experiments/manifest.h"
#include "results/record.h"

/* Finds a file of the plots folder: in $SELFSAME_PLOTS, the installed folder or the source tree's. STATUS_ENVIRONMENT
 * if it is in none of them. */
enum status plots_find(const char *name, char path[FILE_PATH_BYTES], struct error *error) MUST_USE;

struct curve {
    double *errors; /* percent, by epoch from 0; NaN where nothing was published */
    size_t epochs;
};

/* Reads the column of a file in the plots folder: tab-separated, a heading that begins with "epoch", one line an epoch
 * from 0; lines that begin with '#' are comments. STATUS_INPUT names file and line. The caller frees with curve_free;
 * on an error nothing is left to free. */
enum status curve_read(const char *file, const char *column, struct curve *curve, struct error *error) MUST_USE;
void curve_free(struct curve *curve);

/* How the learning rate's drop shows in both curves: the mean of five epochs before it less that of the five after its
 * first epoch, percentage points. */
struct curve_drop {
    uint64_t epoch; /* the first with the lower rate, from 0 */
    double ours, published;
    bool agrees; /* ours falls by at least half as much */
};

/* How near a run is to a published curve.
 * envelope  At epoch e, from the least to the largest published value of the epochs e-1 to e+1, widened by
 *           CURVE_MARGIN_BEFORE points before the first drop of the learning rate and CURVE_MARGIN_AFTER from there on.
 *           Epochs without a published value are left out.
 * agrees    At least CURVE_SHARE percent of the compared epochs lie in it, and every drop agrees that both show. */
#define CURVE_MARGIN_BEFORE 3.0
#define CURVE_MARGIN_AFTER 1.0
#define CURVE_SHARE 90.0
enum { CURVE_DROP_EPOCHS = 5 };

struct curve_agreement {
    size_t compared, inside; /* epochs */
    struct curve_drop drops[SCHEDULE_DROPS_MAX];
    size_t drop_count; /* those with five epochs on either side */
    bool agrees;
};

void curve_compare(const struct curve *curve, const struct record *record, struct curve_agreement *agreement);
/* The share of the compared epochs inside the envelope, percent; 0 without one. */
double curve_share(const struct curve_agreement *agreement);

/* The first epoch, from 0, after drop number `drop` of the learning rate. */
uint64_t curve_drop_epoch(const struct manifest *manifest, uint32_t drop);

#endif
