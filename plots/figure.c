#include "plots/figure.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/build_info.h"

/* Okabe and Ito's colours, which people with the common colour blindnesses tell apart; yellow, too light on white, is
 * left out. */
static const char *const colours[] = { "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000" };

enum { COLOUR_COUNT = sizeof colours / sizeof *colours };

/* The part of the plane that a figure shows: epochs from 1, percent. */
struct window {
    double x_low, x_high, y_low, y_high;
};

static uint64_t longest(const struct figure_run *runs, size_t count)
{
    uint64_t epochs = 0;
    for (size_t i = 0; i < count; i++)
        epochs = runs[i].record->epochs > epochs ? runs[i].record->epochs : epochs;
    return epochs;
}

/* The epoch (from 1) at whose start a run's learning rate falls first, or 0. A warm-up's end is a rise. */
static uint64_t next_drop(const struct record *record, uint64_t after)
{
    for (size_t e = after > 1 ? after : 1; e < record->epochs; e++) {
        if (record->metrics[e].learning_rate < record->metrics[e - 1].learning_rate && e + 1 > after)
            return e + 1;
    }
    return 0;
}

static struct window choose_window(enum figure_kind kind, const struct figure_run *runs, size_t count)
{
    const uint64_t epochs = longest(runs, count), drop = next_drop(runs[0].record, 0);
    struct window window = { 1.0, epochs > 1 ? (double)epochs : 2.0, 0.0, 100.0 };
    uint64_t from = 1;
    if (kind == FIGURE_ZOOM) {
        from = drop > 1 && drop <= epochs ? drop - (drop - 1 < epochs / 20 + 1 ? drop - 1 : epochs / 20 + 1)
                                          : epochs / 2 + 1;
        window.x_low = from < epochs ? (double)from : window.x_low;
        window.y_low = 100.0;
    }
    double highest = 0.0;
    for (size_t i = 0; i < count; i++) {
        for (uint64_t e = from; e <= runs[i].record->epochs; e++) {
            const struct metrics_row *row = &runs[i].record->metrics[e - 1];
            double low = row->training_error < row->validation_error ? row->training_error : row->validation_error;
            /* The zoom is for the end: an epoch before the drop may stick out of it. */
            bool counts = kind == FIGURE_FULL || drop == 0 || e >= drop;
            highest = counts && row->validation_error > highest ? row->validation_error : highest;
            window.y_low = low < window.y_low ? low : window.y_low;
        }
        for (size_t t = 0; kind == FIGURE_ZOOM && t < runs[i].manifest->target_count; t++) {
            double value = runs[i].manifest->targets[t].value;
            window.y_low = value - 1.0 < window.y_low ? value - 1.0 : window.y_low;
        }
    }
    /* A tenth more, so that nothing touches the frame, and whole numbers. */
    window.y_high = (double)(long)(1.12 * highest) + 1.0;
    window.y_low = window.y_low < 1.5 ? 0.0 : (double)(long)(window.y_low - 0.5);
    if (window.y_high > 100.0)
        window.y_high = 100.0;
    return window;
}

/* ---- what gnuplot reads ------------------------------------------------------------------------------------------ */

/* A text in gnuplot's single quotes, in which nothing but the quote itself and the end of the line is special. */
static void print_quoted(FILE *file, const char *text)
{
    fputc('\'', file);
    for (; *text != '\0'; text++)
        fputs(*text == '\'' ? "''" : (unsigned char)*text < 0x20 ? "?" : (char[]){ *text, '\0' }, file);
    fputc('\'', file);
}

