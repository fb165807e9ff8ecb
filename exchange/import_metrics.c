#include "exchange/import_metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "trainer/schedule.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Other words for metrics, as selfsame runs has them, and what gives an error as its complement. */
static const struct word {
    const char *name, *metric;
    bool accuracy;
} words[] = {
    { "val_error", "validation_error", false },
    { "train_error", "training_error", false },
    { "val_loss", "validation_loss", false },
    { "train_loss", "training_loss", false },
    { "validation_accuracy", "validation_error", true },
    { "val_accuracy", "validation_error", true },
    { "training_accuracy", "training_error", true },
    { "train_accuracy", "training_error", true },
};
enum { WORDS = sizeof words / sizeof *words, NAMES_MAX = 64 };

static bool is_number(const struct metrics_column *metric)
{
    return metric->type != METRICS_DIGEST && strcmp(metric->name, "epoch") != 0;
}

static bool is_percentage(const struct metrics_column *metric)
{
    return strcmp(metric->unit, "%") == 0;
}

static const struct metrics_column *find_metric(const char *name)
{
    for (size_t i = 0; i < metrics_column_count; i++) {
        if (is_number(&metrics_columns[i]) && strcmp(metrics_columns[i].name, name) == 0)
            return &metrics_columns[i];
    }
    return NULL;
}

/* A metric by any of its words. NULL: there is none. */
static const struct metrics_column *find_word(const char *name, bool *accuracy)
{
    *accuracy = false;
    for (size_t i = 0; i < WORDS; i++) {
        if (strcmp(words[i].name, name) == 0) {
            *accuracy = words[i].accuracy;
            return find_metric(words[i].metric);
        }
    }
    return find_metric(name);
}

static bool is_counter(const char *name)
{
    return strcmp(name, "epoch") == 0 || strcmp(name, "step") == 0;
}

static enum status unknown_word(const char *option, const char *name, struct error *error)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < metrics_column_count && count < NAMES_MAX - WORDS - 3; i++) {
        if (is_number(&metrics_columns[i]))
            names[count++] = metrics_columns[i].name;
    }
    for (size_t i = 0; i < WORDS; i++)
        names[count++] = words[i].name;
    names[count++] = "epoch";
    names[count++] = "step";
    names[count] = NULL;
    const char *near = nearest_word(name, names);
    if (near != NULL)
        return error_set(error, STATUS_INPUT, "--%s: there is no metric '%.100s'; did you mean '%s'?", option, name,
                         near);
    return error_set(error, STATUS_INPUT,
                     "--%s: there is no metric '%.100s'; there are val_error, train_error, val_accuracy, "
                     "train_accuracy, val_loss, train_loss, learning_rate and the other columns of %s",
                     option, name, METRICS_FILE);
}

/* The next word of a list with commas; false at its end. */
static bool next_word(const char **list, char word[64])
{
    if (*list == NULL || **list == '\0')
        return false;
    const size_t length = strcspn(*list, ",");
    snprintf(word, 64, "%.*s", (int)(length < 63 ? length : 63), *list);
    *list += length + ((*list)[length] == ',');
    return true;
}

static enum status check_list(const char *option, const char *list, struct error *error)
{
    char word[64];
    bool accuracy;
    while (next_word(&list, word)) {
        const struct metrics_column *metric = find_word(word, &accuracy);
        if (metric == NULL)
            return unknown_word(option, word, error);
        if (!is_percentage(metric))
            return error_set(error, STATUS_INPUT, "--%s %s: only errors and accuracies are percentages or fractions",
                             option, word);
    }
    return STATUS_OK;
}

enum status import_choice_check(const struct import_choice *choice, struct error *error)
{
    for (const char *const *column = choice->columns; column != NULL && *column != NULL; column++) {
        char name[64];
        bool accuracy;
        const char *equals = strchr(*column, '=');
        if (equals == NULL || equals == *column || equals[1] == '\0')
            return error_set(error, STATUS_INPUT,
                             "--column %.100s is not of the form OURS=THEIRS, such as val_error=test_err", *column);
        snprintf(name, sizeof name, "%.*s", (int)(equals - *column < 63 ? equals - *column : 63), *column);
        if (!is_counter(name) && find_word(name, &accuracy) == NULL)
            return unknown_word("column", name, error);
    }
    enum status status = check_list("fractions", choice->fractions, error);
    return status == STATUS_OK ? check_list("percent", choice->percent, error) : status;
}

