#include "plots/curve.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/build_info.h"
#include "trainer/schedule.h"

enum { CURVE_FILE_LIMIT = 1 << 24 };

enum status plots_find(const char *name, char path[FILE_PATH_BYTES], struct error *error)
{
    char found[FILE_PATH_BYTES];
    const char *folders[1 + BUILD_FOLDERS] = { getenv("SELFSAME_PLOTS") };
    build_folders(BUILD_PLOTS, folders + 1);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (folders[i] == NULL || folders[i][0] == '\0')
            continue;
        enum status status = file_path(found, error, "%s/%s", folders[i], name);
        if (status != STATUS_OK)
            return status;
        if (realpath(found, path) != NULL) /* gnuplot runs in another folder */
            return STATUS_OK;
    }
    return error_set(error, STATUS_ENVIRONMENT,
                     "%s is not in $SELFSAME_PLOTS or %s; install selfsame, or set SELFSAME_PLOTS to the plots folder "
                     "of its sources",
                     name, folders[1]);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The field number `index` of a line, cut off with a NUL; NULL where the line has fewer. */
static char *take_field(char *line, size_t index)
{
    for (; index > 0; index--) {
        line = strchr(line, '\t');
        if (line == NULL)
            return NULL;
        line++;
    }
    line[strcspn(line, "\t\r\n")] = '\0';
    return line;
}

/* The place of a column in the heading, or -1. */
static int find_column(const char *heading, const char *column)
{
    const size_t length = strlen(column);
    int place = 0;
    for (const char *word = heading;; word++, place++) {
        size_t here = strcspn(word, "\t\r\n");
        if (here == length && strncmp(word, column, length) == 0)
            return place;
        word += here;
        if (*word != '\t')
            return -1;
    }
}

/* "nan" or a percentage. */
static bool parse_percent(const char *text, double *value)
{
    char *end;
    if (strcmp(text, "nan") == 0) {
        *value = NAN;
        return true;
    }
    errno = 0;
    *value = strtod(text, &end);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *value >= 0.0 && *value <= 100.0;
}

static enum status parse_line(const char *path, size_t number, char *line, int place, struct curve *curve,
                              struct error *error)
{
    char *end;
    char *field = place >= 1 ? take_field(line, (size_t)place) : NULL; /* the epoch's number stays: it comes first */
    double value;
    if (field == NULL || !parse_percent(field, &value))
        return error_set(error, STATUS_INPUT, "%s:%zu: column %d is neither a percentage nor nan", path, number,
                         place + 1);
    if (strtoull(line, &end, 10) != curve->epochs || end == line)
        return error_set(error, STATUS_INPUT, "%s:%zu: expected the line of epoch %zu", path, number, curve->epochs);
    curve->errors[curve->epochs++] = value;
    return STATUS_OK;
}

static enum status parse_text(const char *path, char *text, const char *column, struct curve *curve,
                              struct error *error)
{
    size_t lines = 1, number = 0;
    int place = -1;
    bool headed = false;
    for (const char *c = text; *c != '\0'; c++)
        lines += *c == '\n';
    curve->errors = calloc(lines, sizeof *curve->errors);
    if (curve->errors == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "not enough memory for the curve in %s", path);
    for (char *line = text, *next; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (headed) {
            enum status status = parse_line(path, number, line, place, curve, error);
            if (status != STATUS_OK)
                return status;
            continue;
        }
        headed = true;
        place = find_column(line, column);
        if (place < 1 || find_column(line, "epoch") != 0)
            return error_set(error, STATUS_INPUT, "%s:%zu: the heading does not begin with epoch, or has no column %s",
                             path, number, column);
    }
    if (curve->epochs == 0)
        return error_set(error, STATUS_INPUT, "%s holds no epoch of the column %s", path, column);
    return STATUS_OK;
}

enum status curve_read(const char *file, const char *column, struct curve *curve, struct error *error)
{
    char path[FILE_PATH_BYTES], *text = NULL;
    size_t bytes;
    *curve = (struct curve){ NULL, 0 };
    /* The name comes from a manifest, which may be a stranger's. */
    if (strchr(file, '/') != NULL || file[0] == '.')
        return error_set(error, STATUS_INPUT, "curve.file: %s does not name a file in the plots folder", file);
    enum status status = plots_find(file, path, error);
    if (status == STATUS_OK)
        status = file_read_text(path, CURVE_FILE_LIMIT, &text, &bytes, NULL, error);
    if (status == STATUS_OK)
        status = parse_text(path, text, column, curve, error);
    if (status != STATUS_OK)
        curve_free(curve);
    free(text);
    return status;
}

