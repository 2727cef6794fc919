/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's log: structured entries for the journal, one readable line on stderr elsewhere. Only manager, bus and
 * main log; lower rooms return. One failure, one line. */
#pragma once

#include "common/macros.h"

#include <syslog.h>

/* MESSAGE_IDs: what an entry means, stable over versions (units/identityd.catalog explains each). */
#define MESSAGE_STATE_CHANGED   "28aee7387334417fad26f38ceee72c4e"
#define MESSAGE_INSTALLED       "367c77f9225f4c0e89cca811110bec8a"
#define MESSAGE_CHAIN_ENDED     "a1ff5a8702344632afb0f0d49ffae3d8"
#define MESSAGE_ATTEMPT_FAILED  "8300682e3b1a4bcdb1baabbef15ba11c"
#define MESSAGE_PENDING         "4fc15c1387b347e3bcb880156b460669"
#define MESSAGE_REVOKED         "f063abb4ae4a43a6b305969ccf983339"
#define MESSAGE_CHECK_FAILED    "a0e9018d7ce9455c925e10649e19f66b"
#define MESSAGE_PEER_CRL        "fc9f38718db3437a9c81b360d3c03269"
#define MESSAGE_ANCHORS_CHANGED "caed62c2fd2a4ffd8befbe25534731be"
#define MESSAGE_TPM_CHANGED     "e13abd64262b41f0a94689ab9f8c1fdb"
#define MESSAGE_CONFIGURATION   "f71111fae2644315aac87e2415a0fbfe"
#define MESSAGE_ACCESS_GRANTED  "95c898fede7b4c1babd5232e10f61853"
#define MESSAGE_ACCESS_DENIED   "a08f9c1e8b2b4f36857c2f28a1458507"
#define MESSAGE_ACCESS_REPEATED "b1bcbcd0f7c44692ad8c505924726a2a"
#define MESSAGE_ACCESS_UNKNOWN  "a464f54da1f24f72bfc147d5d12557d6"
#define MESSAGE_LIMIT           "97f594b1e7d7486893d59c09aab93905"
#define MESSAGE_RETIRED         "174741406d1b4fafb9c11d3625a59566"
#define MESSAGE_GENERATION_GONE "20ec87bc3a4a46afa8a4d52f3fdc8216"
#define MESSAGE_CLOCK           "c9832b9911c04f49baef7b26a50f5ad7"
#define MESSAGE_STORAGE         "59eb7fab086c401e81944a57539c5870"

/* `message_id` may be NULL. `identity` (may be NULL) becomes IDENTITYD_IDENTITY= and the line's beginning. */
void log_entry(int priority, const char *message_id, const char *identity, const char *format, ...) _printf_(4, 5);

/* The same with further NAME=VALUE fields, NULL-terminated, for the journal only. */
void log_fields(int priority, const char *message_id, const char *identity, const char *const *fields,
                const char *format, ...) _printf_(5, 6);

/* Lowest priority that is printed: LOG_INFO unless told. */
void log_set_level(int priority);
