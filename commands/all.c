#include "commands/all.h"

#include <string.h>

#include "base/text.h"

extern const struct command fetch_command, train_command, eval_command, runs_command, check_command, compare_command,
    targets_command, plot_command, bench_command, doctor_command, manifest_command, inspect_command, convert_command,
    status_command, table_command, pack_command, unpack_command, key_command, attest_command, verify_command,
    sweep_command, export_command, tag_command, note_command, delete_command, experiments_command, new_command,
    seeds_command, report_command, trace_command, import_command, help_command;

/* One a line, so that branches merge. */
/* clang-format off */
const struct command *const all_commands[] = {
    &fetch_command,
    &train_command,
    &sweep_command,
    &eval_command,
    &runs_command,
    &check_command,
    &status_command,
    &compare_command,
    &targets_command,
    &table_command,
    &seeds_command,
    &plot_command,
    &report_command,
    &bench_command,
    &doctor_command,
    &manifest_command,
    &experiments_command,
    &new_command,
    &inspect_command,
    &convert_command,
    &pack_command,
    &unpack_command,
    &export_command,
    &import_command,
    &key_command,
    &attest_command,
    &verify_command,
    &trace_command,
    &tag_command,
    &note_command,
    &delete_command,
    &help_command,
    NULL,
};
/* clang-format on */

const struct command *command_find(const char *name)
{
    for (const struct command *const *command = all_commands; *command != NULL; command++) {
        if (strcmp((*command)->name, name) == 0)
            return *command;
    }
    return NULL;
}

enum status command_unknown(const char *name, struct error *error)
{
    const char *names[sizeof all_commands / sizeof *all_commands];
    size_t count = 0;
    for (; all_commands[count] != NULL; count++)
        names[count] = all_commands[count]->name;
    names[count] = NULL;
    const char *nearest = nearest_word(name, names);
    return error_set(error, STATUS_INPUT, "there is no command '%s'; %s%s%sselfsame --help lists them", name,
                     nearest != NULL ? "did you mean '" : "", nearest != NULL ? nearest : "",
                     nearest != NULL ? "'? " : "");
}
