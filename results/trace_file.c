#include "results/trace_file.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "trainer/recipe.h"

#define MAGIC "selfsame-trace 1"

static const size_t TRACE_FILE_LIMIT = (size_t)1 << 26;

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void print_line(FILE *to, const struct trace_lines *list, uint32_t i)
{
    const struct trace_line *line = &list->lines[i];
    char hex[DIGEST_HEX_BYTES];
    fprintf(to, "%" PRIu32 " %s %s ", i + 1, line->name, trace_number_names[line->number]);
    for (uint32_t k = 0; k < line->rank; k++)
        fprintf(to, "%s%" PRIu32, k == 0 ? "" : "x", line->shape[k]);
    digest_to_hex(line->digest, hex);
    fprintf(to, "%s %s", line->rank == 0 ? "-" : "", hex);
    for (uint32_t k = 0; k < line->input_count; k++)
        fprintf(to, " %" PRIu32, list->inputs[line->first_input + k] + 1);
    fputc('\n', to);
}

enum status trace_file_write(const char *path, const struct trace_file *file, char sha256[DIGEST_HEX_BYTES],
                             struct error *error)
{
    char ledger[LEDGER_LINE_BYTES + 1], hex[DIGEST_HEX_BYTES], *text = NULL;
    size_t bytes = 0;
    if (!ledger_format(ledger, file->step, &file->row))
        return error_set(error, STATUS_INPUT, "step %" PRIu64 " is beyond what a ledger can hold", file->step + 1);
    FILE *to = open_memstream(&text, &bytes);
    if (to == NULL)
        return error_out_of_memory(error, "the trace");
    fprintf(to, MAGIC "\nexperiment %s\narithmetic %s\nstep %" PRIu64 "\nledger %slines %" PRIu32 "\n",
            file->experiment_sha256, file->arithmetic, file->step + 1, ledger, file->list.count);
    for (uint32_t i = 0; i < file->list.count; i++)
        print_line(to, &file->list, i);
    bool whole = fflush(to) == 0;
    if (whole) {
        sha256_hex(text, bytes, hex);
        fprintf(to, "end %s\n", hex);
    }
    whole = fclose(to) == 0 && whole;
    enum status status = whole ? file_write(path, text, bytes, error) : error_out_of_memory(error, "the trace");
    if (status == STATUS_OK)
        sha256_hex(text, bytes, sha256);
    free(text);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reader {
    const char *path;
    char *at;      /* the rest of the text */
    size_t number; /* of the line that was read last, from 1 */
    struct error *error;
};

static enum status wrong(const struct reader *reader, const char *expected)
{
    return error_set(reader->error, STATUS_INPUT,
                     "%s:%zu: a trace has here %s; ask for the file again, or trace the "
                     "step again",
                     reader->path, reader->number, expected);
}

/* The next line, without its end, which the last line may not have; NULL where there is none. */
static char *next_line(struct reader *reader)
{
    char *line = reader->at, *end = strchrnul(line, '\n');
    reader->number++;
    if (*line == '\0')
        return NULL;
    reader->at = *end == '\0' ? end : end + 1;
    *end = '\0';
    return line;
}

/* The next word of a line, of those that are separated by one space; NULL after the last. */
static char *next_word(char **rest)
{
    char *word = *rest;
    if (word == NULL)
        return NULL;
    char *end = strchr(word, ' ');
    *rest = end == NULL ? NULL : end + 1;
    if (end != NULL)
        *end = '\0';
    return word;
}

/* Decimal digits, without leading zeros, 1 to `most`. */
static bool parse_number(const char *text, uint64_t most, uint64_t *number)
{
    *number = 0;
    if (text == NULL || text[0] < '1')
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        *number = *number * 10 + (uint64_t)(*text - '0');
        if (*number > most)
            return false;
    }
    return *text == '\0';
}

