/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A mailbox carries calls from one thread into another's event loop: first in, first out, never dropped,
 * never blocking. Each turn of the receiving loop delivers one, so that other sources of the same priority
 * get their turns between two. */
#pragma once

#include "common/macros.h"

#include <systemd/sd-event.h>

typedef struct Mailbox Mailbox;
typedef void (*MailFunction)(void *data); /* runs on the receiving thread and owns `data` */

/* A letter inside the sender's own object, for what must not fail to be said. It belongs to the mailbox from posting
 * until the function is called, which may free it or post it again. */
typedef struct Mail Mail;
struct Mail {
    Mail *next;
    MailFunction function;
    void *data;
};

/* `loop` is the receiver's. 0 or -errno. */
int mailbox_new(sd_event *loop, int64_t priority, Mailbox **ret);
/* From any thread. 0 or -ENOMEM (nothing was posted, `data` still belongs to the caller). */
int mailbox_post(Mailbox *mailbox, MailFunction function, void *data);
/* From any thread, and never fails. */
void mailbox_post_mail(Mailbox *mailbox, Mail *mail, MailFunction function, void *data);
/* On the receiving thread, when no sender is left: undelivered mail is delivered first, and what it posts. */
Mailbox *mailbox_free(Mailbox *mailbox);
DEFINE_CLEANUP(Mailbox, mailbox_free)
