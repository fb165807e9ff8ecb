/* One file from the first of several URLs that has it: resumed, bounded, and checked against what is published about
 * it.
 *
 * urls     https, http and file. An https URL is never redirected to plain http. Proxies and certificates are set as
 *          for curl: https_proxy, http_proxy, all_proxy, no_proxy; CURL_CA_BUNDLE, SSL_CERT_FILE, SSL_CERT_DIR.
 * mirrors  Tried in the order given. A wrong one is left at once: no such file, another size, other bytes, a bad
 *          certificate, an answer that is not HTTP or too large. A failing one (a cut, a time-out, 408, 429, 5xx) is
 *          asked again after a pause that doubles, as often as the options say. Each further MiB that arrives gives it
 *          all its tries again.
 * resume   The part file says how far it is and where it is from (fetch/partial_download.h). The same URL is asked for
 *          the rest, on the condition that the validator still holds. Another mirror, or one without a validator, is
 *          asked only if a published digest and size can show whether the pieces fit. If they do not, the download
 *          begins again.
 * bounds   `bytes` of the source where it is published, else limit_bytes; ten redirects; a connection that is slower
 *          than 1 kB/s for speed_time_s seconds counts as a cut. */
#ifndef SELFSAME_DOWNLOAD_H
#define SELFSAME_DOWNLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/progress.h"
#include "fetch/source.h"

struct download_options {
    const char *cacert;        /* --cacert: a file of certificates; NULL: the system's, or the environment's */
    uint64_t retries;          /* tries after the first, at each URL */
    uint64_t retry_delay_s;    /* the first pause */
    uint64_t speed_time_s;     /* also the longest wait for a connection */
    struct progress *progress; /* NULL: none */
    /* Polled several times a second: true leaves a part that can be resumed, and STATUS_INTERRUPTED. May be NULL. */
    bool (*stop_requested)(void *context);
    /* Called with a line for each try that failed. May be NULL. */
    void (*warn)(void *context, const char *message);
    void *context;
};

struct download_result {
    char sha256[DIGEST_HEX_BYTES];
    uint64_t bytes;      /* of the file */
    uint64_t received;   /* over the network, in this call; also after an error */
    bool mirrors_failed; /* after an error: no mirror has the file, and nothing is wrong on this machine */
};

/* Downloads into the part file at `part`, which is whole, synced and checked after STATUS_OK; `name` is for people. The
 * caller holds a lock: two processes must not write one part.
 * errors   STATUS_INPUT where every mirror has something else than what is published, STATUS_ENVIRONMENT for network,
 *          disk and memory; both name every URL and what was wrong with it. STATUS_INTERRUPTED. */
enum status download_file(const struct source *source, const char *name, uint64_t limit_bytes, const char *part,
                          const struct download_options *options, struct download_result *result,
                          struct error *error) MUST_USE;

#endif
