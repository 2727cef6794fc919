/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies against the tree of RFC 5280 §6.1 itself, written down here step by step, which is as slow as it is plain:
 * both must say the same of some ten thousand chains that a generator makes. And what is malformed or too much. */
#include "pki/policy.h"

#include "fixture.h"
#include "tests/unit/enroller/der.h"

#include <string.h>

#define PATH_MAX_HERE 5U
#define POLICIES      4U /* number 0 is anyPolicy */
#define NODES_MAX     4096U

/* What a certificate says; bit n of a mask is policy n. */
typedef struct Said {
    unsigned policies; /* 0: no such extension */
    unsigned mapped[POLICIES];
    int require, inhibit_mapping, inhibit_any; /* -1: not said */
    bool self_issued;
} Said;

/* ---- the tree ---- */

typedef struct Node {
    unsigned depth, valid, expected, parent;
    bool is_gone;
} Node;

typedef struct Tree {
    Node nodes[NODES_MAX];
    size_t count;
    bool is_null;
} Tree;

static void add_node(Tree *tree, unsigned depth, unsigned valid, unsigned expected, unsigned parent) {
    assert_true(tree->count < NODES_MAX);
    tree->nodes[tree->count++] = (Node) { depth, valid, expected, parent, false };
}

static bool has_child(const Tree *tree, size_t parent, int valid) {
    for (size_t i = 1; i < tree->count; i++)
        if (!tree->nodes[i].is_gone && tree->nodes[i].parent == parent &&
            (valid < 0 || tree->nodes[i].valid == (unsigned) valid))
            return true;
    return false;
}

/* Until nothing above `depth` is without a child. */
static void prune(Tree *tree, unsigned depth) {
    bool changed = true;

    while (changed) {
        changed = false;
        for (size_t i = 0; i < tree->count; i++)
            if (!tree->nodes[i].is_gone && tree->nodes[i].depth < depth && !has_child(tree, i, -1))
                tree->nodes[i].is_gone = changed = true;
    }
    if (tree->nodes[0].is_gone)
        tree->is_null = true;
}

#define EACH_NODE(tree, i, level)                                                                                      \
    for (size_t i = 0, _count = (tree)->count; i < _count; i++)                                                        \
        if (!(tree)->nodes[i].is_gone && (tree)->nodes[i].depth == (level))

/* §6.1.3 (d) and (e). */
static void take(Tree *tree, const Said *said, unsigned depth, bool any_counts) {
    if (tree->is_null)
        return;
    if (said->policies == 0) {
        tree->is_null = true;
        return;
    }
    for (unsigned policy = 1; policy < POLICIES; policy++) {
        bool matched = false;
        if (!(said->policies & 1U << policy))
            continue;
        EACH_NODE(tree, i, depth - 1) if (tree->nodes[i].expected & 1U << policy) {
            add_node(tree, depth, policy, 1U << policy, (unsigned) i);
            matched = true;
        }
        EACH_NODE(tree, i, depth - 1)
        if (!matched && tree->nodes[i].valid == 0)
            add_node(tree, depth, policy, 1U << policy, (unsigned) i);
    }
    if (said->policies & 1 && any_counts)
        EACH_NODE(tree, i, depth - 1)
    for (unsigned policy = 0; policy < POLICIES; policy++)
        if (tree->nodes[i].expected & 1U << policy && !has_child(tree, i, (int) policy))
            add_node(tree, depth, policy, 1U << policy, (unsigned) i);
    prune(tree, depth);
}

/* §6.1.4 (b). */
static void map(Tree *tree, const Said *said, unsigned depth, bool allowed) {
    for (unsigned policy = 1; policy < POLICIES && !tree->is_null; policy++) {
        bool found = false;
        if (!said->mapped[policy])
            continue;
        EACH_NODE(tree, i, depth) if (tree->nodes[i].valid == policy) {
            found = true;
            if (allowed)
                tree->nodes[i].expected = said->mapped[policy];
            else
                tree->nodes[i].is_gone = true;
        }
        if (allowed && !found)
            EACH_NODE(tree, i, depth) if (tree->nodes[i].valid == 0) {
                add_node(tree, depth, policy, said->mapped[policy], tree->nodes[i].parent);
                break;
            }
        prune(tree, depth);
    }
}

