/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The certificate database in openssl's format, read and replaced under a lock. */
#include "index.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>

static const char *const reasons[] = {
    "unspecified", "keyCompromise",        "CACompromise",    "affiliationChanged",
    "superseded",  "cessationOfOperation", "certificateHold",
};

static int index_lock(const char *directory) {
    _cleanup_free_ char *path = path_join(directory, "index.lock");
    _cleanup_close_ int fd = -1;

    if (!path)
        return -ENOMEM;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* UTCTime up to 2049, which drops the century, and GeneralizedTime from then on: RFC 5280 §4.1.2.5. */
static void time_format(time_t time, char *ret, size_t size) {
    char full[20];
    struct tm tm;

    if (time == (time_t) -1 || !gmtime_r(&time, &tm)) {
        (void) snprintf(ret, size, "99991231235959Z");
        return;
    }
    (void) strftime(full, sizeof(full), "%Y%m%d%H%M%SZ", &tm);
    (void) snprintf(ret, size, "%s", tm.tm_year >= 150 ? full : full + 2);
}

static int time_parse(const char *text, time_t *ret) {
    struct tm tm = { 0 };
    char full[20];
    size_t length = strcspn(text, ",");
    const char *end;

    if (strcmp(text, "99991231235959Z") == 0) {
        *ret = (time_t) -1;
        return 0;
    }
    if (length == 13)
        (void) snprintf(full, sizeof(full), "20%.13s", text);
    else if (length == 15)
        (void) snprintf(full, sizeof(full), "%.15s", text);
    else
        return -EBADMSG;
    end = strptime(full, "%Y%m%d%H%M%SZ", &tm);
    if (!end || *end != '\0')
        return -EBADMSG;
    *ret = timegm(&tm);
    return 0;
}

/* openssl's columns: status, expiry, revocation[,reason], serial, file name, subject; separated by tabs. */
static int entry_format(const IndexEntry *entry, char *ret, size_t size) {
    char expires[20], revoked[60] = "";
    int n;

    time_format(entry->expires, expires, sizeof(expires));
    if (entry->status == 'R') {
        time_format(entry->revoked, revoked, sizeof(revoked));
        if (entry->reason[0]) {
            size_t used = strlen(revoked);

            (void) snprintf(revoked + used, sizeof(revoked) - used, ",%s", entry->reason);
        }
    }
    n = snprintf(ret, size, "%c\t%s\t%s\t%s\t%s\t%s\n", entry->status, expires, revoked, entry->serial, entry->issuer,
                 entry->subject);
    return n < 0 || (size_t) n >= size ? -E2BIG : n;
}

static int copy_column(char *ret, size_t size, const char *column) {
    return (size_t) snprintf(ret, size, "%s", column) >= size ? -EBADMSG : 0;
}

static int entry_parse(char *line, IndexEntry *ret) {
    char *columns[6], *rest = line, *reason;
    IndexEntry entry = { 0 };
    int r;

    for (size_t i = 0; i < ARRAY_LENGTH(columns); i++) {
        columns[i] = strsep(&rest, "\t");
        if (!columns[i])
            return -EBADMSG;
    }
    entry.status = columns[0][0];
    if ((entry.status != 'V' && entry.status != 'R' && entry.status != 'E') || columns[0][1] != '\0' || rest)
        return -EBADMSG;
    r = time_parse(columns[1], &entry.expires);
    if (r < 0)
        return r;
    if (entry.status == 'R') {
        r = time_parse(columns[2], &entry.revoked);
        if (r < 0)
            return r;
        reason = strchr(columns[2], ',');
        if (reason && copy_column(entry.reason, sizeof(entry.reason), reason + 1) < 0)
            return -EBADMSG;
    }
    if (copy_column(entry.serial, sizeof(entry.serial), columns[3]) < 0 ||
        copy_column(entry.issuer, sizeof(entry.issuer), columns[4]) < 0 ||
        copy_column(entry.subject, sizeof(entry.subject), columns[5]) < 0)
        return -EBADMSG;
    *ret = entry;
    return 0;
}

/* Grows in powers of two. */
static int entries_add(IndexEntry **entries, size_t *count, const IndexEntry *entry) {
    if (*count >= INDEX_ENTRIES_MAX)
        return -E2BIG;
    if ((*count & (*count - 1)) == 0) {
        IndexEntry *grown = reallocarray(*entries, *count ? *count * 2 : 1, sizeof(IndexEntry));

        if (!grown)
            return -ENOMEM;
        *entries = grown;
    }
    (*entries)[(*count)++] = *entry;
    return 0;
}

static int load_locked(const char *directory, IndexEntry **ret, size_t *ret_count) {
    _cleanup_datum_ gnutls_datum_t datum = DATUM_NULL;
    _cleanup_free_ IndexEntry *entries = NULL;
    size_t count = 0, number = 0;
    char *rest, *line;
    int r;

    r = file_read(directory, "index.txt", &datum);
    if (r < 0 && r != -ENOENT)
        return r;
    rest = (char *) datum.data;
    while ((line = strsep(&rest, "\n"))) {
        IndexEntry entry;

        number++;
        if (line[0] == '\0')
            continue;
        r = entry_parse(line, &entry);
        if (r < 0) {
            complain("%s/index.txt:%zu: not a line of an openssl index", directory, number);
            return r;
        }
        r = entries_add(&entries, &count, &entry);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(entries);
    *ret_count = count;
    return 0;
}

static int save_locked(const char *directory, const IndexEntry *entries, size_t count) {
    _cleanup_free_ char *text = NULL;
    size_t line_max = sizeof(IndexEntry) + 128, used = 0;

    text = malloc(count * line_max + 1);
    if (!text)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int n = entry_format(&entries[i], text + used, line_max);

        if (n < 0)
            return n;
        used += (size_t) n;
    }
    return file_write(directory, "index.txt", text, used, 0644);
}

int index_append(const char *directory, const IndexEntry *entry) {
    _cleanup_free_ char *path = path_join(directory, "index.txt");
    _cleanup_close_ int lock = index_lock(directory), fd = -1;
    char line[sizeof(IndexEntry) + 128];
    int n;

    if (lock < 0)
        return lock;
    n = entry_format(entry, line, sizeof(line));
    if (n < 0)
        return n;
    if (!path)
        return -ENOMEM;
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    return write(fd, line, (size_t) n) == n ? 0 : -EIO;
}

int index_load(const char *directory, IndexEntry **ret, size_t *ret_count) {
    _cleanup_close_ int lock = index_lock(directory);

    return lock < 0 ? lock : load_locked(directory, ret, ret_count);
}

int index_find(const char *directory, const char *serial, IndexEntry *ret) {
    _cleanup_free_ IndexEntry *entries = NULL;
    size_t count;
    int r;

    r = index_load(directory, &entries, &count);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(entries[i].serial, serial) == 0) {
            *ret = entries[i];
            return 1;
        }
    return 0;
}

