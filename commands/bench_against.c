#include "commands/bench_against.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 48 };

/* The program's words: those of the command, "bench" after the first, then the given ones. */
static enum status split(char *command, const char *const *words, const char *argv[WORDS_MAX], struct error *error)
{
    size_t count = 0;
    for (char *word = strtok(command, " "); word != NULL && count < WORDS_MAX - 2; word = strtok(NULL, " ")) {
        argv[count++] = word;
        if (count == 1)
            argv[count++] = "bench";
    }
    for (; *words != NULL && count < WORDS_MAX - 1; words++)
        argv[count++] = *words;
    argv[count] = NULL;
    if (count == 0 || *words != NULL)
        return error_set(error, STATUS_INPUT, "--against needs a program, which options of bench may follow");
    return STATUS_OK;
}

enum status opponent_open(struct opponent *opponent, const char *command, const char *const *words, struct error *error)
{
    const char *argv[WORDS_MAX];
    int to[2] = { -1, -1 }, from[2] = { -1, -1 };
    posix_spawn_file_actions_t actions;
    char line[32];
    char *copy = strdup(command);
    *opponent = (struct opponent){ .process = -1 };
    if (copy == NULL)
        return error_out_of_memory(error, "--against");
    enum status status = split(copy, words, argv, error);
    if (status == STATUS_OK && (pipe(to) != 0 || pipe(from) != 0))
        status = error_set(error, STATUS_ENVIRONMENT, "--against: cannot make a pipe: %s", strerror(errno));
    if (status != STATUS_OK)
        goto out;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    for (int i = 0; i < 2; i++) {
        posix_spawn_file_actions_addclose(&actions, to[i]);
        posix_spawn_file_actions_addclose(&actions, from[i]);
    }
    const int failed = posix_spawnp(&opponent->process, argv[0], &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
        opponent->process = -1;
        status = error_set(error, STATUS_INPUT, "--against: cannot run %s: %s", argv[0], strerror(failed));
        goto out;
    }
    close(to[0]); /* else the opponent's end would go unnoticed */
    close(from[1]);
    to[0] = from[1] = -1;
    opponent->to = fdopen(to[1], "w");
    to[1] = opponent->to != NULL ? -1 : to[1]; /* the stream's from now on */
    opponent->from = fdopen(from[0], "r");
    from[0] = opponent->from != NULL ? -1 : from[0];
    if (opponent->to == NULL || opponent->from == NULL) {
        status = error_out_of_memory(error, "--against");
        goto out;
    }
    signal(SIGPIPE, SIG_IGN); /* an opponent that ends early is an error here, no death */
    if (fgets(line, sizeof line, opponent->from) == NULL || strcmp(line, "ready\n") != 0)
        status = error_set(error, STATUS_INPUT,
                           "--against: %s takes no steps in turn: either it said why above, or it is too old to know "
                           "--in-turn; then build a newer one",
                           argv[0]);
out:
    for (int i = 0; i < 2; i++) {
        if (to[i] >= 0)
            close(to[i]);
        if (from[i] >= 0)
            close(from[i]);
    }
    free(copy);
    if (status != STATUS_OK)
        opponent_close(opponent);
    return status;
}

enum status opponent_step(struct opponent *opponent, double *step_ms, uint64_t digest[2], struct error *error)
{
    char line[96];
    if (fputs("step\n", opponent->to) == EOF || fflush(opponent->to) != 0 ||
        fgets(line, sizeof line, opponent->from) == NULL ||
        sscanf(line, "%lf %" SCNx64 " %" SCNx64, step_ms, &digest[0], &digest[1]) != 3)
        return error_set(error, STATUS_INPUT, "--against: the other program ended before it had taken its steps");
    return STATUS_OK;
}

void opponent_close(struct opponent *opponent)
{
    if (opponent->to != NULL)
        fclose(opponent->to);
    if (opponent->from != NULL)
        fclose(opponent->from);
    if (opponent->process > 0)
        waitpid(opponent->process, NULL, 0);
    *opponent = (struct opponent){ .process = -1 };
}

enum status opponent_serve(enum status (*step)(void *context, double *step_ms, uint64_t digest[2], struct error *error),
                           void *context, struct error *error)
{
    char line[32];
    enum status status = STATUS_OK;
    puts("ready");
    fflush(stdout);
    while (status == STATUS_OK && fgets(line, sizeof line, stdin) != NULL) {
        double step_ms;
        uint64_t digest[2];
        status = step(context, &step_ms, digest, error);
        if (status == STATUS_OK)
            printf("%.3f %016" PRIx64 " %016" PRIx64 "\n", step_ms, digest[0], digest[1]);
        fflush(stdout);
    }
    return status;
}
