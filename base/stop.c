#include "base/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* When the first signal came, in milliseconds; 0: none has come. Lock-free, as a signal handler needs it, and read by
 * every thread that trains. */
static atomic_llong first_ms;
static const char *messages[2];

/* timeout(1) signals its child, and then the process group that the child is in. Job schedulers do the like. */
static const long long SAME_REQUEST_MS = 500;

/* In a signal handler: write alone, and what cannot be written is left. */
static void say(const char *message)
{
    ssize_t written = message != NULL ? write(STDERR_FILENO, message, strlen(message)) : 0;
    (void)written;
}

static void ask_to_stop(int number)
{
    const int kept = errno;
    const long long now = 1 + (long long)(1e3 * clock_seconds());
    long long first = 0;
    if (atomic_compare_exchange_strong(&first_ms, &first, now)) {
        if (number == SIGINT)
            say(messages[0]);
    } else if (now - first > SAME_REQUEST_MS) {
        if (number == SIGINT)
            say(messages[1]);
        (void)signal(number, SIG_DFL); /* raised once this returns, and its action is then the end */
        (void)raise(number);
    }
    errno = kept;
}

void stop_watch(const char *first, const char *second)
{
    struct sigaction action = { .sa_handler = ask_to_stop }, before;
    messages[0] = first;
    messages[1] = second;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
}

bool stop_requested(void *context)
{
    (void)context;
    return first_ms != 0;
}
