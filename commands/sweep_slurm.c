/* selfsame sweep --slurm: the tasks as one array of Slurm. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "commands/sweep.h"
#include "experiments/settings_places.h"

#define TEMPLATE_FILE "sweep.sbatch"
enum { TEMPLATE_BYTES_MAX = 1 << 20, ANSWER_BYTES = 256 };

/* ---- what is put into the template ------------------------------------------------------------------------------- */

enum place { PLACE_ARRAY, PLACE_FOLDER, PLACE_LOGS, PLACE_SELFSAME, PLACE_ARGUMENTS, PLACES };
static const char *const place_names[PLACES] = { "ARRAY", "FOLDER", "LOGS", "SELFSAME", "ARGUMENTS" };

/* Each on the heap. */
struct values {
    char *texts[PLACES];
    size_t tasks; /* that are not finished */
};

/* "1-4,7": the numbers of the tasks that are not finished. */
static size_t write_numbers(FILE *file, const struct sweep *sweep)
{
    size_t open = 0;
    for (size_t i = 0; i < sweep->task_count; i++) {
        if (sweep_task_is_finished(sweep, &sweep->tasks[i]))
            continue;
        size_t last = i;
        while (last + 1 < sweep->task_count && !sweep_task_is_finished(sweep, &sweep->tasks[last + 1]))
            last++;
        fprintf(file, last > i ? "%s%zu-%zu" : "%s%zu", open > 0 ? "," : "", i + 1, last + 1);
        open += last - i + 1;
        i = last;
    }
    return open;
}

/* The sweep's own words, so that a task makes the same list. The runs folder is always among them: sbatch may be told
 * not to pass on the environment. */
static void write_arguments(FILE *file, const struct sweep *sweep)
{
    char *text = NULL;
    size_t size;
    FILE *words = open_memstream(&text, &size);
    if (words == NULL)
        return;
    arguments_write_words(words, sweep->arguments,
                          (const char *const[]){ "slurm", "template", "dry-run", "format", "runs", NULL });
    if (fclose(words) == 0)
        fprintf(file, "%s --runs ", text + 1); /* without the blank before the first */
    free(text);
    text_write_word(file, sweep->runs);
}

static enum status write_place(FILE *file, const struct sweep *sweep, enum place place, const char *folder,
                               const char *program, struct values *values, struct error *error)
{
    switch (place) {
    case PLACE_ARRAY:
        values->tasks = write_numbers(file, sweep);
        break;
    case PLACE_FOLDER:
        text_write_word(file, folder);
        break;
    case PLACE_LOGS: /* between quotes, in a line that sbatch reads */
        fprintf(file, "%s%s%s/" SWEEP_FOLDER, sweep->runs[0] == '/' ? "" : folder, sweep->runs[0] == '/' ? "" : "/",
                sweep->runs);
        break;
    case PLACE_SELFSAME:
        text_write_word(file, program);
        break;
    case PLACE_ARGUMENTS:
        write_arguments(file, sweep);
        break;
    case PLACES:
        break;
    }
    return fflush(file) == 0 ? STATUS_OK : error_out_of_memory(error, "the array's script");
}

static void free_values(struct values *values)
{
    for (size_t i = 0; i < PLACES; i++)
        free(values->texts[i]);
}

static enum status make_values(const struct sweep *sweep, struct values *values, struct error *error)
{
    char *folder = getcwd(NULL, 0), program[FILE_PATH_BYTES];
    enum status status = STATUS_OK;
    sweep_program(program);
    if (folder == NULL)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "the current folder has no path");
    for (enum place place = 0; status == STATUS_OK && place < PLACES; place++) {
        size_t size;
        FILE *file = open_memstream(&values->texts[place], &size);
        if (file == NULL)
            status = error_out_of_memory(error, "the array's script");
        else
            status = write_place(file, sweep, place, folder, program, values, error);
        if (file != NULL && fclose(file) != 0 && status == STATUS_OK)
            status = error_out_of_memory(error, "the array's script");
    }
    free(folder);
    if (status == STATUS_OK && values->texts[PLACE_LOGS][strcspn(values->texts[PLACE_LOGS], "\"\\%\n")] != '\0')
        status = error_set(error, STATUS_INPUT,
                           "Slurm cannot write into %s, since it gives quotes, backslashes and %% a meaning; choose "
                           "another runs folder with --runs",
                           values->texts[PLACE_LOGS]);
    return status;
}

/* ---- the script -------------------------------------------------------------------------------------------------- */

static bool is_comment(const char *line)
{
    return line[0] == '#' && strncmp(line, "#SBATCH", 7) != 0;
}

