#include "results/run_query.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *run_query_sql(const struct run_column *column, char sql[QUERY_SQL_BYTES])
{
    if (column->source == FROM_FOLDER)
        snprintf(sql, QUERY_SQL_BYTES, "(?1 || run.\"run\")");
    else
        snprintf(sql, QUERY_SQL_BYTES, "run.\"%s\"", column->source == FROM_COLUMN ? column->same : column->name);
    return sql;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_SIGN };

struct token {
    enum token_kind kind;
    const char *at;
    size_t length; /* with the quotes of a text */
};

struct parser {
    const char *text, *next;
    struct token token; /* the one that is looked at */
    unsigned nesting, comparisons;
    struct run_query *query;
    FILE *sql;
    struct error *error;
};

/* The place of the token in the text: its character, from 1. */
static size_t place(const struct parser *parser)
{
    size_t character = 1;
    for (const char *c = parser->text; c < parser->token.at; c++)
        character += ((unsigned char)*c & 0xc0) != 0x80;
    return character;
}

static enum status unexpected(const struct parser *parser, const char *wanted)
{
    const struct token *token = &parser->token;
    if (token->kind == TOKEN_END)
        return error_set(parser->error, STATUS_INPUT, "--where, character %zu: expected %s, but there the text ends",
                         place(parser), wanted);
    return error_set(parser->error, STATUS_INPUT, "--where, character %zu: expected %s, but there is: %.*s",
                     place(parser), wanted, token->length > 60 ? 60 : (int)token->length, token->at);
}

static size_t number_length(const char *text)
{
    size_t i = text[0] == '-' || text[0] == '+', digits = strspn(text + i, "0123456789");
    i += digits;
    if (text[i] == '.') {
        const size_t more = strspn(text + i + 1, "0123456789");
        digits += more;
        i += 1 + more;
    }
    if (digits == 0)
        return 0;
    if (text[i] == 'e' || text[i] == 'E') {
        const size_t sign = text[i + 1] == '-' || text[i + 1] == '+', more = strspn(text + i + 1 + sign, "0123456789");
        i += more > 0 ? 1 + sign + more : 0;
    }
    return i;
}

static const char word_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

static enum status advance(struct parser *parser)
{
    static const char *const signs[] = { "==", "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")" };
    const char *at = parser->next + strspn(parser->next, " \t\n\r");
    struct token *token = &parser->token;
    *token = (struct token){ .kind = TOKEN_END, .at = at };
    if (*at == '\'' || *at == '"') {
        const char *end = at + 1;
        while (*end != '\0' && (*end != *at || end[1] == *at))
            end += *end == *at ? 2 : 1;
        token->kind = TOKEN_TEXT;
        token->length = (size_t)(end - at);
        if (*end == '\0')
            return unexpected(parser, *at == '"' ? "a text that ends with \"" : "a text that ends with '");
        token->length++;
    } else if ((token->length = number_length(at)) > 0) {
        token->kind = TOKEN_NUMBER;
        if (strchr(word_letters, at[token->length]) != NULL && at[token->length] != '\0') {
            token->length += strspn(at + token->length, word_letters);
            return unexpected(parser, "a number or a name");
        }
    } else if ((token->length = strspn(at, word_letters)) > 0) {
        token->kind = TOKEN_WORD;
    } else if (*at != '\0') {
        token->kind = TOKEN_SIGN;
        for (size_t i = 0; token->length == 0 && i < sizeof signs / sizeof *signs; i++)
            token->length = strncmp(at, signs[i], strlen(signs[i])) == 0 ? strlen(signs[i]) : 0;
        if (token->length == 0) {
            token->length = 1;
            while (((unsigned char)at[token->length] & 0xc0) == 0x80)
                token->length++;
            return unexpected(parser, "a column, an operator, a number or a text in quotes");
        }
    }
    parser->next = at + token->length;
    return STATUS_OK;
}

