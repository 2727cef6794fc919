/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Those who wait for an operation; each is told exactly once. */
#include "manager/internal.h"

int operation_add(Operation **list, OperationDone done, void *userdata) {
    if (!done)
        return 0;
    Operation *operation = malloc(sizeof *operation);
    if (!operation)
        return -ENOMEM;
    *operation = (Operation) { .done = done, .userdata = userdata, .next = *list };
    *list = operation;
    return 0;
}

void operations_finish(Operation **list, const Failure *failure, BytesView result) {
    static const Failure success = { .kind = FAILURE_NONE };
    Operation *operation = TAKE_PTR(*list);

    while (operation) {
        Operation *next = operation->next;
        operation->done(failure ? failure : &success, result, operation->userdata);
        free(operation);
        operation = next;
    }
}
