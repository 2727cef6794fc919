/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What callers say with a method. It is read once and bounded before the message is kept: nobody's megabytes wait while
 * it is found out who asks, and nobody is asked for a password for what cannot be. */
#pragma once

#include "enrolment/manual.h"

#include <systemd/sd-bus.h>

#define SIGN_MESSAGE_MAX (64U * 1024U)
#define SCHEME_NAME_MAX  64U

/* Of one call; what its method does not have is zero. The pointers are into the message, until they are kept. */
typedef struct Arguments {
    int option; /* a boolean, -1: it is absent */
    const char *name, *framing, *scheme;
    BytesView message; /* to sign */
    BytesView chain[MANUAL_CHAIN_MAX];
    size_t chain_count;
    void *kept; /* owned: where the pointers lead, once they are kept */
} Arguments;

/* The bytes that keeping them takes. */
size_t arguments_size(const Arguments *arguments);
/* Copies what the pointers lead to, and has them lead there. Nothing where it was done already. 0 or -ENOMEM. */
int arguments_keep(Arguments *arguments);
void arguments_clear(Arguments *arguments);

/* Each returns 0, or -errno with `error` set where it is the caller's fault: InvalidArgument. */

/* An a{sv} of which only `name` (a boolean; NULL: none) is known. */
int arguments_read_option(sd_bus_message *message, const char *name, Arguments *ret, sd_bus_error *error);
/* A framing's and a scheme's name, and a message: ssay. */
int arguments_read_sign(sd_bus_message *message, Arguments *ret, sd_bus_error *error);
/* Certificates: aay. That there is none is left to whoever installs them. */
int arguments_read_chain(sd_bus_message *message, Arguments *ret, sd_bus_error *error);
