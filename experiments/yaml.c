#include "experiments/yaml.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reading {
    yaml_parser_t parser;
    const char *text, *name;
    size_t bytes, level;
    struct error *error;
};

void node_free(struct node *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->count; i++)
        node_free(node->children[i]);
    free(node->children);
    free(node->file);
    free(node->key);
    free(node->text);
    free(node);
}

static struct node *new_node(enum node_kind kind, const struct reading *reading, size_t line)
{
    struct node *node = calloc(1, sizeof *node);
    if (node == NULL)
        return NULL;
    node->kind = kind;
    node->line = line;
    node->level = reading->level;
    node->file = strdup(reading->name);
    if (node->file == NULL) {
        free(node);
        return NULL;
    }
    return node;
}

/* Takes over child; false without memory, and child is freed. */
static int append(struct node *parent, struct node *child)
{
    struct node **children = realloc(parent->children, (parent->count + 1) * sizeof *children);
    if (children == NULL) {
        node_free(child);
        return 0;
    }
    parent->children = children;
    children[parent->count++] = child;
    return 1;
}

static enum status refuse(struct reading *reading, size_t line, const char *what)
{
    return error_set(reading->error, STATUS_INPUT, "%s:%zu: %s", reading->name, line, what);
}

/* A tab where YAML wants spaces: in what a line begins with, marks of list entries included, from the given line (from
 * 0) to the next one that is not blank. libyaml's own message does not name the tab, and not always its line. */
static bool find_tab(const struct reading *reading, size_t from, size_t *line, size_t *column)
{
    const char *text = reading->text, *end = text + reading->bytes;
    for (size_t number = 0; text < end; number++) {
        const char *spaces = text, *blank, *next = memchr(text, '\n', (size_t)(end - text));
        while (spaces < end && (*spaces == ' ' || *spaces == '-'))
            spaces++;
        for (blank = spaces; blank < end && (*blank == ' ' || *blank == '-' || *blank == '\t');)
            blank++;
        if (number >= from && spaces < end && *spaces == '\t') {
            *line = number + 1;
            *column = (size_t)(spaces - text) + 1;
            return true;
        }
        if (next == NULL || (number >= from && blank < next))
            return false;
        text = next + 1;
    }
    return false;
}

static enum status next_event(struct reading *reading, yaml_event_t *event)
{
    if (yaml_parser_parse(&reading->parser, event))
        return STATUS_OK;
    const yaml_parser_t *parser = &reading->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return error_out_of_memory(reading->error, "%s", reading->name);
    if (parser->error == YAML_READER_ERROR)
        return error_set(reading->error, STATUS_INPUT, "%s: byte %zu: not valid UTF-8 text: %s", reading->name,
                         parser->problem_offset, parser->problem != NULL ? parser->problem : "unreadable");
    size_t line, column;
    if (find_tab(reading, parser->problem_mark.line, &line, &column))
        return error_set(reading->error, STATUS_INPUT,
                         "%s:%zu: column %zu is a tab; use spaces: YAML does not indent with tabs", reading->name, line,
                         column);
    char context[128] = "";
    if (parser->context != NULL)
        snprintf(context, sizeof context, " %s that begins in line %zu", parser->context,
                 parser->context_mark.line + 1);
    return error_set(reading->error, STATUS_INPUT, "%s:%zu: not valid YAML: %s%s", reading->name,
                     parser->problem_mark.line + 1, parser->problem != NULL ? parser->problem : "unreadable", context);
}

static enum status read_node(struct reading *reading, yaml_event_t *event, int depth, struct node **node);

