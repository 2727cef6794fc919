/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk that refuses: each operation with each of its calls failing in turn. It says so with path, reason and advice,
 * or did what it was asked for; what is there afterwards is the old or the new, and once the disk works again the same
 * operation succeeds. The calls are those of this file, which the linker takes before libc's. */
#include "store-fixture.h"
#include "store/store-internal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- calls that fail ---- */

typedef enum Call { CALL_SYNC, CALL_RENAME, CALL_EXCHANGE, CALL_UNLINK, CALL_MKDIR, CALL_SYMLINK, _CALL_COUNT } Call;

static struct Fault {
    Call call;
    unsigned turn; /* which of them fails, counted from 1; 0: none */
    int error;
    bool directories; /* none can be moved but one that was made just now, which has a temporary name */
} fault;

static bool fails(Call call) {
    if (call != fault.call || fault.turn == 0 || --fault.turn > 0)
        return false;
    errno = fault.error;
    return true;
}

static int count_descriptors(void) {
    int count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static bool directory_stays(int fd, const char *name) {
    struct stat status;

    if (!fault.directories || strncmp(name, ".#", 2) == 0 || fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISDIR(status.st_mode))
        return false;
    errno = EXDEV;
    return true;
}

/* No power is cut here: that it was called is all that counts. */
int fsync(int fd) {
    return fails(CALL_SYNC) ? -1 : 0;
}

int renameat(int from, const char *name, int to, const char *as) {
    return fails(CALL_RENAME) || directory_stays(from, name) ? -1 : (int) syscall(SYS_renameat2, from, name, to, as, 0);
}

int renameat2(int from, const char *name, int to, const char *as, unsigned flags) {
    return fails(CALL_EXCHANGE) || directory_stays(to, as) ? -1
                                                           : (int) syscall(SYS_renameat2, from, name, to, as, flags);
}

int unlinkat(int fd, const char *name, int flags) {
    return fails(CALL_UNLINK) ? -1 : (int) syscall(SYS_unlinkat, fd, name, flags);
}

/* None is open to others before it is whole, also what is published. */
int mkdirat(int fd, const char *name, mode_t mode) {
    assert_int_equal(mode, 0700);
    return fails(CALL_MKDIR) ? -1 : (int) syscall(SYS_mkdirat, fd, name, mode);
}

int symlinkat(const char *target, int fd, const char *name) {
    return fails(CALL_SYMLINK) ? -1 : (int) syscall(SYS_symlinkat, target, fd, name);
}

/* ---- operations: from 'a' to 'b' ---- */

typedef struct Operation {
    const char *name;
    void (*prepare)(const StoreFixture *fixture, Store *store);
    int (*run)(const StoreFixture *fixture, Store *store, Failure *failure);
    /* Whether the new is there; the test fails where it is neither that nor the old. */
    bool (*is_new)(const StoreFixture *fixture, Store *store);
    unsigned passed_over; /* syncs that may fail in silence: of trash/, and of what the next opening makes anew */
    bool frees;           /* nobody may have the store open */
} Operation;

static bool is_tag_b(Bytes *content, char kind) {
    bool b = bytes_view_equal(bytes_view(content), content_of(kind, 'b'));

    if (!b && !bytes_view_equal(bytes_view(content), content_of(kind, 'a')))
        fail_msg("neither the old nor the new");
    bytes_clear(content);
    return b;
}

static void prepare_state(const StoreFixture *fixture, Store *store) {
    assert_int_equal(store_state_save(store, &(StoredState) { .failures = 1 }, NULL), 0);
}

static int run_state(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_state_save(store, &(StoredState) { .failures = 2 }, failure);
}

static bool state_is_new(const StoreFixture *fixture, Store *store) {
    StoredState state = { 0 };

    assert_int_equal(store_state_load(store, &state, NULL), 0);
    const uint32_t failures = state.failures;
    stored_state_clear(&state);
    assert_in_range(failures, 1, 2);
    return failures == 2;
}

static void prepare_anchors(const StoreFixture *fixture, Store *store) {
    assert_int_equal(store_anchors_save(store, content_of('c', 'a'), NULL), 0);
}

static int run_anchors(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_anchors_save(store, content_of('c', 'b'), failure);
}

static bool anchors_are_new(const StoreFixture *fixture, Store *store) {
    Bytes pem = BYTES_NULL;

    assert_int_equal(store_anchors_load(store, &pem, NULL), 0);
    return is_tag_b(&pem, 'c');
}

static int run_anchors_drop(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_anchors_drop(store, failure);
}

static bool anchors_are_gone(const StoreFixture *fixture, Store *store) {
    Bytes pem = BYTES_NULL;
    int r = store_anchors_load(store, &pem, NULL);

    if (r == -ENOENT)
        return true;
    assert_int_equal(r, 0);
    assert_false(is_tag_b(&pem, 'c'));
    return false;
}

static void prepare_nothing(const StoreFixture *fixture, Store *store) {
}

static int run_crl(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_crl_save(store, "aa", content_of('r', 'b'), failure);
}

static bool crl_is_new(const StoreFixture *fixture, Store *store) {
    Bytes der = BYTES_NULL;
    int r = store_crl_load(store, "aa", &der, NULL);

    if (r == -ENOENT)
        return false;
    assert_int_equal(r, 0);
    assert_true(is_tag_b(&der, 'r'));
    return true;
}

static void prepare_crl(const StoreFixture *fixture, Store *store) {
    assert_int_equal(run_crl(fixture, store, NULL), 0);
}

static int run_crl_remove(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_crl_remove(store, "aa", failure);
}

static bool crl_is_gone(const StoreFixture *fixture, Store *store) {
    return !crl_is_new(fixture, store);
}

static void prepare_pending(const StoreFixture *fixture, Store *store) {
    save_pending(store, 'a', false);
}

static int run_pending(const StoreFixture *fixture, Store *store, Failure *failure) {
    StoredPending pending = pending_of('b', true);

    return store_pending_save(store, &pending, failure);
}

static int run_request(const StoreFixture *fixture, Store *store, Failure *failure) {
    StoredPending pending = pending_of('a', true);

    return store_pending_save(store, &pending, failure);
}

/* The key and what stands beside it are of one tag, and a request is its own. */
static char pending_tag(Store *store, bool *ret_request) {
    StoredPending pending = { 0 };
    Failure failure = FAILURE_INIT;

    if (store_pending_load(store, &pending, &failure) < 0)
        fail_msg("%s", failure.text);
    const char tag = (char) pending.key_pem.data[1];
    const StoredPending expected = pending_of(tag, true);
    *ret_request = pending.request.size > 0;
    assert_true(bytes_view_equal(bytes_view(&pending.key_pem), bytes_view(&expected.key_pem)));
    assert_true(bytes_view_equal(bytes_view(&pending.parent_name), bytes_view(&expected.parent_name)));
    assert_true(!*ret_request || bytes_view_equal(bytes_view(&pending.request), bytes_view(&expected.request)));
    assert_int_equal(pending.reenroll, expected.reenroll);
    stored_pending_clear(&pending);
    return tag;
}

static bool pending_is_new(const StoreFixture *fixture, Store *store) {
    bool request = false;
    char tag = pending_tag(store, &request);

    assert_true(tag == 'b' ? request : tag == 'a' && !request);
    return tag == 'b';
}

static bool request_is_there(const StoreFixture *fixture, Store *store) {
    bool request = false;

    assert_int_equal(pending_tag(store, &request), 'a');
    return request;
}

static int run_drop(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_pending_drop(store, failure);
}

static bool pending_is_gone(const StoreFixture *fixture, Store *store) {
    bool request = false, there = exists(fixture, "demo/pending");

    if (there)
        assert_int_equal(pending_tag(store, &request), 'a');
    return !there;
}

static void prepare_commit(const StoreFixture *fixture, Store *store) {
    save_pending(store, 'a', true);
    assert_int_equal(commit(store, 'a'), 1);
    save_pending(store, 'b', true);
}

static int run_commit(const StoreFixture *fixture, Store *store, Failure *failure) {
    uint32_t number = 0;
    int r = store_commit(store, content_of('c', 'b'), &number, failure);

    assert_int_equal(number > 0, r == 0);
    return r;
}

static bool commit_is_done(const StoreFixture *fixture, Store *store) {
    bool request = false;

    expect_generation(store, 1, 'a', 'a');
    if (store_current(store) > 1) {
        expect_generation(store, store_current(store), 'b', 'b');
        return true;
    }
    assert_int_equal(store_current(store), 1);
    assert_int_equal(pending_tag(store, &request), 'b');
    return false;
}

static void prepare_two(const StoreFixture *fixture, Store *store) {
    prepare_commit(fixture, store);
    assert_int_equal(commit(store, 'b'), 2);
    save_pending(store, 'a', true);
}

static int run_remove(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_remove(store, 1, failure);
}

static bool first_is_gone(const StoreFixture *fixture, Store *store) {
    bool there = exists(fixture, "demo/generations/1");

    if (there)
        expect_generation(store, 1, 'a', 'a');
    expect_generation(store, 2, 'b', 'b');
    assert_int_equal(store_current(store), 2);
    return !there;
}

static int run_retire(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_retire(store, failure);
}

static bool all_is_gone(const StoreFixture *fixture, Store *store) {
    if (!exists(fixture, "demo/generations")) {
        assert_int_equal(store_current(store), 0);
        assert_false(exists(fixture, "demo/pending"));
        return true;
    }
    expect_generation(store, 1, 'a', 'a');
    expect_generation(store, 2, 'b', 'b');
    return false;
}

static int run_erase(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_erase(fixture->fd, "demo", failure);
}

static bool identity_is_gone(const StoreFixture *fixture, Store *store) {
    return store_current(store) == 0 && !exists(fixture, "demo/state");
}

static void prepare_device(const StoreFixture *fixture, Store *store) {
    assert_int_equal(store_device_save(fixture->fd, bytes_view_string("n"), bytes_view_string("a"), NULL), 0);
}

static int run_device(const StoreFixture *fixture, Store *store, Failure *failure) {
    return store_device_save(fixture->fd, bytes_view_string("n"), bytes_view_string("b"), failure);
}

static bool device_is_new(const StoreFixture *fixture, Store *store) {
    StoredDevice device = { 0 };

    assert_int_equal(store_device_load(fixture->fd, &device, NULL), 0);
    assert_int_equal(device.endorsement.size, 1);
    const char tag = (char) device.endorsement.data[0];
    stored_device_clear(&device);
    assert_in_range(tag, 'a', 'b');
    return tag == 'b';
}

static int publish_tag(const StoreFixture *fixture, char tag, Failure *failure) {
    const PublishedFile files[] = { { "key.pem", content_of('k', tag) }, { "chain.pem", content_of('c', tag) } };

    return publish_set(fixture->fd, "public", files, ARRAY_LENGTH(files), failure);
}

static void prepare_publish(const StoreFixture *fixture, Store *store) {
    assert_int_equal(publish_tag(fixture, 'a', NULL), 0);
}

static int run_publish(const StoreFixture *fixture, Store *store, Failure *failure) {
    return publish_tag(fixture, 'b', failure);
}

static bool published_is_new(const StoreFixture *fixture, Store *store) {
    Bytes key = BYTES_NULL, chain = BYTES_NULL;

    assert_int_equal(bytes_read_file(path_in(fixture, "public/key.pem"), 10000, &key), 0);
    assert_int_equal(bytes_read_file(path_in(fixture, "public/chain.pem"), 10000, &chain), 0);
    bool is_new = is_tag_b(&key, 'k');
    assert_int_equal(is_tag_b(&chain, 'c'), is_new);
    return is_new;
}

static int run_unpublish(const StoreFixture *fixture, Store *store, Failure *failure) {
    return publish_set(fixture->fd, "public", NULL, 0, failure);
}

static bool published_is_gone(const StoreFixture *fixture, Store *store) {
    bool there = exists(fixture, "public");

    if (there)
        assert_false(published_is_new(fixture, store));
    return !there;
}

static const Operation operations[] = {
    { "state", prepare_state, run_state, state_is_new, 0, false },
    { "anchors", prepare_anchors, run_anchors, anchors_are_new, 0, false },
    { "no anchors", prepare_anchors, run_anchors_drop, anchors_are_gone, 1, false },
    { "first CRL", prepare_nothing, run_crl, crl_is_new, 0, false },
    { "no CRL", prepare_crl, run_crl_remove, crl_is_gone, 0, false },
    { "pending", prepare_pending, run_pending, pending_is_new, 3, false },
    { "request", prepare_pending, run_request, request_is_there, 0, false },
    { "no pending", prepare_pending, run_drop, pending_is_gone, 1, false },
    { "commit", prepare_commit, run_commit, commit_is_done, 1, false },
    { "remove", prepare_two, run_remove, first_is_gone, 1, false },
    { "retire", prepare_two, run_retire, all_is_gone, 2, false },
    { "erase", prepare_state, run_erase, identity_is_gone, 0, true },
    { "device", prepare_device, run_device, device_is_new, 0, false },
    { "publish", prepare_publish, run_publish, published_is_new, 0, false },
    { "unpublish", prepare_publish, run_unpublish, published_is_gone, 0, false },
};

/* ---- each call of each operation ---- */

static const struct {
    int error;
    const char *advice;
} errors[] = {
    { ENOSPC, "; free some space there" },
    { EDQUOT, "; free some space there" },
    { EROFS, "; make that file system writable" },
    { EACCES, "; check owner and mode" },
    { EIO, "; the file system or its medium is damaged" },
    { EUCLEAN, "; the file system or its medium is damaged" },
};

static void expect_told(const StoreFixture *fixture, const Operation *operation, int r, size_t e,
                        const Failure *failure) {
    if (r != -errors[e].error || failure->kind != FAILURE_STORAGE || !strstr(failure->text, fixture->root) ||
        !strstr(failure->text, strerror(errors[e].error)) || !strstr(failure->text, errors[e].advice))
        fail_msg("%s, call %d, error %d: %d \"%s\"", operation->name, fault.call, errors[e].error, r, failure->text);
}

/* Old or new as a new process finds it; then the same once more, with a disk that works. */
static void expect_whole(const StoreFixture *fixture, const Operation *operation, bool done) {
    Store *store = open_demo(fixture->fd);
    bool is_new = operation->is_new(fixture, store);
    Failure failure = FAILURE_INIT;

    if (done && !is_new)
        fail_msg("%s: said to be done, and it is not (call %d)", operation->name, fault.call);
    if (operation->frees)
        store = store_free(store);
    if (!is_new && operation->run(fixture, store, &failure) < 0)
        fail_msg("%s, once more: %s", operation->name, failure.text);
    (void) store_free(store);
    store = open_demo(fixture->fd);
    assert_true(operation->is_new(fixture, store));
    (void) store_free(store);
}

/* Whether the operation has that call at all. */
static bool try_fault(const StoreFixture *fixture, const Operation *operation, const struct Fault *with, size_t e,
                      unsigned *passed_over) {
    const int descriptors = count_descriptors();
    Failure failure = FAILURE_INIT;
    Store *store = open_demo(fixture->fd);

    operation->prepare(fixture, store);
    if (operation->frees)
        store = store_free(store);
    fault = *with;
    fault.error = errors[e].error;
    int r = operation->run(fixture, store, &failure);
    bool hit = fault.turn == 0;
    fault.turn = 0;
    fault.directories = false;
    (void) store_free(store);
    assert_true(hit || r == 0);
    if (r < 0)
        expect_told(fixture, operation, r, e, &failure);
    else if (hit && with->call == CALL_SYNC)
        ++*passed_over;
    expect_whole(fixture, operation, r == 0);
    assert_int_equal(count_descriptors(), descriptors);
    remove_below(fixture->root);
    return hit;
}

/* Each call in turn; how many there were. */
static unsigned fail_each(const StoreFixture *fixture, const Operation *operation, bool directories,
                          unsigned *passed_over) {
    unsigned count = 0;

    for (Call call = 0; call < _CALL_COUNT; call++) {
        struct Fault with = { .call = call, .turn = 1, .directories = directories };
        while (try_fault(fixture, operation, &with, (with.turn + call) % ARRAY_LENGTH(errors), passed_over)) {
            with.turn++;
            count++;
        }
    }
    return count;
}

static void test_each_call_fails(void **state) {
    const StoreFixture *fixture = *state;
    unsigned count = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(operations); i++) {
        unsigned passed_over = 0;
        count += fail_each(fixture, &operations[i], false, &passed_over);
        if (passed_over != operations[i].passed_over)
            fail_msg("%s: %u syncs failed in silence", operations[i].name, passed_over);
    }
    printf("%u calls failed\n", count);
    assert_true(count >= ARRAY_LENGTH(operations));
}

