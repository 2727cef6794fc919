/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A mailbox carries calls from one thread into another's event loop: first in, first out, never dropped,
 * never blocking. */
#pragma once

#include "common/macros.h"

#include <systemd/sd-event.h>

typedef struct Mailbox Mailbox;
typedef void (*MailFunction)(void *data); /* runs on the receiving thread and owns `data` */

/* `loop` is the receiver's. 0 or -errno. */
int mailbox_new(sd_event *loop, int64_t priority, Mailbox **ret);
/* From any thread. 0 or -ENOMEM (nothing was posted, `data` still belongs to the caller). */
int mailbox_post(Mailbox *mailbox, MailFunction function, void *data);
/* On the receiving thread, when no sender is left: undelivered mail is delivered first. */
Mailbox *mailbox_free(Mailbox *mailbox);
DEFINE_CLEANUP(Mailbox, mailbox_free)