static bool is(const struct parser *parser, const char *word)
{
    const struct token *token = &parser->token;
    return (token->kind == TOKEN_WORD || token->kind == TOKEN_SIGN) && strlen(word) == token->length &&
           strncasecmp(token->at, word, token->length) == 0;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static size_t add_value(struct parser *parser, char *text, double number)
{
    struct run_query *query = parser->query;
    assert(query->value_count < QUERY_VALUES_MAX);
    query->values[query->value_count] = (struct query_value){ .text = text, .number = number };
    return ++query->value_count + 1; /* ?1 is the folder */
}

/* What stands between the quotes of the text token, which the caller frees. */
static char *unquoted(const struct token *token)
{
    char *text = malloc(token->length), *to = text;
    if (text == NULL)
        return NULL;
    for (size_t i = 1; i + 1 < token->length; i++) {
        *to++ = token->at[i];
        i += token->at[i] == token->at[0]; /* a doubled quote */
    }
    *to = '\0';
    return text;
}

static enum status take_text(struct parser *parser, const struct run_column *column, bool *is_empty, size_t *index)
{
    char wanted[96];
    if (parser->token.kind != TOKEN_TEXT) {
        snprintf(wanted, sizeof wanted, "a text in quotes, since %s is %s", column->name,
                 column->type == RUN_COLUMN_DIGEST ? "a digest" : "a text");
        return unexpected(parser, wanted);
    }
    char *text = unquoted(&parser->token);
    if (text == NULL)
        return error_out_of_memory(parser->error, "--where");
    const size_t length = strlen(text);
    *is_empty = length == 0;
    if (column->type == RUN_COLUMN_DIGEST) {
        for (char *c = text; *c != '\0'; c++)
            *c = (char)tolower((unsigned char)*c);
        if (length < 4 || length > 64 || strspn(text, "0123456789abcdef") != length) {
            free(text);
            return unexpected(parser, "4 to 64 hexadecimal digits in quotes, the first ones of a digest");
        }
    }
    *index = add_value(parser, text, 0.0);
    return STATUS_OK;
}

static enum status take_number(struct parser *parser, const struct run_column *column, double *number)
{
    char wanted[96], text[400];
    const struct token *token = &parser->token;
    if (token->kind != TOKEN_NUMBER || token->length >= sizeof text) {
        snprintf(wanted, sizeof wanted, "a number, since %s is one", column->name);
        return unexpected(parser, wanted);
    }
    snprintf(text, sizeof text, "%.*s", (int)token->length, token->at);
    *number = strtod(text, NULL);
    return isfinite(*number) ? STATUS_OK : unexpected(parser, "a number that is not that large");
}

/* ---- comparisons ------------------------------------------------------------------------------------------------- */

enum comparison { EQUAL, UNEQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, LIKE, CONTAINS };
static const char *const sql_signs[] = {
    [EQUAL] = "=", [UNEQUAL] = "<>", [LESS] = "<", [LESS_EQUAL] = "<=", [GREATER] = ">", [GREATER_EQUAL] = ">="
};

/* negated: of "not like" and "not contains". */
static enum status take_operator(struct parser *parser, const struct run_column *column, enum comparison *comparison,
                                 bool *negated)
{
    static const struct {
        const char *word;
        enum comparison comparison;
    } operators[] = {
        { "=", EQUAL },       { "==", EQUAL },  { "!=", UNEQUAL },       { "<>", UNEQUAL }, { "<", LESS },
        { "<=", LESS_EQUAL }, { ">", GREATER }, { ">=", GREATER_EQUAL }, { "like", LIKE },  { "contains", CONTAINS },
    };
    static const char *const wanted[] = {
        [RUN_COLUMN_TEXT] = "=, !=, <, <=, >, >=, like or contains",
        [RUN_COLUMN_INTEGER] = "=, !=, <, <=, > or >=",
        [RUN_COLUMN_REAL] = "=, !=, <, <=, > or >=",
        [RUN_COLUMN_DIGEST] = "= or !=",
        [RUN_COLUMN_TAGS] = "=, !=, like or contains",
    };
    enum status status;
    *negated = is(parser, "not");
    if (*negated && (status = advance(parser)) != STATUS_OK)
        return status;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        *comparison = operators[i].comparison;
        const bool words = *comparison == LIKE || *comparison == CONTAINS,
                   order = !words && *comparison != EQUAL && *comparison != UNEQUAL;
        if (is(parser, operators[i].word) && (words || !*negated) &&
            !(words && column->type != RUN_COLUMN_TEXT && column->type != RUN_COLUMN_TAGS) &&
            !(order && (column->type == RUN_COLUMN_DIGEST || column->type == RUN_COLUMN_TAGS)))
            return advance(parser);
    }
    return unexpected(parser, *negated ? "like or contains" : wanted[column->type]);
}