static void count(unsigned *number, const Said *said, int lower_to) {
    if (*number > 0 && !said->self_issued)
        --*number;
    if (lower_to >= 0 && *number > (unsigned) lower_to)
        *number = (unsigned) lower_to;
}

/* `path`: leaf first. */
static bool tree_allows(const Said *path, unsigned length) {
    static Tree tree;
    unsigned require = length + 1, mapping = length + 1, any = length + 1;

    tree.count = 0;
    tree.is_null = false;
    add_node(&tree, 0, 0, 1, 0);
    for (unsigned depth = 1; depth <= length; depth++) {
        const Said *said = &path[length - depth];
        bool is_leaf = depth == length;
        take(&tree, said, depth, any > 0 || (!is_leaf && said->self_issued));
        if (require == 0 && tree.is_null)
            return false;
        if (is_leaf)
            break;
        map(&tree, said, depth, mapping > 0);
        count(&require, said, said->require);
        count(&mapping, said, said->inhibit_mapping);
        count(&any, said, said->inhibit_any);
    }
    if (require > 0)
        require--;
    if (path[0].require == 0)
        require = 0;
    return require > 0 || !tree.is_null;
}

/* ---- the same as certificates ---- */

static BytesView policy_of(unsigned number) {
    const uint8_t own[] = { 0x2a, 0x03, (uint8_t) (0x81U + (number >> 7)), (uint8_t) (number & 0x7f) };

    return number == 0 ? made_oid("2.5.29.32.0") : der_bytes(0x06, (BytesView) { own, sizeof own });
}

static BytesView concatenate(const BytesView *parts, size_t size) {
    BytesView all = { NULL, 0 };

    for (size_t i = 0; i < size; i++) { /* in the order in which they were made, one behind another */
        BytesView joined =
            der_of(0x30, all.size > 0 ? all : (BytesView) { (const uint8_t *) "", 0 }, parts[i], DER_END);
        size_t header = joined.size - all.size - parts[i].size;
        all = (BytesView) { joined.data + header, joined.size - header };
    }
    return all;
}

typedef struct Written {
    Certificate certificate;
    CertificateExtension extensions[4];
} Written;

static void add_extension(Written *written, const char *oid, BytesView value) {
    BytesView whole = made_oid(oid);

    written->extensions[written->certificate.extension_count++] =
        (CertificateExtension) { .oid = { whole.data + 2, whole.size - 2 }, .value = value };
}

static void write_said(const Said *said, Written *written) {
    BytesView parts[POLICIES * POLICIES];
    size_t size = 0;

    *written = (Written) { .certificate = { .self_issued = said->self_issued } };
    written->certificate.extensions = written->extensions;
    for (unsigned i = 0; i < POLICIES; i++)
        if (said->policies & 1U << i)
            parts[size++] = DER_SEQUENCE(policy_of(i));
    if (size > 0)
        add_extension(written, "2.5.29.32", der_bytes(0x30, concatenate(parts, size)));
    size = 0;
    for (unsigned i = 1; i < POLICIES; i++)
        for (unsigned k = 1; k < POLICIES; k++)
            if (said->mapped[i] & 1U << k)
                parts[size++] = DER_SEQUENCE(policy_of(i), policy_of(k));
    if (size > 0)
        add_extension(written, "2.5.29.33", der_bytes(0x30, concatenate(parts, size)));
    size = 0;
    if (said->require >= 0)
        parts[size++] = der_bytes(0x80, (BytesView) { &(const uint8_t) { (uint8_t) said->require }, 1 });
    if (said->inhibit_mapping >= 0)
        parts[size++] = der_bytes(0x81, (BytesView) { &(const uint8_t) { (uint8_t) said->inhibit_mapping }, 1 });
    if (size > 0)
        add_extension(written, "2.5.29.36", der_bytes(0x30, concatenate(parts, size)));
    if (said->inhibit_any >= 0)
        add_extension(written, "2.5.29.54", der_integer((unsigned) said->inhibit_any));
}

