#include "fetch/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/build_info.h"

enum { ANSWER_BYTES_MAX = 1 << 26 };

struct http_client {
    CURL *curl;
    struct curl_slist *headers; /* of every request */
    uint64_t wait_s;
    bool (*stop_requested)(void *context);
    void *context;
    /* of the request under way */
    struct http_answer answer;
    bool too_large, no_memory;
    char message[CURL_ERROR_SIZE];
};

void http_set_certificates(void *curl, const char *cacert)
{
    const char *bundle = getenv("CURL_CA_BUNDLE"), *file = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");
    if (cacert != NULL)
        bundle = cacert;
    else if (bundle == NULL || bundle[0] == '\0')
        bundle = file;
    if (bundle != NULL && bundle[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_CAINFO, bundle);
    if (cacert == NULL && folder != NULL && folder[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_CAPATH, folder);
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

static size_t take_answer(char *data, size_t one, size_t bytes, void *context)
{
    struct http_client *client = context;
    struct http_answer *answer = &client->answer;
    (void)one;
    if (bytes > ANSWER_BYTES_MAX - answer->bytes) {
        client->too_large = true;
        return 0;
    }
    char *grown = realloc(answer->text, answer->bytes + bytes + 1);
    if (grown == NULL) {
        client->no_memory = true;
        return 0;
    }
    memcpy(grown + answer->bytes, data, bytes);
    answer->bytes += bytes;
    grown[answer->bytes] = '\0';
    answer->text = grown;
    return bytes;
}

static int look_for_stop(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct http_client *client = context;
    (void)a, (void)b, (void)c, (void)d;
    return client->stop_requested != NULL && client->stop_requested(client->context);
}

enum status http_open(struct http_client **client, const char *cacert, uint64_t wait_s,
                      bool (*stop_requested)(void *context), void *context, struct error *error)
{
    char agent[128];
    *client = calloc(1, sizeof **client);
    if (*client == NULL)
        return error_out_of_memory(error, "a connection");
    struct http_client *made = *client;
    made->wait_s = wait_s;
    made->stop_requested = stop_requested;
    made->context = context;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (made->curl = curl_easy_init()) == NULL) {
        http_close(made);
        *client = NULL;
        return error_out_of_memory(error, "a connection");
    }
    CURL *curl = made->curl;
    snprintf(agent, sizeof agent, "selfsame/%s", build_version);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, agent);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, made->message);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)wait_s);
    /* A server that sends a byte now and then is no better than one that sends none. */
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1000L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)wait_s);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, made);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_stop);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, made);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTPS | CURLPROTO_HTTP));
#endif
    http_set_certificates(curl, cacert);
    return STATUS_OK;
}

void http_close(struct http_client *client)
{
    if (client == NULL)
        return;
    curl_slist_free_all(client->headers);
    if (client->curl != NULL)
        curl_easy_cleanup(client->curl);
    curl_global_cleanup();
    free(client);
}

static bool add_header(struct curl_slist **headers, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*headers, text);
    if (longer == NULL)
        return false;
    *headers = longer;
    return true;
}

enum status http_set_login(struct http_client *client, const char *user, const char *password, const char *token,
                           struct error *error)
{
    CURLcode result = CURLE_OK;
    if (token[0] != '\0') {
        char *header = NULL;
        if (strpbrk(token, "\r\n") != NULL)
            return error_set(error, STATUS_INPUT, "the token for the server holds a line end");
        const bool good =
            asprintf(&header, "Authorization: Bearer %s", token) >= 0 && add_header(&client->headers, header);
        free(header);
        return good ? STATUS_OK : error_out_of_memory(error, "a connection");
    }
    if (user[0] != '\0') {
        curl_easy_setopt(client->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        result = curl_easy_setopt(client->curl, CURLOPT_USERNAME, user);
        if (result == CURLE_OK)
            result = curl_easy_setopt(client->curl, CURLOPT_PASSWORD, password);
    }
    return result == CURLE_OK ? STATUS_OK : error_out_of_memory(error, "a connection");
}

/* ---- a request --------------------------------------------------------------------------------------------------- */

static enum status judge(struct http_client *client, const char *url, CURLcode result, struct error *error)
{
    const char *reason = client->message[0] != '\0' ? client->message : curl_easy_strerror(result);
    if (result == CURLE_ABORTED_BY_CALLBACK)
        return error_set(error, STATUS_INTERRUPTED, "interrupted while %s was asked", url);
    if (client->no_memory || result == CURLE_OUT_OF_MEMORY)
        return error_out_of_memory(error, "the answer of %s", url);
    if (client->too_large)
        return error_set(error, STATUS_ENVIRONMENT, "%s: the answer is longer than %d bytes", url, ANSWER_BYTES_MAX);
    return error_set(error, STATUS_ENVIRONMENT, "%s: no answer: %s", url, reason);
}

enum status http_send(struct http_client *client, const struct http_request *request, struct http_answer *answer,
                      struct error *error)
{
    CURL *curl = client->curl;
    char type[128];
    struct curl_slist *headers = NULL;
    bool good = true;
    *answer = client->answer = (struct http_answer){ .code = 0 };
    client->too_large = client->no_memory = false;
    client->message[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (request->body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
        snprintf(type, sizeof type, "Content-Type: %s", request->content_type);
        good = add_header(&headers, type) && add_header(&headers, "Expect:");
    }
    for (const struct curl_slist *header = client->headers; header != NULL && good; header = header->next)
        good = add_header(&headers, header->data);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    const CURLcode result = good ? curl_easy_perform(curl) : CURLE_OUT_OF_MEMORY;
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (result != CURLE_OK) {
        free(client->answer.text);
        return judge(client, request->url, result, error);
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &client->answer.code);
    if (client->answer.text == NULL && (client->answer.text = strdup("")) == NULL)
        return error_out_of_memory(error, "the answer of %s", request->url);
    *answer = client->answer;
    return STATUS_OK;
}

const char *http_library_version(void)
{
    return curl_version_info(CURLVERSION_NOW)->version;
}

char *http_escape(const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *escaped = malloc(3 * strlen(text) + 1), *to = escaped;
    for (; escaped != NULL && *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
            strchr("-._~", byte) != NULL) {
            *to++ = (char)byte;
        } else {
            *to++ = '%';
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
    }
    if (escaped != NULL)
        *to = '\0';
    return escaped;
}