void curve_free(struct curve *curve)
{
    free(curve->errors);
    *curve = (struct curve){ NULL, 0 };
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

uint64_t curve_drop_epoch(const struct manifest *manifest, uint32_t drop)
{
    const struct training_config *training = &manifest->recipe.training;
    uint64_t step = schedule_drop_step(training, manifest->training_images, drop);
    return schedule_epoch_of(training, manifest->training_images, step);
}

static bool is_inside(const struct curve *curve, size_t epoch, double error, double margin)
{
    double low = curve->errors[epoch], high = low;
    for (size_t e = epoch > 0 ? epoch - 1 : 0; e <= epoch + 1 && e < curve->epochs; e++) {
        low = fmin(low, curve->errors[e]); /* of a number and NaN, the number */
        high = fmax(high, curve->errors[e]);
    }
    /* A hair more: the values are percentages of two digits. */
    return error >= low - margin - 1e-9 && error <= high + margin + 1e-9;
}

static double published_mean(const struct curve *curve, size_t from)
{
    double sum = 0.0;
    size_t count = 0;
    for (size_t e = from; e < from + CURVE_DROP_EPOCHS; e++) {
        if (!isnan(curve->errors[e])) {
            sum += curve->errors[e];
            count++;
        }
    }
    return count > 0 ? sum / (double)count : NAN;
}

static double our_mean(const struct record *record, size_t from)
{
    double sum = 0.0;
    for (size_t e = from; e < from + CURVE_DROP_EPOCHS; e++)
        sum += record->metrics[e].validation_error;
    return sum / CURVE_DROP_EPOCHS;
}

/* The epoch of the drop itself is left out: it may have some of its steps before the drop. */
static bool compare_drop(const struct curve *curve, const struct record *record, uint64_t epoch,
                         struct curve_drop *drop)
{
    const uint64_t end = epoch + 1 + CURVE_DROP_EPOCHS;
    if (epoch < CURVE_DROP_EPOCHS || end > record->epochs || end > curve->epochs)
        return false;
    const size_t before = (size_t)epoch - CURVE_DROP_EPOCHS, after = (size_t)epoch + 1;
    *drop = (struct curve_drop){
        .epoch = epoch,
        .ours = our_mean(record, before) - our_mean(record, after),
        .published = published_mean(curve, before) - published_mean(curve, after),
    };
    drop->agrees = drop->ours >= drop->published / 2.0;
    return !isnan(drop->published) && !isnan(drop->ours);
}

void curve_compare(const struct curve *curve, const struct record *record, struct curve_agreement *agreement)
{
    const struct manifest *manifest = &record->manifest;
    const struct schedule_config *schedule = &manifest->recipe.training.schedule;
    const uint64_t first_drop = schedule->drop_count > 0 ? curve_drop_epoch(manifest, 0) : UINT64_MAX;
    *agreement = (struct curve_agreement){ .compared = 0 };
    for (size_t e = 0; e < record->epochs && e < curve->epochs; e++) {
        double margin = e < first_drop ? CURVE_MARGIN_BEFORE : CURVE_MARGIN_AFTER;
        if (isnan(curve->errors[e]) || isnan(record->metrics[e].validation_error)) /* missing in an imported run */
            continue;
        agreement->compared++;
        agreement->inside += is_inside(curve, e, record->metrics[e].validation_error, margin);
    }
    agreement->agrees = agreement->compared > 0 && curve_share(agreement) >= CURVE_SHARE;
    for (uint32_t d = 0; d < schedule->drop_count; d++) {
        struct curve_drop *drop = &agreement->drops[agreement->drop_count];
        if (!compare_drop(curve, record, curve_drop_epoch(manifest, d), drop))
            continue;
        agreement->drop_count++;
        agreement->agrees = agreement->agrees && drop->agrees;
    }
}

double curve_share(const struct curve_agreement *agreement)
{
    return agreement->compared > 0 ? 100.0 * (double)agreement->inside / (double)agreement->compared : 0.0;
}
