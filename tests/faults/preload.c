/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preloaded into identityd by tests/faults: memory that is not to be had, once, at an allocation of the test's
 * choosing, whoever wants it: identityd, or a library that it calls. Not those that end the process by design where
 * memory is out, because they have nobody to tell: GMP and nettle, below GnuTLS. */
#include "control.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_DEPTH  40 /* those of libcrypto are deep */
#define EXEMPT_COUNT 8
#define EXEMPT_DEPTH 3 /* frames in which a library that is exempt is looked for */

static Control *control;
static struct Range { uintptr_t begins, ends; } exempt[EXEMPT_COUNT], ours, program;
static unsigned exempt_count;

#define THREAD_LOCAL static __attribute__((tls_model("initial-exec"))) _Thread_local /* its memory is there already */
THREAD_LOCAL bool is_inside;
THREAD_LOCAL ThreadClass thread_class;
THREAD_LOCAL bool is_classed;

/* ---- begin ---- */

static bool is_in(const struct Range *range, const void *address) {
    return (uintptr_t) address >= range->begins && (uintptr_t) address < range->ends;
}

static int note_exempt(struct dl_phdr_info *info, size_t size, void *userdata) {
    static const char *const names[] = { "/libgmp.so", "/libnettle.so", "/libhogweed.so", "/libtasn1.so" };

    bool is_named = false;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        is_named |= strstr(info->dlpi_name, names[i]) != NULL;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        const uintptr_t begins = info->dlpi_addr + part->p_vaddr;
        const struct Range range = { begins, begins + part->p_memsz };
        if (is_in(&range, (const void *) (uintptr_t) note_exempt))
            ours = range;
        else if (info->dlpi_name[0] == '\0')
            program = range;
        else if (is_named && exempt_count < EXEMPT_COUNT)
            exempt[exempt_count++] = range;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv(CONTROL_VARIABLE);
    void *stack[STACK_DEPTH];
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void) close(fd);
    if (page == MAP_FAILED)
        return;
    (void) backtrace(stack, STACK_DEPTH); /* loads what it needs, the first time */
    (void) dl_iterate_phdr(note_exempt, NULL);
    control = page;
    control->has_begun = true;
}

/* ---- whose turn it is ---- */

static bool is_exempt(const void *caller) {
    for (unsigned i = 0; i < exempt_count; i++)
        if (is_in(&exempt[i], caller))
            return true;
    return false;
}

/* Who wants memory, innermost first, without the functions of this file and what a sanitizer puts before them; the last
 * is NULL. */
static void callers(void *ret[static STACK_DEPTH + 1]) {
    int depth = backtrace(ret, STACK_DEPTH), skipped = 0;

    while (skipped < depth && !is_in(&ours, ret[skipped]))
        skipped++;
    while (skipped < depth && is_in(&ours, ret[skipped]))
        skipped++;
    memmove(ret, ret + skipped, (size_t) (depth - skipped) * sizeof *ret);
    ret[depth - skipped] = NULL;
}

/* GnuTLS 3.7.9 does not look whether it has what it asked for. */
static bool is_careless(const void *caller) {
    Dl_info info = { .dli_sname = NULL };

    return dladdr(caller, &info) && info.dli_sname && strcmp(info.dli_sname, "gnutls_x509_dn_init") == 0;
}

static ThreadClass class_of_thread(void) {
    if (!is_classed)
        thread_class = gettid() == getpid() ? THREAD_MAIN : THREAD_OTHER;
    is_classed = true;
    return thread_class;
}

/* Addresses are the same in each run: the test turns their randomization off. What a call into a library wants is one
 * thing, unless it is to be thorough. 0: none that may fail, though another library stands between (GnuTLS has
 * allocators of its own for GMP). */
static uint64_t number_of_stack(void) {
    void *stack[STACK_DEPTH + 1];
    uint64_t number = 14695981039346656037ULL;

    callers(stack);
    for (unsigned i = 0; i < EXEMPT_DEPTH && stack[i]; i++)
        if (is_exempt(stack[i]) || (i == 0 && is_careless(stack[i])))
            return 0;
    unsigned begins = 0;
    for (unsigned i = 0; !control->is_thorough && begins == 0 && stack[i]; i++)
        if (is_in(&program, stack[i]))
            begins = i;
    for (unsigned i = begins; stack[i]; i++)
        number = (number ^ (uintptr_t) stack[i]) * 1099511628211ULL;
    return number;
}

static void describe_stack(void) {
    void *stack[STACK_DEPTH + 1];
    size_t used = 0;

    callers(stack);
    for (unsigned i = 0; stack[i] && used < sizeof control->hit - 1U; i++) {
        Dl_info info = { .dli_fname = "?" };
        (void) dladdr(stack[i], &info);
        const char *module = strrchr(info.dli_fname, '/');
        int length = snprintf(control->hit + used, sizeof control->hit - used, "%s%s(%s+0x%lx)", i > 0 ? " < " : "",
                              info.dli_sname ? info.dli_sname : "", module ? module + 1 : info.dli_fname,
                              (unsigned long) ((uintptr_t) stack[i] - (uintptr_t) info.dli_fbase));
        used += length > 0 ? (size_t) length : 0;
    }
}

static bool decide(const void *caller) {
    const ThreadClass class = class_of_thread();

    if (is_exempt(caller))
        return false;
    unsigned turn = atomic_fetch_add(&control->count[class], 1) + 1U;
    if (control->records && turn <= CONTROL_POINTS_MAX)
        control->stacks[class][turn - 1U] = number_of_stack();
    if (turn != control->fails_at[class] || number_of_stack() == 0)
        return false;
    control->counts = false; /* once */
    describe_stack();
    control->was_hit = true;
    errno = ENOMEM;
    return true;
}

static bool fails(const void *caller) {
    if (!control || !control->counts || is_inside)
        return false;
    is_inside = true;
    bool result = decide(caller);
    is_inside = false;
    return result;
}

/* ---- in place of the C library's ---- */

#define NEXT(name)                                                                                                     \
    static __typeof__(name) *next;                                                                                     \
    if (!next)                                                                                                         \
    *(void **) &next = dlsym(RTLD_NEXT, #name)

#define FAILS() fails(__builtin_return_address(0))

void *malloc(size_t size) {
    NEXT(malloc);
    return FAILS() ? NULL : next(size);
}

void *calloc(size_t number, size_t size) {
    NEXT(calloc);
    return FAILS() ? NULL : next(number, size);
}

void *realloc(void *old, size_t size) {
    NEXT(realloc);
    return FAILS() ? NULL : next(old, size);
}

void *reallocarray(void *old, size_t number, size_t size) {
    NEXT(realloc);
    size_t bytes;

    if (__builtin_mul_overflow(number, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return FAILS() ? NULL : next(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t size) {
    NEXT(aligned_alloc);
    return FAILS() ? NULL : next(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size) {
    NEXT(posix_memalign);
    return FAILS() ? ENOMEM : next(ret, alignment, size);
}

/* A sanitizer's own would not come by here. */
char *strndup(const char *text, size_t max) {
    NEXT(malloc);
    const size_t size = strnlen(text, max);
    char *copy = FAILS() ? NULL : next(size + 1U);

    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

char *strdup(const char *text) {
    NEXT(malloc);
    const size_t size = strlen(text) + 1U;
    char *copy = FAILS() ? NULL : next(size);

    return copy ? memcpy(copy, text, size) : NULL;
}
