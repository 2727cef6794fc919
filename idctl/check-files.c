/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See check-files.h. */
#include "idctl/check-files.h"

#include "idctl/certificates.h"
#include "idctl/output.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDENTITYD_USER        "identityd"
#define IDENTITYD_CREDENTIALS "/run/credentials/identityd.service"

/* ---- as whom ---- */

static void reader_from_entry(const struct passwd *entry, uid_t uid, FileReader *ret) {
    *ret = (FileReader) { .is_other = geteuid() == 0 && uid != 0, .uid = uid, .gid = (gid_t) -1 };
    if (!entry) {
        (void) snprintf(ret->name, sizeof ret->name, "uid %u", (unsigned) uid);
        return;
    }
    (void) snprintf(ret->name, sizeof ret->name, "%s", entry->pw_name);
    ret->gid = entry->pw_gid;
    ret->group_count = READER_GROUPS_MAX;
    if (getgrouplist(entry->pw_name, entry->pw_gid, ret->groups, &ret->group_count) < 0)
        ret->group_count = READER_GROUPS_MAX; /* more than fit: those that did */
}

void file_reader_by_uid(uid_t uid, FileReader *ret) {
    reader_from_entry(getpwuid(uid), uid, ret);
}

void file_reader_installed(FileReader *ret) {
    const struct passwd *entry = getpwnam(IDENTITYD_USER);

    reader_from_entry(entry, entry ? entry->pw_uid : geteuid(), ret);
}

/* In the child: from here on there is only the attempt, and its errno as the exit status. */
static _Noreturn void try_as(const FileReader *reader, const char *path) {
    gid_t gid = reader->gid == (gid_t) -1 ? (gid_t) reader->uid : reader->gid;

    if (setgroups((size_t) reader->group_count, reader->groups) < 0 || setresgid(gid, gid, gid) < 0 ||
        setresuid(reader->uid, reader->uid, reader->uid) < 0)
        _exit(errno);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    _exit(fd < 0 ? errno : 0);
}

int file_reader_try(const FileReader *reader, const char *path) {
    int status = 0;

    if (!reader->is_other) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        return fd < 0 ? -errno : 0;
    }
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        try_as(reader, path);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* ---- readable ---- */

#define READABLE_ADVICE                                                                                                \
    "identityd reads it as its own user: let that have the file (chmod a+r, as there is nothing secret in it) and "    \
    "the "                                                                                                             \
    "directories above it (chmod a+x)."

void check_readable(const char *identity, char *const *paths, const FileReader *reader, Findings *findings) {
    for (size_t i = 0; reader->is_other && paths && paths[i]; i++) {
        int r = file_reader_try(reader, paths[i]);
        if (r == -EACCES || r == -EPERM)
            findings_add(findings, (FindingAbout) { "configuration", identity }, FINDING_FAILED, READABLE_ADVICE,
                         "%s may not be read by the user %s", paths[i], reader->name);
    }
}

/* ---- anchors ---- */

typedef struct Ends {
    size_t ended, soon;
    const Certificate *first; /* to end; borrowed */
} Ends;

static Ends ends_of(const CertificateList *certificates, int64_t now) {
    Ends ends = { 0 };

    for (size_t i = 0; i < certificates->count; i++) {
        int64_t end = certificates->list[i]->not_after;
        if (end < now)
            ends.ended++;
        else if (end - now < ANCHORS_SOON_SECONDS)
            ends.soon++;
        if (!ends.first || end < ends.first->not_after)
            ends.first = certificates->list[i];
    }
    return ends;
}

/* One finding for a file: nothing works any more, or something ends. */
static void check_ends(FindingAbout about, const char *key, const char *path, const CertificateList *certificates,
                       int64_t now, Findings *findings) {
    Ends ends = ends_of(certificates, now);
    const char *subject = ends.first->subject;
    _cleanup_free_ char *when = time_to_text((uint64_t) ends.first->not_after * 1000000U, (uint64_t) now * 1000000U);

    if (ends.ended == certificates->count)
        findings_add(findings, about, FINDING_FAILED,
                     "Nothing verifies with it any more: put the CA's present certificates there.",
                     "%s%s: all %zu certificates have ended, \"%s\" at %s", key, path, certificates->count, subject,
                     when ? when : "");
    else if (ends.ended > 0)
        findings_add(findings, about, FINDING_WARNING,
                     "Take those out, and see that what replaces them is there: the CA knows.",
                     "%s%s: %zu of %zu certificates have ended, \"%s\" at %s", key, path, ends.ended,
                     certificates->count, subject, when ? when : "");
    else if (ends.soon > 0)
        findings_add(findings, about, FINDING_WARNING, "Add the certificate that replaces it: the CA knows.",
                     "%s%s: \"%s\" ends at %s", key, path, subject, when ? when : "");
}