/* What --column says about a name of ours; NULL: nothing. */
static const char *chosen(const struct import_choice *choice, const char *ours)
{
    const size_t length = strlen(ours);
    for (const char *const *column = choice->columns; column != NULL && *column != NULL; column++) {
        if (strncmp(*column, ours, length) == 0 && (*column)[length] == '=')
            return *column + length + 1;
    }
    return NULL;
}

const char *import_counter(const struct import_choice *choice)
{
    const char *ours = choice->steps ? "step" : "epoch", *theirs = chosen(choice, ours);
    return theirs != NULL ? theirs : ours;
}

/* Our own TensorBoard files have a group before the name. */
static const char *without_group(const char *name)
{
    return strncmp(name, "epoch/", 6) == 0 ? name + 6 : name;
}

bool import_wants(const struct import_choice *choice, const char *name)
{
    bool accuracy;
    for (const char *const *column = choice->columns; column != NULL && *column != NULL; column++) {
        if (strcmp(strchr(*column, '=') + 1, name) == 0)
            return true;
    }
    return find_word(without_group(name), &accuracy) != NULL;
}

/* ---- which series is which metric -------------------------------------------------------------------------------- */

/* A metric and where it comes from. */
struct origin {
    const struct metrics_column *metric;
    const struct import_series *series;
    bool accuracy, fraction, percent;
};

static const struct import_series *find_series(const struct import_source *source, const char *name)
{
    for (size_t i = 0; i < source->series_count; i++) {
        if (strcmp(source->series[i].name, name) == 0)
            return &source->series[i];
    }
    return NULL;
}