static enum status close_written(FILE *file, const char *path, struct error *error)
{
    int failed = ferror(file), number = errno;
    if (fclose(file) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be written", path);
    errno = number;
    return failed ? error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be written", path) : STATUS_OK;
}

static enum status write_run(const char *folder, size_t i, const struct record *record, struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = file_path(path, error, "%s/run%zu.dat", folder, i + 1);
    if (status != STATUS_OK)
        return status;
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be made", path);
    for (size_t e = 0; e < record->epochs; e++)
        fprintf(file, "%zu %.10g %.10g\n", e + 1, record->metrics[e].training_error,
                record->metrics[e].validation_error);
    return close_written(file, path, error);
}

/* Where the plot scripts and published curves are. */
static enum status find_plots(const char *name, char path[FILE_PATH_BYTES], struct error *error)
{
    char found[FILE_PATH_BYTES];
    const char *folders[] = { getenv("SELFSAME_PLOTS"), build_installed_plots, build_source_plots };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (folders[i] == NULL || folders[i][0] == '\0')
            continue;
        enum status status = file_path(found, error, "%s/%s", folders[i], name);
        if (status != STATUS_OK)
            return status;
        if (realpath(found, path) != NULL) /* gnuplot runs in another folder */
            return STATUS_OK;
    }
    return error_set(
        error, STATUS_ENVIRONMENT,
        "%s is in none of $SELFSAME_PLOTS, %s and %s; install selfsame, or set SELFSAME_PLOTS to the source's plots "
        "folder",
        name, build_installed_plots, build_source_plots);
}

/* A manifest's published curve. A run's manifest may be somebody else's: its curve.file leads to regular files in the
 * plots folder alone. */
static enum status find_curve(const char *name, char path[FILE_PATH_BYTES], struct error *error)
{
    char script[FILE_PATH_BYTES];
    struct stat about;
    enum status status = find_plots(name, path, error);
    if (status == STATUS_OK)
        status = find_plots("error.gp", script, error);
    if (status != STATUS_OK)
        return status;
    const size_t folder = (size_t)(strrchr(script, '/') + 1 - script);
    if (strncmp(path, script, folder) != 0 || stat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return error_set(error, STATUS_INPUT,
                         "the manifest's curve.file leads to %s, which is not a file in the plots folder %.*s", path,
                         (int)folder, script);
    return STATUS_OK;
}

static void print_terminal(FILE *file, const char *path)
{
    const char *ending = strrchr(path, '.');
    if (ending != NULL && strcmp(ending, ".svg") == 0)
        fputs("set terminal svg size 1200,800 font 'DejaVu Sans,15' background '#ffffff' noenhanced\n", file);
    else if (ending != NULL && strcmp(ending, ".pdf") == 0)
        fputs("set terminal pdfcairo size 9in,6in font 'DejaVu Sans,11' noenhanced\n", file);
    else
        fputs("set terminal pngcairo size 1200,800 font 'DejaVu Sans,13' noenhanced\n", file);
}

/* A published value, its run's colour, and where its label stands beside the figure, percent. */
struct target_line {
    double value, label;
    const char *colour;
};

enum { TARGET_LINES_MAX = 4 * FIGURE_RUNS_MAX };

static int compare_target_lines(const void *a, const void *b)
{
    const struct target_line *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* Each value of the targets once, rising, with labels that do not cover one another. */
static size_t gather_targets(const struct figure_run *runs, size_t count, const struct window *window,
                             struct target_line lines[TARGET_LINES_MAX])
{
    const double gap = (window->y_high - window->y_low) / 42.0; /* a label's height */
    size_t kept = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t t = 0; t < runs[i].manifest->target_count && all < TARGET_LINES_MAX; t++)
            lines[all++] = (struct target_line){ .value = runs[i].manifest->targets[t].value,
                                                 .colour = colours[i % COLOUR_COUNT] };
    }
    qsort(lines, all, sizeof *lines, compare_target_lines);
    for (size_t i = 0; i < all; i++) {
        if (kept > 0 && lines[i].value == lines[kept - 1].value)
            continue;
        lines[kept] = lines[i];
        lines[kept].label = lines[i].value;
        if (kept > 0 && lines[kept].label < lines[kept - 1].label + gap)
            lines[kept].label = lines[kept - 1].label + gap;
        kept++;
    }
    return kept;
}

