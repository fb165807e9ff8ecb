#include "commands/after.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"
#include "ranks/ranks.h"

/* The words of: sh -c 'COMMAND "$@"' sh RUN... */
enum { FIRST_RUN = 4 };

struct after_runs {
    char *script;
    char **words; /* NULL-terminated; of [0] .. [FIRST_RUN - 1] only the script is on the heap */
    size_t count; /* of words */
};

enum status after_open(struct after_runs **out, const char *command, struct error *error)
{
    *out = NULL;
    if (command == NULL)
        return STATUS_OK;
    struct after_runs *after = calloc(1, sizeof *after);
    if (after == NULL)
        return error_out_of_memory(error, "--after");
    after->words = calloc(FIRST_RUN + 1, sizeof *after->words);
    if (after->words == NULL || asprintf(&after->script, "%s \"$@\"", command) < 0) {
        after->script = NULL;
        after_close(after);
        return error_out_of_memory(error, "--after");
    }
    static char shell[] = "sh", option[] = "-c";
    memcpy(after->words, (char *[]){ shell, option, after->script, shell }, FIRST_RUN * sizeof *after->words);
    after->count = FIRST_RUN;
    *out = after;
    return STATUS_OK;
}

static enum status add_run(struct after_runs *after, const char *runs, const char *name, struct error *error)
{
    char *path, **words = realloc(after->words, (after->count + 2) * sizeof *words);
    if (words == NULL)
        return error_out_of_memory(error, "--after");
    after->words = words;
    if (asprintf(&path, "%s/%s", runs, name) < 0)
        return error_out_of_memory(error, "--after");
    words[after->count++] = path;
    words[after->count] = NULL;
    return STATUS_OK;
}

/* The signals that this program ignores are the command's own again, and it is no rank. 0, or an errno. */
static int start(struct after_runs *after, pid_t *child)
{
    posix_spawnattr_t attributes;
    sigset_t usual;
    int number = posix_spawnattr_init(&attributes);
    if (number != 0)
        return number;
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGXFSZ);
    (void)posix_spawnattr_setsigdefault(&attributes, &usual);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    char **environment = ranks_environment();
    number = environment == NULL ? ENOMEM : posix_spawnp(child, "sh", NULL, &attributes, after->words, environment);
    free(environment);
    (void)posix_spawnattr_destroy(&attributes);
    return number;
}

enum status after_run(struct after_runs *after, const char *runs, const char *name, struct error *error)
{
    pid_t child;
    int result;
    if (after == NULL)
        return STATUS_OK;
    enum status status = add_run(after, runs, name, error);
    if (status != STATUS_OK)
        return status;
    fflush(stdout);
    int number = start(after, &child);
    if (number != 0) {
        text_line(stderr, "selfsame train: --after: sh cannot be started: %s", strerror(number));
        return STATUS_OK;
    }
    while (waitpid(child, &result, 0) < 0) {
        if (errno != EINTR)
            return STATUS_OK;
    }
    if (!WIFEXITED(result) || WEXITSTATUS(result) != 0)
        text_line(stderr, "selfsame train: the command of --after ended with %s %d after %s/%s",
                  WIFEXITED(result) ? "exit status" : "signal",
                  WIFEXITED(result) ? WEXITSTATUS(result) : WTERMSIG(result), runs, name);
    return STATUS_OK;
}

void after_close(struct after_runs *after)
{
    if (after == NULL)
        return;
    for (size_t i = FIRST_RUN; i < after->count; i++)
        free(after->words[i]);
    free(after->words);
    free(after->script);
    free(after);
}
