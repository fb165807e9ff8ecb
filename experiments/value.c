#include "experiments/value.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum status value_error(const struct node *node, const char *path, struct error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, STATUS_INPUT, format, arguments);
    va_end(arguments);
    return error_prefix(error, "%s:%zu: %s", node->file, node->line, path);
}

/* The shortest decimal that reads back as the same binary64; with a point before an exponent, since readers of YAML 1.1
 * take 1e-05 for a text and 1.0e-05 for a number. */
static void format_real(double value, char text[32])
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    char *exponent = strchr(text, 'e');
    if (exponent != NULL && strchr(text, '.') == NULL) {
        memmove(exponent + 2, exponent, strlen(exponent) + 1);
        exponent[0] = '.';
        exponent[1] = '0';
    }
}

static enum status parse_number(const struct schema_key *key, const char *path, const struct node *node, bool whole,
                                double *number, struct error *error)
{
    const char *text = node->kind == NODE_SCALAR ? node->text : "";
    char *end, bounds[SCHEMA_BOUNDS_BYTES];
    if (node->kind != NODE_SCALAR || node->quoted || text[0] == '\0' ||
        text[strspn(text, whole ? "0123456789" : "+-.0123456789eE")] != '\0')
        return value_error(node, path, error, "must be a %s, not %s%.60s%s", whole ? "whole number" : "number",
                           node->kind == NODE_SCALAR ? "'" : "a list or section", text,
                           node->kind == NODE_SCALAR ? "'" : "");
    *number = strtod(text, &end) + 0.0; /* -0 becomes 0 */
    if (*end != '\0' || !isfinite(*number))
        return value_error(node, path, error, "'%.60s' is not a number", text);
    if (*number < key->low || *number > key->high) {
        schema_print_bounds(key, bounds);
        return value_error(node, path, error, "%.60s is out of bounds; it must be %s", text, bounds);
    }
    return STATUS_OK;
}

static enum status parse_numbers(struct setting *setting, const char *path, const struct node *node,
                                 struct error *error)
{
    const bool list = setting->key->type == VALUE_INTEGERS || setting->key->type == VALUE_REALS;
    const bool whole = setting->key->type == VALUE_INTEGER || setting->key->type == VALUE_INTEGERS;
    if (list && node->kind != NODE_LIST)
        return value_error(node, path, error, "must be a list, such as [1, 2]");
    if (list && node->count > SETTING_NUMBERS_MAX)
        return value_error(node, path, error, "has %zu entries; at most %d are taken", node->count,
                           SETTING_NUMBERS_MAX);
    char text[SETTING_NUMBERS_MAX * 32] = "";
    size_t used = 0;
    setting->count = list ? node->count : 1;
    for (size_t i = 0; i < setting->count; i++) {
        char number[32];
        enum status status =
            parse_number(setting->key, path, list ? node->children[i] : node, whole, &setting->numbers[i], error);
        if (status != STATUS_OK)
            return status;
        if (whole)
            snprintf(number, sizeof number, "%" PRIu64, (uint64_t)setting->numbers[i]);
        else
            format_real(setting->numbers[i], number);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : "", number);
    }
    setting->text = strdup(text);
    return setting->text != NULL ? STATUS_OK : error_out_of_memory(error, "the value of %s", path);
}

static enum status check_word(const struct schema_key *key, const char *path, const struct node *node,
                              struct error *error)
{
    const char *text = node->text;
    char words[SCHEMA_WORDS_BYTES], bounds[SCHEMA_BOUNDS_BYTES];
    schema_print_words(key->choices, words);
    schema_print_bounds(key, bounds);
    switch (key->type) {
    case VALUE_CHOICE:
        if (schema_find_choice(key->choices, text) == NULL)
            return value_error(node, path, error, "'%.60s' is not one of %s", text, words);
        break;
    case VALUE_BOOLEAN:
        if (node->quoted || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
            return value_error(node, path, error, "must be true or false, not '%.60s'", text);
        break;
    case VALUE_DIGEST:
        if (schema_find_choice(key->choices, text) != NULL)
            break;
        if (strlen(text) != 64 || text[strspn(text, "0123456789abcdef")] != '\0')
            return value_error(node, path, error, "must be 64 lower-case hex digits%s%s",
                               key->choices != NULL ? " or " : "", words);
        break;
    case VALUE_HEX:
        if (strlen(text) < (size_t)key->low || strlen(text) > (size_t)key->high ||
            text[strspn(text, "0123456789abcdef")] != '\0')
            return value_error(node, path, error, "must be %s lower-case hex digits", bounds);
        break;
    case VALUE_NAME:
        if (text[0] == '\0' || text[0] == '.' || text[0] == '-' || strlen(text) > 64 ||
            text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] != '\0')
            return value_error(
                node, path, error,
                "'%.80s' is not a name; a name has up to 64 letters, digits, '.', '_' and '-', and does not begin "
                "with '.' or '-'",
                text);
        break;
    default:
        if (strlen(text) > SCHEMA_TEXT_BYTES_MAX)
            return value_error(node, path, error, "has %zu bytes; at most %d are taken", strlen(text),
                               SCHEMA_TEXT_BYTES_MAX);
        if (!text_is_plain(text, ""))
            return value_error(node, path, error, "must be one line without control or invisible characters");
    }
    return STATUS_OK;
}

