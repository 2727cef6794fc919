/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list under a lock, and an eventfd that counts its letters: as a semaphore it stays readable until the last is
 * taken, so one letter per turn needs no bookkeeping. */
#include "signing/mailbox.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>

struct Mailbox {
    pthread_mutex_t lock;
    Mail *first;
    Mail **end; /* where the next one is put */
    int event_fd;
    sd_event_source *source;
};

/* A letter that mailbox_post allocated; freed before its function runs. */
typedef struct OwnMail {
    Mail mail;
    MailFunction function;
    void *data;
} OwnMail;

static Mail *take(Mailbox *mailbox) {
    pthread_mutex_lock(&mailbox->lock);
    Mail *mail = mailbox->first;
    if (mail) {
        mailbox->first = mail->next;
        if (!mailbox->first)
            mailbox->end = &mailbox->first;
    }
    pthread_mutex_unlock(&mailbox->lock);
    return mail;
}

static bool deliver_one(Mailbox *mailbox) {
    Mail *mail = take(mailbox);

    if (!mail)
        return false;
    /* The function may free what the letter lies in. */
    MailFunction function = mail->function;
    void *data = mail->data;
    function(data);
    return true;
}

static int on_mail(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    uint64_t one;

    if (read(fd, &one, sizeof(one)) == (ssize_t) sizeof(one))
        (void) deliver_one(userdata);
    return 0;
}

int mailbox_new(sd_event *loop, int64_t priority, Mailbox **ret) {
    _cleanup_close_ int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);

    if (event_fd < 0)
        return -errno;
    _cleanup_free_ Mailbox *mailbox = calloc(1, sizeof(*mailbox));
    if (!mailbox)
        return -ENOMEM;
    int r = sd_event_add_io(loop, &mailbox->source, event_fd, EPOLLIN, on_mail, mailbox);
    if (r >= 0)
        r = sd_event_source_set_priority(mailbox->source, priority);
    if (r >= 0)
        r = -pthread_mutex_init(&mailbox->lock, NULL);
    if (r < 0) {
        sd_event_source_disable_unref(mailbox->source);
        return r;
    }
    mailbox->end = &mailbox->first;
    mailbox->event_fd = TAKE_FD(event_fd);
    *ret = TAKE_PTR(mailbox);
    return 0;
}

void mailbox_post_mail(Mailbox *mailbox, Mail *mail, MailFunction function, void *data) {
    *mail = (Mail) { NULL, function, data };
    pthread_mutex_lock(&mailbox->lock);
    *mailbox->end = mail;
    mailbox->end = &mail->next;
    pthread_mutex_unlock(&mailbox->lock);
    /* Fails only when 2^64 - 2 letters wait. */
    ssize_t n = write(mailbox->event_fd, &(uint64_t) { 1 }, sizeof(uint64_t));
    assert(n == (ssize_t) sizeof(uint64_t));
    (void) n;
}

static void deliver_own(void *data) {
    OwnMail *own = data;
    MailFunction function = own->function;
    void *argument = own->data;

    free(own);
    function(argument);
}

int mailbox_post(Mailbox *mailbox, MailFunction function, void *data) {
    OwnMail *own = malloc(sizeof(*own));

    if (!own)
        return -ENOMEM;
    own->function = function;
    own->data = data;
    mailbox_post_mail(mailbox, &own->mail, deliver_own, own);
    return 0;
}

Mailbox *mailbox_free(Mailbox *mailbox) {
    if (!mailbox)
        return NULL;
    while (deliver_one(mailbox))
        ;
    sd_event_source_disable_unref(mailbox->source);
    mailbox->event_fd = close_safe(mailbox->event_fd);
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
    return NULL;
}