/* Whether "/CN=NAME" is one whole component of an index subject. */
static bool subject_has_name(const char *subject, const char *common_name) {
    size_t length = strlen(common_name);

    for (const char *at = subject; (at = strstr(at, "/CN=")); at += 4)
        if (strncmp(at + 4, common_name, length) == 0 && (at[4 + length] == '\0' || at[4 + length] == '/'))
            return true;
    return false;
}

static bool reason_is_known(const char *reason) {
    for (size_t i = 0; i < ARRAY_LENGTH(reasons); i++)
        if (strcmp(reasons[i], reason) == 0)
            return true;
    return false;
}

int index_revoke(const char *directory, const char *serial, const char *common_name, const char *reason) {
    _cleanup_close_ int lock = -1;
    _cleanup_free_ IndexEntry *entries = NULL;
    size_t count;
    int changed = 0, r;

    if (reason[0] && !reason_is_known(reason))
        return -EINVAL;
    lock = index_lock(directory);
    if (lock < 0)
        return lock;
    r = load_locked(directory, &entries, &count);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        bool match =
            serial ? strcasecmp(entries[i].serial, serial) == 0 : subject_has_name(entries[i].subject, common_name);

        if (!match || entries[i].status != 'V')
            continue;
        entries[i].status = 'R';
        entries[i].revoked = time(NULL);
        (void) snprintf(entries[i].reason, sizeof(entries[i].reason), "%s", reason);
        changed++;
    }
    if (changed == 0)
        return -ENOENT;
    r = save_locked(directory, entries, count);
    return r < 0 ? r : changed;
}