/* Of a URL only what a program needs to know before it asks for it: curl reads the rest. */
static enum status check_url(const char *path, const struct node *node, struct error *error)
{
    static const char *const schemes[] = { "https://", "http://", "file:///" };
    const char *text = node->kind == NODE_SCALAR ? node->text : "";
    bool known = false;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        known = known || (strncmp(text, schemes[i], strlen(schemes[i])) == 0 && text[strlen(schemes[i])] != '\0');
    if (!known)
        return value_error(node, path, error, "must begin with https://, http:// or file:///, not '%.60s'", text);
    if (strlen(text) > SCHEMA_TEXT_BYTES_MAX)
        return value_error(node, path, error, "has %zu bytes; at most %d are taken", strlen(text),
                           SCHEMA_TEXT_BYTES_MAX);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || *c == '\'' || *c == '"')
            return value_error(node, path, error,
                               "has a blank, a quote or a character outside ASCII; write those as %%20 and so on");
    }
    return STATUS_OK;
}

static enum status parse_urls(struct setting *setting, const char *path, const struct node *node, struct error *error)
{
    if (node->kind != NODE_LIST || node->count == 0)
        return value_error(node, path, error, "must be a list of URLs, such as [\"https://example.org/file\"]");
    if (node->count > (size_t)setting->key->high)
        return value_error(node, path, error, "has %zu entries; at most %.0f are taken", node->count,
                           setting->key->high);
    setting->count = node->count;
    for (size_t i = 0; i < node->count; i++) {
        enum status status = check_url(path, node->children[i], error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* "metric, value, tolerance and source" */
static void list_keys(const struct schema_list *list, char text[256])
{
    size_t used = 0;
    for (size_t k = 0; k < list->key_count; k++)
        used += (size_t)snprintf(text + used, 256 - used, "%s%s",
                                 k == 0                     ? ""
                                 : k + 1 == list->key_count ? " and "
                                                            : ", ",
                                 list->keys[k].path);
}

static enum status parse_entry(struct setting *settings, const struct schema_list *list, const char *path, size_t place,
                               const struct node *entry, struct error *error)
{
    char keys[256], where[VALUE_PATH_BYTES];
    list_keys(list, keys);
    if (entry->kind != NODE_MAP)
        return value_error(entry, path, error, "entry %zu must be a map of %s", place + 1, keys);
    for (size_t i = 0; i < entry->count; i++) {
        size_t k = 0;
        while (k < list->key_count && strcmp(list->keys[k].path, entry->children[i]->key) != 0)
            k++;
        if (k == list->key_count)
            return value_error(entry->children[i], path, error, "unknown key '%.64s'; an entry has %s",
                               entry->children[i]->key, keys);
    }
    for (size_t k = 0; k < list->key_count; k++) {
        const struct node *node = node_get(entry, list->keys[k].path);
        settings[k].key = &list->keys[k];
        snprintf(where, sizeof where, "%s[%zu].%s", path, place, list->keys[k].path);
        if (node == NULL && list->keys[k].required)
            return value_error(entry, where, error, "is missing: %s", list->keys[k].help);
        enum status status = node == NULL ? STATUS_OK : value_parse(&settings[k], where, node, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status parse_maps(struct setting *setting, const char *path, const struct node *node, struct error *error)
{
    const struct schema_list *list = schema_list(setting->key);
    if (node->kind != NODE_LIST)
        return value_error(node, path, error, "must be a list of maps");
    if (node->count > (size_t)setting->key->high)
        return value_error(node, path, error, "has %zu entries; at most %.0f are taken", node->count,
                           setting->key->high);
    setting->entries = calloc(node->count * list->key_count + 1, sizeof *setting->entries);
    if (setting->entries == NULL)
        return error_out_of_memory(error, "the value of %s", path);
    setting->count = node->count;
    for (size_t i = 0; i < node->count; i++) {
        enum status status =
            parse_entry(setting->entries + i * list->key_count, list, path, i, node->children[i], error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status value_parse(struct setting *setting, const char *path, const struct node *node, struct error *error)
{
    enum value_type type = setting->key->type;
    setting->given = true;
    setting->node = node;
    if (type == VALUE_INTEGER || type == VALUE_REAL || type == VALUE_INTEGERS || type == VALUE_REALS)
        return parse_numbers(setting, path, node, error);
    if (type == VALUE_URLS)
        return parse_urls(setting, path, node, error);
    if (type == VALUE_MAPS)
        return parse_maps(setting, path, node, error);
    if (node->kind != NODE_SCALAR)
        return value_error(node, path, error, "must be a single value, not a list or section");
    enum status status = check_word(setting->key, path, node, error);
    if (status != STATUS_OK)
        return status;
    if (type == VALUE_CHOICE)
        setting->choice = schema_find_choice(setting->key->choices, node->text)->meaning;
    setting->text = strdup(node->text);
    return setting->text != NULL ? STATUS_OK : error_out_of_memory(error, "the value of %s", path);
}

void value_print(FILE *file, const struct setting *setting)
{
    switch (setting->key->type) {
    case VALUE_INTEGERS:
    case VALUE_REALS:
        fprintf(file, "[%s]", setting->text);
        break;
    case VALUE_URLS:
        for (size_t i = 0; i < setting->count; i++)
            fprintf(file, "%s'%s'", i == 0 ? "[" : ", ", setting->node->children[i]->text);
        fputc(']', file);
        break;
    case VALUE_HEX: /* quoted: to other readers of YAML 12345678 and 1234e567 are numbers */
    case VALUE_TEXT:
        fputc('\'', file);
        for (const char *c = setting->text; *c != '\0'; c++)
            fputs(*c == '\'' ? "''" : (char[]){ *c, '\0' }, file);
        fputc('\'', file);
        break;
    default:
        fputs(setting->text, file);
    }
}