/* With this fault all is done all the same, in another way, at once. */
static void expect_another_way(const StoreFixture *fixture, const Operation *operation, struct Fault other) {
    Failure failure = FAILURE_INIT;
    Store *store = open_demo(fixture->fd);

    operation->prepare(fixture, store);
    if (operation->frees)
        store = store_free(store);
    fault = other;
    if (operation->run(fixture, store, &failure) < 0)
        fail_msg("%s, error %d: %s", operation->name, other.error, failure.text);
    fault = (struct Fault) { 0 };
    (void) store_free(store);
    expect_whole(fixture, operation, true);
    remove_below(fixture->root);
}

/* A file system that does not know how to exchange two directories. */
static void test_no_exchange(void **state) {
    static const int ways[] = { EINVAL, ENOSYS, EXDEV };

    for (size_t i = 0; i < ARRAY_LENGTH(operations); i++)
        for (size_t k = 0; k < ARRAY_LENGTH(ways); k++)
            expect_another_way(*state, &operations[i],
                               (struct Fault) { .call = CALL_EXCHANGE, .turn = 1, .error = ways[k] });
}

/* An overlay file system, where a directory that the lower layer has cannot be moved. */
static void test_directories_that_stay(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(operations); i++)
        expect_another_way(*state, &operations[i], (struct Fault) { .error = EXDEV, .directories = true });
}

