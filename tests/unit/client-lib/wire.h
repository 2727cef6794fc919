/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The far end of a handle, spoken byte by byte. */
#pragma once

#include "identityd/identityd.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

typedef struct Raw {
    uint8_t bytes[70000];
    size_t size;
} Raw;

typedef struct Wire {
    int ours, theirs; /* `ours` is the holder's end */
} Wire;

extern Raw raw; /* the packet in hand */

#define SEALED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

Wire wire_new(void);
void put(Raw *packet, const void *data, size_t size);
void put_number(Raw *packet, uint64_t value, size_t size);
void header(Raw *packet, uint8_t type, uint16_t status, uint32_t serial, uint32_t generation);
void field(Raw *packet, uint16_t tag, const void *value, size_t size);
void state_fields(Raw *packet);
void good_state(Raw *packet, uint32_t serial);
void send_with(int socket, const Raw *packet, const int *fds, size_t count);
void send_raw(int socket, const Raw *packet);
int memfd_with(const char *text, unsigned seals);
unsigned count_descriptors(void);
identityd_credential *open_wire(Wire *ret);
int sign_now(identityd_credential *credential);
void answer(uint8_t type, uint16_t status, uint32_t serial, size_t size);