static void check_bundle(const IdentityConfig *config, const char *key, const char *path, const FileReader *reader,
                         int64_t now, Findings *findings) {
    const FindingAbout about = { "configuration", config->name };
    _cleanup_certificates_ CertificateList certificates = { 0 };
    _cleanup_bytes_ Bytes data = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    LeftOut left_out;

    int r = bytes_read_file(path, CERTIFICATES_FILE_MAX, &data);
    if (r == -EACCES) {
        findings_add(findings, about, FINDING_SKIPPED, "Run idctl check as root to have this file looked at.",
                     "%s%s may not be read by you", key, path);
        return;
    }
    if (r < 0) {
        findings_add(findings, about, FINDING_FAILED, "Put the CA certificates there as PEM, or correct the path.",
                     "%s%s cannot be read: %s", key, path, strerror(-r));
        return;
    }
    /* As identityd reads it, which takes PEM only. */
    if (certificate_bundle_from_pem(bytes_view(&data), &certificates, &left_out, &failure) < 0) {
        findings_add(findings, about, FINDING_FAILED, "Put the CA certificates there as PEM.",
                     "%s%s holds no certificates that can be read: %s", key, path, failure.text);
        return;
    }
    if (reader->is_other && (r = file_reader_try(reader, path)) < 0)
        findings_add(findings, about, FINDING_FAILED, READABLE_ADVICE, "%s%s cannot be read by the user %s: %s", key,
                     path, reader->name, strerror(-r));
    check_ends(about, key, path, &certificates, now, findings);
}

void check_anchors(const IdentityConfig *config, const FileReader *reader, int64_t now, Findings *findings) {
    const struct {
        const char *key, *path;
    } bundles[] = {
        { "[Enrollment] Anchors=", config->anchors },
        { "[Enrollment] ServerAnchors=", config->server_anchors },
        { "[Peers] Anchors=", config->peers_anchors },
        { "[Peers] Intermediates=", config->peers_intermediates },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bundles); i++) {
        bool seen = !bundles[i].path;
        for (size_t k = 0; k < i; k++)
            seen = seen || (bundles[k].path && strcmp(bundles[k].path, bundles[i].path) == 0);
        if (!seen)
            check_bundle(config, bundles[i].key, bundles[i].path, reader, now, findings);
    }
}

/* ---- credentials ---- */

const char *check_credentials_directory(void) {
    const char *directory = getenv("CREDENTIALS_DIRECTORY");

    return directory && directory[0] == '/' ? directory : IDENTITYD_CREDENTIALS;
}

static void check_credential(FindingAbout about, const char *key, const char *name, const char *directory,
                             Findings *findings) {
    _cleanup_free_ char *path = NULL;
    struct stat status;

    if (!name || asprintf(&path, "%s/%s", directory, name) < 0)
        return;
    if (stat(path, &status) < 0 && errno == ENOENT)
        findings_add(findings, about, FINDING_FAILED,
                     "Give identityd.service the credential, by LoadCredentialEncrypted= in a drop-in, and restart it: "
                     "see CREDENTIALS in identityd(8).",
                     "%s%s: identityd has no such credential", key, name);
}

/* Whether a name of this identity has the serial number in it. */
static bool uses_serial(const IdentityConfig *config) {
    bool uses = config->subject && specifiers_uses(config->subject, 's');

    for (size_t i = 0; i < config->san_count; i++)
        uses = uses || specifiers_uses(config->sans[i].value, 's');
    return uses;
}

void check_credentials(const IdentityConfig *config, const DaemonConfig *daemon, const char *directory,
                       Findings *findings) {
    const FindingAbout about = { "credential", config->name };
    const struct {
        const char *key, *name;
    } wanted[] = {
        { "[Enrollment] Authenticate=credential:", config->authenticate.credential },
        { "[Renewal] Authenticate=credential:", config->renewal_authenticate.credential },
        { "[Enrollment] ProxyCredential=", config->proxy_credential },
        { "%s is in its names, and SerialCredential=", uses_serial(config) ? daemon->serial_credential : NULL },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++) {
        bool told = !wanted[i].name;
        for (size_t k = 0; k < i; k++)
            told = told || (wanted[k].name && strcmp(wanted[k].name, wanted[i].name) == 0);
        if (!told)
            check_credential(about, wanted[i].key, wanted[i].name, directory, findings);
    }
}

void check_daemon_credentials(const DaemonConfig *daemon, const char *directory, Findings *findings) {
    const FindingAbout about = { "credential", NULL };

    check_credential(about, "[TPM] OwnerAuthCredential=", daemon->owner_authorization, directory, findings);
    check_credential(about, "[TPM] EndorsementAuthCredential=", daemon->endorsement_authorization, directory, findings);
}
