/* Signals that ask to stop: one asks, one at the same time is the same request, and a later one ends the process. A
 * child gets them, and says over a pipe what it noted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/stop.h"

static void wait_ms(long milliseconds)
{
    struct timespec left = { .tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L };
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* Writes 'r' when it is ready, and 's' once a signal asked it to stop; then it waits for its end. */
static pid_t start(int *heard)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        stop_watch(NULL, NULL);
        bool told = write(ends[1], "r", 1) != 1;
        for (int i = 0; i < 1000; i++) {
            wait_ms(10);
            if (!told && stop_requested(NULL))
                told = write(ends[1], "s", 1) == 1;
        }
        _exit(0);
    }
    assert_true(child > 0);
    close(ends[1]);
    *heard = ends[0];
    return child;
}

static void hear(int heard, char expected)
{
    struct pollfd poll_for = { .fd = heard, .events = POLLIN };
    char byte = 0;
    assert_int_equal(poll(&poll_for, 1, 10000), 1);
    assert_int_equal(read(heard, &byte, 1), 1);
    assert_int_equal(byte, expected);
}

/* The pairs that a supervisor sends at once, and then one more. */
static void test_signals(void **state)
{
    static const int pairs[][2] = {
        { SIGINT, SIGINT }, { SIGTERM, SIGTERM }, { SIGHUP, SIGTERM }, { SIGTERM, SIGINT }
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        int heard, ended;
        const pid_t child = start(&heard);
        hear(heard, 'r');
        kill(child, pairs[i][0]);
        kill(child, pairs[i][1]);
        hear(heard, 's');
        wait_ms(700);
        assert_int_equal(waitpid(child, &ended, WNOHANG), 0);
        kill(child, SIGTERM);
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_true(WIFSIGNALED(ended));
        assert_int_equal(WTERMSIG(ended), SIGTERM);
        close(heard);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_signals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