static PolicyVerdict judge(const Said *path, size_t length, size_t *ret_at_fault) {
    Written written[PATH_MAX_HERE];
    const Certificate *certificates[PATH_MAX_HERE] = { NULL };

    for (size_t i = 0; i < length; i++) {
        write_said(&path[i], &written[i]);
        certificates[i] = &written[i].certificate;
    }
    PolicyVerdict verdict = policy_judge(certificates, length, ret_at_fault);
    der_reset();
    return verdict;
}

/* ---- tests ---- */

static unsigned next_random(unsigned *state, unsigned below) {
    *state = *state * 1664525U + 1013904223U;
    return (*state >> 8) % below;
}

static Said make_said(unsigned *random) {
    Said said = { .require = -1, .inhibit_mapping = -1, .inhibit_any = -1 };

    said.policies = next_random(random, 8) ? 1 + next_random(random, 15) : 0;
    for (unsigned i = 1; i < POLICIES; i++)
        if (next_random(random, 4) == 0)
            said.mapped[i] = next_random(random, 8) << 1;
    if (next_random(random, 3) == 0)
        said.require = (int) next_random(random, 3);
    if (next_random(random, 4) == 0)
        said.inhibit_mapping = (int) next_random(random, 3);
    if (next_random(random, 4) == 0)
        said.inhibit_any = (int) next_random(random, 3);
    said.self_issued = next_random(random, 5) == 0;
    return said;
}

static void print_said(const Said *said) {
    print_message("policies %x, mapped %x %x %x, require %d, inhibit mapping %d, any %d%s\n", said->policies,
                  said->mapped[1], said->mapped[2], said->mapped[3], said->require, said->inhibit_mapping,
                  said->inhibit_any, said->self_issued ? ", self-issued" : "");
}

static void test_as_the_tree_has_it(void **state) {
    unsigned random = 1, allowed = 0, refused = 0;

    for (unsigned round = 0; round < 20000; round++) {
        Said path[PATH_MAX_HERE];
        unsigned length = 1 + next_random(&random, PATH_MAX_HERE);
        size_t at_fault = SIZE_MAX;
        for (unsigned i = 0; i < length; i++)
            path[i] = make_said(&random);
        PolicyVerdict verdict = judge(path, length, &at_fault);
        bool tree = tree_allows(path, length);
        if ((verdict == POLICY_GOOD) != tree || (verdict != POLICY_GOOD && verdict != POLICY_MISSING)) {
            for (unsigned i = 0; i < length; i++)
                print_said(&path[i]);
            fail_msg("round %u: the tree %s it, policy_judge says %d", round, tree ? "allows" : "refuses", verdict);
        }
        assert_true(tree || at_fault < length);
        *(tree ? &allowed : &refused) += 1;
    }
    assert_true(allowed > 2000 && refused > 2000); /* both are looked at */
}

/* Nothing is asked of who says nothing. */
static void test_nothing_said(void **state) {
    const Said nothing = { .require = -1, .inhibit_mapping = -1, .inhibit_any = -1 };
    const Said path[] = { nothing, nothing, nothing };
    size_t at_fault;

    assert_int_equal(judge(path, 3, &at_fault), POLICY_GOOD);
    assert_int_equal(judge(path, 0, &at_fault), POLICY_GOOD);
}

/* Who is at fault: the first, from the anchor, with which nothing is left. */
static void test_at_fault(void **state) {
    const Said demanding = { .policies = 2, .require = 0, .inhibit_mapping = -1, .inhibit_any = -1 },
               other = { .policies = 4, .require = -1, .inhibit_mapping = -1, .inhibit_any = -1 };
    const Said path[] = { demanding, other, demanding };
    size_t at_fault = SIZE_MAX;

    assert_int_equal(judge(path, 3, &at_fault), POLICY_MISSING);
    assert_int_equal(at_fault, 1);
}

