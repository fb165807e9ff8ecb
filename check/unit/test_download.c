/* Downloads from a server in a thread, which sends what the test wants: mirrors, pieces, digests, bounds. The command
 * line's tests have the ill-behaved servers, TLS and proxies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "fetch/download.h"
#include "fetch/partial_download.h"

/* printf 'hello\n' | sha256sum, md5sum */
#define HELLO_SHA256 "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define HELLO_MD5 "b1946ac92492d2347c6235b4d2611184"

enum { REQUESTS_MAX = 16, REQUEST_BYTES = 2048 };

/* One connection for each request; /N is answered by answers[N], or by the next of those that are separated by ~ each
 * time that it is asked. */
static struct {
    int listening, port;
    const char *answers[8];
    char requests[REQUESTS_MAX][REQUEST_BYTES];
    size_t request_count;
    size_t asked[8];
} server;

static void answer(int connection)
{
    char *request = server.requests[server.request_count++ % REQUESTS_MAX];
    size_t used = 0;
    while (used + 1 < REQUEST_BYTES) {
        ssize_t got = read(connection, request + used, REQUEST_BYTES - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
        request[used] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL)
            break;
    }
    request[used] = '\0';
    const int path = request[5] - '0';
    const char *text = path >= 0 && path < 8 && server.answers[path] != NULL ? server.answers[path] : "~";
    for (size_t i = 0; i < server.asked[path & 7]; i++) {
        const char *next = strchr(text, '~');
        text = next != NULL && next[1] != '\0' ? next + 1 : text;
    }
    server.asked[path & 7]++;
    size_t bytes = strcspn(text, "~");
    if (write(connection, text, bytes) != (ssize_t)bytes)
        return;
}

static void *serve(void *unused)
{
    (void)unused;
    for (int connection; (connection = accept(server.listening, NULL, NULL)) >= 0;) {
        answer(connection);
        shutdown(connection, SHUT_WR);
        char rest[64];
        while (read(connection, rest, sizeof rest) > 0)
            ;
        close(connection);
    }
    return NULL;
}

static pthread_t server_thread;

static int start_server(void **state)
{
    (void)state;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof address;
    signal(SIGPIPE, SIG_IGN);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    server.listening = socket(AF_INET, SOCK_STREAM, 0);
    if (server.listening < 0 || bind(server.listening, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server.listening, 8) != 0 || getsockname(server.listening, (struct sockaddr *)&address, &bytes) != 0)
        return -1;
    server.port = ntohs(address.sin_port);
    return pthread_create(&server_thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    shutdown(server.listening, SHUT_RDWR);
    pthread_join(server_thread, NULL);
    close(server.listening);
    return 0;
}

#define OK_HEADER "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n"
#define GOOD OK_HEADER "\r\nhello\n"
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define CUT OK_HEADER "ETag: \"one\"\r\n\r\nhel"
#define REST                                                                                                   \
    "HTTP/1.1 206 Partial\r\nContent-Length: 3\r\nContent-Range: bytes 3-5/6\r\nETag: \"one\"\r\nConnection: " \
    "close\r\n"                                                                                                \
    "\r\nlo\n"

struct fixture {
    char part[64], urls[8][64];
    const char *list[8];
    struct source source;
    struct download_options options;
    struct download_result result;
    struct error error;
    size_t warnings;
};

static void count_warning(void *context, const char *message)
{
    struct fixture *fixture = context;
    assert_non_null(strstr(message, "http://"));
    fixture->warnings++;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof fixture);
    memset(server.answers, 0, sizeof server.answers);
    memset(server.asked, 0, sizeof server.asked);
    server.request_count = 0;
    for (int i = 0; i < 8; i++) {
        snprintf(fixture.urls[i], sizeof fixture.urls[i], "http://127.0.0.1:%d/%d", server.port, i);
        fixture.list[i] = fixture.urls[i];
    }
    snprintf(fixture.part, sizeof fixture.part, "test_download.%ld", (long)getpid());
    fixture.source = (struct source){ .urls = fixture.list, .url_count = 1, .bytes = 6, .sha256 = HELLO_SHA256 };
    fixture.options = (struct download_options){ .speed_time_s = 5, .warn = count_warning, .context = &fixture };
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    return part_remove(fixture->part, &error) == STATUS_OK ? 0 : -1;
}

static enum status get(struct fixture *fixture)
{
    return download_file(&fixture->source, "file", 100, fixture->part, &fixture->options, &fixture->result,
                         &fixture->error);
}

static void assert_whole(struct fixture *fixture)
{
    char *data;
    size_t bytes;
    assert_int_equal(get(fixture), STATUS_OK);
    assert_string_equal(fixture->result.sha256, HELLO_SHA256);
    assert_int_equal(file_read(fixture->part, 100, &data, &bytes, &fixture->error), STATUS_OK);
    assert_string_equal(data, "hello\n");
    free(data);
}

