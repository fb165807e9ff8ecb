/* Locks between processes, with a file system's locks and, by --wrap=flock, without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"

static char folder[] = "/tmp/test_lock.XXXXXX";
static bool without;

int __real_flock(int descriptor, int operation);
int __wrap_flock(int descriptor, int operation);
int __wrap_flock(int descriptor, int operation)
{
    if (!without)
        return __real_flock(descriptor, operation);
    errno = ENOLCK;
    return -1;
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return unlink("lock") | chdir("/") | rmdir(folder);
}

static void assert_takes(const char *complaint)
{
    struct lock lock;
    bool taken;
    char holder[LOCK_HOLDER_BYTES];
    struct error error = { STATUS_OK, "" };
    assert_int_equal(lock_try(&lock, "lock", &taken, holder, &error), STATUS_OK);
    if (taken != (complaint == NULL) || (complaint != NULL && strstr(holder, complaint) == NULL))
        fail_msg("taken: %d, holder: %s", taken, holder);
    assert_int_equal(lock.owner[0] != '\0', taken && without);
    lock_release(&lock);
    lock_release(&lock); /* once more is fine */
}

/* One process takes it, another meets it, and takes it once the first has ended, however that was. */
static void two_processes(bool killed)
{
    int ready[2], go[2], result;
    char byte = 0, holder[64];
    assert_int_equal(pipe(ready) | pipe(go), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct lock lock;
        bool taken;
        char by[LOCK_HOLDER_BYTES];
        struct error error;
        bool good = lock_try(&lock, "lock", &taken, by, &error) == STATUS_OK && taken &&
                    write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1;
        if (!killed)
            lock_release(&lock);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(lock_is_held("lock"));
    snprintf(holder, sizeof holder, "process %ld", (long)child);
    assert_takes(holder);
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    assert_false(lock_is_held("lock"));
    assert_takes(NULL);
    assert_false(lock_is_held("lock"));
    assert_false(file_exists("lock" LOCK_OWNER_SUFFIX));
}

static void test_with_locks(void **state)
{
    (void)state;
    without = false;
    assert_false(lock_is_held("lock")); /* there is no such file yet */
    assert_false(file_exists("lock"));
    two_processes(false);
    two_processes(true);
}

static void test_without_locks(void **state)
{
    (void)state;
    without = true;
    two_processes(false);
    two_processes(true);
}

/* lock_is_held holds the lock for a moment. Another process that takes it meanwhile must not be refused. */
static void test_patience(void **state)
{
    (void)state;
    int result;
    without = false;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (int i = 0; i < 20000; i++)
            (void)lock_is_held("lock");
        _exit(0);
    }
    for (int i = 0; i < 200; i++)
        assert_takes(NULL);
    assert_int_equal(waitpid(child, &result, 0), child);
}

static void put_owner(const char *text)
{
    struct error error;
    assert_int_equal(file_write("lock" LOCK_OWNER_SUFFIX, text, strlen(text), &error), STATUS_OK);
}

static void test_owner_files(void **state)
{
    (void)state;
    char text[512], host[256] = "", boot[64] = "";
    struct error error;
    without = true;
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    if (file == NULL || fgets(boot, sizeof boot, file) == NULL)
        snprintf(boot, sizeof boot, "unknown\n");
    if (file != NULL)
        assert_int_equal(fclose(file), 0);
    /* Ours, before the machine was started anew; and a process that has ended since. */
    snprintf(text, sizeof text, "host %s process %ld boot another\n", host, (long)getpid());
    put_owner(text);
    assert_takes(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    snprintf(text, sizeof text, "host %s process %ld boot %s", host, (long)child, boot);
    put_owner(text);
    assert_false(lock_is_held("lock"));
    assert_takes(NULL);
    /* Another host's: nothing is known of it. The message's remedy helps. */
    put_owner("host elsewhere process 12 boot abc\n");
    assert_true(lock_is_held("lock"));
    assert_takes("process 12 on the host elsewhere");
    assert_takes("remove lock.owner once that process has ended");
    assert_int_equal(file_remove("lock" LOCK_OWNER_SUFFIX, &error), STATUS_OK);
    assert_takes(NULL);
    /* One that was cut short. */
    put_owner("");
    assert_takes("lock.owner does not name it: remove that file");
    assert_int_equal(file_remove("lock" LOCK_OWNER_SUFFIX, &error), STATUS_OK);
    assert_takes(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_locks),
        cmocka_unit_test(test_without_locks),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_owner_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
