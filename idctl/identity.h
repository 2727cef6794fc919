/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The properties of one org.identityd1.Identity as values. */
#pragma once

#include "common/bytes.h"
#include "idctl/bus.h"

#include <jansson.h>

#define IDENTITY_CERTIFICATES_MAX 512U

typedef struct BytesArray {
    Bytes *list;
    size_t count;
} BytesArray;

#define IDENTITY_PEER_CRLS_MAX 64U

/* A place where identityd fetches CRLs of peers' CAs. Times in µs since the epoch, 0: none. */
typedef struct PeerCrl {
    char *url, *issuer, *error; /* issuer "": nothing is kept; error "": all is well */
    uint64_t this_update, next_update, next_fetch;
} PeerCrl;

typedef struct PeerCrlArray {
    PeerCrl *list;
    size_t count;
} PeerCrlArray;

typedef struct IdentityProperties {
    char *name, *state, *activity, *last_error, *subject, *serial_number, *issuer, *key_algorithm,
        *clock_source;    /* NULL: not told yet */
    bool ready_by_itself; /* it is, or gets there without anybody */
    uint32_t generation;
    uint64_t not_before, not_after, next_attempt, next_renewal, clock_floor; /* µs since the epoch, 0: none */
    Bytes public_key;                                                        /* DER SubjectPublicKeyInfo */
    BytesArray certificates, anchors;                                        /* DER */
    PeerCrlArray peer_crls;
} IdentityProperties;

void identity_properties_clear(IdentityProperties *properties);
#define _cleanup_properties_ _cleanup_(identity_properties_clear)

/* Reads an a{sv} at the message's place; what it holds replaces what is there, other names are skipped. 0 or -errno;
 * what was read up to a fault stays. */
int identity_properties_read(sd_bus_message *message, IdentityProperties *properties);

/* All properties of an identity, every string set; complains on failure. `ret_path` may be NULL. */
ExitCode identity_properties_get(Bus *bus, const char *identity, IdentityProperties *ret, char **ret_path);

/* An object with the properties; certificates as PEM. NULL without memory. */
json_t *identity_properties_to_json(const IdentityProperties *properties);

/* The key that a D-Bus property has in it; NULL for an unknown one. */
const char *identity_property_json_name(const char *property);

/* An array of byte strings (aay) at the message's place. 0 or -errno. */
int bytes_array_read(sd_bus_message *message, BytesArray *ret);
void bytes_array_clear(BytesArray *array);
