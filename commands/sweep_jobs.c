/* selfsame sweep --jobs: the tasks as processes on this machine. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/machine.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/sweep.h"
#include "results/record.h"

enum task_state {
    TASK_WAITING,
    TASK_RUNNING, /* in a process of ours */
    TASK_FINISHED,
    TASK_ENDED /* with an error, or stopped */
};

struct job {
    pid_t process;
    size_t task;
};

struct jobs {
    const struct sweep *sweep;
    enum task_state *states; /* [tasks] */
    struct job *running;     /* [limit], the first `count` */
    size_t limit, count;
    uint32_t threads; /* of each process */
    size_t finished, failed;
    bool stopping; /* they have been asked to stop */
    bool said;     /* that we wait for others */
    enum status status;
    struct error error;
};

static enum status log_path(const struct sweep *sweep, const struct sweep_task *task, char path[FILE_PATH_BYTES],
                            struct error *error)
{
    return file_path(path, error, "%s/" SWEEP_FOLDER "/%s.log", sweep->runs, task->name);
}

/* Whether another process trains a task's run. */
static bool is_taken(const struct sweep *sweep, const struct sweep_task *task)
{
    char path[FILE_PATH_BYTES];
    struct error ignored;
    return file_path(path, &ignored, "%s/%s/" RECORD_LOCK_FILE, sweep->runs, task->name) == STATUS_OK &&
           lock_is_held(path);
}

/* ---- a process --------------------------------------------------------------------------------------------------- */

/* What asks sweep to stop. */
static const int stops[] = { SIGINT, SIGTERM, SIGHUP };
enum { STOPS = sizeof stops / sizeof *stops };

/* In the child, with these signals blocked: they would be noted in a memory that the training does not get. Until it
 * watches for them itself, they end it. A group of its own keeps the keyboard's signals away from it: sweep passes on
 * one, and two would end it without a checkpoint. If sweep is killed, the kernel asks it to stop. */
