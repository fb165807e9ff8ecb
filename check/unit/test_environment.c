/* What a record says about the machine: caches and energy from folders of our own that look like the system's, and the
 * variables of a closed list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/machine.h"
#include "results/environment.h"

static struct scratch folder;

static int setup(void **state)
{
    struct error error;
    (void)state;
    return file_scratch_open(&folder, "/tmp/test_environment", &error) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    file_scratch_close(&folder);
    return 0;
}

static void put(const char *inner, const char *name, const char *text)
{
    char path[FILE_PATH_BYTES];
    struct error error;
    assert_int_equal(file_path(path, &error, "%s/%s", folder.path, inner), STATUS_OK);
    assert_int_equal(file_make_folders(path, &error), STATUS_OK);
    assert_int_equal(file_path(path, &error, "%s/%s/%s", folder.path, inner, name), STATUS_OK);
    assert_int_equal(file_write(path, text, strlen(text), &error), STATUS_OK);
}

static void put_cache(const char *inner, const char *level, const char *type, const char *size)
{
    put(inner, "level", level);
    put(inner, "type", type);
    put(inner, "size", size);
}

/* One line of each architecture's /proc/cpuinfo says what the processor is. */
static void test_processor(void **state)
{
    static const char *const cases[][2] = {
        { "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\ncpu MHz\t: 2400\n",
          "AMD EPYC" },
        { "processor\t: 0\ncpu\t\t: POWER9 (architected), altivec supported\nclock\t\t: 2250MHz\n",
          "POWER9 (architected), altivec supported" },
        { "vendor_id       : IBM/S390\n# processors    : 1\n", "IBM/S390" },
        { "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\n", "ARM 0x41 part 0xd0c" },
        { "CPU implementer\t: 0x41\nModel\t\t: Raspberry Pi 4 Model B\n", "Raspberry Pi 4 Model B" },
        { "hart\t: 0\nisa\t: rv64imafdc\nuarch\t: sifive,u74-mc\n", "sifive,u74-mc" },
        { "cpu MHz\t: 2400\n", "" },
    };
    char name[MACHINE_NAME_BYTES], path[FILE_PATH_BYTES];
    struct error error;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("processor", "cpuinfo", cases[i][0]);
        assert_int_equal(file_path(path, &error, "%s/processor/cpuinfo", folder.path), STATUS_OK);
        machine_processor_name(path, name);
        assert_string_equal(name, cases[i][1]);
    }
    machine_processor_name("/nowhere", name);
    assert_string_equal(name, "");
}

static void test_caches(void **state)
{
    char text[MACHINE_NAME_BYTES], path[FILE_PATH_BYTES], name[32];
    struct error error;
    (void)state;
    put_cache("caches/index0", "1\n", "Data\n", "32K\n");
    put_cache("caches/index1", "1\n", "Instruction\n", "64K\n");
    put_cache("caches/index2", "2\n", "Unified\n", "512K\n");
    put("caches/index3", "level", "3\n"); /* not all of it: it is left out */
    assert_int_equal(file_path(path, &error, "%s/caches", folder.path), STATUS_OK);
    machine_caches(path, text);
    assert_string_equal(text, "L1d 32K, L1i 64K, L2 512K");
    machine_caches("/nowhere", text);
    assert_string_equal(text, "");
    for (int i = 0; i < 8; i++) { /* what is too long is cut */
        snprintf(name, sizeof name, "long/index%d", i);
        put_cache(name, "123456789012345678901234", "Unified\n", "1234567890123456789012345678901234567890");
    }
    assert_int_equal(file_path(path, &error, "%s/long", folder.path), STATUS_OK);
    machine_caches(path, text);
    assert_int_equal(strlen(text), MACHINE_NAME_BYTES - 1);
}

static void test_energy(void **state)
{
    struct machine_energy energy;
    (void)state;
    machine_energy_open(&energy, folder.path);
    machine_energy_update(&energy);
    assert_true(energy.joules == 0.0);
    put("intel-rapl:0", "energy_uj", "1000000\n");
    put("intel-rapl:0", "max_energy_range_uj", "262143328850\n");
    put("intel-rapl:1", "energy_uj", "262143000000\n");
    put("intel-rapl:1", "max_energy_range_uj", "262143328850\n");
    put("intel-rapl:2", "energy_uj", "no number\n");
    put("intel-rapl:2", "max_energy_range_uj", "10\n");
    put("intel-rapl:3", "energy_uj", "5\n"); /* without a range */
    machine_energy_open(&energy, folder.path);
    machine_energy_update(&energy);
    assert_true(energy.joules == 0.0);
    put("intel-rapl:0", "energy_uj", "3500000\n");
    put("intel-rapl:1", "energy_uj", "671150\n"); /* it began anew: 328850 and 671150 microjoules, 1 J */
    put("intel-rapl:3", "energy_uj", "1000000\n");
    machine_energy_update(&energy);
    assert_float_equal(energy.joules, 2.5 + 1.0, 1e-9);
    put("intel-rapl:0", "energy_uj", "");
    put("intel-rapl:1", "energy_uj", "1671150\n");
    machine_energy_update(&energy);
    assert_float_equal(energy.joules, 2.5 + 2.0, 1e-9);
}

/* Whether a record would have the text among its variables. */
static bool has(const struct environment *environment, const char *text)
{
    for (size_t i = 0; environment->list[i] != NULL; i++) {
        if (strcmp(environment->list[i], text) == 0)
            return true;
    }
    return false;
}

