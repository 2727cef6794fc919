/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See alone.h. A unit's SystemCallFilter= knows calls and no arguments: it would have to refuse tgkill(), which abort()
 * needs, and fcntl(), which all need. This filter looks at the arguments. Memory and descriptors are not its matter: no
 * process of another user namespace (PrivateUsers=) reaches those. */
#include "enroller/alone.h"

#include "common/macros.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where the values are compared, arguments are of 32 bits: their lower half. */
#define LOWER_HALF(argument)                                                                                           \
    (offsetof(struct seccomp_data, args) + 8U * (argument) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4U : 0U))

typedef enum Test {
    TEST_ALWAYS_REFUSED,
    TEST_ONE_REFUSED,  /* where the argument has the value */
    TEST_ONE_PERMITTED /* where the argument has it */
} Test;

typedef struct Rule {
    uint32_t call;
    Test test;
    unsigned argument;
    uint32_t value;
} Rule;

#define RULES_MAX        24U
#define INSTRUCTIONS_MAX (RULES_MAX * 5U + 8U)

/* Rules of one call stand together: what none of them refuses is permitted. */
static size_t list_rules(uint32_t self, Rule ret[static RULES_MAX]) {
    const Rule rules[] = {
        { SYS_kill, TEST_ONE_PERMITTED, 0, self },
        { SYS_tgkill, TEST_ONE_PERMITTED, 0, self },
        { SYS_rt_sigqueueinfo, TEST_ONE_PERMITTED, 0, self },
        { SYS_rt_tgsigqueueinfo, TEST_ONE_PERMITTED, 0, self },
        { SYS_tkill, TEST_ALWAYS_REFUSED, 0, 0 }, /* names a thread, of anybody */
        { SYS_pidfd_send_signal, TEST_ALWAYS_REFUSED, 0, 0 },
        /* 0 is the caller. */
        { SYS_prlimit64, TEST_ONE_PERMITTED, 0, 0 },
        { SYS_sched_setaffinity, TEST_ONE_PERMITTED, 0, 0 },
        { SYS_sched_setscheduler, TEST_ONE_PERMITTED, 0, 0 },
        { SYS_sched_setparam, TEST_ONE_PERMITTED, 0, 0 },
        { SYS_sched_setattr, TEST_ONE_PERMITTED, 0, 0 },
        { SYS_setpriority, TEST_ONE_PERMITTED, 1, 0 },
        { SYS_ioprio_set, TEST_ONE_PERMITTED, 1, 0 },
        /* A descriptor's owner gets a signal, even SIGKILL, when something arrives there. */
        { SYS_fcntl, TEST_ONE_REFUSED, 1, F_SETOWN },
        { SYS_fcntl, TEST_ONE_REFUSED, 1, F_SETOWN_EX },
#ifdef SYS_fcntl64
        { SYS_fcntl64, TEST_ONE_REFUSED, 1, F_SETOWN },
        { SYS_fcntl64, TEST_ONE_REFUSED, 1, F_SETOWN_EX },
#endif
        { SYS_ioctl, TEST_ONE_REFUSED, 1, FIOSETOWN },
        { SYS_ioctl, TEST_ONE_REFUSED, 1, SIOCSPGRP },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rules); i++)
        ret[i] = rules[i];
    return ARRAY_LENGTH(rules);
}

/* The rest of the filter sees only calls of this architecture: numbers mean something else in others. */
static uint32_t architecture(void) {
#if defined(__x86_64__) && !defined(__ILP32__)
    return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 0 : AUDIT_ARCH_AARCH64;
#elif defined(__i386__)
    return AUDIT_ARCH_I386;
#elif defined(__arm__)
    return AUDIT_ARCH_ARM;
#elif defined(__riscv) && __riscv_xlen == 64
    return AUDIT_ARCH_RISCV64;
#elif defined(__s390x__)
    return AUDIT_ARCH_S390X;
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return AUDIT_ARCH_PPC64LE;
#else
    return 0;
#endif
}

typedef struct Filter {
    struct sock_filter list[INSTRUCTIONS_MAX];
    unsigned short count;
} Filter;

static void add(Filter *filter, struct sock_filter instruction) {
    filter->list[filter->count++] = instruction;
}

static void add_load(Filter *filter, size_t offset) {
    add(filter, (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t) offset));
}

static void add_refusal(Filter *filter) {
    add(filter, (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
}

static void add_rule(Filter *filter, const Rule *rule) {
    const unsigned char length = rule->test == TEST_ALWAYS_REFUSED ? 1 : 3;

    add_load(filter, offsetof(struct seccomp_data, nr));
    add(filter, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->call, 0, length));
    if (rule->test != TEST_ALWAYS_REFUSED) {
        add_load(filter, LOWER_HALF(rule->argument));
        add(filter, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->value,
                                                  rule->test == TEST_ONE_PERMITTED ? 1 : 0,
                                                  rule->test == TEST_ONE_PERMITTED ? 0 : 1));
    }
    add_refusal(filter);
}

static void build(Filter *filter) {
    Rule rules[RULES_MAX];
    size_t count = list_rules((uint32_t) getpid(), rules);

    add_load(filter, offsetof(struct seccomp_data, arch));
    add(filter, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture(), 1, 0));
    add_refusal(filter);
#ifdef __X32_SYSCALL_BIT
    add_load(filter, offsetof(struct seccomp_data, nr));
    add(filter, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, __X32_SYSCALL_BIT, 0, 1));
    add_refusal(filter);
#endif
    for (size_t i = 0; i < count; i++)
        add_rule(filter, &rules[i]);
    add(filter, (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

int alone_enforce(void) {
    Filter filter = { .count = 0 };

    if (architecture() == 0)
        return 0;
    build(&filter);
    const struct sock_fprog program = { filter.count, filter.list };
    /* EINVAL: a kernel without filters, where those of the unit do not exist either. */
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 && errno != EINVAL ? -errno : 0;
}
