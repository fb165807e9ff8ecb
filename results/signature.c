#include "results/signature.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static const char payload_type[] = "application/vnd.in-toto+json",
                  bundle_type[] = "application/vnd.dev.sigstore.bundle.v0.3+json";
static const size_t KEY_LIMIT = 1 << 16, ENVELOPE_LIMIT = (size_t)1 << 24;

struct signing_key {
    EVP_PKEY *pkey;
    char id[DIGEST_HEX_BYTES];
};

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* What a memory BIO holds; the caller frees. NULL without memory. */
static char *text_of(BIO *bio, size_t *bytes)
{
    char *data, *text;
    const long length = BIO_get_mem_data(bio, &data);
    text = malloc((size_t)length + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, data, (size_t)length);
    text[length] = '\0';
    *bytes = (size_t)length;
    return text;
}

static char *public_pem(EVP_PKEY *pkey, size_t *bytes)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = bio != NULL && PEM_write_bio_PUBKEY(bio, pkey) == 1 ? text_of(bio, bytes) : NULL;
    BIO_free(bio);
    return text;
}

static char *private_pem(EVP_PKEY *pkey, size_t *bytes)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1
                     ? text_of(bio, bytes)
                     : NULL;
    BIO_free(bio);
    return text;
}

/* A public key on P-256 is one point after these bytes: the algorithm and the curve by name. */
static bool is_p256(EVP_PKEY *pkey)
{
    static const unsigned char head[] = {
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00
    };
    enum { WHOLE = sizeof head + 65 };
    unsigned char *der = NULL;
    const int bytes = i2d_PUBKEY(pkey, &der);
    const bool same = bytes == WHOLE && memcmp(der, head, sizeof head) == 0;
    OPENSSL_free(der);
    return same;
}

static EVP_PKEY *make_pkey(void)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    if (context == NULL || EVP_PKEY_keygen_init(context) <= 0 ||
        EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) <= 0 ||
        EVP_PKEY_CTX_set_ec_param_enc(context, OPENSSL_EC_NAMED_CURVE) <= 0 || EVP_PKEY_keygen(context, &pkey) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(context);
    return pkey;
}

/* A new file for its owner alone: never, not even for a moment, readable for others. */
static enum status write_private(const char *path, const char *text, size_t bytes, struct error *error)
{
    const int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor < 0 && errno == EEXIST)
        return error_set(error, STATUS_INPUT, "%s exists already, and a key is never replaced; choose another name",
                         path);
    if (descriptor < 0)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot make %s", path);
    enum status status = STATUS_OK;
    if (file_write_all(descriptor, text, bytes) != 0 || fsync(descriptor) != 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot write %s", path);
    if (close(descriptor) != 0 && status == STATUS_OK)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot write %s", path);
    if (status != STATUS_OK)
        unlink(path);
    return status;
}

enum status signing_key_make(const char *private_path, const char *public_path, char id[DIGEST_HEX_BYTES],
                             struct error *error)
{
    size_t private_bytes = 0, public_bytes = 0;
    EVP_PKEY *pkey = make_pkey();
    char *private_text = pkey != NULL ? private_pem(pkey, &private_bytes) : NULL,
         *public_text = pkey != NULL ? public_pem(pkey, &public_bytes) : NULL;
    enum status status = STATUS_OK;
    if (private_text == NULL || public_text == NULL)
        status = error_set(error, STATUS_ENVIRONMENT, "libcrypto cannot make a key on P-256");
    else if (file_exists(public_path))
        status = error_set(error, STATUS_INPUT, "%s exists already, and a key is never replaced; choose another name",
                           public_path);
    if (status == STATUS_OK)
        status = write_private(private_path, private_text, private_bytes, error);
    if (status == STATUS_OK)
        status = file_write(public_path, public_text, public_bytes, error);
    if (status == STATUS_OK)
        sha256_hex(public_text, public_bytes, id);
    if (private_text != NULL)
        OPENSSL_cleanse(private_text, private_bytes);
    free(private_text);
    free(public_text);
    EVP_PKEY_free(pkey);
    return status;
}

/* Never asks for a password: libcrypto would, on the terminal. */
static int no_password(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return 0;
}