static void put_text_comparison(FILE *sql, const char *value, enum comparison comparison, size_t index)
{
    if (comparison == LIKE)
        fprintf(sql, "%s LIKE ?%zu", value, index);
    else if (comparison == CONTAINS)
        fprintf(sql, "instr(lower(%s), lower(?%zu)) > 0", value, index);
    else
        fprintf(sql, "%s %s ?%zu", value, sql_signs[comparison], index);
}

static void put_tag_comparison(FILE *sql, enum comparison comparison, bool is_empty, size_t index)
{
    if (is_empty && (comparison == EQUAL || comparison == UNEQUAL)) {
        fprintf(sql, "run.\"tags\" %s ?%zu", sql_signs[comparison], index);
        return;
    }
    fprintf(sql, "%sEXISTS (SELECT 1 FROM tag WHERE tag.run = run.\"run\" AND ", comparison == UNEQUAL ? "NOT " : "");
    put_text_comparison(sql, "tag.tag", comparison == UNEQUAL ? EQUAL : comparison, index);
    fputc(')', sql);
}

static enum status put_number_comparison(struct parser *parser, const struct run_column *column, const char *value,
                                         enum comparison comparison)
{
    double number = 0.0;
    enum status status = take_number(parser, column, &number);
    if (status != STATUS_OK)
        return status;
    const double slack = column->type == RUN_COLUMN_REAL ? 1e-9 * fmax(1.0, fabs(number)) : 0.0;
    if (comparison == EQUAL || comparison == UNEQUAL) {
        const size_t low = add_value(parser, NULL, number - slack), high = add_value(parser, NULL, number + slack);
        fprintf(parser->sql, "%s %sBETWEEN ?%zu AND ?%zu", value, comparison == EQUAL ? "" : "NOT ", low, high);
    } else {
        const bool low = comparison == LESS || comparison == GREATER_EQUAL;
        fprintf(parser->sql, "%s %s ?%zu", value, sql_signs[comparison],
                add_value(parser, NULL, low ? number - slack : number + slack));
    }
    return STATUS_OK;
}

