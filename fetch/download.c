#include "fetch/download.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/build_info.h"
#include "fetch/http.h"
#include "fetch/partial_download.h"

enum { REDIRECTS_MAX = 10, SLOW_BYTES_PER_S = 1000, REASON_BYTES = 400, BUFFER_BYTES = 512 * 1024 };

/* What a try came to. */
enum verdict {
    VERDICT_DONE,
    VERDICT_AGAIN,   /* the same URL, after a pause */
    VERDICT_AFRESH,  /* the same, without what is there */
    VERDICT_MISSING, /* another URL: this one cannot be had */
    VERDICT_WRONG,   /* another URL: this one has something else */
    VERDICT_FATAL    /* transfer.fatal says why */
};

struct transfer {
    const struct source *source;
    const struct download_options *options;
    const char *name;
    uint64_t limit; /* bytes; exact where source->bytes is there */
    struct part part;
    uint64_t received;
    /* one try */
    CURL *curl;
    const char *url;
    uint64_t asked; /* from which byte on */
    bool begun;     /* the first byte of the body has come */
    char etag[PART_VALIDATOR_BYTES], modified[PART_VALIDATOR_BYTES];
    bool ranged; /* the answer has a Content-Range, which begins at: */
    uint64_t range_start, range_total;
    bool tainted;         /* the part holds bytes that belong to no right file */
    bool unreachable;     /* no such host, or nobody there */
    enum verdict verdict; /* other than DONE: why the body was refused */
    char reason[REASON_BYTES];
    struct error *error; /* filled with VERDICT_FATAL */
};