static enum status read_scalar(struct reading *reading, const yaml_event_t *event, struct node **node)
{
    size_t line = event->start_mark.line + 1, length = event->data.scalar.length;
    const char *value = (const char *)event->data.scalar.value;
    if (event->data.scalar.anchor != NULL)
        return refuse(reading, line, "anchors are not allowed; use inherit to share settings");
    if (event->data.scalar.tag != NULL)
        return refuse(reading, line, "tags are not allowed; write the value plainly");
    if (memchr(value, '\0', length) != NULL)
        return refuse(reading, line, "a NUL character in a value");
    *node = new_node(NODE_SCALAR, reading, line);
    if (*node != NULL)
        (*node)->text = strdup(value);
    if (*node == NULL || (*node)->text == NULL)
        return error_out_of_memory(reading->error, "%s", reading->name);
    (*node)->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return STATUS_OK;
}

static enum status check_key(struct reading *reading, const yaml_event_t *event, size_t line)
{
    if (event->type != YAML_SCALAR_EVENT)
        return refuse(reading, line, "a key must be plain text");
    if (event->data.scalar.anchor != NULL)
        return refuse(reading, line, "anchors are not allowed; use inherit to share settings");
    if (event->data.scalar.tag != NULL)
        return refuse(reading, line, "tags are not allowed; write the key plainly");
    if (event->data.scalar.length == 0)
        return refuse(reading, line, "an empty key");
    if (memchr(event->data.scalar.value, '\0', event->data.scalar.length) != NULL)
        return refuse(reading, line, "a NUL character in a key");
    return STATUS_OK;
}

/* The children of a map or list, up to its end event. */
static enum status read_children(struct reading *reading, struct node *parent, yaml_event_type_t end, int depth)
{
    for (;;) {
        yaml_event_t event;
        char *key = NULL;
        struct node *child = NULL;
        enum status status = next_event(reading, &event);
        if (status != STATUS_OK)
            return status;
        if (event.type == end) {
            yaml_event_delete(&event);
            return STATUS_OK;
        }
        if (parent->kind == NODE_MAP) {
            size_t line = event.start_mark.line + 1;
            status = check_key(reading, &event, line);
            if (status != STATUS_OK) {
                yaml_event_delete(&event);
                return status;
            }
            key = strdup((const char *)event.data.scalar.value);
            yaml_event_delete(&event);
            if (key == NULL)
                return error_out_of_memory(reading->error, "%s", reading->name);
            struct node *twin = node_get(parent, key);
            if (twin != NULL) {
                status =
                    error_set(reading->error, STATUS_INPUT, "%s:%zu: %.200s: this key was given already in line %zu",
                              reading->name, line, key, twin->line);
                free(key);
                return status;
            }
            status = next_event(reading, &event);
            if (status != STATUS_OK) {
                free(key);
                return status;
            }
        }
        if (parent->count == NODE_CHILDREN_MAX)
            status = refuse(reading, event.start_mark.line + 1, "too many entries for a manifest");
        else
            status = read_node(reading, &event, depth + 1, &child);
        yaml_event_delete(&event);
        if (child != NULL)
            child->key = key;
        else
            free(key);
        if (status != STATUS_OK) {
            node_free(child);
            return status;
        }
        if (!append(parent, child))
            return error_out_of_memory(reading->error, "%s", reading->name);
    }
}

static enum status read_node(struct reading *reading, yaml_event_t *event, int depth, struct node **node)
{
    size_t line = event->start_mark.line + 1;
    *node = NULL;
    if (depth > NODE_DEPTH_MAX)
        return refuse(reading, line, "nested too deeply");
    if (event->type == YAML_ALIAS_EVENT)
        return refuse(reading, line, "aliases are not allowed; use inherit to share settings");
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(reading, event, node);
    int map = event->type == YAML_MAPPING_START_EVENT;
    if (!map && event->type != YAML_SEQUENCE_START_EVENT)
        return refuse(reading, line, "a value was expected here");
    if ((map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor) != NULL)
        return refuse(reading, line, "anchors are not allowed; use inherit to share settings");
    if ((map ? event->data.mapping_start.tag : event->data.sequence_start.tag) != NULL)
        return refuse(reading, line, "tags are not allowed; write the value plainly");
    *node = new_node(map ? NODE_MAP : NODE_LIST, reading, line);
    if (*node == NULL)
        return error_out_of_memory(reading->error, "%s", reading->name);
    return read_children(reading, *node, map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, depth);
}

