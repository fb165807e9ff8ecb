#include "plots/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "plots/curve.h"
#include "plots/svg.h"

enum { FIGURE_BYTES_MAX = 64 << 20 };

enum status gnuplot_close(FILE *file, const char *path, struct error *error)
{
    int failed = ferror(file), number = errno;
    if (fclose(file) != 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be written", path);
    errno = number;
    return failed ? error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be written", path) : STATUS_OK;
}

/* The terminal that draws a file, by its ending. */
static const char *terminal_of(const char *path)
{
    const char *ending = strrchr(path, '.');
    if (ending != NULL && strcmp(ending, ".svg") == 0)
        return "svg";
    return ending != NULL && strcmp(ending, ".pdf") == 0 ? "pdfcairo" : "pngcairo";
}

/* One width for all, small against the letters: on a telephone, 360 wide, they are still 9.5 high. A PNG has two pixels
 * for each unit of the drawing. */
static void print_terminal(FILE *file, const char *path, size_t legend_lines)
{
    enum { WIDTH = 640, HEIGHT_ABOVE = 560, HEIGHT_OF_LINE = 22, UNITS_PER_INCH = 96 };
    const size_t height = HEIGHT_ABOVE + HEIGHT_OF_LINE * legend_lines;
    const char *terminal = terminal_of(path);
    if (strcmp(terminal, "svg") == 0)
        fprintf(file, "set terminal svg size %d,%zu font 'sans-serif,17' background '#ffffff' noenhanced\n", WIDTH,
                height);
    else if (strcmp(terminal, "pdfcairo") == 0)
        fprintf(file, "set terminal pdfcairo size %.2fin,%.2fin fontscale 1 font 'DejaVu Sans,12.5' noenhanced\n",
                (double)WIDTH / UNITS_PER_INCH, (double)height / UNITS_PER_INCH);
    else
        fprintf(file,
                "set terminal pngcairo size %d,%zu fontscale 2 linewidth 2 pointscale 2 font 'DejaVu Sans,12.5' "
                "noenhanced\n",
                2 * WIDTH, 2 * height);
}

/* Reads gnuplot's message and keeps its last line. Before that line gnuplot repeats the command, which may be long. */
static void read_said(int descriptor, char *said, size_t size)
{
    size_t used = 0;
    char rest[256] = "";
    ssize_t got;
    while ((got = read(descriptor, used + 1 < size ? said + used : rest,
                       used + 1 < size ? size - 1 - used : sizeof rest)) > 0)
        used += used + 1 < size ? (size_t)got : 0;
    while (used > 0 && strchr(" \n", said[used - 1]) != NULL)
        used--;
    said[used] = '\0';
    const char *last = strrchr(said, '\n');
    if (last != NULL)
        memmove(said, last + 1, strlen(last));
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
    char said[16384];
    int result;
    close(pipe_ends[1]);
    read_said(pipe_ends[0], said, sizeof said);
    close(pipe_ends[0]);
    while (waitpid(child, &result, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(result) && WEXITSTATUS(result) == 127)
        return error_set(error, STATUS_ENVIRONMENT, "gnuplot is not installed; on Debian: apt-get install gnuplot-nox");
    if (!WIFEXITED(result) || WEXITSTATUS(result) != 0)
        return error_set(error, STATUS_ENVIRONMENT, "gnuplot failed (%s %d): %.500s",
                         WIFEXITED(result) ? "exit" : "signal",
                         WIFEXITED(result) ? WEXITSTATUS(result) : WTERMSIG(result),
                         said[0] != '\0' ? said : "gnuplot gave no reason");
    return STATUS_OK;
}

/* STATUS_OK if gnuplot has that terminal. */
static enum status ask_for_terminal(const char *folder, const char *terminal, struct error *error)
{
    char script[FILE_PATH_BYTES];
    enum status status = file_path(script, error, "%s/terminal.gp", folder);
    if (status != STATUS_OK)
        return status;
    FILE *file = fopen(script, "w");
    if (file == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be made", script);
    fprintf(file, "exit status (strstrt(' '.GPVAL_TERMINALS.' ', ' %s ') > 0 ? 0 : 1)\n", terminal);
    status = gnuplot_close(file, script, error);
    return status == STATUS_OK ? run_gnuplot(folder, "terminal.gp", error) : status;
}

static void print_text(FILE *file, const char *before, const char *text)
{
    fputs(before, file);
    text_write(file, TEXT_GNUPLOT, text);
    fputc('\n', file);
}

static const char palette_name[] = "palette";

static enum status write_script(const char *folder, const struct drawing *drawing, enum theme theme, const char *path,
                                struct error *error)
{
    char script[FILE_PATH_BYTES], style[FILE_PATH_BYTES];
    enum status status = file_path(script, error, "%s/figure.gp", folder);
    if (status == STATUS_OK)
        status = plots_find("style.gp", style, error);
    if (status != STATUS_OK)
        return status;
    FILE *file = fopen(script, "w");
    if (file == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "%s: cannot be made", script);
    print_terminal(file, path, drawing->legend_lines);
    fputs("set output 'figure'\n", file);
    print_text(file, "set loadpath ", folder);
    fprintf(file, "dark = %d\n", theme == THEME_DARK);
    /* Terminals count letters in pixels or in points. */
    fprintf(file, "small = '%s'\n", strcmp(terminal_of(path), "svg") == 0 ? ",14" : ",10.5");
    print_text(file, "palette_file = ", theme == THEME_AUTO ? palette_name : "");
    print_text(file, "load ", style);
    status = drawing->writer(folder, file, drawing->context, error);
    struct error ignored;
    enum status closed = gnuplot_close(file, script, status == STATUS_OK ? error : &ignored);
    return status != STATUS_OK ? status : closed;
}

/* Reads a file that gnuplot wrote. */
static enum status read_drawn(const char *folder, const char *name, char **data, size_t *bytes, struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = file_path(path, error, "%s/%s", folder, name);
    return status == STATUS_OK ? file_read(path, FIGURE_BYTES_MAX, data, bytes, error) : status;
}

/* Draws in a folder of our own. *palette is the file of colours, or NULL where the theme has none. */
static enum status draw_in(const char *folder, const struct drawing *drawing, enum theme theme, const char *path,
                           char **data, size_t *bytes, char **palette, struct error *error)
{
    size_t palette_bytes;
    *palette = *data = NULL;
    enum status status = write_script(folder, drawing, theme, path, error);
    if (status == STATUS_OK)
        status = run_gnuplot(folder, "figure.gp", error);
    if (status == STATUS_OK && theme == THEME_AUTO)
        status = read_drawn(folder, palette_name, palette, &palette_bytes, error);
    if (status == STATUS_OK)
        status = read_drawn(folder, "figure", data, bytes, error);
    return status;
}

static enum status open_folder(struct scratch *scratch, struct error *error)
{
    const char *temporary = getenv("TMPDIR");
    char prefix[FILE_PATH_BYTES];
    enum status status =
        file_path(prefix, error, "%s/selfsame-plot", temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp");
    return status == STATUS_OK ? file_scratch_open(scratch, prefix, error) : status;
}

/* Whether the format's terminal is what is missing; then the error says so. */
static bool is_without_terminal(const char *folder, const char *path, struct error *error)
{
    struct error ignored;
    if (ask_for_terminal(folder, "svg", &ignored) != STATUS_OK ||
        ask_for_terminal(folder, terminal_of(path), &ignored) == STATUS_OK)
        return false;
    error_set(error, STATUS_ENVIRONMENT,
              "%s: this gnuplot has no terminal %s: it was built without cairo. It draws SVG (--format svg); for the "
              "others install a gnuplot with cairo, on Debian: apt-get install gnuplot-nox",
              path, terminal_of(path));
    return true;
}

enum status gnuplot_draw(const struct drawing *drawing, enum theme theme, const char *path, bool *no_terminal,
                         struct error *error)
{
    char *data = NULL, *palette = NULL;
    size_t bytes = 0;
    struct scratch scratch;
    *no_terminal = false;
    enum status status = open_folder(&scratch, error);
    if (status != STATUS_OK)
        return status;
    status = draw_in(scratch.path, drawing, theme, path, &data, &bytes, &palette, error);
    if (status == STATUS_ENVIRONMENT)
        *no_terminal = is_without_terminal(scratch.path, path, error);
    file_scratch_close(&scratch);
    if (status == STATUS_OK && strcmp(terminal_of(path), "svg") == 0) {
        char *finished;
        status = svg_finish(data, palette, NULL, drawing->title, drawing->description, &finished, error);
        free(data);
        data = finished;
        bytes = data != NULL ? strlen(data) : 0;
    }
    if (status == STATUS_OK)
        status = file_write(path, data, bytes, error);
    free(data);
    free(palette);
    return status;
}

enum status gnuplot_svg(const struct drawing *drawing, const char *prefix, char **svg, char **css, struct error *error)
{
    char *data = NULL, *palette = NULL;
    size_t bytes;
    struct scratch scratch;
    *svg = *css = NULL;
    enum status status = open_folder(&scratch, error);
    if (status != STATUS_OK)
        return status;
    status = draw_in(scratch.path, drawing, THEME_AUTO, "figure.svg", &data, &bytes, &palette, error);
    file_scratch_close(&scratch);
    if (status == STATUS_OK)
        status = svg_finish(data, palette, prefix, drawing->title, drawing->description, svg, error);
    if (status == STATUS_OK)
        status = svg_style(palette, css, error);
    free(data);
    free(palette);
    if (status != STATUS_OK) {
        free(*svg);
        *svg = NULL;
    }
    return status;
}