/* "SOURCE has a, b, c and 4 more". */
static void list_series(const struct import_source *source, char *text, size_t size)
{
    enum { SHOWN = 12 };
    size_t used = (size_t)snprintf(text, size, "%.300s has ", source->name);
    for (size_t i = 0; i < source->series_count && i < SHOWN && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%.60s", i > 0 ? ", " : "", source->series[i].name);
    if (source->series_count > SHOWN && used < size)
        snprintf(text + used, size - used, " and %zu more", source->series_count - SHOWN);
    else if (source->series_count == 0 && used < size)
        snprintf(text + used, size - used, "no series of numbers");
}

static bool is_in_list(const char *list, const struct metrics_column *metric)
{
    char word[64];
    bool accuracy;
    while (next_word(&list, word)) {
        if (find_word(word, &accuracy) == metric)
            return true;
    }
    return false;
}

/* What the user says about a metric, under any of its words. */
static enum status find_chosen(const struct import_source *source, const struct import_choice *choice,
                               struct origin *origin, struct error *error)
{
    for (const char *const *column = choice->columns; column != NULL && *column != NULL; column++) {
        char name[64], has[1200];
        bool accuracy;
        const char *theirs = strchr(*column, '=') + 1;
        snprintf(name, sizeof name, "%.*s", (int)(theirs - 1 - *column), *column);
        if (is_counter(name) || find_word(name, &accuracy) != origin->metric)
            continue;
        if (origin->series != NULL)
            return error_set(error, STATUS_INPUT, "--column %s: %s is already taken from '%s'", *column,
                             origin->metric->name, origin->series->name);
        origin->series = find_series(source, theirs);
        origin->accuracy = accuracy;
        list_series(source, has, sizeof has);
        if (origin->series == NULL)
            return error_set(error, STATUS_INPUT, "--column %s: %s", *column, has);
    }
    return STATUS_OK;
}

/* A series that has a metric's name. */
static void find_named(const struct import_source *source, struct origin *origin)
{
    const char *names[WORDS + 1];
    bool accuracy[WORDS + 1] = { false };
    size_t count = 0;
    names[count++] = origin->metric->name;
    for (size_t i = 0; i < WORDS; i++) {
        accuracy[count] = words[i].accuracy;
        if (strcmp(words[i].metric, origin->metric->name) == 0)
            names[count++] = words[i].name;
    }
    for (size_t i = 0; i < count && origin->series == NULL; i++) {
        char grouped[64];
        snprintf(grouped, sizeof grouped, "epoch/%s", names[i]);
        origin->series = find_series(source, grouped);
        if (origin->series == NULL)
            origin->series = find_series(source, names[i]);
        origin->accuracy = accuracy[i];
    }
}

static enum status find_origins(const struct import_source *source, const struct import_choice *choice,
                                struct origin origins[NAMES_MAX], size_t *count, struct error *error)
{
    char has[1200];
    *count = 0;
    for (size_t i = 0; i < metrics_column_count; i++) {
        struct origin origin = { .metric = &metrics_columns[i] };
        if (!is_number(origin.metric))
            continue;
        enum status status = find_chosen(source, choice, &origin, error);
        if (status != STATUS_OK)
            return status;
        if (origin.series == NULL)
            find_named(source, &origin);
        origin.fraction = is_in_list(choice->fractions, origin.metric);
        origin.percent = is_in_list(choice->percent, origin.metric);
        if (origin.series == NULL && (origin.fraction || origin.percent))
            return error_set(error, STATUS_INPUT, "--%s names %s, but no series gives it; add --column %s=THEIRS",
                             origin.fraction ? "fractions" : "percent", origin.metric->name, origin.metric->name);
        if (origin.series != NULL)
            origins[(*count)++] = origin;
    }
    list_series(source, has, sizeof has);
    if (*count == 0)
        return error_set(error, STATUS_INPUT,
                         "%s, and none of it has the name of a metric; say which is which, such as --column "
                         "val_error=%s",
                         has, source->series_count > 0 ? source->series[0].name : "THEIRS");
    return STATUS_OK;
}

/* ---- epochs ------------------------------------------------------------------------------------------------------ */

struct rows_job {
    struct import_source *source;
    const struct import_choice *choice;
    const struct manifest *manifest;
    uint64_t epochs_wanted;
    int64_t first; /* what the source calls the first epoch */
    struct import_rows *rows;
    struct error *error;
};

static enum status find_first(struct rows_job *job, const struct origin *origins, size_t count)
{
    const struct import_point *least = NULL;
    char where[IMPORT_WHERE_BYTES];
    job->first = job->choice->first;
    if (job->choice->first_given || job->choice->steps)
        return STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        for (size_t p = 0; p < origins[i].series->count; p++) {
            const struct import_point *point = &origins[i].series->points[p];
            least = least == NULL || point->number < least->number ? point : least;
        }
    }
    job->first = least != NULL ? least->number : 0;
    if (job->first == 0 || job->first == 1)
        return STATUS_OK;
    import_where(job->source, least, where);
    return error_set(job->error, STATUS_INPUT,
                     "%s: the first epoch is called %" PRId64 ", which is neither 0 nor 1; if epochs are missing "
                     "before it, say what the first of all is called with --first-epoch 0 or 1; if these are training "
                     "steps, pass --steps",
                     where, job->first);
}