static enum verdict refuse(struct transfer *transfer, enum verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum verdict refuse(struct transfer *transfer, enum verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(transfer->reason, sizeof transfer->reason, format, arguments);
    va_end(arguments);
    transfer->verdict = verdict;
    return verdict;
}

static bool has_digest(const struct source *source)
{
    return source->sha256[0] != '\0' || source->md5[0] != '\0' || source->sha256_prefix[0] != '\0';
}

static bool stop_requested(const struct download_options *options)
{
    return options->stop_requested != NULL && options->stop_requested(options->context);
}

/* ---- what comes in ----------------------------------------------------------------------------------------------- */

/* The value of a header line if it has that name, without blanks around; false if it does not fit. */
static bool header_value(const char *line, size_t length, const char *name, char *value, size_t size)
{
    size_t start = strlen(name);
    if (length < start || strncasecmp(line, name, start) != 0)
        return false;
    while (start < length && (line[start] == ' ' || line[start] == '\t'))
        start++;
    while (length > start && (unsigned char)line[length - 1] <= ' ')
        length--;
    if (length - start >= size || memchr(line + start, '\n', length - start) != NULL ||
        memchr(line + start, '\0', length - start) != NULL)
        return false;
    memcpy(value, line + start, length - start);
    value[length - start] = '\0';
    return true;
}

static size_t take_header(char *line, size_t one, size_t length, void *context)
{
    struct transfer *transfer = context;
    char value[PART_VALIDATOR_BYTES];
    uint64_t start = 0, end, total;
    (void)one;
    if (length >= 5 && strncmp(line, "HTTP/", 5) == 0) { /* the next answer of a chain of redirects */
        transfer->etag[0] = transfer->modified[0] = '\0';
        transfer->ranged = false;
    } else if (header_value(line, length, "etag:", value, sizeof value)) {
        if (value[0] == '"') /* a weak one does not promise the same bytes */
            memcpy(transfer->etag, value, sizeof value);
    } else if (header_value(line, length, "last-modified:", value, sizeof value)) {
        memcpy(transfer->modified, value, sizeof value);
    } else if (header_value(line, length, "content-range:", value, sizeof value)) {
        int fields = sscanf(value, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, &start, &end, &total);
        transfer->ranged = fields >= 2;
        transfer->range_start = start;
        transfer->range_total = fields == 3 ? total : 0;
    }
    return length;
}

static enum verdict fatal(struct transfer *transfer)
{
    transfer->verdict = VERDICT_FATAL;
    return VERDICT_FATAL;
}

/* The first byte of a body has come: are these the bytes that were asked for? */
static enum verdict begin_body(struct transfer *transfer)
{
    const struct source *source = transfer->source;
    struct part *part = &transfer->part;
    const bool same_url = strcmp(part->url, transfer->url) == 0;
    char validator[PART_VALIDATOR_BYTES];
    long code = 0;
    curl_off_t length = -1;
    uint64_t total;
    bool mixed = false;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &code); /* 0: a file */
    curl_easy_getinfo(transfer->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (code != 0 && code != 200 && (code != 206 || transfer->asked == 0))
        return refuse(transfer, VERDICT_MISSING, "the server answers %ld, so it sends no file", code);
    if (code == 206) {
        if (!transfer->ranged || transfer->range_start != transfer->asked)
            return refuse(transfer, VERDICT_AFRESH, "the server does not send the bytes that were asked for");
        const char *now = part->validator[0] == '"' ? transfer->etag : transfer->modified;
        if (same_url && part->validator[0] != '\0' && now[0] != '\0' && strcmp(part->validator, now) != 0)
            return refuse(transfer, VERDICT_AFRESH, "the file has changed on the server");
        total = transfer->range_total;
    } else {
        total = length < 0 ? 0 : (uint64_t)length + (code == 0 ? transfer->asked : 0);
    }
    if (source->bytes > 0 && total > 0 && total != source->bytes)
        return refuse(transfer, VERDICT_WRONG, "it has %" PRIu64 " bytes there, not %" PRIu64, total, source->bytes);
    if (total > transfer->limit)
        return refuse(transfer, VERDICT_WRONG,
                      "it has %" PRIu64 " bytes there, more than the %" PRIu64 " that are allowed", total,
                      transfer->limit);
    if (code == 200 && part->bytes > 0 &&
        part_restart(part, transfer->error) != STATUS_OK) /* the server sends all of it: a new file, or no ranges */
        return fatal(transfer);
    snprintf(validator, sizeof validator, "%s", transfer->etag[0] != '\0' ? transfer->etag : transfer->modified);
    if (validator[0] == '\0' && same_url)
        snprintf(validator, sizeof validator, "%s", part->validator); /* empty again if the part is */
    if (part->bytes > 0)
        mixed = part->mixed || !same_url || part->validator[0] == '\0';
    if (part_origin(part, transfer->url, validator, mixed, transfer->error) != STATUS_OK)
        return fatal(transfer);
    return VERDICT_DONE;
}

static size_t take_body(char *data, size_t one, size_t length, void *context)
{
    struct transfer *transfer = context;
    (void)one;
    if (!transfer->begun) {
        transfer->begun = true;
        if (begin_body(transfer) != VERDICT_DONE)
            return 0;
    }
    if (length > transfer->limit - transfer->part.bytes) {
        transfer->tainted = true;
        refuse(transfer, VERDICT_WRONG, "it has more than %s%" PRIu64 " bytes",
               transfer->source->bytes > 0 ? "its " : "", transfer->limit);
        return 0;
    }
    if (part_append(&transfer->part, data, length, transfer->error) != STATUS_OK) {
        fatal(transfer);
        return 0;
    }
    transfer->received += length;
    return length;
}

static void show(struct transfer *transfer)
{
    if (transfer->options->progress != NULL)
        progress_report(transfer->options->progress, transfer->name, transfer->part.bytes, transfer->part.bytes,
                        transfer->source->bytes);
}

/* ---- one try ----------------------------------------------------------------------------------------------------- */

static void set_protocols(CURL *curl, bool https)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http,file");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "https,http");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTPS | CURLPROTO_HTTP | CURLPROTO_FILE));
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, (long)(https ? CURLPROTO_HTTPS : CURLPROTO_HTTPS | CURLPROTO_HTTP));
#endif
}

static void set_options(struct transfer *transfer, char *message)
{
    CURL *curl = transfer->curl;
    const struct download_options *options = transfer->options;
    char agent[128];
    snprintf(agent, sizeof agent, "selfsame/%s", build_version);
    curl_easy_setopt(curl, CURLOPT_URL, transfer->url);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, agent);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)options->speed_time_s);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_PER_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)options->speed_time_s);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    set_protocols(curl, strncmp(transfer->url, "https:", 6) == 0);
    http_set_certificates(curl, options->cacert);
}

/* Asks for the missing bytes if they can be trusted to fit; else empties the part. */
static enum status ask_for_rest(struct transfer *transfer, struct curl_slist **headers, struct error *error)
{
    struct part *part = &transfer->part;
    char text[PART_VALIDATOR_BYTES + 32];
    const bool validated = strcmp(part->url, transfer->url) == 0 && part->validator[0] != '\0';
    transfer->asked = 0;
    if (part->bytes == 0)
        return STATUS_OK;
    if (!validated && (!has_digest(transfer->source) || transfer->source->bytes == 0))
        return part_restart(part, error);
    transfer->asked = part->bytes;
    snprintf(text, sizeof text, "%" PRIu64 "-", part->bytes);
    curl_easy_setopt(transfer->curl, CURLOPT_RANGE, text);
    if (validated && strncmp(transfer->url, "file:", 5) != 0) {
        snprintf(text, sizeof text, "If-Range: %s", part->validator);
        *headers = curl_slist_append(NULL, text);
        if (*headers == NULL)
            return error_out_of_memory(error, "the request of %s", transfer->name);
        curl_easy_setopt(transfer->curl, CURLOPT_HTTPHEADER, *headers);
    }
    return STATUS_OK;
}

