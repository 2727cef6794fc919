/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trust/: the anchors as they are after rollovers, the newest CRLs that verified, and how new the OCSP answers were. */
#include "store/store-internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CRL_DIRECTORY "crls"

/* Makes it, and puts aside what is there and is none. */
static int make_directory(Store *store, Place place, const char *name, int *ret_fd, Failure *ret_failure) {
    struct stat status;

    if (fstatat(place.fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(status.st_mode)) {
        int r = store_discard(store, place, name, ret_failure);
        if (r < 0)
            return r;
    }
    return place_make_directory(place, name, ret_fd, ret_failure);
}

/* A descriptor; -ENOENT without a text. */
static int open_or_make(Store *store, Place place, const char *name, bool create, Failure *ret_failure) {
    int fd = -1;

    if (create) {
        int r = make_directory(store, place, name, &fd, ret_failure);
        return r < 0 ? r : fd;
    }
    fd = place_open_directory(place, name);
    return fd < 0 && fd != -ENOENT ? place_open_failure(place, name, fd, ret_failure) : fd;
}

/* trust/ or trust/crls/: opened, and made where `create`. -ENOENT without a text. */
static int open_trust(Store *store, bool crls, bool create, char **ret_path, Failure *ret_failure) {
    _cleanup_free_ char *trust_path = path_join(store->path, TRUST),
                        *crls_path = path_join(store->path, TRUST "/" CRL_DIRECTORY);

    if (!trust_path || !crls_path)
        return failure_errno(ret_failure, -ENOMEM, store->path);
    _cleanup_close_ int trust = open_or_make(store, store_place(store), TRUST, create, ret_failure);
    if (trust < 0)
        return trust;
    if (!crls) {
        *ret_path = TAKE_PTR(trust_path);
        return TAKE_FD(trust);
    }
    int inner = open_or_make(store, (Place) { trust, trust_path }, CRL_DIRECTORY, create, ret_failure);
    if (inner >= 0)
        *ret_path = TAKE_PTR(crls_path);
    return inner;
}

/* One file of either directory. */
typedef struct TrustFile {
    bool crl;
    const char *name;
    size_t maximum;
} TrustFile;

static int load(Store *store, const TrustFile *file, Bytes *ret, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = open_trust(store, file->crl, false, &path, ret_failure);

    return fd < 0 ? fd : place_read((Place) { fd, path }, file->name, file->maximum, ret, ret_failure);
}

static int save(Store *store, const TrustFile *file, BytesView content, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;

    if (content.size == 0 || content.size > file->maximum)
        return failure_set(ret_failure, -EMSGSIZE, FAILURE_STORAGE,
                           "%s/" TRUST ": %s of %zu bytes cannot be stored; 1 to %zu can", store->path, file->name,
                           content.size, file->maximum);
    _cleanup_close_ int fd = open_trust(store, file->crl, true, &path, ret_failure);
    return fd < 0 ? fd : place_write((Place) { fd, path }, file->name, content, ret_failure);
}

static const TrustFile anchors_file = { false, "anchors.pem", STORE_ANCHORS_MAX };

/* Cuts the last line off, which is the checksum. STORE_UNSEALED: there is none. */
static int unseal(Store *store, const char *name, Bytes *content, Failure *ret_failure) {
    BytesView lines = { NULL, 0 };
    int r = checksum_strip(bytes_view(content), &lines);

    if (r == -EBADMSG)
        return place_malformed(store_place(store), name, 0, "is damaged: its checksum is another's", ret_failure);
    if (r < 0)
        return failure_errno(ret_failure, r, store->path);
    if (r == 0)
        return STORE_UNSEALED;
    content->size = lines.size;
    return 0;
}

static int save_sealed(Store *store, const TrustFile *file, BytesView lines, Failure *ret_failure) {
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    int r = bytes_copy(lines, &content);

    if (r >= 0 && lines.size > 0)
        r = checksum_append(&content);
    return r < 0 ? failure_errno(ret_failure, r, store->path) : save(store, file, bytes_view(&content), ret_failure);
}

int store_anchors_load(Store *store, Bytes *ret_pem, Failure *ret_failure) {
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    int r = load(store, &anchors_file, &content, ret_failure);

    if (r >= 0)
        r = unseal(store, TRUST "/anchors.pem", &content, ret_failure);
    if (r < 0)
        return r;
    *ret_pem = content;
    content = BYTES_NULL;
    return r;
}

int store_anchors_save(Store *store, BytesView pem, Failure *ret_failure) {
    return save_sealed(store, &anchors_file, pem, ret_failure);
}

int store_anchors_drop(Store *store, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = open_trust(store, false, false, &path, ret_failure);

    if (fd == -ENOENT)
        return 0;
    return fd < 0 ? fd : store_discard(store, (Place) { fd, path }, anchors_file.name, ret_failure);
}

int store_crl_load(Store *store, const char *id, Bytes *ret_der, Failure *ret_failure) {
    char name[CRL_NAME_SIZE];
    int r = crl_file_name(store->path, id, name, ret_failure);

    return r < 0 ? r : load(store, &(TrustFile) { true, name, STORE_CRL_MAX }, ret_der, ret_failure);
}

int store_crl_save(Store *store, const char *id, BytesView der, Failure *ret_failure) {
    char name[CRL_NAME_SIZE];
    int r = crl_file_name(store->path, id, name, ret_failure);

    return r < 0 ? r : save(store, &(TrustFile) { true, name, STORE_CRL_MAX }, der, ret_failure);
}

int store_crl_remove(Store *store, const char *id, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = open_trust(store, true, false, &path, ret_failure);

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    return crl_file_remove((Place) { fd, path }, id, ret_failure);
}

int store_crl_list(Store *store, char ***ret_ids, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = open_trust(store, true, false, &path, ret_failure);

    if (fd < 0 && fd != -ENOENT)
        return fd;
    return crl_files_list((Place) { fd, path }, ret_ids, ret_failure);
}

/* ---- OCSP ---- */

static const TrustFile ocsp_file = { false, "ocsp", (STORE_OCSP_MAX + 1U) * 128U };

/* Lines DIGEST=SECONDS, and nothing else. */
static int parse_ocsp(const char *text, StoredOcsp ret[static STORE_OCSP_MAX], size_t *ret_count, unsigned *ret_line) {
    size_t count = 0;

    for (; *text; text = strchr(text, '\n') + 1) {
        int length = 0;
        *ret_line = (unsigned) count + 1U;
        if (count == STORE_OCSP_MAX ||
            sscanf(text, "%64[0-9a-f]=%" SCNd64 "%n", ret[count].certificate, &ret[count].this_update, &length) != 2 ||
            text[length] != '\n' || strlen(ret[count].certificate) != sizeof(ret[count].certificate) - 1U ||
            !strchr("-0123456789", text[sizeof(ret[count].certificate)]))
            return -EBADMSG;
        count++;
    }
    *ret_count = count;
    return 0;
}

int store_ocsp_load(Store *store, StoredOcsp ret[static STORE_OCSP_MAX], size_t *ret_count, Failure *ret_failure) {
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    StoredOcsp list[STORE_OCSP_MAX];
    unsigned line = 0;

    int r = load(store, &ocsp_file, &content, ret_failure);
    if (r == -ENOENT) {
        *ret_count = 0;
        return 0;
    }
    if (r >= 0)
        r = unseal(store, TRUST "/ocsp", &content, ret_failure);
    if (r < 0)
        return r;
    bool has_nul = memchr(content.data, 0, content.size);
    r = bytes_append(&content, (BytesView) { (const uint8_t *) "", 1 });
    if (r < 0)
        return failure_errno(ret_failure, r, store->path);
    if (has_nul || parse_ocsp((const char *) content.data, list, ret_count, &line) < 0)
        return place_malformed(store_place(store), TRUST "/ocsp", line,
                               "must be lines of a certificate's SHA-256, \"=\" and seconds", ret_failure);
    memcpy(ret, list, sizeof(list));
    return 0;
}

int store_ocsp_save(Store *store, const StoredOcsp *list, size_t count, Failure *ret_failure) {
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    char line[128];
    int r = 0;

    for (size_t i = 0; r >= 0 && i < count && i < STORE_OCSP_MAX; i++) {
        (void) snprintf(line, sizeof(line), "%s=%" PRId64 "\n", list[i].certificate, list[i].this_update);
        r = bytes_append(&content, bytes_view_string(line));
    }
    return r < 0 ? failure_errno(ret_failure, r, store->path)
                 : save_sealed(store, &ocsp_file, bytes_view(&content), ret_failure);
}
