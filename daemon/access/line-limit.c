/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many lines of the log one user may cause. What a journal takes of a service in a while is bounded; a user who
 * asks for what he is refused, again and again, would use that up, and with it what should be heard of everybody else.
 * Past a burst in one window his lines are counted, and told in one when the window is over. The table has a fixed
 * size: who comes while every place is in use shares the last one. */
#include "access/access.h"

typedef struct Window {
    bool in_use;
    uid_t uid;
    LineKind kind;
    uint64_t begun;
    uint32_t let_through, held_back;
} Window;

struct LineLimit {
    Window windows[LINE_LIMIT_WINDOWS];
    Window others[_LINE_KIND_COUNT]; /* of everybody else together */
};

int line_limit_new(LineLimit **ret) {
    LineLimit *limit = calloc(1, sizeof(*limit));

    if (!limit)
        return -ENOMEM;
    for (LineKind kind = 0; kind < _LINE_KIND_COUNT; kind++)
        limit->others[kind] = (Window) { .uid = (uid_t) -1, .kind = kind };
    *ret = limit;
    return 0;
}

LineLimit *line_limit_free(LineLimit *limit) {
    free(limit);
    return NULL;
}

static bool is_over(const Window *window, uint64_t now) {
    return !window->in_use || now - window->begun >= LINE_LIMIT_WINDOW;
}

static Window *window_of(LineLimit *limit, LineKind kind, uid_t uid, uint64_t now) {
    Window *place = NULL;

    for (size_t i = 0; i < LINE_LIMIT_WINDOWS; i++) {
        Window *window = &limit->windows[i];
        if (window->in_use && window->uid == uid && window->kind == kind)
            return window;
        if (!place && is_over(window, now) && window->held_back == 0)
            place = window;
    }
    if (!place)
        return &limit->others[kind];
    *place = (Window) { .uid = uid, .kind = kind };
    return place;
}

bool line_limit_admits(LineLimit *limit, LineKind kind, uid_t uid, uint64_t now) {
    Window *window = window_of(limit, kind, uid, now);

    if (is_over(window, now) && window->held_back == 0) {
        window->in_use = true;
        window->begun = now;
        window->let_through = 0;
    }
    if (window->let_through < LINE_LIMIT_BURST) {
        window->let_through++;
        return true;
    }
    if (window->held_back < UINT32_MAX)
        window->held_back++;
    return false;
}

bool line_limit_take(LineLimit *limit, uint64_t now, LineSummary *ret) {
    for (size_t i = 0; i < LINE_LIMIT_WINDOWS + _LINE_KIND_COUNT; i++) {
        bool others = i >= LINE_LIMIT_WINDOWS;
        Window *window = others ? &limit->others[i - LINE_LIMIT_WINDOWS] : &limit->windows[i];
        if (window->held_back == 0 || !is_over(window, now))
            continue;
        *ret = (LineSummary) { .kind = window->kind,
                               .uid = window->uid,
                               .others = others,
                               .count = window->held_back,
                               .begun = window->begun };
        window->in_use = false;
        window->held_back = 0;
        return true;
    }
    return false;
}

uint64_t line_limit_next(const LineLimit *limit) {
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < LINE_LIMIT_WINDOWS + _LINE_KIND_COUNT; i++) {
        const Window *window = i < LINE_LIMIT_WINDOWS ? &limit->windows[i] : &limit->others[i - LINE_LIMIT_WINDOWS];
        if (window->held_back > 0 && window->begun + LINE_LIMIT_WINDOW < next)
            next = window->begun + LINE_LIMIT_WINDOW;
    }
    return next;
}