static enum verdict judge(struct transfer *transfer, CURLcode result, const char *message)
{
    const struct source *source = transfer->source;
    const char *text = message[0] != '\0' ? message : curl_easy_strerror(result);
    long code = 0, connections = 0;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(transfer->curl, CURLINFO_NUM_CONNECTS, &connections);
    if (transfer->verdict != VERDICT_DONE)
        return transfer->verdict;
    switch (result) {
    case CURLE_OK:
        if (transfer->part.bytes == 0 || transfer->part.bytes < source->bytes)
            return refuse(transfer, VERDICT_AGAIN, "it ends after %" PRIu64 " bytes", transfer->part.bytes);
        return VERDICT_DONE;
    case CURLE_HTTP_RETURNED_ERROR:
        if (code == 416 && transfer->asked > 0)
            return refuse(transfer, VERDICT_AFRESH, "the server has nothing after byte %" PRIu64, transfer->asked);
        return refuse(transfer, code == 408 || code == 429 || code >= 500 ? VERDICT_AGAIN : VERDICT_MISSING,
                      "the server answers %ld%s", code,
                      code == 404   ? " (not found)"
                      : code == 503 ? " (unavailable)"
                                    : "");
    case CURLE_BAD_DOWNLOAD_RESUME:
    case CURLE_RANGE_ERROR:
        return refuse(transfer, VERDICT_AFRESH, "%s", text);
    case CURLE_PARTIAL_FILE:
        return refuse(transfer, VERDICT_AGAIN, "it ends after %" PRIu64 " bytes (%s)", transfer->part.bytes, text);
    case CURLE_OPERATION_TIMEDOUT:
        return refuse(transfer, VERDICT_AGAIN, "it is too slow, or does not answer (%s)", text);
    case CURLE_UNSUPPORTED_PROTOCOL:
        if (code == 0 && connections > 0)
            return refuse(transfer, VERDICT_MISSING, "it does not answer in HTTP (%s)", text);
        return refuse(transfer, VERDICT_MISSING,
                      "this protocol is not used; https, http and file are, and https may lead only to https (%s)",
                      text);
    case CURLE_TOO_MANY_REDIRECTS:
        return refuse(transfer, VERDICT_MISSING, "more than %d redirects (%s)", REDIRECTS_MAX, text);
    case CURLE_PEER_FAILED_VERIFICATION:
        return refuse(transfer, VERDICT_MISSING,
                      "its certificate is not trusted (%s); name a trusted one with CURL_CA_BUNDLE=FILE, or with "
                      "selfsame fetch --cacert FILE",
                      text);
    case CURLE_URL_MALFORMAT:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_FILE_COULDNT_READ_FILE:
    case CURLE_SSL_CACERT_BADFILE:
        return refuse(transfer, VERDICT_MISSING, "%s", text);
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        transfer->unreachable = true;
        return refuse(transfer, VERDICT_AGAIN, "%s", text);
    case CURLE_OUT_OF_MEMORY: /* libcurl's word also for an answer that is larger than it takes */
        return refuse(transfer, VERDICT_MISSING,
                      "the headers of its answer are too long, or there is not enough memory for it (%s)", text);
    default:
        return refuse(transfer, VERDICT_AGAIN, "%s", text);
    }
}

static enum verdict interrupted(struct transfer *transfer)
{
    error_set(transfer->error, STATUS_INTERRUPTED,
              "stopped on request with %" PRIu64 " bytes of %s; the same command continues from there",
              transfer->part.bytes, transfer->name);
    return fatal(transfer);
}