static EVP_PKEY *parse_key(const char *text, size_t bytes, bool private_key)
{
    BIO *bio = BIO_new_mem_buf(text, (int)bytes);
    EVP_PKEY *pkey = NULL;
    if (bio != NULL && !private_key)
        pkey = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    if (bio != NULL && pkey == NULL && BIO_reset(bio) == 1)
        pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    return pkey;
}

enum status signing_key_read(const char *path, bool private_key, struct signing_key **key, struct error *error)
{
    char *text, *pem = NULL;
    size_t bytes, pem_bytes;
    *key = NULL;
    enum status status = file_read(path, KEY_LIMIT, &text, &bytes, error);
    if (status != STATUS_OK)
        return status;
    EVP_PKEY *pkey = parse_key(text, bytes, private_key);
    OPENSSL_cleanse(text, bytes);
    free(text);
    if (pkey == NULL)
        status = error_set(error, STATUS_INPUT,
                           "%s holds no %s key in PEM form that is not encrypted; selfsame key new "
                           "makes one",
                           path, private_key ? "private" : "public");
    else if (!is_p256(pkey))
        status = error_set(error, STATUS_INPUT,
                           "%s holds a key of another kind than ECDSA on P-256; selfsame key new "
                           "makes one",
                           path);
    if (status == STATUS_OK) {
        *key = calloc(1, sizeof **key);
        pem = public_pem(pkey, &pem_bytes);
        if (*key == NULL || pem == NULL)
            status = error_out_of_memory(error, "the key %s", path);
    }
    if (status == STATUS_OK) {
        (*key)->pkey = pkey;
        sha256_hex(pem, pem_bytes, (*key)->id);
    } else {
        EVP_PKEY_free(pkey);
        free(*key);
        *key = NULL;
    }
    free(pem);
    return status;
}

const char *signing_key_id(const struct signing_key *key)
{
    return key->id;
}

void signing_key_free(struct signing_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

/* ---- envelopes --------------------------------------------------------------------------------------------------- */

/* What is signed; the caller frees. NULL without memory. */
static char *encode(const char *payload, size_t *bytes)
{
    char *text = NULL;
    const int length =
        asprintf(&text, "DSSEv1 %zu %s %zu %s", strlen(payload_type), payload_type, strlen(payload), payload);
    *bytes = length < 0 ? 0 : (size_t)length;
    return length < 0 ? NULL : text;
}

static char *base64(const void *data, size_t bytes)
{
    char *text = malloc(4 * (bytes / 3 + 1) + 1);
    if (text != NULL)
        EVP_EncodeBlock((unsigned char *)text, data, (int)bytes);
    return text;
}

/* Followed by a NUL; the caller frees. NULL for what base64 would not have written. */
static unsigned char *unbase64(const char *text, size_t *bytes)
{
    const size_t length = strlen(text);
    unsigned char *data = length % 4 == 0 && length > 0 ? malloc(length / 4 * 3 + 1) : NULL;
    const int got = data != NULL ? EVP_DecodeBlock(data, (const unsigned char *)text, (int)length) : -1;
    char *again = NULL;
    if (got >= 0) {
        *bytes = (size_t)got - (text[length - 1] == '=') - (text[length - 2] == '=');
        data[*bytes] = '\0';
        again = base64(data, *bytes);
    }
    const bool same = again != NULL && strcmp(again, text) == 0;
    free(again);
    if (same)
        return data;
    free(data);
    return NULL;
}

/* The one text of an envelope; the caller frees. NULL without memory. */
static char *format_envelope(enum envelope_form form, const char *key_id, const char *payload,
                             const unsigned char *signature, size_t signature_bytes)
{
    char *body = base64(payload, strlen(payload)), *sig = base64(signature, signature_bytes), *text = NULL,
         *line = NULL;
    json_t *envelope = json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "payload", body, "payloadType", payload_type,
                                 "signatures", "keyid", form == ENVELOPE_BUNDLE ? "" : key_id, "sig", sig);
    if (envelope != NULL && form == ENVELOPE_BUNDLE)
        envelope = json_pack("{s:s, s:{s:{s:s}, s:[]}, s:o}", "mediaType", bundle_type, "verificationMaterial",
                             "publicKey", "hint", key_id, "tlogEntries", "dsseEnvelope", envelope);
    if (envelope != NULL)
        text = json_dumps(envelope, JSON_COMPACT);
    if (text != NULL && asprintf(&line, "%s\n", text) < 0)
        line = NULL;
    json_decref(envelope);
    free(text);
    free(body);
    free(sig);
    return line;
}

