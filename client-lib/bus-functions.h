/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is needed of libsystemd. Libraries are linked with it (bus-linked.c). OpenSSL's provider stands in the
 * configuration of programs that have no identity, and must cost nothing there: it opens libsystemd with the first one
 * (bus-loaded.c). */
#pragma once

#include <systemd/sd-bus.h>

#define BUS_FUNCTIONS(F)                                                                                               \
    F(sd_bus_call)                                                                                                     \
    F(sd_bus_error_free)                                                                                               \
    F(sd_bus_flush_close_unref)                                                                                        \
    F(sd_bus_message_append)                                                                                           \
    F(sd_bus_message_enter_container)                                                                                  \
    F(sd_bus_message_get_signature)                                                                                    \
    F(sd_bus_message_new_method_call)                                                                                  \
    F(sd_bus_message_read)                                                                                             \
    F(sd_bus_message_unref)                                                                                            \
    F(sd_bus_open_system)

#define BUS_FUNCTION_MEMBER(name) __typeof__(name) *name;

typedef struct BusFunctions {
    BUS_FUNCTIONS(BUS_FUNCTION_MEMBER)
} BusFunctions;

/* 0; -EHOSTDOWN with this thread's text: it is not installed, or lacks one of them; -ENOMEM. Thread-safe. */
int bus_functions(const BusFunctions **ret);