static _Noreturn void become_training(const char *program, const struct sweep_words *words, int log, pid_t parent,
                                      const sigset_t *usual)
{
    static const char failed[] = "selfsame train: cannot be started\n";
    struct sigaction action;
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    for (size_t i = 0; i < STOPS; i++) {
        if (sigaction(stops[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            (void)signal(stops[i], SIG_DFL);
    }
    (void)sigprocmask(SIG_SETMASK, usual, NULL);
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() == parent && nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0 &&
        dup2(log, STDERR_FILENO) >= 0)
        execv(program, words->list);
    ssize_t written = write(log, failed, sizeof failed - 1);
    (void)written;
    _exit(status_exit(STATUS_ENVIRONMENT));
}

static enum status start(struct jobs *jobs, size_t number, struct error *error)
{
    const struct sweep_task *task = &jobs->sweep->tasks[number];
    char path[FILE_PATH_BYTES], program[FILE_PATH_BYTES];
    struct sweep_words words;
    sigset_t blocked, usual;
    int log;
    enum status status = log_path(jobs->sweep, task, path, error);
    if (status == STATUS_OK)
        status = file_open_own(path, O_WRONLY | O_APPEND, &log, error);
    if (status != STATUS_OK)
        return status;
    sweep_program(program);
    sweep_train_words(jobs->sweep, task, jobs->threads, &words);
    fflush(stdout);
    sigemptyset(&blocked);
    for (size_t i = 0; i < STOPS; i++)
        sigaddset(&blocked, stops[i]);
    (void)sigprocmask(SIG_BLOCK, &blocked, &usual);
    const pid_t parent = getpid(), process = fork();
    if (process == 0)
        become_training(program, &words, log, parent, &usual);
    (void)sigprocmask(SIG_SETMASK, &usual, NULL);
    close(log);
    if (process < 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot start a process for %s", task->name);
    jobs->states[number] = TASK_RUNNING;
    jobs->running[jobs->count++] = (struct job){ .process = process, .task = number };
    return STATUS_OK;
}

/* ---- how a task ended -------------------------------------------------------------------------------------------- */

static void note_error(struct jobs *jobs, const struct error *error)
{
    jobs->failed++;
    if (jobs->status == STATUS_OK || (jobs->status == STATUS_INTERRUPTED && error->status != STATUS_INTERRUPTED)) {
        jobs->status = error->status;
        jobs->error = *error;
    }
    text_line(stderr, "selfsame sweep: %s", error->message);
}

/* The last line of a log that has one of train's messages, without its beginning; "" for none. */
static void last_message(const char *path, char message[ERROR_MESSAGE_BYTES])
{
    static const char begin[] = "selfsame train: ";
    char line[ERROR_MESSAGE_BYTES];
    FILE *log = fopen(path, "re");
    message[0] = '\0';
    if (log == NULL)
        return;
    if (fseek(log, -(long)sizeof line, SEEK_END) != 0)
        rewind(log);
    while (fgets(line, sizeof line, log) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, begin, sizeof begin - 1) == 0 && strstr(line, ": to go on: ") == NULL)
            snprintf(message, ERROR_MESSAGE_BYTES, "%s", line + sizeof begin - 1);
    }
    fclose(log);
}

/* Of a task whose run is not finished, whatever it says. */
static enum status status_of_exit(int exit)
{
    for (enum status status = STATUS_NO; status <= STATUS_INTERRUPTED; status++) {
        if (status_exit(status) == exit)
            return status;
    }
    return STATUS_ENVIRONMENT;
}

/* Whether a task was asked to stop before it could watch for that. */
static bool stopped_early(int result)
{
    bool is = false;
    for (size_t i = 0; i < STOPS; i++)
        is = is || WTERMSIG(result) == stops[i];
    return is && stop_requested(NULL);
}

static void describe_end(const struct sweep *sweep, const struct sweep_task *task, int result, struct error *error)
{
    char path[FILE_PATH_BYTES], message[ERROR_MESSAGE_BYTES] = "";
    if (log_path(sweep, task, path, error) != STATUS_OK)
        return;
    if (WIFSIGNALED(result)) {
        error_set(error, stopped_early(result) ? STATUS_INTERRUPTED : STATUS_ENVIRONMENT,
                  "%s was ended by signal %d (%s); the same command goes on with it", task->name, WTERMSIG(result),
                  strsignal(WTERMSIG(result)));
        return;
    }
    last_message(path, message);
    error_set(error, status_of_exit(WEXITSTATUS(result)), "%s ended with exit status %d%s%s; its log is %s", task->name,
              WEXITSTATUS(result), message[0] != '\0' ? ": " : "", message, path);
}

/* A task's process has ended. What counts is its run: another process may have finished it in between. */
static void settle(struct jobs *jobs, size_t number, int result)
{
    const struct sweep_task *task = &jobs->sweep->tasks[number];
    struct error error;
    if (sweep_task_is_finished(jobs->sweep, task)) {
        jobs->states[number] = TASK_FINISHED;
        jobs->finished++;
        text_line(stderr, "selfsame sweep: %s is finished (%zu of %zu)", task->name, jobs->finished,
                  jobs->sweep->task_count);
    } else if (WIFEXITED(result) && WEXITSTATUS(result) == status_exit(STATUS_ENVIRONMENT) &&
               is_taken(jobs->sweep, task)) {
        jobs->states[number] = TASK_WAITING;
    } else {
        jobs->states[number] = TASK_ENDED;
        describe_end(jobs->sweep, task, result, &error);
        if (!stop_requested(NULL) || error.status != STATUS_INTERRUPTED)
            note_error(jobs, &error);
    }
}

static void reap(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count;) {
        int result;
        const struct job job = jobs->running[i];
        if (waitpid(job.process, &result, WNOHANG) != job.process) {
            i++;
            continue;
        }
        jobs->running[i] = jobs->running[--jobs->count];
        settle(jobs, job.task, result);
    }
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static void ask_to_stop(struct jobs *jobs)
{
    jobs->stopping = true;
    for (size_t i = 0; i < jobs->count; i++)
        (void)kill(jobs->running[i].process, SIGTERM);
}

/* Gives the free places to tasks that no other process trains. Returns how many tasks are left for others to end. */
static size_t fill(struct jobs *jobs)
{
    const struct sweep *sweep = jobs->sweep;
    size_t taken = 0, last = 0;
    for (size_t i = 0; i < sweep->task_count && jobs->count < jobs->limit; i++) {
        struct error error;
        if (jobs->states[i] != TASK_WAITING)
            continue;
        if (is_taken(sweep, &sweep->tasks[i])) {
            last = i;
            taken++;
        } else if (sweep_task_is_finished(sweep, &sweep->tasks[i])) {
            settle(jobs, i, 0);
        } else if (start(jobs, i, &error) != STATUS_OK) {
            jobs->states[i] = TASK_ENDED;
            note_error(jobs, &error);
        }
    }
    if (taken > 0 && jobs->count == 0 && !jobs->said) {
        text_line(stderr, "selfsame sweep: waiting for %s%s, which another process trains", sweep->tasks[last].name,
                  taken > 1 ? " and others" : "");
        jobs->said = true;
    }
    return taken;
}

static void work(struct jobs *jobs)
{
    for (;;) {
        if (stop_requested(NULL) && !jobs->stopping)
            ask_to_stop(jobs);
        reap(jobs);
        const size_t taken = jobs->stopping ? 0 : fill(jobs);
        if (jobs->count == 0 && taken == 0)
            return;
        /* A signal ends the wait. One that came just before it is noticed after it. */
        const long pause_ms = jobs->count == 0 ? 500 : 50;
        (void)nanosleep(&(struct timespec){ .tv_nsec = pause_ms * 1000000 }, NULL);
    }
}

static void begin(struct jobs *jobs, size_t given)
{
    const struct sweep *sweep = jobs->sweep;
    for (size_t i = 0; i < sweep->task_count; i++) {
        if (sweep_task_is_finished(sweep, &sweep->tasks[i])) {
            jobs->states[i] = TASK_FINISHED;
            jobs->finished++;
        }
    }
    const size_t left = sweep->task_count - jobs->finished;
    const uint32_t processors = machine_processors_usable();
    jobs->limit = given < left ? given : left;
    if (left == 0) {
        text_line(stderr, "selfsame sweep: nothing is left to do: %zu of %zu runs are finished", jobs->finished,
                  sweep->task_count);
        return;
    }
    jobs->threads = processors > jobs->limit ? processors / (uint32_t)jobs->limit : 1;
    text_line(stderr, "selfsame sweep: %zu tasks, %zu of them finished before; %zu at a time; logs in %s/" SWEEP_FOLDER,
              sweep->task_count, jobs->finished, jobs->limit, sweep->runs);
}

enum status sweep_run_jobs(const struct sweep *sweep, size_t given, struct error *error)
{
    char folder[FILE_PATH_BYTES];
    struct jobs jobs = { .sweep = sweep };
    enum status status = file_path(folder, error, "%s/" SWEEP_FOLDER, sweep->runs);
    if (status == STATUS_OK)
        status = file_make_folders(folder, error);
    if (status != STATUS_OK)
        return status;
    jobs.states = calloc(sweep->task_count, sizeof *jobs.states);
    jobs.running = calloc(given, sizeof *jobs.running);
    if (jobs.states == NULL || jobs.running == NULL) {
        status = error_out_of_memory(error, "%zu tasks", sweep->task_count);
        goto out;
    }
    stop_watch("\nselfsame sweep: stopping all runs with a checkpoint; Ctrl-C again ends them at once\n",
               "\nselfsame sweep: ended at once; the same command goes on from the last checkpoints\n");
    begin(&jobs, given);
    work(&jobs);
    status = jobs.status;
    if (jobs.failed > 0)
        error_set(error, status, "%zu of %zu tasks ended with an error, and %zu are finished", jobs.failed,
                  sweep->task_count, jobs.finished);
    else if (jobs.finished < sweep->task_count)
        status = error_set(error, STATUS_INTERRUPTED, "stopped on request; %zu of %zu runs are finished", jobs.finished,
                           sweep->task_count);
out:
    free(jobs.states);
    free(jobs.running);
    return status;
}