enum status envelope_make(const struct signing_key *key, enum envelope_form form, const char *payload, char **text,
                          struct error *error)
{
    unsigned char *signature = NULL;
    size_t encoded_bytes, bytes = 0;
    char *encoded = encode(payload, &encoded_bytes);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    *text = NULL;
    if (encoded != NULL && context != NULL && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
        EVP_DigestSign(context, NULL, &bytes, (unsigned char *)encoded, encoded_bytes) == 1)
        signature = malloc(bytes);
    if (signature != NULL && EVP_DigestSign(context, signature, &bytes, (unsigned char *)encoded, encoded_bytes) == 1)
        *text = format_envelope(form, key->id, payload, signature, bytes);
    EVP_MD_CTX_free(context);
    free(signature);
    free(encoded);
    return *text != NULL ? STATUS_OK
                         : error_set(error, STATUS_ENVIRONMENT, "libcrypto cannot sign, or memory is short");
}

/* The parts of an envelope's JSON, or false. */
static bool parse_envelope(const json_t *json, struct envelope *envelope)
{
    const json_t *inner = json_object_get(json, "dsseEnvelope"), *list;
    envelope->form = inner != NULL ? ENVELOPE_BUNDLE : ENVELOPE_DSSE;
    if (inner == NULL)
        inner = json;
    list = json_object_get(inner, "signatures");
    const json_t *one = json_array_get(list, 0);
    const char *body = json_string_value(json_object_get(inner, "payload")),
               *sig = json_string_value(json_object_get(one, "sig")),
               *id = json_string_value(json_object_get(one, "keyid"));
    uint8_t digest[DIGEST_BYTES];
    size_t bytes;
    if (envelope->form == ENVELOPE_BUNDLE)
        id = json_string_value(
            json_object_get(json_object_get(json_object_get(json, "verificationMaterial"), "publicKey"), "hint"));
    if (json_array_size(list) != 1 || body == NULL || sig == NULL || id == NULL || !digest_from_hex(id, digest))
        return false;
    digest_to_hex(digest, envelope->key_id);
    envelope->payload = (char *)unbase64(body, &bytes);
    envelope->signature = unbase64(sig, &envelope->signature_bytes);
    return envelope->payload != NULL && strlen(envelope->payload) == bytes && envelope->signature != NULL;
}

enum status envelope_read(const char *path, struct envelope *envelope, struct error *error)
{
    char *text, *same = NULL;
    size_t bytes;
    *envelope = (struct envelope){ .payload = NULL };
    enum status status = file_read_text(path, ENVELOPE_LIMIT, &text, &bytes, NULL, error);
    if (status != STATUS_OK)
        return status;
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    if (json != NULL && parse_envelope(json, envelope))
        same = format_envelope(envelope->form, envelope->key_id, envelope->payload, envelope->signature,
                               envelope->signature_bytes);
    /* The newline at the end may be missing. */
    if (same == NULL || strlen(same) > bytes + 1 || strlen(same) < bytes || memcmp(same, text, bytes) != 0) {
        status = error_set(error, STATUS_INPUT, "%s is no envelope that selfsame attest wrote, or it is damaged", path);
        envelope_free(envelope);
    }
    json_decref(json);
    free(same);
    free(text);
    return status;
}

void envelope_free(struct envelope *envelope)
{
    free(envelope->payload);
    free(envelope->signature);
    *envelope = (struct envelope){ .payload = NULL };
}

bool envelope_verify(const struct envelope *envelope, const struct signing_key *key)
{
    size_t bytes;
    char *encoded = encode(envelope->payload, &bytes);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool good =
        encoded != NULL && context != NULL && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
        EVP_DigestVerify(context, envelope->signature, envelope->signature_bytes, (unsigned char *)encoded, bytes) == 1;
    EVP_MD_CTX_free(context);
    free(encoded);
    return good;
}
