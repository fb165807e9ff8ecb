/* Locks between processes, with a file system's locks and, by --wrap=flock, without. By --wrap=kill, another process
 * comes first where a process looks whether the owner of a lock has ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
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

/* The process that comes first, and how it is told to go. */
static bool rival_comes;
static pid_t rival;
static int rival_goes[2];

static void let_rival_take(void)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready) | pipe(rival_goes), 0);
    rival = fork();
    assert_true(rival >= 0);
    if (rival == 0) {
        close(rival_goes[1]); /* so that it ends with its parent */
        struct lock lock;
        bool taken;
        char by[LOCK_HOLDER_BYTES];
        struct error error;
        const bool good = lock_try(&lock, "lock", &taken, by, &error) == STATUS_OK && taken &&
                          write(ready[1], &byte, 1) == 1 && read(rival_goes[0], &byte, 1) == 1;
        lock_release(&lock);
        _exit(good ? 0 : 1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
}

int __real_kill(pid_t process, int number);
int __wrap_kill(pid_t process, int number);
int __wrap_kill(pid_t process, int number)
{
    const bool comes = rival_comes;
    rival_comes = false;
    if (comes)
        let_rival_take();
    return __real_kill(process, number);
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

/* A file of a process that has ended since. */
static void put_ended_owner(void)
{
    char text[512], host[256] = "", boot[64] = "unknown\n";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    if (file != NULL) {
        assert_non_null(fgets(boot, sizeof boot, file));
        assert_int_equal(fclose(file), 0);
    }
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    snprintf(text, sizeof text, "host %s process %ld boot %s", host, (long)child, boot);
    put_owner(text);
}

static void test_owner_files(void **state)
{
    (void)state;
    char text[512], host[256] = "";
    struct error error;
    without = true;
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    /* Ours, before the machine was started anew; and a process that has ended since. */
    snprintf(text, sizeof text, "host %s process %ld boot another\n", host, (long)getpid());
    put_owner(text);
    assert_takes(NULL);
    put_ended_owner();
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

/* Two processes find the same owner that has ended. The first takes over, and the second sees that. */
static void test_take_over_once(void **state)
{
    (void)state;
    char holder[64], byte = 0;
    int result;
    without = true;
    put_ended_owner();
    rival_comes = true;
    struct lock lock;
    bool taken;
    char by[LOCK_HOLDER_BYTES];
    struct error error;
    assert_int_equal(lock_try(&lock, "lock", &taken, by, &error), STATUS_OK);
    snprintf(holder, sizeof holder, "process %ld", (long)rival);
    assert_false(taken);
    assert_string_equal(by, holder);
    assert_takes(holder); /* its file is where it was */
    assert_int_equal(write(rival_goes[1], &byte, 1), 1);
    assert_int_equal(waitpid(rival, &result, 0), rival);
    assert_int_equal(result, 0);
    assert_takes(NULL);
    close(rival_goes[0]);
    close(rival_goes[1]);
}

/* While one process waits, the holder's folder goes and another one comes. */
static void test_replaced_folder(void **state)
{
    (void)state;
    const struct timespec time = { .tv_nsec = 50 * 1000 * 1000 };
    struct lock lock;
    bool taken;
    char by[LOCK_HOLDER_BYTES], byte = 0;
    struct error error;
    int ready[2], result;
    without = false;
    assert_int_equal(mkdir("run", 0777), 0);
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        bool good = lock_try(&lock, "run/.lock", &taken, by, &error) == STATUS_OK && taken &&
                    write(ready[1], &byte, 1) == 1 && nanosleep(&time, NULL) == 0 && rename("run", "deleted") == 0 &&
                    mkdir("run", 0777) == 0;
        lock_release(&lock);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(lock_try(&lock, "run/.lock", &taken, by, &error), STATUS_OK);
    assert_true(taken && file_is_named(lock.descriptor, "run/.lock"));
    lock_release(&lock);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(file_remove_tree("run", &error) | file_remove_tree("deleted", &error), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_locks),     cmocka_unit_test(test_without_locks),
        cmocka_unit_test(test_patience),       cmocka_unit_test(test_owner_files),
        cmocka_unit_test(test_take_over_once), cmocka_unit_test(test_replaced_folder),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