/* Runs the handle to its end, or to a request to stop. */
static enum verdict drive(struct transfer *transfer, CURLM *multi)
{
    CURLcode result = CURLE_OK;
    for (int running = 1, left; running > 0;) {
        CURLMcode code = curl_multi_perform(multi, &running);
        for (CURLMsg *message; (message = curl_multi_info_read(multi, &left)) != NULL;) {
            if (message->msg == CURLMSG_DONE)
                result = message->data.result;
        }
        if (stop_requested(transfer->options))
            return interrupted(transfer);
        if (code == CURLM_OK && running > 0)
            code = curl_multi_poll(multi, NULL, 0, 200, NULL);
        if (code != CURLM_OK) {
            error_set(transfer->error, STATUS_ENVIRONMENT, "libcurl: %s", curl_multi_strerror(code));
            return fatal(transfer);
        }
        show(transfer);
    }
    char *message = NULL;
    curl_easy_getinfo(transfer->curl, CURLINFO_PRIVATE, &message);
    return judge(transfer, result, message);
}

static enum verdict try_url(struct transfer *transfer, uint64_t *pause_s)
{
    struct curl_slist *headers = NULL;
    char message[CURL_ERROR_SIZE] = "";
    enum verdict verdict = VERDICT_FATAL;
    curl_off_t retry_after = 0;
    CURLM *multi = curl_multi_init();
    transfer->curl = curl_easy_init();
    transfer->begun = transfer->ranged = false;
    transfer->etag[0] = transfer->modified[0] = '\0';
    transfer->verdict = VERDICT_DONE;
    if (multi == NULL || transfer->curl == NULL) {
        error_out_of_memory(transfer->error, "the transfer of %s", transfer->name);
        goto out;
    }
    set_options(transfer, message);
    curl_easy_setopt(transfer->curl, CURLOPT_PRIVATE, message);
    if (ask_for_rest(transfer, &headers, transfer->error) != STATUS_OK)
        goto out;
    if (curl_multi_add_handle(multi, transfer->curl) != CURLM_OK) {
        error_out_of_memory(transfer->error, "the transfer of %s", transfer->name);
        goto out;
    }
    verdict = drive(transfer, multi);
    curl_easy_getinfo(transfer->curl, CURLINFO_RETRY_AFTER, &retry_after);
    if (retry_after > 0 && (uint64_t)retry_after > *pause_s)
        *pause_s = (uint64_t)retry_after;
    curl_multi_remove_handle(multi, transfer->curl);
out:
    curl_slist_free_all(headers);
    curl_easy_cleanup(transfer->curl);
    curl_multi_cleanup(multi);
    transfer->curl = NULL;
    return verdict;
}

/* ---- tries and mirrors ------------------------------------------------------------------------------------------- */

static enum verdict check_digests(struct transfer *transfer, struct download_result *result)
{
    const struct source *source = transfer->source;
    /* A file in pieces whose digest is wrong may be no mirror's fault. */
    const enum verdict wrong = transfer->part.mixed || transfer->asked > 0 ? VERDICT_AFRESH : VERDICT_WRONG;
    char md5[MD5_HEX_BYTES];
    if (part_finish(&transfer->part, result->sha256, md5, transfer->error) != STATUS_OK)
        return fatal(transfer);
    result->bytes = transfer->part.bytes;
    transfer->tainted = true; /* taken back where all is well */
    if (source->sha256[0] != '\0' && strcmp(source->sha256, result->sha256) != 0)
        return refuse(transfer, wrong, "it has SHA-256 %s, not %s", result->sha256, source->sha256);
    if (strncmp(source->sha256_prefix, result->sha256, strlen(source->sha256_prefix)) != 0)
        return refuse(transfer, wrong, "it has SHA-256 %s, which does not begin with %s", result->sha256,
                      source->sha256_prefix);
    if (md5[0] != '\0' && strcmp(source->md5, md5) != 0)
        return refuse(transfer, wrong, "it has MD5 %s, not %s", md5, source->md5);
    transfer->tainted = false;
    return VERDICT_DONE;
}

static enum verdict pause_for(struct transfer *transfer, uint64_t seconds)
{
    const struct timespec slice = { 0, 100000000 };
    for (uint64_t i = 0; i < 10 * seconds; i++) {
        if (stop_requested(transfer->options))
            return interrupted(transfer);
        nanosleep(&slice, NULL);
    }
    return VERDICT_AGAIN;
}

static void warn(struct transfer *transfer, bool again)
{
    char message[PART_URL_BYTES + REASON_BYTES + 64];
    if (transfer->options->warn == NULL)
        return;
    snprintf(message, sizeof message, "%s: %s%s", transfer->url, transfer->reason, again ? "; trying again" : "");
    if (transfer->options->progress != NULL)
        progress_clear(transfer->options->progress);
    transfer->options->warn(transfer->options->context, message);
}