/* The epoch in which a number of steps ends. */
static uint64_t epoch_of_steps(const struct rows_job *job, uint64_t steps)
{
    const struct training_config *training = &job->manifest->recipe.training;
    uint64_t low = 0, high = job->epochs_wanted;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (schedule_epoch_end(training, job->manifest->training_images, middle) >= steps)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static enum status find_epoch(const struct rows_job *job, const struct import_point *point, uint64_t *epoch)
{
    char where[IMPORT_WHERE_BYTES];
    const bool before = job->choice->steps ? point->number < 0 : point->number < job->first;
    /* No overflow: both are at most 2^63, and the difference is not negative. */
    *epoch = before               ? 0
             : job->choice->steps ? epoch_of_steps(job, (uint64_t)point->number)
                                  : (uint64_t)point->number - (uint64_t)job->first;
    if (!before && *epoch < job->epochs_wanted)
        return STATUS_OK;
    import_where(job->source, point, where);
    if (before)
        return error_set(job->error, STATUS_INPUT, "%s: the %s %" PRId64 " is before the first, %" PRId64, where,
                         job->choice->steps ? "step" : "epoch", point->number, job->choice->steps ? 0 : job->first);
    return error_set(job->error, STATUS_INPUT,
                     "%s: the %s %" PRId64 " is after the end of the training, which has %" PRIu64
                     " epochs by the manifest %s; name a manifest of that experiment%s",
                     where, job->choice->steps ? "step" : "epoch", point->number, job->epochs_wanted,
                     job->manifest->name, job->choice->steps ? "" : ", or pass --steps if these are training steps");
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* Values that are all at most 1 are fractions more likely than percentages: an error begins at 90 %. */
static enum status check_unit(const struct rows_job *job, const struct origin *origin)
{
    const struct import_series *series = origin->series;
    char where[IMPORT_WHERE_BYTES];
    size_t known = 0;
    if (!is_percentage(origin->metric) || origin->fraction || origin->percent)
        return STATUS_OK;
    for (size_t i = 0; i < series->count; i++) {
        if (isfinite(series->points[i].value) && series->points[i].value > 1.0)
            return STATUS_OK;
        known += isfinite(series->points[i].value);
    }
    if (known == 0)
        return STATUS_OK;
    import_where(job->source, &series->points[0], where);
    return error_set(job->error, STATUS_INPUT,
                     "%s: no value of '%s' is above 1: if these are fractions, pass --fractions %s; if they are "
                     "percentages, --percent %s",
                     where, series->name, origin->metric->name, origin->metric->name);
}

static enum status convert(const struct rows_job *job, const struct origin *origin, const struct import_point *point,
                           double *value)
{
    const double read = point->value, percent = origin->fraction ? 100.0 * read : read;
    const bool whole = read >= 0.0 && read < 9007199254740992.0 && floor(read) == read;
    char where[IMPORT_WHERE_BYTES];
    *value = read;
    if (is_percentage(origin->metric)) {
        *value = origin->accuracy ? 100.0 - percent : percent;
        if (*value >= 0.0 && *value <= 100.0)
            return STATUS_OK;
        import_where(job->source, point, where);
        return error_set(job->error, STATUS_INPUT, "%s: '%s' is %.9g, which is no %s", where, origin->series->name,
                         read, origin->fraction ? "fraction of 1" : "percentage");
    }
    if (origin->metric->type != METRICS_INTEGER || whole)
        return STATUS_OK;
    import_where(job->source, point, where);
    return error_set(job->error, STATUS_INPUT, "%s: '%s' is %.9g, but %s is a whole number", where,
                     origin->series->name, read, origin->metric->name);
}

static enum status several_values(const struct rows_job *job, const struct origin *origin,
                                  const struct import_point *before, const struct import_point *point)
{
    char where[IMPORT_WHERE_BYTES], there[IMPORT_WHERE_BYTES];
    import_where(job->source, point, where);
    import_where(job->source, before, there);
    return error_set(job->error, STATUS_INPUT,
                     "%s: '%s' has %.9g for the %s %" PRId64 ", but %s has %.9g for the same epoch (%" PRId64
                     "); pass --last to take the last value that is there",
                     where, origin->series->name, point->value, job->choice->steps ? "step" : "epoch", point->number,
                     there, before->value, before->number);
}

static void set_value(struct metrics_row *row, const struct metrics_column *metric, double value)
{
    void *member = (char *)row + metric->offset;
    if (metric->type == METRICS_INTEGER)
        *(uint64_t *)member = (uint64_t)value;
    else
        *(double *)member = value;
}

static enum status note_not_finite(const struct rows_job *job, const struct origin *origin, size_t count)
{
    return count == 0
               ? STATUS_OK
               : import_add_note(job->source, job->error, "%zu value%s of '%s' %s not finite, and recorded as missing",
                                 count, count == 1 ? "" : "s", origin->series->name, count == 1 ? "is" : "are");
}

/* Fills one column of the rows. `seen` is [epochs_wanted]. */
static enum status fill_column(const struct rows_job *job, const struct origin *origin,
                               const struct import_point **seen)
{
    const struct import_series *series = origin->series;
    size_t not_finite = 0;
    enum status status = check_unit(job, origin);
    memset(seen, 0, (size_t)job->epochs_wanted * sizeof *seen);
    for (size_t i = 0; i < series->count && status == STATUS_OK; i++) {
        const struct import_point *point = &series->points[i];
        uint64_t epoch;
        double value;
        status = find_epoch(job, point, &epoch);
        if (status != STATUS_OK)
            break;
        if (!isfinite(point->value) || fabs(point->value) >= 1.797e308) { /* a server's word for infinity */
            not_finite++;
            continue;
        }
        status = convert(job, origin, point, &value);
        if (status == STATUS_OK && seen[epoch] != NULL && seen[epoch]->value != point->value && !job->choice->last)
            status = several_values(job, origin, seen[epoch], point);
        if (status != STATUS_OK)
            break;
        seen[epoch] = point;
        set_value(&job->rows->rows[epoch], origin->metric, value);
        job->rows->count = epoch + 1 > job->rows->count ? (size_t)epoch + 1 : job->rows->count;
        job->rows->has_error = job->rows->has_error || strcmp(origin->metric->name, "validation_error") == 0;
    }
    return status == STATUS_OK ? note_not_finite(job, origin, not_finite) : status;
}

/* metrics.jsonl promises that steps rise. */
static enum status check_steps(const struct rows_job *job)
{
    uint64_t before = 0;
    for (size_t i = 0; i < job->rows->count; i++) {
        const uint64_t end = job->rows->rows[i].end_step;
        if (end != METRICS_MISSING && end <= before)
            return error_set(job->error, STATUS_INPUT,
                             "%s: end_step is %" PRIu64 " for epoch %zu (from 0), and does not rise", job->source->name,
                             end, i);
        before = end != METRICS_MISSING ? end : before;
    }
    return STATUS_OK;
}

/* ---- how, for the record ----------------------------------------------------------------------------------------- */

static enum status add_formulas(const struct rows_job *job, const struct origin *origins, size_t count)
{
    char text[2 * IMPORT_NAME_BYTES];
    if (job->choice->steps)
        snprintf(text, sizeof text, "epoch = the one in which %s ends", import_counter(job->choice));
    else
        snprintf(text, sizeof text, "epoch = %s%s", import_counter(job->choice), job->first == 0 ? "" : " - ");
    if (!job->choice->steps && job->first != 0)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%" PRId64, job->first);
    enum status status = import_texts_add(&job->rows->formulas, text, job->error);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const struct origin *origin = &origins[i];
        snprintf(text, sizeof text, "%s = %s%s%.200s%s", origin->metric->name, origin->accuracy ? "100 - " : "",
                 origin->fraction ? "100 * " : "", origin->series->name, job->choice->last ? ", the last value" : "");
        status = import_texts_add(&job->rows->formulas, text, job->error);
    }
    return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

enum status import_rows_make(struct import_source *source, const struct import_choice *choice,
                             const struct manifest *manifest, struct import_rows *rows, struct error *error)
{
    struct rows_job job = { .source = source,
                            .choice = choice,
                            .manifest = manifest,
                            .epochs_wanted = schedule_epochs(&manifest->recipe.training, manifest->training_images),
                            .rows = rows,
                            .error = error };
    struct origin origins[NAMES_MAX];
    const struct import_point **seen = NULL;
    size_t count;
    *rows = (struct import_rows){ .count = 0 };
    enum status status = find_origins(source, choice, origins, &count, error);
    if (status == STATUS_OK)
        status = find_first(&job, origins, count);
    if (status != STATUS_OK)
        return status;
    rows->rows = calloc((size_t)job.epochs_wanted + 1, sizeof *rows->rows);
    seen = calloc((size_t)job.epochs_wanted + 1, sizeof *seen);
    if (rows->rows == NULL || seen == NULL)
        status = error_out_of_memory(error, "the %" PRIu64 " epochs of %s", job.epochs_wanted, source->name);
    for (uint64_t i = 0; i < job.epochs_wanted && status == STATUS_OK; i++)
        metrics_clear(&rows->rows[i], i);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = fill_column(&job, &origins[i], seen);
    if (status == STATUS_OK && rows->count == 0)
        status = error_set(error, STATUS_INPUT, "%s has no value for any epoch", source->name);
    if (status == STATUS_OK)
        status = check_steps(&job);
    if (status == STATUS_OK)
        status = add_formulas(&job, origins, count);
    free(seen);
    if (status != STATUS_OK)
        import_rows_free(rows);
    return status;
}

void import_rows_free(struct import_rows *rows)
{
    free(rows->rows);
    text_free_list(rows->formulas.texts, rows->formulas.count);
    *rows = (struct import_rows){ .count = 0 };
}