/* Fills the arrays that error.gp reads: runs, the drops of the first run, targets. */
static void print_runs(FILE *file, const struct figure_run *runs, size_t count, const struct window *window)
{
    struct target_line lines[TARGET_LINES_MAX];
    size_t drops = 0, targets = gather_targets(runs, count, window, lines);
    fprintf(file, "runs = %zu\narray title[%d]\narray colour[%d]\narray file[%d]\n", count, FIGURE_RUNS_MAX,
            FIGURE_RUNS_MAX, FIGURE_RUNS_MAX);
    fprintf(file, "array drop[%d]\narray target[%d]\narray target_label[%d]\narray target_colour[%d]\n",
            SCHEDULE_DROPS_MAX, TARGET_LINES_MAX, TARGET_LINES_MAX, TARGET_LINES_MAX);
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "title[%zu] = ", i + 1);
        print_quoted(file, runs[i].record->name);
        fprintf(file, "\ncolour[%zu] = '%s'\nfile[%zu] = 'run%zu.dat'\n", i + 1, colours[i % COLOUR_COUNT], i + 1,
                i + 1);
    }
    for (size_t i = 0; i < targets; i++)
        fprintf(file, "target[%zu] = %.10g\ntarget_label[%zu] = %.10g\ntarget_colour[%zu] = '%s'\n", i + 1,
                lines[i].value, i + 1, lines[i].label, i + 1, lines[i].colour);
    for (uint64_t drop = next_drop(runs[0].record, 0); drop != 0 && drops < SCHEDULE_DROPS_MAX;
         drop = next_drop(runs[0].record, drop))
        fprintf(file, "drop[%zu] = %" PRIu64 "\n", ++drops, drop - 1); /* epochs done when it fell */
    fprintf(file, "drops = %zu\ntargets = %zu\n", drops, targets);
}

static enum status print_curves(FILE *file, const struct figure_run *runs, size_t count, struct error *error)
{
    size_t curves = 0;
    fprintf(file, "array curve_title[%d]\narray curve_colour[%d]\narray curve_file[%d]\narray curve_column[%d]\n",
            FIGURE_RUNS_MAX, FIGURE_RUNS_MAX, FIGURE_RUNS_MAX, FIGURE_RUNS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct manifest *manifest = runs[i].manifest;
        char path[FILE_PATH_BYTES];
        if (manifest->curve_file == NULL || manifest->curve_column == NULL)
            continue;
        enum status status = find_curve(manifest->curve_file, path, error);
        if (status != STATUS_OK)
            return status;
        fprintf(file, "curve_file[%zu] = ", ++curves);
        print_quoted(file, path);
        fprintf(file, "\ncurve_column[%zu] = ", curves);
        print_quoted(file, manifest->curve_column);
        fprintf(file, "\ncurve_colour[%zu] = '#80%s'\ncurve_title[%zu] = ", curves, colours[i % COLOUR_COUNT] + 1,
                curves);
        char title[256];
        snprintf(title, sizeof title, "%s, %s", manifest->curve_source != NULL ? manifest->curve_source : "published",
                 manifest->curve_column);
        print_quoted(file, title);
        fputc('\n', file);
    }
    fprintf(file, "curves = %zu\n", curves);
    return STATUS_OK;
}

static const char *data_name(const struct figure_run *runs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (runs[i].manifest->dataset_kind != runs[0].manifest->dataset_kind)
            return "two data sets";
    }
    return runs[0].manifest->dataset_kind == DATASET_CIFAR10 ? "CIFAR-10" : "the embedded data set";
}