static enum status parse_comparison(struct parser *parser)
{
    char name[64], sql[QUERY_SQL_BYTES], problem[ERROR_MESSAGE_BYTES / 2];
    const struct token *token = &parser->token;
    enum comparison comparison;
    bool negated, is_empty = false;
    size_t index = 0;
    if (token->kind != TOKEN_WORD)
        return unexpected(parser, "a column");
    if (parser->comparisons++ == QUERY_COMPARISONS_MAX)
        return error_set(parser->error, STATUS_INPUT, "--where has more than the %d comparisons that it may have",
                         QUERY_COMPARISONS_MAX);
    snprintf(name, sizeof name, "%.*s", token->length < sizeof name ? (int)token->length : 63, token->at);
    const struct run_column *column = run_column_find(name);
    if (column == NULL) {
        run_column_unknown(name, problem, sizeof problem);
        return error_set(parser->error, STATUS_INPUT, "--where, character %zu: %s", place(parser), problem);
    }
    enum status status = advance(parser);
    if (status == STATUS_OK)
        status = take_operator(parser, column, &comparison, &negated);
    if (status != STATUS_OK)
        return status;
    (void)run_query_sql(column, sql);
    fprintf(parser->sql, "%scoalesce(", negated ? "NOT " : "");
    if (column->type == RUN_COLUMN_INTEGER || column->type == RUN_COLUMN_REAL) {
        status = put_number_comparison(parser, column, sql, comparison);
    } else if ((status = take_text(parser, column, &is_empty, &index)) == STATUS_OK) {
        if (column->type == RUN_COLUMN_TAGS)
            put_tag_comparison(parser->sql, comparison, is_empty, index);
        else if (column->type == RUN_COLUMN_DIGEST)
            fprintf(parser->sql, "substr(%s, 1, length(?%zu)) %s ?%zu", sql, index, sql_signs[comparison], index);
        else
            put_text_comparison(parser->sql, sql, comparison, index);
    }
    fputs(", 0)", parser->sql);
    return status == STATUS_OK ? advance(parser) : status;
}

/* ---- expressions ------------------------------------------------------------------------------------------------- */

static enum status parse_or(struct parser *parser);

static enum status parse_not(struct parser *parser)
{
    enum status status;
    const bool negation = is(parser, "not"), group = is(parser, "(");
    if (!negation && !group)
        return parse_comparison(parser);
    if (++parser->nesting > QUERY_NESTING_MAX)
        return unexpected(parser, "less nesting of 'not' and parentheses");
    status = advance(parser);
    fputs(negation ? "NOT (" : "(", parser->sql);
    if (status == STATUS_OK)
        status = negation ? parse_not(parser) : parse_or(parser);
    if (status == STATUS_OK && group)
        status = is(parser, ")") ? advance(parser) : unexpected(parser, "and, or or )");
    fputc(')', parser->sql);
    parser->nesting--;
    return status;
}

static enum status parse_and(struct parser *parser)
{
    enum status status = parse_not(parser);
    while (status == STATUS_OK && is(parser, "and")) {
        fputs(" AND ", parser->sql);
        status = advance(parser);
        if (status == STATUS_OK)
            status = parse_not(parser);
    }
    return status;
}

static enum status parse_or(struct parser *parser)
{
    enum status status = parse_and(parser);
    while (status == STATUS_OK && is(parser, "or")) {
        fputs(" OR ", parser->sql);
        status = advance(parser);
        if (status == STATUS_OK)
            status = parse_and(parser);
    }
    return status;
}

static enum status parse_where(struct run_query *query, const char *text, struct error *error)
{
    struct parser parser = { .text = text, .next = text, .query = query, .error = error };
    size_t size;
    if (strlen(text) > QUERY_BYTES_MAX)
        return error_set(error, STATUS_INPUT, "--where has more than the %d bytes that it may have", QUERY_BYTES_MAX);
    parser.sql = open_memstream(&query->where, &size);
    if (parser.sql == NULL)
        return error_out_of_memory(error, "--where");
    enum status status = advance(&parser);
    if (status == STATUS_OK)
        status = parse_or(&parser);
    if (status == STATUS_OK && parser.token.kind != TOKEN_END)
        status = unexpected(&parser, "and, or or the end");
    if (fclose(parser.sql) != 0 && status == STATUS_OK)
        status = error_out_of_memory(error, "--where");
    return status;
}

/* ---- lists of columns -------------------------------------------------------------------------------------------- */

/* Splits a list at its commas. *list is what is left; the word has no blanks around it. */
static void next_word(const char **list, char *word, size_t size)
{
    const char *from = *list + strspn(*list, " ");
    size_t length = strcspn(from, ",");
    *list = from + length + (from[length] == ',');
    while (length > 0 && from[length - 1] == ' ')
        length--;
    snprintf(word, size, "%.*s", length < size ? (int)length : (int)size - 1, from);
}