static bool parse_name(const char *text, char name[TRACE_NAME_BYTES])
{
    const size_t length = text == NULL ? 0 : strlen(text);
    if (length == 0 || length >= TRACE_NAME_BYTES ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/") != length)
        return false;
    memcpy(name, text, length + 1);
    return true;
}

static bool parse_type(const char *text, enum trace_number *number)
{
    for (int i = 0; text != NULL && i < TRACE_NUMBERS; i++) {
        *number = (enum trace_number)i;
        if (strcmp(text, trace_number_names[i]) == 0)
            return true;
    }
    return false;
}

static bool parse_shape(char *text, struct trace_line *line)
{
    if (text == NULL)
        return false;
    if (strcmp(text, "-") == 0)
        return true;
    for (char *next; text != NULL; text = next) {
        uint64_t size;
        next = strchr(text, 'x');
        if (next != NULL)
            *next++ = '\0';
        if (line->rank == TRACE_RANK_MAX || !parse_number(text, UINT32_MAX, &size))
            return false;
        line->shape[line->rank++] = (uint32_t)size;
    }
    return true;
}

/* A tensor's line. `room` is that for inputs. */
static enum status read_tensor(struct reader *reader, struct trace_lines *list, uint32_t room)
{
    struct trace_line *line = &list->lines[list->count];
    char *rest = next_line(reader);
    uint64_t number;
    if (rest == NULL || !parse_number(next_word(&rest), UINT32_MAX, &number) || number != list->count + 1)
        return wrong(reader, "a tensor's line, and the lines count from 1");
    if (!parse_name(next_word(&rest), line->name))
        return wrong(reader, "a tensor's name");
    if (!parse_type(next_word(&rest), &line->number))
        return wrong(reader, "u32, f32 or f64 after the name");
    if (!parse_shape(next_word(&rest), line))
        return wrong(reader, "a shape such as 128x16x32x32, or -");
    const char *hex = next_word(&rest);
    if (hex == NULL || !digest_from_hex(hex, line->digest))
        return wrong(reader, "a SHA-256 after the shape");
    line->first_input = list->input_count;
    while (rest != NULL) {
        if (list->input_count == room || !parse_number(next_word(&rest), list->count, &number))
            return wrong(reader, "the numbers of earlier lines after the SHA-256");
        list->inputs[list->input_count++] = (uint32_t)number - 1;
        line->input_count++;
    }
    list->count++;
    return STATUS_OK;
}

/* The rest of a line that begins with a word and a space. */
static char *after_word(struct reader *reader, const char *word)
{
    char *line = next_line(reader);
    const size_t length = strlen(word);
    return line != NULL && strncmp(line, word, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

static bool known_arithmetic(const char *name)
{
    return name != NULL && (strcmp(name, arithmetic_version(ARITHMETIC_EXACT_1)) == 0 ||
                            strcmp(name, arithmetic_version(ARITHMETIC_EXACT_2)) == 0);
}

static enum status read_head(struct reader *reader, struct trace_file *file, uint64_t *lines)
{
    uint8_t digest[DIGEST_BYTES];
    char *line = next_line(reader);
    if (line == NULL || strcmp(line, MAGIC) != 0)
        return wrong(reader, "\"" MAGIC "\": this version of selfsame reads no other format");
    line = after_word(reader, "experiment");
    if (line == NULL || !digest_from_hex(line, digest))
        return wrong(reader, "\"experiment\" and a SHA-256");
    memcpy(file->experiment_sha256, line, sizeof file->experiment_sha256);
    line = after_word(reader, "arithmetic");
    if (!known_arithmetic(line))
        return wrong(reader, "\"arithmetic\" and exact-1 or exact-2");
    snprintf(file->arithmetic, sizeof file->arithmetic, "%s", line);
    if (!parse_number(after_word(reader, "step"), UINT32_MAX, &file->step))
        return wrong(reader, "\"step\" and its number, from 1");
    file->step--;
    line = after_word(reader, "ledger");
    if (line == NULL || !ledger_parse(line, file->step, &file->row))
        return wrong(reader, "\"ledger\" and the line of this step in ledger.txt");
    if (!parse_number(after_word(reader, "lines"), UINT32_MAX, lines))
        return wrong(reader, "\"lines\" and the number of tensors");
    return STATUS_OK;
}

static size_t count_of(const char *text, char character)
{
    size_t count = 0;
    for (; (text = strchr(text, character)) != NULL; text++)
        count++;
    return count;
}

/* The last line is left in the text, and its digest is that of all before it. */
static enum status check_end(struct reader *reader, const char *hex)
{
    const char *said = after_word(reader, "end");
    if (said == NULL)
        return wrong(reader,
                     "\"end\" and a SHA-256 as its last line: it was cut off, or has more tensors than it says");
    if (*reader->at != '\0')
        return wrong(reader, "its last line");
    if (strcmp(said, hex) != 0)
        return error_set(reader->error, STATUS_INPUT,
                         "%s:%zu: the lines before this one were changed: their SHA-256 is %s; ask for the file again, "
                         "or trace the step again",
                         reader->path, reader->number, hex);
    return STATUS_OK;
}

static enum status read_text(struct reader *reader, struct trace_file *file, char *text, size_t bytes)
{
    char hex[DIGEST_HEX_BYTES];
    uint64_t lines = 0;
    size_t last = bytes > 0 ? bytes - 1 : 0; /* where the last line begins */
    while (last > 0 && text[last - 1] != '\n')
        last--;
    sha256_hex(text, last, hex);
    const size_t lines_room = bytes / (DIGEST_HEX_BYTES - 1), inputs_room = count_of(text, ' ');
    enum status status = read_head(reader, file, &lines);
    if (status != STATUS_OK)
        return status;
    if (lines > lines_room)
        return wrong(reader, "as many tensors as fit into the file, or fewer");
    file->list.lines = calloc(lines, sizeof *file->list.lines);
    file->list.inputs = calloc(inputs_room, sizeof *file->list.inputs);
    if (file->list.lines == NULL || file->list.inputs == NULL)
        return error_out_of_memory(reader->error, "the trace %s", reader->path);
    while (status == STATUS_OK && file->list.count < lines)
        status = read_tensor(reader, &file->list, (uint32_t)inputs_room);
    return status == STATUS_OK ? check_end(reader, hex) : status;
}

enum status trace_file_read(const char *path, struct trace_file *file, struct error *error)
{
    struct reader reader = { .path = path, .error = error };
    char *text;
    size_t bytes;
    memset(file, 0, sizeof *file);
    enum status status = file_read_text(path, TRACE_FILE_LIMIT, &text, &bytes, NULL, error);
    if (status != STATUS_OK)
        return status;
    reader.at = text;
    if (strlen(text) != bytes)
        status = error_set(error, STATUS_INPUT, "%s: a NUL byte at byte %zu; a trace is a text", path, strlen(text));
    else
        status = read_text(&reader, file, text, bytes);
    free(text);
    if (status != STATUS_OK)
        trace_file_free(file);
    return status;
}

void trace_file_free(struct trace_file *file)
{
    free(file->list.lines);
    free(file->list.inputs);
    memset(file, 0, sizeof *file);
}

bool trace_file_is(const char *path)
{
    char start[sizeof "selfsame-trace "] = "";
    struct stat stat_of;
    FILE *file = stat(path, &stat_of) == 0 && S_ISREG(stat_of.st_mode) ? fopen(path, "rb") : NULL;
    if (file == NULL)
        return false;
    const bool is =
        fread(start, 1, sizeof start - 1, file) == sizeof start - 1 && memcmp(start, MAGIC, sizeof start - 1) == 0;
    fclose(file);
    return is;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static void conclude(struct trace_comparison *comparison, enum verdict verdict, const char *sentence)
{
    comparison->verdict = verdict;
    snprintf(comparison->sentence, sizeof comparison->sentence, "%s", sentence);
}

void trace_compare(const struct trace_file *a, const struct trace_file *b, struct trace_comparison *comparison)
{
    const bool same_experiment = strcmp(a->experiment_sha256, b->experiment_sha256) == 0;
    const uint32_t part = trace_lines_part(&a->list, &b->list);
    memset(comparison, 0, sizeof *comparison);
    if (strcmp(a->arithmetic, b->arithmetic) != 0) {
        conclude(comparison, VERDICT_NOT_COMPARABLE, "the arithmetics differ");
        return;
    }
    if (a->step != b->step) {
        conclude(comparison, VERDICT_NOT_COMPARABLE, "the traces are of different steps");
        return;
    }
    if (part < a->list.count || part < b->list.count) {
        conclude(comparison, same_experiment ? VERDICT_NOT_COMPARABLE : VERDICT_OTHER_EXPERIMENT,
                 same_experiment ? "the traces list other tensors: trace both with one version of selfsame"
                                 : "the experiment digests differ, and so do the networks");
        return;
    }
    comparison->root_count =
        trace_roots(&a->list, &b->list, comparison->roots, TRACE_ROOTS_MAX, &comparison->differing);
    if (!same_experiment)
        conclude(comparison, VERDICT_OTHER_EXPERIMENT, "the experiment digests differ");
    else if (comparison->differing > 0)
        snprintf(comparison->sentence, sizeof comparison->sentence, "%s is the first tensor that differs",
                 a->list.lines[comparison->roots[0]].name);
    else if (ledger_difference(&a->row, &b->row) != NULL)
        conclude(comparison, VERDICT_MALFORMED, "the tensors agree, and the lines of the ledger do not");
    else
        conclude(comparison, VERDICT_IDENTICAL, "every tensor of the step agrees");
    if (same_experiment && comparison->differing > 0)
        comparison->verdict = VERDICT_DIFFERS;
}
