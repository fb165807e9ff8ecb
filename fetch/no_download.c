/* download.h and http.h for a program that is linked without libcurl: it downloads and sends nothing, and its messages
 * say so. */
#include "fetch/download.h"

#include <string.h>

#include "fetch/http.h"

enum status download_file(const struct source *source, const char *name, uint64_t limit_bytes, const char *part,
                          const struct download_options *options, struct download_result *result, struct error *error)
{
    (void)source, (void)limit_bytes, (void)part, (void)options;
    memset(result, 0, sizeof *result);
    return error_set(error, STATUS_ENVIRONMENT,
                     "%s: this program cannot download (it is from `make gpu-bundle`); fetch it on another machine, "
                     "and name its folder with --data",
                     name);
}

enum status http_open(struct http_client **client, const char *cacert, uint64_t wait_s,
                      bool (*stop_requested)(void *context), void *context, struct error *error)
{
    (void)cacert, (void)wait_s, (void)stop_requested, (void)context;
    *client = NULL;
    return error_set(error, STATUS_ENVIRONMENT,
                     "this program cannot reach a server (it is from `make gpu-bundle`); copy the run to another "
                     "machine, and do it there");
}

void http_close(struct http_client *client)
{
    (void)client;
}

enum status http_set_login(struct http_client *client, const char *user, const char *password, const char *token,
                           struct error *error)
{
    (void)client, (void)user, (void)password, (void)token;
    return error_set(error, STATUS_ENVIRONMENT, "this program cannot reach a server");
}

enum status http_send(struct http_client *client, const struct http_request *request, struct http_answer *answer,
                      struct error *error)
{
    (void)client;
    *answer = (struct http_answer){ .code = 0 };
    return error_set(error, STATUS_ENVIRONMENT, "%s: this program cannot reach a server", request->url);
}

char *http_escape(const char *text)
{
    return strdup(text);
}

const char *http_library_version(void)
{
    return NULL;
}
