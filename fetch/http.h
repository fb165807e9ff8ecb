/* Requests to a server whose answers are small and fit into memory, such as a REST interface. fetch/download.h is for
 * files.
 *
 * Proxies and certificates are set as for downloads. No redirect is followed: a request that writes must not be sent
 * anywhere else. */
#ifndef SELFSAME_HTTP_H
#define SELFSAME_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct http_request {
    const char *method; /* "GET", "POST", "PUT" */
    const char *url;
    const char *content_type; /* of the body; NULL without one */
    const void *body;         /* NULL: none */
    size_t body_bytes;
};

struct http_answer {
    long code;
    char *text; /* ended by a NUL; the caller frees it */
    size_t bytes;
};

struct http_client;

/* A connection that is kept between requests, for one thread. cacert: a file of certificates; NULL: the system's, or
 * the environment's. wait_s: the longest wait for a connection, and at less than 1 kB/s. stop_requested, which may
 * be NULL, is polled while a request is under way. */
enum status http_open(struct http_client **client, const char *cacert, uint64_t wait_s,
                      bool (*stop_requested)(void *context), void *context, struct error *error) MUST_USE;
void http_close(struct http_client *client);

/* How all requests say who sends them. Nothing of it appears in a message. An empty user and token: nobody. */
enum status http_set_login(struct http_client *client, const char *user, const char *password, const char *token,
                           struct error *error) MUST_USE;

/* Sends a request. STATUS_OK with every answer, whatever its code; then answer->text is to be freed. STATUS_ENVIRONMENT
 * without one, naming the URL and the reason; STATUS_INTERRUPTED. */
enum status http_send(struct http_client *client, const struct http_request *request, struct http_answer *answer,
                      struct error *error) MUST_USE;

/* A text as part of a URL, everything but letters, digits and -._~ escaped; NULL without memory. The caller frees
 * it. */
char *http_escape(const char *text);

/* The version of the library that makes the requests, libcurl, as it runs; NULL for a program without it. */
const char *http_library_version(void);

/* Tells a CURL handle where the certificates of servers are: for this file and for downloads. */
void http_set_certificates(void *curl, const char *cacert);

#endif