static enum status unknown_column(const char *option, const char *name, struct error *error)
{
    char problem[ERROR_MESSAGE_BYTES / 2];
    run_column_unknown(name, problem, sizeof problem);
    return error_set(error, STATUS_INPUT, "%s: %s", option, problem);
}

static enum status parse_sort(struct run_query *query, const char *list, struct error *error)
{
    size_t size, columns = 0;
    enum status status = STATUS_OK;
    FILE *sql = open_memstream(&query->order, &size);
    if (sql == NULL)
        return error_out_of_memory(error, "--sort");
    const char *rest = list != NULL ? list : "";
    while (status == STATUS_OK && (*rest != '\0' || (list != NULL && columns == 0))) {
        char word[64], value[QUERY_SQL_BYTES];
        next_word(&rest, word, sizeof word);
        char *way = strchr(word, ':');
        if (way != NULL)
            *way++ = '\0';
        const struct run_column *column = run_column_find(word);
        if (column == NULL)
            status = unknown_column("--sort", word, error);
        else if (way != NULL && strcmp(way, "asc") != 0 && strcmp(way, "desc") != 0)
            status = error_set(error, STATUS_INPUT, "--sort: after '%s:' expected asc or desc, not '%s'", word, way);
        else if (++columns > QUERY_COLUMNS_MAX)
            status = error_set(error, STATUS_INPUT, "--sort names more than %d columns", QUERY_COLUMNS_MAX);
        else
            fprintf(sql, "%s %s NULLS LAST, ", run_query_sql(column, value),
                    way != NULL && strcmp(way, "desc") == 0 ? "DESC" : "ASC");
    }
    fputs("run.\"run\"", sql);
    if (fclose(sql) != 0 && status == STATUS_OK)
        status = error_out_of_memory(error, "--sort");
    return status;
}

static enum status add_column(struct run_query *query, const struct run_column *column, const char *heading,
                              struct error *error)
{
    if (query->column_count == QUERY_COLUMNS_MAX)
        return error_set(error, STATUS_INPUT, "--columns names more than %d columns", QUERY_COLUMNS_MAX);
    query->headings[query->column_count] = strdup(heading);
    if (query->headings[query->column_count] == NULL)
        return error_out_of_memory(error, "--columns");
    query->columns[query->column_count++] = column;
    return STATUS_OK;
}

static enum status parse_columns(struct run_query *query, const char *list, struct error *error)
{
    const bool all = list != NULL && strcmp(list, "all") == 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < run_column_count && (list == NULL || all) && status == STATUS_OK; i++) {
        if (all || run_columns[i].shown)
            status = add_column(query, &run_columns[i], run_columns[i].name, error);
    }
    if (list == NULL || all)
        return status;
    do {
        char word[64];
        next_word(&list, word, sizeof word);
        const struct run_column *column = run_column_find(word);
        status = column == NULL ? unknown_column("--columns", word, error) : add_column(query, column, word, error);
    } while (status == STATUS_OK && *list != '\0');
    return status;
}

enum status run_query_parse(struct run_query *query, const char *where, const char *sort, const char *columns,
                            struct error *error)
{
    memset(query, 0, sizeof *query);
    enum status status = where != NULL ? parse_where(query, where, error) : STATUS_OK;
    if (status == STATUS_OK)
        status = parse_sort(query, sort, error);
    return status == STATUS_OK ? parse_columns(query, columns, error) : status;
}

void run_query_free(struct run_query *query)
{
    for (size_t i = 0; i < query->value_count; i++)
        free(query->values[i].text);
    for (size_t i = 0; i < query->column_count; i++)
        free(query->headings[i]);
    free(query->where);
    free(query->order);
    memset(query, 0, sizeof *query);
}