/* The place that `text` names between two @, or PLACES. *length: with both of them. */
static enum place place_at(const char *text, size_t *length)
{
    const size_t letters = strspn(text + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    *length = letters > 0 && text[1 + letters] == '@' ? letters + 2 : 0;
    for (enum place place = 0; *length > 0 && place < PLACES; place++) {
        if (strlen(place_names[place]) == letters && strncmp(place_names[place], text + 1, letters) == 0)
            return place;
    }
    return PLACES;
}

static enum status fill_line(FILE *file, const char *line, size_t length, const struct values *values,
                             bool used[PLACES], struct error *error)
{
    for (size_t i = 0; i < length;) {
        size_t named = 0;
        const enum place place = line[i] == '@' ? place_at(line + i, &named) : PLACES;
        if (place == PLACES && named > 0)
            return error_set(error, STATUS_INPUT,
                             "%.*s is nothing that sweep puts in; it knows @ARRAY@, @FOLDER@, @LOGS@, @SELFSAME@ and "
                             "@ARGUMENTS@",
                             (int)named, line + i);
        if (place != PLACES) {
            fputs(values->texts[place], file);
            used[place] = true;
            i += named;
        } else {
            fputc(line[i++], file);
        }
    }
    return STATUS_OK;
}

static enum status fill_template(FILE *file, const char *path, const char *text, const struct values *values,
                                 struct error *error)
{
    bool used[PLACES] = { false };
    size_t number = 1;
    if (strncmp(text, "#!", 2) != 0)
        return error_set(error, STATUS_INPUT, "%s:1: a template begins with #! and a shell, such as #!/bin/sh", path);
    for (const char *line = text; *line != '\0'; number++) {
        const size_t rest = strcspn(line, "\n"), length = rest + (line[rest] == '\n');
        if (is_comment(line)) {
            fwrite(line, 1, length, file);
        } else if (fill_line(file, line, length, values, used, error) != STATUS_OK) {
            return error_prefix(error, "%s:%zu", path, number);
        }
        line += length;
    }
    if (!used[PLACE_ARRAY] || !used[PLACE_ARGUMENTS])
        return error_set(error, STATUS_INPUT,
                         "%s: does not have @%s@, without which it cannot train the tasks; see the template that "
                         "comes with selfsame",
                         path, place_names[used[PLACE_ARRAY] ? PLACE_ARGUMENTS : PLACE_ARRAY]);
    return STATUS_OK;
}

static enum status find_template(const struct sweep *sweep, char path[FILE_PATH_BYTES], struct error *error)
{
    const char *given = arguments_text(sweep->arguments, "template"), *folders[SETTINGS_FOLDERS];
    if (given != NULL)
        return file_path(path, error, "%s", given);
    settings_folders(folders);
    for (size_t i = 0; i < SETTINGS_FOLDERS; i++) {
        if (folders[i] == NULL || folders[i][0] == '\0')
            continue;
        enum status status = file_path(path, error, "%s/" TEMPLATE_FILE, folders[i]);
        if (status != STATUS_OK || file_exists(path))
            return status;
    }
    return error_set(error, STATUS_ENVIRONMENT,
                     "there is no " TEMPLATE_FILE " in an experiments folder; pass a template with --template, or set "
                     "SELFSAME_EXPERIMENTS to the folder that came with selfsame");
}

/* The caller frees. */
static enum status make_script(const struct sweep *sweep, const struct values *values, char **script, size_t *bytes,
                               struct error *error)
{
    char path[FILE_PATH_BYTES], *text = NULL;
    size_t length;
    *script = NULL;
    enum status status = find_template(sweep, path, error);
    if (status == STATUS_OK)
        status = file_read_text(path, TEMPLATE_BYTES_MAX, &text, &length, NULL, error);
    if (status != STATUS_OK)
        return status;
    FILE *file = open_memstream(script, bytes);
    if (file == NULL)
        status = error_out_of_memory(error, "the array's script");
    else
        status = fill_template(file, path, text, values, error);
    if (file != NULL && fclose(file) != 0 && status == STATUS_OK)
        status = error_out_of_memory(error, "the array's script");
    free(text);
    return status;
}

/* ---- sbatch ------------------------------------------------------------------------------------------------------ */

/* What a program says on standard output goes into `answer`, as far as it fits. *result is as waitpid gives it. */
static int run_program(char *const *words, char answer[ANSWER_BYTES], int *result)
{
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t process = 0;
    size_t bytes = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    int number = posix_spawn_file_actions_init(&actions);
    if (number == 0) {
        number = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        if (number == 0)
            number = posix_spawnp(&process, words[0], &actions, NULL, words, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    for (ssize_t got; number == 0;) {
        char more[ANSWER_BYTES];
        got = read(ends[0], more, sizeof more);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            break;
        for (ssize_t i = 0; i < got && bytes + 1 < ANSWER_BYTES; i++)
            answer[bytes++] = more[i];
    }
    close(ends[0]);
    answer[bytes] = '\0';
    while (number == 0 && waitpid(process, result, 0) < 0) {
        if (errno != EINTR)
            number = errno;
    }
    return number;
}

/* The number of the job: the first line of the answer up to a ';', behind which the cluster is. */
static enum status call_sbatch(const struct sweep *sweep, const char *script, char job[ANSWER_BYTES],
                               struct error *error)
{
    const struct arguments *arguments = sweep->arguments;
    const size_t given = arguments->operand_count - arguments->before_dashes;
    int result = 0;
    char **words = calloc(given + 4, sizeof *words);
    if (words == NULL)
        return error_out_of_memory(error, "%zu options of sbatch", given);
    words[0] = (char *)"sbatch";
    words[1] = (char *)"--parsable";
    for (size_t i = 0; i < given; i++)
        words[2 + i] = (char *)arguments->operands[arguments->before_dashes + i];
    words[2 + given] = (char *)script;
    const int number = run_program(words, job, &result);
    free(words);
    job[strcspn(job, ";\n")] = '\0';
    if (number != 0)
        return error_set(error, STATUS_ENVIRONMENT,
                         "sbatch cannot be started: %s; give the command where Slurm is, or train here with --jobs N; "
                         "the script is %s",
                         strerror(number), script);
    if (!WIFEXITED(result) || WEXITSTATUS(result) != 0)
        return error_set(error, STATUS_ENVIRONMENT,
                         "sbatch did not take the array (exit status %d); what it says is above; the script is %s",
                         WIFEXITED(result) ? WEXITSTATUS(result) : 128 + WTERMSIG(result), script);
    if (job[0] == '\0' || job[strspn(job, "0123456789")] != '\0')
        return error_set(error, STATUS_ENVIRONMENT, "sbatch did not answer with the number of a job, but with '%s'",
                         job);
    return STATUS_OK;
}

static void print_submitted(const struct sweep *sweep, const struct values *values, const char *job, const char *script)
{
    struct arguments here = *sweep->arguments;
    here.operand_count = here.before_dashes;
    char *summary = sweep_command_line(&here, (const char *const[]){ "slurm", "template", NULL }, "summary");
    printf("job:     %s, an array of %zu task%s\n", job, values->tasks, values->tasks == 1 ? "" : "s");
    text_line(stdout, "script:  %s", script);
    text_line(stdout, "output:  %s/slurm-%s_*.log", values->texts[PLACE_LOGS], job);
    printf("follow:  squeue --job %s\n", job);
    text_line(stdout, "         %s status --runs %s", program_invocation_name, sweep->runs);
    if (summary != NULL)
        text_line(stdout, "summary: %s", summary);
    printf("stop:    scancel %s\n", job);
    free(summary);
}

static enum status submit(const struct sweep *sweep, const struct values *values, const char *script, size_t bytes,
                          struct error *error)
{
    char path[FILE_PATH_BYTES], job[ANSWER_BYTES];
    enum status status = file_path(path, error, "%s/array.sbatch", values->texts[PLACE_LOGS]);
    if (status == STATUS_OK)
        status = file_make_folders(values->texts[PLACE_LOGS], error);
    if (status == STATUS_OK)
        status = file_write(path, script, bytes, error);
    if (status == STATUS_OK)
        status = call_sbatch(sweep, path, job, error);
    if (status == STATUS_OK)
        print_submitted(sweep, values, job, path);
    return status;
}

enum status sweep_submit(const struct sweep *sweep, struct error *error)
{
    struct values values = { .tasks = 0 };
    char *script = NULL;
    size_t bytes = 0;
    enum status status = make_values(sweep, &values, error);
    if (status == STATUS_OK && values.tasks == 0) {
        text_line(stderr, "selfsame sweep: nothing is left to do: %zu of %zu runs are finished", sweep->task_count,
                  sweep->task_count);
        status = sweep_print_summary(sweep, error);
        goto out;
    }
    if (status == STATUS_OK)
        status = make_script(sweep, &values, &script, &bytes, error);
    if (status == STATUS_OK && arguments_flag(sweep->arguments, "dry-run"))
        fwrite(script, 1, bytes, stdout);
    else if (status == STATUS_OK)
        status = submit(sweep, &values, script, bytes, error);
out:
    free(script);
    free_values(&values);
    return status;
}
