/* The computer that the program runs on: its processors, and the size of the stack. */
#ifndef SELFSAME_MACHINE_H
#define SELFSAME_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { MACHINE_NAME_BYTES = 256 };

/* The processor's name as a file like /proc/cpuinfo has it, under its architecture's key; "" where there is none. */
void machine_processor_name(const char *path, char name[MACHINE_NAME_BYTES]);

/* The version of the processor's microcode, as /proc/cpuinfo has it; "" where there is none. */
void machine_microcode(char version[MACHINE_NAME_BYTES]);
/* The caches of the first processor, such as "L1d 32K, L1i 32K, L2 512K, L3 32768K", from the folder in which Linux
 * describes them; "" if unknown. */
#define MACHINE_CACHES "/sys/devices/system/cpu/cpu0/cache"
void machine_caches(const char *folder, char text[MACHINE_NAME_BYTES]);
/* The machine's memory; 0 if unknown. */
uint64_t machine_memory_bytes(void);
/* The kind of container that this process seems to run in, such as "docker"; "" for none that shows. */
const char *machine_container(void);

/* Processors that the machine has switched on; 0 if unknown. */
uint32_t machine_processors_online(void);

/* Whether the affinity mask leaves out processors of the machine: a scheduler or mpirun has chosen some. */
bool machine_processors_bound(void);

/* Processors that this process may use at once, at least 1: those of its affinity mask, or fewer if the time that its
 * control group may take (machine_processor_quota) is that of fewer. */
uint32_t machine_processors_usable(void);

/* The numbers of its affinity mask, ascending: at most `size` of them are written. Returns how many. */
uint32_t machine_processor_numbers(uint32_t *numbers, uint32_t size);

/* How many processors' time the control group of this process and those above it may take (cpu.max of version 2),
 * rounded up; 0 without a limit. `groups` says which group it is, and `folder` has their files. */
#define MACHINE_GROUPS "/proc/self/cgroup"
#define MACHINE_GROUP_FOLDER "/sys/fs/cgroup"
uint32_t machine_processor_quota(const char *groups, const char *folder);

/* Puts one processor of each core first, and behind them those that share a core with one of these. Both parts keep
 * their order. `folder` is where Linux describes the processors; without it the order stays. */
#define MACHINE_PROCESSORS "/sys/devices/system/cpu"
void machine_cores_first(const char *folder, uint32_t *numbers, uint32_t count);

/* Lets the calling thread run on one processor only. STATUS_ENVIRONMENT where the system refuses. */
enum status machine_pin_thread(uint32_t processor, struct error *error) MUST_USE;

/* Bytes of a processor's data cache of level 1, 2 or 3; where the system does not tell, what is usual. */
size_t machine_cache_bytes(int level);

/* Bytes of memory that are free now; 0 if unknown. */
uint64_t machine_free_memory_bytes(void);

/* STATUS_ENVIRONMENT where the stack may not grow as far as the program needs, which would end it with SIGSEGV. */
enum status machine_check_stack(struct error *error) MUST_USE;

/* The energy that the machine's processors have taken since machine_energy_open, by their own counters (RAPL), with all
 * that runs on the machine. Usually only root may read these. */
#define MACHINE_POWERCAP "/sys/class/powercap"
enum { MACHINE_PACKAGES = 8 };
struct machine_energy {
    const char *folder;
    bool known[MACHINE_PACKAGES];
    uint64_t last[MACHINE_PACKAGES], range[MACHINE_PACKAGES]; /* microjoules; the counter begins anew after `range` */
    double joules;                                            /* 0: not known */
};
void machine_energy_open(struct machine_energy *energy, const char *folder);
/* Counts on. A counter lasts for some ten minutes at full load: call it more often. */
void machine_energy_update(struct machine_energy *energy);

#endif
