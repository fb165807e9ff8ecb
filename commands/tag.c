/* selfsame tag and selfsame note: what people say about a run. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "commands/command.h"
#include "results/find_run.h"
#include "results/labels.h"

/* ---- tag --------------------------------------------------------------------------------------------------------- */

static enum status print_tags(const char *run, const char *folder, struct error *error)
{
    char *tags;
    enum status status = tags_read(folder, &tags, error);
    if (status != STATUS_OK)
        return status;
    if (tags[0] != '\0')
        text_fact(stdout, 2, "%s: %s", run, tags);
    else
        text_fact(stdout, 2, "%s has no tags", run);
    free(tags);
    return STATUS_OK;
}

static enum status run_tag(const struct arguments *arguments, struct error *error)
{
    char folder[FILE_PATH_BYTES];
    const char *run = arguments->operands[0];
    const bool remove = arguments_flag(arguments, "remove");
    if (remove && arguments->operand_count == 1)
        return error_set(error, STATUS_INPUT, "--remove needs the tags to remove: selfsame tag %s TAG... --remove",
                         run);
    enum status status = find_run_to_change(record_runs_folder(arguments_text(arguments, "runs")), run, folder, error);
    for (size_t i = 1; i < arguments->operand_count && status == STATUS_OK; i++)
        status = tag_check(arguments->operands[i], error);
    for (size_t i = 1; i < arguments->operand_count && status == STATUS_OK; i++)
        status =
            remove ? tag_remove(folder, arguments->operands[i], error) : tag_add(folder, arguments->operands[i], error);
    return status == STATUS_OK ? print_tags(run, folder, error) : status;
}

static const struct option_definition tag_options[] = {
    { "remove", NULL, OPTION_FLAG, 0, 0, NULL, "remove these tags instead" },
    OPTION_RUNS,
    OPTIONS_END,
};

const struct command tag_command = {
    .name = "tag",
    .operands = "RUN [TAG]...",
    .summary = "tag a run, so that selfsame runs finds it",
    .options = tag_options,
    .description =
        "Gives a run tags, and prints all that it has. Without TAG, it only prints them. A tag has letters, digits, "
        "'.', '_', '+' and '-'.\n\n"
        "Each tag is an empty file in the folder tags/ of the run's folder. Tags are no part of the record: they "
        "change no digest, and pack leaves them out. You may tag a run while it is being trained.",
    .examples = "selfsame tag msra-resnet20-seed1 paper\n"
                "selfsame runs --where \"tag = 'paper'\"\tthe runs of a paper\n",
    .operands_min = 1,
    .operands_max = SIZE_MAX,
    .run = run_tag,
};

/* ---- note -------------------------------------------------------------------------------------------------------- */

static enum status run_note(const struct arguments *arguments, struct error *error)
{
    char folder[FILE_PATH_BYTES], *note = NULL;
    const char *run = arguments->operands[0];
    enum status status = find_run_to_change(record_runs_folder(arguments_text(arguments, "runs")), run, folder, error);
    if (status == STATUS_OK && arguments->operand_count == 2)
        return note_write(folder, arguments->operands[1], error);
    if (status == STATUS_OK)
        status = note_read(folder, &note, error);
    if (status == STATUS_OK && note[0] != '\0')
        text_line(stdout, "%s", note);
    else if (status == STATUS_OK)
        text_fact(stdout, 2, "%s has no note", run);
    free(note);
    return status;
}

static const struct option_definition note_options[] = { OPTION_RUNS, OPTIONS_END };

const struct command note_command = {
    .name = "note",
    .operands = "RUN [TEXT]",
    .summary = "write a line about a run, or print it",
    .options = note_options,
    .description = "Writes TEXT as the note of a run, instead of the note that it has. An empty TEXT removes the note. "
                   "Without TEXT, it prints the note.\n\n"
                   "The note is the file note.txt in the run's folder: one line, at most 4096 bytes. It is no part of "
                   "the record: it changes no digest, and pack leaves it out.",
    .examples = "selfsame note msra-resnet20-seed1 'the run of table 2'\n"
                "selfsame runs --where \"note contains 'table'\" --columns run,note\n",
    .operands_min = 1,
    .operands_max = 2,
    .run = run_note,
};
