/* Keys and envelopes: ECDSA on P-256 with SHA-256, and DSSE around what is signed.
 *
 * keys      PEM files: a private one (PKCS #8, not encrypted, for its owner alone) and a public one
 *           (SubjectPublicKeyInfo). A key's id is the SHA-256 of its public PEM file as libcrypto writes it, which is
 *           what model-signing calls the key's hint.
 * signed    "DSSEv1 LENGTH TYPE LENGTH PAYLOAD", of the type application/vnd.in-toto+json.
 * envelope  JSON: a DSSE envelope, or a sigstore bundle that holds one and the key's id: what model-signing reads. An
 *           envelope is read if it is what we would write around its payload and signature, to the last byte. */
#ifndef SELFSAME_SIGNATURE_H
#define SELFSAME_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/hash.h"

struct signing_key;

/* Makes a key, durably. Neither file may exist. */
enum status signing_key_make(const char *private_path, const char *public_path, char id[DIGEST_HEX_BYTES],
                             struct error *error) MUST_USE;

/* Reads a private key, or a public one (a private one will do). STATUS_INPUT for another curve or kind of key. */
enum status signing_key_read(const char *path, bool private_key, struct signing_key **key,
                             struct error *error) MUST_USE;
const char *signing_key_id(const struct signing_key *key);
void signing_key_free(struct signing_key *key);

enum envelope_form { ENVELOPE_DSSE, ENVELOPE_BUNDLE };

/* The text of an envelope around a payload, ended by a newline; the caller frees. */
enum status envelope_make(const struct signing_key *key, enum envelope_form form, const char *payload, char **text,
                          struct error *error) MUST_USE;

struct envelope {
    enum envelope_form form;
    char key_id[DIGEST_HEX_BYTES]; /* as the envelope says */
    char *payload;                 /* signed by that key only if envelope_verify says so */
    unsigned char *signature;
    size_t signature_bytes;
};

/* STATUS_INPUT, naming the file, where it is none. */
enum status envelope_read(const char *path, struct envelope *envelope, struct error *error) MUST_USE;
void envelope_free(struct envelope *envelope);
/* Whether the key signed it, whichever key it names. */
bool envelope_verify(const struct envelope *envelope, const struct signing_key *key);

#endif
