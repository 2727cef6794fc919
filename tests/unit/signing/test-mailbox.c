/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signing/mailbox: order, one letter a turn, several senders at once, and nothing lost at the end. */
#include "signing/mailbox.h"

#include "tests/unit/common/test.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>

#define SENDERS 4
#define LETTERS 5000

typedef struct Sender {
    Mailbox *mailbox;
    unsigned sent, received;
    sd_event *loop;
} Sender;

static void receive(void *data) {
    unsigned *counter = data;
    (*counter)++;
}

static void in_order_one_a_turn(void **state) {
    sd_event *loop = NULL;
    Mailbox *mailbox = NULL;
    unsigned counters[3] = { 0 };
    Mail mail;

    assert_int_equal(sd_event_new(&loop), 0);
    assert_int_equal(mailbox_new(loop, SD_EVENT_PRIORITY_NORMAL, &mailbox), 0);
    assert_int_equal(sd_event_run(loop, 0), 0);
    assert_int_equal(mailbox_post(mailbox, receive, &counters[0]), 0);
    mailbox_post_mail(mailbox, &mail, receive, &counters[1]);
    assert_int_equal(mailbox_post(mailbox, receive, &counters[2]), 0);
    for (unsigned turn = 0; turn < 3; turn++) {
        assert_true(sd_event_run(loop, 0) > 0);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(counters[i], i <= turn);
    }
    assert_int_equal(sd_event_run(loop, 0), 0);
    mailbox_post_mail(mailbox, &mail, receive, &counters[1]); /* a letter can be sent again */
    mailbox_free(mailbox);                                    /* and is delivered even so */
    assert_int_equal(counters[1], 2);
    sd_event_unref(loop);
    assert_null(mailbox_free(NULL));
}

static void without_a_descriptor(void **state) {
    sd_event *loop = NULL;
    Mailbox *mailbox = NULL;
    struct rlimit before, none;

    assert_int_equal(sd_event_new(&loop), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int r = mailbox_new(loop, SD_EVENT_PRIORITY_NORMAL, &mailbox);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_null(mailbox);
    sd_event_unref(loop);
}

typedef struct Chain {
    Mailbox *mailbox;
    unsigned left;
} Chain;

static void post_again(void *data) {
    Chain *chain = data;
    if (chain->left-- > 0)
        assert_int_equal(mailbox_post(chain->mailbox, post_again, chain), 0);
}

static void what_letters_post_while_it_closes(void **state) {
    sd_event *loop = NULL;
    Chain chain = { NULL, 10 };

    assert_int_equal(sd_event_new(&loop), 0);
    assert_int_equal(mailbox_new(loop, SD_EVENT_PRIORITY_NORMAL, &chain.mailbox), 0);
    assert_int_equal(mailbox_post(chain.mailbox, post_again, &chain), 0);
    mailbox_free(chain.mailbox);
    assert_int_equal(chain.left, (unsigned) -1);
    sd_event_unref(loop);
}

typedef struct Letter {
    Sender *sender;
    unsigned number;
    unsigned *total;
    sd_event *loop;
} Letter;

static void take_letter(void *data) {
    Letter *letter = data;
    assert_int_equal(letter->number, letter->sender->received); /* first in, first out, for each sender */
    letter->sender->received++;
    if (++*letter->total == SENDERS * LETTERS)
        assert_int_equal(sd_event_exit(letter->loop, 0), 0);
    free(letter);
}

static unsigned total;

static void *send_letters(void *userdata) {
    Sender *sender = userdata;
    for (unsigned i = 0; i < LETTERS; i++) {
        Letter *letter = malloc(sizeof(*letter));
        *letter = (Letter) { sender, i, &total, sender->loop };
        if (mailbox_post(sender->mailbox, take_letter, letter) < 0)
            abort();
    }
    return NULL;
}

static void many_senders(void **state) {
    sd_event *loop = NULL;
    Mailbox *mailbox = NULL;
    Sender senders[SENDERS] = { 0 };
    pthread_t threads[SENDERS];

    assert_int_equal(sd_event_new(&loop), 0);
    assert_int_equal(mailbox_new(loop, SD_EVENT_PRIORITY_NORMAL, &mailbox), 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i].mailbox = mailbox;
        senders[i].loop = loop;
        assert_int_equal(pthread_create(&threads[i], NULL, send_letters, &senders[i]), 0);
    }
    assert_int_equal(sd_event_loop(loop), 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(senders[i].received, LETTERS);
    }
    mailbox_free(mailbox);
    sd_event_unref(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_one_a_turn),
        cmocka_unit_test(without_a_descriptor),
        cmocka_unit_test(what_letters_post_while_it_closes),
        cmocka_unit_test(many_senders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