static enum status write_script(const char *folder, const char *script, enum figure_kind kind,
                                const struct figure_run *runs, size_t count, const char *output, struct error *error)
{
    char error_gp[FILE_PATH_BYTES];
    const struct window window = choose_window(kind, runs, count);
    enum status status = find_plots("error.gp", error_gp, error);
    if (status != STATUS_OK)
        return status;
    FILE *file = fopen(script, "w");
    if (file == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be made", script);
    print_terminal(file, output);
    fprintf(file, "set output 'figure'\nset loadpath ");
    print_quoted(file, folder);
    fprintf(file,
            "\nx_low = %.10g\nx_high = %.10g\ny_low = %.10g\ny_high = %.10g\nheading = 'Residual networks on %s: error "
            "by epoch%s'\n",
            window.x_low, window.x_high, window.y_low, window.y_high, data_name(runs, count),
            kind == FIGURE_ZOOM ? ", the end" : "");
    print_runs(file, runs, count, &window);
    status = print_curves(file, runs, count, error);
    fputs("load ", file);
    print_quoted(file, error_gp);
    fputc('\n', file);
    enum status closed = close_written(file, script, error);
    return status != STATUS_OK ? status : closed;
}

/* ---- running it -------------------------------------------------------------------------------------------------- */

/* Reads what gnuplot said, for the message: its first lines. */
static void read_said(int descriptor, char *said, size_t size)
{
    size_t used = 0;
    char rest[256];
    ssize_t got;
    while ((got = read(descriptor, used + 1 < size ? said + used : rest,
                       used + 1 < size ? size - 1 - used : sizeof rest)) > 0)
        used += used + 1 < size ? (size_t)got : 0;
    said[used] = '\0';
    for (char *c = said; *c != '\0'; c++)
        *c = *c == '\n' ? ' ' : *c;
}

static enum status run_gnuplot(const char *folder, const char *script, struct error *error)
{
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "a pipe for gnuplot");
    pid_t child = fork();
    if (child < 0) {
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        return error_set_errno(error, STATUS_ENVIRONMENT, "gnuplot cannot be started");
    }
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not to go on after us */
        if (dup2(pipe_ends[1], STDERR_FILENO) >= 0 && dup2(pipe_ends[1], STDOUT_FILENO) >= 0 && chdir(folder) == 0)
            execlp("gnuplot", "gnuplot", "-d", script, (char *)NULL);
        _exit(errno == ENOENT ? 127 : 126);
    }
    char said[1024];
    int result;
    close(pipe_ends[1]);
    read_said(pipe_ends[0], said, sizeof said);
    close(pipe_ends[0]);
    while (waitpid(child, &result, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(result) && WEXITSTATUS(result) == 127)
        return error_set(error, STATUS_ENVIRONMENT, "gnuplot is not installed; on Debian: apt-get install gnuplot-nox");
    if (!WIFEXITED(result) || WEXITSTATUS(result) != 0)
        return error_set(error, STATUS_ENVIRONMENT, "gnuplot failed (%s %d): %s", WIFEXITED(result) ? "exit" : "signal",
                         WIFEXITED(result) ? WEXITSTATUS(result) : WTERMSIG(result),
                         said[0] != '\0' ? said : "it said nothing");
    return STATUS_OK;
}

/* All the files of one figure lie in a folder of our own until it is drawn. */
static enum status draw_in(const char *folder, enum figure_kind kind, const struct figure_run *runs, size_t count,
                           const char *path, struct error *error)
{
    enum { FIGURE_BYTES_MAX = 64 << 20 };
    char script[FILE_PATH_BYTES], drawn[FILE_PATH_BYTES], *data;
    size_t bytes;
    enum status status = file_path(script, error, "%s/figure.gp", folder);
    if (status == STATUS_OK)
        status = file_path(drawn, error, "%s/figure", folder);
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status = write_run(folder, i, runs[i].record, error);
    if (status == STATUS_OK)
        status = write_script(folder, script, kind, runs, count, path, error);
    if (status == STATUS_OK)
        status = run_gnuplot(folder, "figure.gp", error);
    if (status == STATUS_OK)
        status = file_read(drawn, FIGURE_BYTES_MAX, &data, &bytes, error);
    if (status != STATUS_OK)
        return status;
    status = file_write(path, data, bytes, error);
    free(data);
    return status;
}

enum status figure_draw(enum figure_kind kind, const struct figure_run *runs, size_t count, const char *path,
                        struct error *error)
{
    const char *temporary = getenv("TMPDIR");
    char prefix[FILE_PATH_BYTES];
    struct scratch scratch;
    enum status status =
        file_path(prefix, error, "%s/selfsame-plot", temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp");
    if (status == STATUS_OK)
        status = file_scratch_open(&scratch, prefix, error);
    if (status != STATUS_OK)
        return status;
    status = draw_in(scratch.path, kind, runs, count, path, error);
    file_scratch_close(&scratch);
    return status;
}