static void test_variables(void **state)
{
    static struct environment environment;
    struct record_facts facts = { .format = RECORD_FORMAT };
    char hex[DIGEST_HEX_BYTES], long_value[1000];
    struct error error;
    (void)state;
    clearenv();
    environment_read(&environment);
    environment_describe(&environment, &facts);
    assert_null(environment.list[0]);
    assert_null(facts.environment);
    memset(long_value, 'x', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "secret", 1), 0);
    assert_int_equal(setenv("CUDA_VISIBLE_DEVICES", "1", 1), 0);
    assert_int_equal(setenv("SELFSAME_ISA", "", 1), 0);
    assert_int_equal(setenv("GLIBC_TUNABLES", "\x1b[2J\xff", 1), 0);
    assert_int_equal(setenv("LD_LIBRARY_PATH", long_value, 1), 0);
    environment_read(&environment);
    environment_describe(&environment, &facts);
    assert_true(has(&environment, "CUDA_VISIBLE_DEVICES=1"));
    assert_true(has(&environment, "SELFSAME_ISA="));
    assert_true(has(&environment, "GLIBC_TUNABLES=\\x1b[2J\\xff"));
    size_t count = 0;
    for (; environment.list[count] != NULL; count++)
        assert_null(strstr(environment.list[count], "secret"));
    assert_int_equal(count, 4);
    assert_ptr_equal(facts.environment, environment.list);
    assert_int_equal(file_sha256("/proc/self/exe", hex, &error), STATUS_OK);
    assert_string_equal(facts.program_sha256, hex);
    assert_true(facts.host_memory_bytes >= (uint64_t)1 << 20);
    assert_true(environment_cpu_seconds() > 0.0);
}

static void test_cores_first(void **state)
{
    uint32_t numbers[] = { 0, 1, 2, 3, 4, 5, 6, 7 }, one[] = { 5 };
    char path[FILE_PATH_BYTES], name[48];
    struct error error;
    (void)state;
    /* Two nodes of two cores: 0 and 4 share one, as do 1 and 5, 2 and 6, 3 and 7. */
    for (uint32_t i = 0; i < 8; i++) {
        char siblings[32];
        snprintf(name, sizeof name, "processors/cpu%u/topology", i);
        snprintf(siblings, sizeof siblings, "%u,%u\n", i % 4, i % 4 + 4);
        put(name, "thread_siblings_list", siblings);
    }
    assert_int_equal(file_path(path, &error, "%s/processors", folder.path), STATUS_OK);
    machine_cores_first(path, numbers, 8);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(numbers[i], i);
    /* The mask may leave any of them out. */
    uint32_t some[] = { 1, 3, 5, 6, 7 };
    machine_cores_first(path, some, 5);
    assert_memory_equal(some, ((uint32_t[]){ 1, 3, 6, 5, 7 }), sizeof some);
    machine_cores_first(path, one, 1);
    assert_int_equal(one[0], 5);
    /* Siblings next to each other, as a range. */
    for (uint32_t i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "pairs/cpu%u/topology", i);
        put(name, "thread_siblings_list", i < 2 ? "0-1\n" : "2-3\n");
    }
    uint32_t pairs[] = { 0, 1, 2, 3 };
    assert_int_equal(file_path(path, &error, "%s/pairs", folder.path), STATUS_OK);
    machine_cores_first(path, pairs, 4);
    assert_memory_equal(pairs, ((uint32_t[]){ 0, 2, 1, 3 }), sizeof pairs);
    /* What is not described stays. */
    uint32_t unknown[] = { 3, 9, 12 };
    machine_cores_first("/nowhere", unknown, 3);
    assert_memory_equal(unknown, ((uint32_t[]){ 3, 9, 12 }), sizeof unknown);
}

static uint32_t quota(const char *groups, const char *root)
{
    char path[FILE_PATH_BYTES], place[FILE_PATH_BYTES];
    struct error error;
    put(root, "self", groups);
    assert_int_equal(file_path(path, &error, "%s/%s/self", folder.path, root), STATUS_OK);
    assert_int_equal(file_path(place, &error, "%s/%s", folder.path, root), STATUS_OK);
    return machine_processor_quota(path, place);
}

static void test_quota(void **state)
{
    (void)state;
    assert_int_equal(machine_processor_quota("/nowhere", folder.path), 0);
    assert_int_equal(quota("0::/\n", "none"), 0);
    put("limits", "cpu.max", "max 100000\n");
    put("limits/a", "cpu.max", "400000 100000\n");
    put("limits/a/b", "cpu.max", "max 100000\n");
    put("limits/a/c", "cpu.max", "150000 100000\n");
    put("limits/d", "cpu.max", "nonsense\n");
    assert_int_equal(quota("0::/\n", "limits"), 0);
    assert_int_equal(quota("0::/a\n", "limits"), 4);
    assert_int_equal(quota("0::/a/b\n", "limits"), 4); /* of the group above */
    assert_int_equal(quota("12:cpuset:/x\n0::/a/c\n", "limits"), 2);
    assert_int_equal(quota("0::/d\n", "limits"), 0);
    assert_int_equal(quota("0::/e/f\n", "limits"), 0);
    assert_int_equal(quota("4:cpu:/a\n", "limits"), 0); /* version 1 is not read */
    put("root", "cpu.max", "20000 100000\n");           /* a container sees its own group as the root */
    assert_int_equal(quota("0::/\n", "root"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processor), cmocka_unit_test(test_cores_first), cmocka_unit_test(test_quota),
        cmocka_unit_test(test_caches),    cmocka_unit_test(test_energy),      cmocka_unit_test(test_variables),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