static enum verdict one_try(struct transfer *transfer, uint64_t *pause_s, struct download_result *result)
{
    enum verdict verdict = VERDICT_DONE;
    transfer->asked = transfer->part.bytes;
    transfer->tainted = transfer->unreachable = false;
    if (transfer->part.bytes > transfer->limit)
        verdict = refuse(transfer, VERDICT_AFRESH, "the part that was downloaded before is too long");
    else if (transfer->part.bytes == 0 || transfer->part.bytes != transfer->source->bytes)
        verdict = try_url(transfer, pause_s);
    if (verdict == VERDICT_DONE)
        verdict = check_digests(transfer, result);
    if ((verdict == VERDICT_AFRESH || transfer->tainted) && verdict != VERDICT_FATAL &&
        part_restart(&transfer->part, transfer->error) != STATUS_OK)
        verdict = fatal(transfer);
    return verdict;
}

/* Tries one mirror as often as the options say. */
static enum verdict try_mirror(struct transfer *transfer, struct download_result *result)
{
    enum { NEW_TRIES_BYTES = 1 << 20, PAUSE_MAX_S = 60, WAIT_MAX_S = 600, AFRESH_MAX = 2 };
    const struct download_options *options = transfer->options;
    uint64_t farthest = transfer->part.bytes, failed = 0, afresh = 0;
    for (;;) {
        uint64_t pause_s = options->retry_delay_s << (failed < 6 ? failed : 6);
        if (pause_s > PAUSE_MAX_S)
            pause_s = PAUSE_MAX_S;
        enum verdict verdict = one_try(transfer, &pause_s, result);
        if (verdict != VERDICT_AGAIN && verdict != VERDICT_AFRESH)
            return verdict;
        if (transfer->part.bytes >= farthest + NEW_TRIES_BYTES) {
            farthest = transfer->part.bytes;
            failed = 0;
        }
        /* What was here does not fit: that is not the mirror's fault, a few times. */
        const bool counts = verdict == VERDICT_AGAIN || afresh++ >= AFRESH_MAX;
        if (counts && (failed++ >= options->retries || (transfer->unreachable && failed > 1) || pause_s > WAIT_MAX_S))
            return verdict;
        warn(transfer, true);
        if (counts && pause_for(transfer, pause_s) == VERDICT_FATAL)
            return VERDICT_FATAL;
    }
}

enum status download_file(const struct source *source, const char *name, uint64_t limit_bytes, const char *part,
                          const struct download_options *options, struct download_result *result, struct error *error)
{
    struct transfer transfer = { .source = source,
                                 .options = options,
                                 .name = name,
                                 .error = error,
                                 .limit = source->bytes > 0 ? source->bytes : limit_bytes };
    char reasons[ERROR_MESSAGE_BYTES] = "";
    size_t used = 0;
    bool wrong = true;
    enum verdict verdict = VERDICT_MISSING;
    memset(result, 0, sizeof *result);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(error, STATUS_ENVIRONMENT, "libcurl does not start");
    /* Where a SHA-256 is published, an MD5 says nothing more, and takes longer than the download from a near mirror. */
    const bool with_md5 = source->md5[0] != '\0' && source->sha256[0] == '\0';
    enum status status = part_open(&transfer.part, part, with_md5, error);
    for (size_t i = 0;
         status == STATUS_OK && verdict != VERDICT_DONE && verdict != VERDICT_FATAL && i < source->url_count; i++) {
        transfer.url = source->urls[i];
        if (options->progress != NULL)
            progress_restart(options->progress);
        verdict = try_mirror(&transfer, result);
        if (verdict == VERDICT_DONE || verdict == VERDICT_FATAL)
            break;
        wrong = wrong && verdict == VERDICT_WRONG;
        if (i + 1 < source->url_count)
            warn(&transfer, false);
        if (used < sizeof reasons)
            used += (size_t)snprintf(reasons + used, sizeof reasons - used, "%s%s: %s", i > 0 ? "; " : "", transfer.url,
                                     transfer.reason);
    }
    if (options->progress != NULL)
        progress_clear(options->progress);
    result->received = transfer.received;
    if (status == STATUS_OK) {
        part_close(&transfer.part);
        if (verdict == VERDICT_FATAL)
            status = error->status;
        else if (verdict != VERDICT_DONE)
            result->mirrors_failed = true;
        if (result->mirrors_failed)
            status = error_set(error, wrong ? STATUS_INPUT : STATUS_ENVIRONMENT, "cannot download %s: %s", name,
                               source->url_count > 0 ? reasons : "no URL is known for it");
    }
    curl_global_cleanup();
    return status;
}