int index_release(const char *directory, const char *serial) {
    _cleanup_close_ int lock = index_lock(directory);
    _cleanup_free_ IndexEntry *entries = NULL;
    size_t count;
    int r;

    if (lock < 0)
        return lock;
    r = load_locked(directory, &entries, &count);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(entries[i].serial, serial) != 0 || entries[i].status != 'R' ||
            strcmp(entries[i].reason, "certificateHold") != 0)
            continue;
        entries[i].status = 'V';
        entries[i].reason[0] = '\0';
        r = save_locked(directory, entries, count);
        return r < 0 ? r : 1;
    }
    return -ENOENT;
}

int serial_of_certificate(gnutls_x509_crt_t certificate, char ret[static INDEX_SERIAL_MAX]) {
    uint8_t serial[20];
    size_t size = sizeof(serial), start = 0;
    int r;

    r = gnutls_x509_crt_get_serial(certificate, serial, &size);
    if (r < 0)
        return gnutls_complain(r, "cannot read a serial number");
    while (start + 1 < size && serial[start] == 0)
        start++;
    for (size_t i = start; i < size; i++)
        (void) snprintf(ret + 2 * (i - start), 3, "%02X", serial[i]);
    return 0;
}

/* The subject as `openssl x509 -subject -nameopt compat` has it: "/O=Example/CN=name". What would break the file's
 * columns is replaced. */
static int subject_of_certificate(gnutls_x509_crt_t certificate, char ret[static INDEX_SUBJECT_MAX]) {
    gnutls_x509_dn_t dn;
    gnutls_x509_ava_st ava;
    size_t used = 0;
    int r;

    ret[0] = '\0';
    r = gnutls_x509_crt_get_subject(certificate, &dn);
    if (r < 0)
        return gnutls_complain(r, "cannot read a subject");
    for (int i = 0; gnutls_x509_dn_get_rdn_ava(dn, i, 0, &ava) >= 0; i++) {
        const char *name = gnutls_x509_dn_oid_name((const char *) ava.oid.data, GNUTLS_X509_DN_OID_RETURN_OID);
        int n = snprintf(ret + used, INDEX_SUBJECT_MAX - used, "/%s=%.*s", name, (int) ava.value.size,
                         (const char *) ava.value.data);

        if (n < 0 || (size_t) n >= INDEX_SUBJECT_MAX - used)
            return -E2BIG;
        used += (size_t) n;
    }
    for (char *c = ret; *c; c++)
        if (iscntrl((unsigned char) *c))
            *c = '?';
    return 0;
}

int index_record(const char *directory, gnutls_x509_crt_t certificate, const char *issuer) {
    IndexEntry entry = { .status = 'V' };
    int r;

    r = serial_of_certificate(certificate, entry.serial);
    if (r == 0)
        r = subject_of_certificate(certificate, entry.subject);
    if (r < 0)
        return r;
    entry.expires = gnutls_x509_crt_get_expiration_time(certificate);
    (void) snprintf(entry.issuer, sizeof(entry.issuer), "%s", issuer);
    return index_append(directory, &entry);
}
