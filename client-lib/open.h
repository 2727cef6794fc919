/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking identityd for a credential handle over the system bus. */
#pragma once

#include <stddef.h>

/* Calls OpenCredential on the Manager. Returns the handle's descriptor (a SOCK_SEQPACKET socket, close-on-exec), which
 * the caller closes, or a negative errno as identityd_credential_open() documents, with this thread's text set. Takes
 * at most OPEN_SECONDS. Keeps nothing: the connection to the bus is closed again. */
#define OPEN_SECONDS 25U
int open_credential(const char *identity, const char *purpose);

/* 0 if `fd` is a connected SOCK_SEQPACKET socket of AF_UNIX, -ENOTSOCK else, with this thread's text set. */
int open_check_socket(int fd);

/* The names of all identities, as the Manager lists them; those that are no names are left out. */
#define OPEN_NAMES_MAX    64U
#define OPEN_LIST_SECONDS 5U
typedef struct OpenNames {
    char *names[OPEN_NAMES_MAX];
    size_t count;
} OpenNames;

/* 0; errors as open_credential. */
int open_list_identities(OpenNames *ret);
void open_names_free(OpenNames *names);
