/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers in a turn of their own. */
#include "work/operation.h"

struct Operation {
    Operations *operations;
    OperationDone done;
    void *userdata;
    Failure failure;
    Bytes result;
    Operation *next;
};

struct Operations {
    sd_event_source *turn;
    Operation *first, **last; /* finished, in that order */
};

/* Those that are in the line by now; whoever is answered may finish others. */
static void answer_line(Operations *operations) {
    Operation *operation = operations->first;

    operations->first = NULL;
    operations->last = &operations->first;
    while (operation) {
        Operation *next = operation->next;
        operation->done(&operation->failure, bytes_view(&operation->result), operation->userdata);
        bytes_clear(&operation->result);
        free(operation);
        operation = next;
    }
}

static int on_turn(sd_event_source *source, void *userdata) {
    answer_line(userdata);
    return 0;
}

int operations_new(sd_event *loop, Operations **ret) {
    Operations *operations = calloc(1, sizeof *operations);

    if (!operations)
        return -ENOMEM;
    operations->last = &operations->first;
    int r = sd_event_add_defer(loop, &operations->turn, on_turn, operations);
    if (r >= 0)
        r = sd_event_source_set_enabled(operations->turn, SD_EVENT_OFF);
    /* After whatever the same turn changed has been told (manager/timer): who gets an answer finds things so. */
    if (r >= 0)
        r = sd_event_source_set_priority(operations->turn, SD_EVENT_PRIORITY_NORMAL + 1);
    if (r < 0) {
        (void) operations_free(operations);
        return r;
    }
    *ret = operations;
    return 0;
}

Operations *operations_free(Operations *operations) {
    if (!operations)
        return NULL;
    while (operations->first)
        answer_line(operations);
    sd_event_source_disable_unref(operations->turn);
    free(operations);
    return NULL;
}

static void ignore(const Failure *failure, BytesView result, void *userdata) {
}

int operation_new(Operations *operations, OperationDone done, void *userdata, Operation **ret) {
    Operation *operation = malloc(sizeof *operation);

    if (!operation)
        return -ENOMEM;
    *operation = (Operation) { .operations = operations, .done = done ? done : ignore, .userdata = userdata };
    *ret = operation;
    return 0;
}

void operation_join(Operation **list, Operation *operation) {
    operation->next = *list;
    *list = operation;
}

static void finish_one(Operation *operation, const Failure *failure, BytesView result) {
    Operations *operations = operation->operations;

    operation->failure = failure ? *failure : FAILURE_INIT;
    int r = result.size > 0 ? bytes_copy(result, &operation->result) : 0;
    if (r < 0)
        (void) failure_errno(&operation->failure, r, "Answering");
    operation->next = NULL;
    *operations->last = operation;
    operations->last = &operation->next;
    (void) sd_event_source_set_enabled(operations->turn, SD_EVENT_ONESHOT);
}

void operation_finish(Operation *operation, const Failure *failure, BytesView result) {
    while (operation) {
        Operation *next = operation->next;
        finish_one(operation, failure, result);
        operation = next;
    }
}

void operation_answer(Operations *operations, OperationDone done, void *userdata, const Failure *failure) {
    Operation *operation = NULL;

    if (operation_new(operations, done, userdata, &operation) >= 0)
        operation_finish(operation, failure, (BytesView) { NULL, 0 });
}