/* Skips to the event that begins the document's content, or ends the stream. */
static enum status read_stream(struct reading *reading, struct node **root)
{
    int documents = 0;
    for (;;) {
        yaml_event_t event;
        enum status status = next_event(reading, &event);
        if (status != STATUS_OK)
            return status;
        yaml_event_type_t type = event.type;
        size_t line = event.start_mark.line + 1;
        if (type == YAML_DOCUMENT_START_EVENT && documents++ > 0)
            status = refuse(reading, line, "a second document; a manifest is one");
        else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                 type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT)
            status = read_node(reading, &event, 0, root);
        yaml_event_delete(&event);
        if (status != STATUS_OK || type == YAML_STREAM_END_EVENT)
            return status;
    }
}

enum status node_parse(const char *text, size_t bytes, const char *name, size_t level, struct node **root,
                       struct error *error)
{
    struct reading reading = { .text = text, .bytes = bytes, .name = name, .level = level, .error = error };
    *root = NULL;
    if (bytes > NODE_BYTES_MAX)
        return error_set(error, STATUS_INPUT, "%s: over %d bytes; a manifest is a page of text", name, NODE_BYTES_MAX);
    if (!yaml_parser_initialize(&reading.parser))
        return error_out_of_memory(error, "%s", name);
    yaml_parser_set_encoding(&reading.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reading.parser, (const unsigned char *)text, bytes);
    enum status status = read_stream(&reading, root);
    yaml_parser_delete(&reading.parser);
    if (status == STATUS_OK && *root != NULL && (*root)->kind == NODE_SCALAR && (*root)->text[0] == '\0' &&
        !(*root)->quoted) {
        node_free(*root); /* nothing but comments */
        *root = NULL;
    }
    if (status == STATUS_OK && *root == NULL && (*root = new_node(NODE_MAP, &reading, 1)) == NULL)
        status = error_out_of_memory(error, "%s", name);
    if (status == STATUS_OK && (*root)->kind != NODE_MAP)
        status = error_set(error, STATUS_INPUT, "%s:%zu: a manifest is a map of keys and values", name, (*root)->line);
    if (status != STATUS_OK) {
        node_free(*root);
        *root = NULL;
    }
    return status;
}

static size_t place_of(const struct node *map, const char *key)
{
    size_t i = 0;
    while (i < map->count && strcmp(map->children[i]->key, key) != 0)
        i++;
    return i;
}

struct node *node_get(const struct node *map, const char *key)
{
    if (map == NULL || map->kind != NODE_MAP)
        return NULL;
    size_t place = place_of(map, key);
    return place < map->count ? map->children[place] : NULL;
}

struct node *node_take(struct node *map, const char *key)
{
    if (map == NULL || map->kind != NODE_MAP)
        return NULL;
    size_t place = place_of(map, key);
    if (place == map->count)
        return NULL;
    struct node *child = map->children[place];
    memmove(&map->children[place], &map->children[place + 1], (map->count - place - 1) * sizeof *map->children);
    map->count--;
    return child;
}

struct node *node_merge(struct node *base, struct node *over)
{
    if (base == NULL || over == NULL || base->kind != NODE_MAP || over->kind != NODE_MAP) {
        if (over == NULL)
            return base;
        node_free(base);
        return over;
    }
    for (size_t i = 0; i < over->count; i++) { /* in their order, in which mistakes are reported */
        struct node *child = over->children[i], *merged;
        over->children[i] = NULL;
        merged = node_merge(node_take(base, child->key), child);
        if (merged == NULL || !append(base, merged)) {
            node_free(base);
            node_free(over);
            return NULL;
        }
    }
    node_free(over);
    return base;
}