#define BYTES(...)                                                                                                     \
    { (const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }) }

static void test_malformed(void **state) {
    const struct {
        const char *oid;
        BytesView value;
        PolicyVerdict verdict;
    } cases[] = {
        { "2.5.29.32", BYTES(0x30, 0x00), POLICY_MALFORMED },
        { "2.5.29.32", BYTES(0x31, 0x05, 0x30, 0x03, 0x06, 0x01, 0x2a), POLICY_MALFORMED },
        { "2.5.29.32", BYTES(0x30, 0x05, 0x30, 0x03, 0x06, 0x01, 0x2a), POLICY_GOOD },
        { "2.5.29.32", BYTES(0x30, 0x04, 0x30, 0x02, 0x06, 0x00), POLICY_MALFORMED },
        { "2.5.29.32", BYTES(0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x2a), POLICY_MALFORMED },
        { "2.5.29.32", BYTES(0x30, 0x02, 0x30, 0x00), POLICY_MALFORMED },
        { "2.5.29.32", BYTES(0x30, 0x0a, 0x30, 0x03, 0x06, 0x01, 0x2a, 0x30, 0x03, 0x06, 0x01, 0x2a),
          POLICY_MALFORMED },
        { "2.5.29.33", BYTES(0x30, 0x00), POLICY_MALFORMED },
        { "2.5.29.33", BYTES(0x30, 0x05, 0x30, 0x03, 0x06, 0x01, 0x2a), POLICY_MALFORMED },
        { "2.5.29.33", BYTES(0x30, 0x08, 0x30, 0x06, 0x06, 0x01, 0x2a, 0x06, 0x01, 0x2b), POLICY_GOOD },
        { "2.5.29.33", BYTES(0x30, 0x0b, 0x30, 0x09, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00, 0x06, 0x01, 0x2b),
          POLICY_MALFORMED },
        { "2.5.29.36", BYTES(0x30, 0x00), POLICY_MALFORMED },
        { "2.5.29.36", BYTES(0x30, 0x03, 0x80, 0x01, 0x05), POLICY_GOOD },
        { "2.5.29.36", BYTES(0x30, 0x03, 0x80, 0x01, 0x85), POLICY_MALFORMED },
        { "2.5.29.36", BYTES(0x30, 0x02, 0x80, 0x00), POLICY_MALFORMED },
        { "2.5.29.36", BYTES(0x30, 0x04, 0x80, 0x02, 0x00, 0x05), POLICY_MALFORMED },
        { "2.5.29.36", BYTES(0x30, 0x04, 0x80, 0x02, 0x00, 0x85), POLICY_GOOD },
        { "2.5.29.36", BYTES(0x30, 0x03, 0x82, 0x01, 0x05), POLICY_MALFORMED },
        { "2.5.29.36", BYTES(0x30, 0x03, 0x02, 0x01, 0x05), POLICY_MALFORMED },
        { "2.5.29.36", BYTES(0x30, 0x06, 0x80, 0x01, 0x05, 0x80, 0x01, 0x00), POLICY_MALFORMED },
        { "2.5.29.36", BYTES(0x30, 0x06, 0x81, 0x01, 0x05, 0x80, 0x01, 0x05), POLICY_MALFORMED },
        { "2.5.29.36", BYTES(0x30, 0x06, 0x80, 0x01, 0x05, 0x81, 0x01, 0x05), POLICY_GOOD },
        { "2.5.29.54", BYTES(0x02, 0x01, 0x05), POLICY_GOOD },
        { "2.5.29.54", BYTES(0x02, 0x01, 0x80), POLICY_MALFORMED },
        { "2.5.29.54", BYTES(0x02, 0x02, 0x00, 0x05), POLICY_MALFORMED },
        { "2.5.29.54", BYTES(0x02, 0x01, 0x05, 0x00), POLICY_MALFORMED },
        { "2.5.29.54", BYTES(0x04, 0x01, 0x05), POLICY_MALFORMED },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        for (size_t at = 0; at < 2; at++) {
            Written written[2] = { 0 };
            const Certificate *const path[] = { &written[0].certificate, &written[1].certificate };
            size_t at_fault = SIZE_MAX;
            written[at].certificate.extensions = written[at].extensions;
            add_extension(&written[at], cases[i].oid, cases[i].value);
            PolicyVerdict verdict = policy_judge(path, 2, &at_fault);
            if (verdict != cases[i].verdict || (verdict != POLICY_GOOD && at_fault != at))
                fail_msg("case %zu at %zu: %d at %zu", i, at, verdict, at_fault);
        }
    der_reset();
}

/* The work is bounded: 64 policies of a certificate, 64 mappings, 256 edges of a level. */
static void test_too_many(void **state) {
    static const struct {
        const char *oid;
        unsigned count;
        PolicyVerdict verdict;
    } cases[] = {
        { "2.5.29.32", 64, POLICY_GOOD },
        { "2.5.29.32", 65, POLICY_TOO_MANY },
        { "2.5.29.33", 64, POLICY_GOOD },
        { "2.5.29.33", 65, POLICY_TOO_MANY },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        BytesView parts[65];
        Written written[2] = { 0 };
        const Certificate *const path[] = { &written[0].certificate, &written[1].certificate };
        size_t at_fault = SIZE_MAX;
        for (unsigned k = 0; k < cases[i].count; k++)
            parts[k] = strcmp(cases[i].oid, "2.5.29.32") == 0 ? DER_SEQUENCE(policy_of(k + 1))
                                                              : DER_SEQUENCE(policy_of(k + 1), policy_of(k + 2));
        written[1].certificate.extensions = written[1].extensions;
        add_extension(&written[1], cases[i].oid, der_bytes(0x30, concatenate(parts, cases[i].count)));
        assert_int_equal(policy_judge(path, 2, &at_fault), cases[i].verdict);
        der_reset();
    }
}

/* `count` policies from number `first` on; `mapped` mappings from number 1000 + `first` on. Any policy counts as well.
 */
static void write_policies(Written *written, unsigned first, unsigned count, unsigned mapped) {
    static const uint8_t any[] = { 0x30, 0x06, 0x06, 0x04, 0x55, 0x1d, 0x20, 0x00 };
    BytesView parts[65];

    written->certificate.extensions = written->extensions;
    for (unsigned i = 0; i < count; i++)
        parts[i] = DER_SEQUENCE(policy_of(first + i));
    parts[count] = (BytesView) { any, sizeof any };
    add_extension(written, "2.5.29.32", der_bytes(0x30, concatenate(parts, count + 1)));
    for (unsigned i = 0; i < mapped; i++)
        parts[i] = DER_SEQUENCE(policy_of(1000 + first + 2 * i), policy_of(1001 + first + 2 * i));
    add_extension(written, "2.5.29.33", der_bytes(0x30, concatenate(parts, mapped)));
}

/* 64 policies, any, and 64 mappings; those again, and 64 policies more: 193 edges, to which mappings are added. */
static void test_edges_of_a_level(void **state) {
    for (unsigned mapped = 62; mapped <= 64; mapped++) {
        Written written[3] = { 0 };
        const Certificate *const path[] = { &written[0].certificate, &written[1].certificate, &written[2].certificate };
        size_t at_fault = SIZE_MAX;
        write_policies(&written[2], 1, 64, 64);
        write_policies(&written[1], 200, 64, mapped);
        assert_int_equal(policy_judge(path, 3, &at_fault), mapped < 64 ? POLICY_GOOD : POLICY_TOO_MANY);
        assert_int_equal(at_fault, mapped < 64 ? SIZE_MAX : 1);
        der_reset();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_the_tree_has_it), cmocka_unit_test(test_nothing_said),
        cmocka_unit_test(test_at_fault),           cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_too_many),           cmocka_unit_test(test_edges_of_a_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