static void test_good(void **state)
{
    struct fixture *fixture = *state;
    server.answers[0] = GOOD;
    assert_whole(fixture);
    assert_int_equal(fixture->result.received, 6);
    assert_int_equal(fixture->warnings, 0);
    /* A part that is whole is not asked for again. */
    assert_whole(fixture);
    assert_int_equal(fixture->result.received, 0);
    assert_int_equal(server.request_count, 1);
}

static void test_published(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        struct source source;
        enum status status;
    } cases[] = {
        { { .sha256 = HELLO_SHA256 }, STATUS_OK },
        { { .sha256_prefix = "5891" }, STATUS_OK },
        { { .md5 = HELLO_MD5 }, STATUS_OK },
        { { .sha256_prefix = "5892" }, STATUS_INPUT },
        { { .md5 = "b1946ac92492d2347c6235b4d2611185" }, STATUS_INPUT },
        { { .bytes = 7, .md5 = HELLO_MD5 }, STATUS_INPUT },
        { { .bytes = 5, .md5 = HELLO_MD5 }, STATUS_INPUT },
    };
    server.answers[0] = GOOD;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture->source = cases[i].source;
        fixture->source.urls = fixture->list;
        fixture->source.url_count = 1;
        assert_int_equal(get(fixture), cases[i].status);
        assert_int_equal(fixture->result.mirrors_failed, cases[i].status != STATUS_OK);
        assert_int_equal(part_remove(fixture->part, &fixture->error), STATUS_OK);
    }
}

/* In order; each that fails is named with its reason, and none of them stops the next. */
static void test_mirrors(void **state)
{
    struct fixture *fixture = *state;
    static char long_line[300000];
    memset(long_line, 'x', sizeof long_line - 1);
    server.answers[0] = NOT_FOUND;
    server.answers[1] = OK_HEADER "\r\njello\n";
    server.answers[2] = long_line;
    server.answers[3] = "HTTP/1.1 200 OK\r\nX: ";
    server.answers[4] = "hello\n";
    server.answers[5] = GOOD;
    server.answers[6] = NOT_FOUND;
    fixture->source.url_count = 7;
    assert_whole(fixture);
    assert_int_equal(server.request_count, 6);
    assert_int_equal(part_remove(fixture->part, &fixture->error), STATUS_OK);
    fixture->source.url_count = 5;
    assert_int_equal(get(fixture), STATUS_ENVIRONMENT);
    assert_true(fixture->result.mirrors_failed);
    for (int i = 0; i < 5; i++)
        assert_non_null(strstr(fixture->error.message, fixture->urls[i]));
    assert_non_null(strstr(fixture->error.message, "404 (not found)"));
    /* Where every mirror has something, and none the right thing, it is the bytes that are wrong. */
    fixture->list[0] = fixture->urls[1];
    fixture->source.url_count = 1;
    assert_int_equal(get(fixture), STATUS_INPUT);
    fixture->source.url_count = 0;
    assert_int_equal(get(fixture), STATUS_INPUT);
    assert_non_null(strstr(fixture->error.message, "no URL is known"));
}

static void test_resumed(void **state)
{
    struct fixture *fixture = *state;
    server.answers[0] = CUT "~" REST;
    fixture->options.retries = 1;
    assert_whole(fixture);
    assert_int_equal(fixture->warnings, 1);
    assert_non_null(strstr(server.requests[1], "Range: bytes=3-\r\n"));
    assert_non_null(strstr(server.requests[1], "If-Range: \"one\"\r\n"));
    /* By another process, from another mirror. */
    assert_int_equal(part_remove(fixture->part, &fixture->error), STATUS_OK);
    memset(server.asked, 0, sizeof server.asked);
    fixture->options.retries = 0;
    assert_int_equal(get(fixture), STATUS_ENVIRONMENT);
    server.answers[1] = REST;
    fixture->list[0] = fixture->urls[1];
    assert_whole(fixture);
    assert_int_equal(fixture->result.received, 3);
}

static bool stop_at_once(void *context)
{
    (void)context;
    return true;
}

static void test_stopped(void **state)
{
    struct fixture *fixture = *state;
    server.answers[0] = GOOD;
    fixture->options.stop_requested = stop_at_once;
    assert_int_equal(get(fixture), STATUS_INTERRUPTED);
    assert_false(fixture->result.mirrors_failed);
    fixture->options.stop_requested = NULL;
    assert_whole(fixture);
}

/* The limit where no size is published. */
static void test_bounded(void **state)
{
    struct fixture *fixture = *state;
    static char large[2000] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    memset(large + strlen(large), 'y', sizeof large - strlen(large) - 1);
    server.answers[0] = large;
    fixture->source.bytes = 0;
    assert_int_equal(get(fixture), STATUS_INPUT);
    assert_non_null(strstr(fixture->error.message, "it has more than 100 bytes"));
    uint64_t bytes;
    assert_int_equal(file_size(fixture->part, &bytes, &fixture->error), STATUS_OK);
    assert_int_equal(bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_published, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mirrors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_resumed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stopped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
