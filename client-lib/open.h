/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking identityd for a credential handle over the system bus. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Calls OpenCredential on the Manager. Returns the handle's descriptor (a SOCK_SEQPACKET socket, close-on-exec), which
 * the caller closes, or a negative errno as identityd_credential_open() documents, with this thread's text set. Waits
 * until `deadline` (connection_now()) at most: OPEN_SECONDS, where a caller has no other, for this and for what is said
 * on the handle first. Keeps nothing: the connection to the bus is closed again. */
#define OPEN_SECONDS 25U
int open_credential(const char *identity, const char *purpose, uint64_t deadline);

/* The names of all identities, as the Manager lists them; those that are no names are left out. */
#define OPEN_NAMES_MAX    64U
#define OPEN_LIST_SECONDS 5U
typedef struct OpenNames {
    char *names[OPEN_NAMES_MAX];
    size_t count;
} OpenNames;

/* 0; errors as open_credential. */
int open_list_identities(OpenNames *ret);

/* The device ID, lower-case hex; "" where identityd has none. 0; errors as open_credential. */
#define OPEN_DEVICE_ID_MAX 128U
int open_device_id(char ret[static OPEN_DEVICE_ID_MAX + 1]);
void open_names_free(OpenNames *names);
