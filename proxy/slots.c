/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See slots.h. */
#include "proxy/slots.h"

#include <assert.h>

typedef struct Order {
    const Slot *slots;
    size_t indexes[SLOTS_MAX]; /* of the slots, sources together */
    size_t count;
} Order;

static int compare(const void *a, const void *b, void *data) {
    const Slot *slots = data;

    return proxy_source_compare(&slots[*(const size_t *) a].source, &slots[*(const size_t *) b].source);
}

static void sort(Order *order, const Slot *slots, size_t count) {
    order->slots = slots;
    order->count = count;
    for (size_t i = 0; i < count; i++)
        order->indexes[i] = i;
    qsort_r(order->indexes, count, sizeof order->indexes[0], compare, (void *) (uintptr_t) slots);
}

/* Where the source that stands at `begin` ends, and how many of its slots yield. */
static size_t end_of_source(const Order *order, size_t begin, size_t *ret_yielding) {
    size_t end = begin, yielding = 0;

    while (end < order->count && proxy_source_compare(&order->slots[order->indexes[begin]].source,
                                                      &order->slots[order->indexes[end]].source) == 0)
        yielding += order->slots[order->indexes[end++]].yields;
    *ret_yielding = yielding;
    return end;
}

/* One that yields, of the sources that have `size` slots: the `nth`. */
static size_t nth_yielding(const Order *order, size_t size, size_t nth) {
    for (size_t begin = 0, end; begin < order->count; begin = end) {
        size_t yielding;
        end = end_of_source(order, begin, &yielding);
        if (end - begin != size)
            continue;
        for (size_t i = begin; i < end; i++)
            if (order->slots[order->indexes[i]].yields && nth-- == 0)
                return order->indexes[i];
    }
    assert(false);
    return 0;
}

/* One of those that yield, of the sources that have most. False: nobody yields. */
static bool choose_of_greediest(const Slot *slots, size_t count, uint32_t chance, size_t *ret) {
    Order order;
    size_t most = 0, candidates = 0;

    sort(&order, slots, count);
    for (size_t begin = 0, end; begin < count; begin = end) {
        size_t yielding;
        end = end_of_source(&order, begin, &yielding);
        if (yielding == 0 || end - begin < most)
            continue;
        candidates = end - begin > most ? yielding : candidates + yielding;
        most = end - begin;
    }
    if (candidates == 0)
        return false;
    *ret = nth_yielding(&order, most, chance % candidates);
    return true;
}

static bool choose_of_source(const Slot *slots, size_t count, const ProxySource *source, uint32_t chance, size_t *ret) {
    size_t candidates = 0;

    for (size_t i = 0; i < count; i++)
        candidates += slots[i].yields && proxy_source_compare(&slots[i].source, source) == 0;
    if (candidates == 0)
        return false;
    size_t nth = chance % candidates;
    for (size_t i = 0; i < count; i++)
        if (slots[i].yields && proxy_source_compare(&slots[i].source, source) == 0 && nth-- == 0) {
            *ret = i;
            break;
        }
    return true;
}

static unsigned percent(const SlotRule *rule, size_t count) {
    if (count < rule->start)
        return 0;
    if (count >= rule->full)
        return 100;
    return rule->rate + (unsigned) ((100 - rule->rate) * (count - rule->start) / (rule->full - rule->start));
}

SlotVerdict slots_decide(const SlotRule *rule, const Slot *slots, size_t count, const ProxySource *source,
                         uint32_t chance, size_t *ret_which) {
    size_t of_source = 0;

    assert(count <= SLOTS_MAX);
    for (size_t i = 0; i < count; i++)
        of_source += proxy_source_compare(&slots[i].source, source) == 0;
    if (of_source >= rule->per_source)
        return choose_of_source(slots, count, source, chance, ret_which) ? SLOT_OF_ANOTHER : SLOT_SOURCE_FULL;
    if (chance % 100 >= percent(rule, count))
        return SLOT_FREE;
    if (choose_of_greediest(slots, count, chance / 100, ret_which))
        return SLOT_OF_ANOTHER;
    return count >= rule->full ? SLOT_FULL : SLOT_FREE;
}