/* There a commit is a copy, each of whose calls may fail. */
static void test_each_call_of_a_copy_fails(void **state) {
    unsigned passed_over = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(operations); i++)
        if (strcmp(operations[i].name, "commit") == 0)
            printf("%u calls failed\n", fail_each(*state, &operations[i], true, &passed_over));
}

/* A copy that cannot be opened is no copy. */
static void test_copy_that_cannot_be_opened(void **state) {
    const StoreFixture *fixture = *state;
    const Place place = { fixture->fd, fixture->root };
    struct rlimit before, one;

    assert_int_equal(mkdir(path_in(fixture, "from"), 0700), 0);
    write_raw(fixture, "from/key.pem", "x");
    int lowest = dup(fixture->fd);
    (void) close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    one = (struct rlimit) { (rlim_t) lowest + 1, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &one), 0);
    fault = (struct Fault) { .directories = true };
    int r = place_move_directory(place, "from", place, "to");
    fault = (struct Fault) { 0 };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_true(exists(fixture, "from/key.pem"));
    assert_false(exists(fixture, "to"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_fixture_setup, store_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_each_call_fails),
        TEST(test_no_exchange),
        TEST(test_directories_that_stay),
        TEST(test_each_call_of_a_copy_fails),
        TEST(test_copy_that_cannot_be_opened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
