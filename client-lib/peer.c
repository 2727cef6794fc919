/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who a peer is, once it has verified: what programs decide by. Names that do not fit a C string are left out, so that
 * nobody compares half of one. */
#include "client-lib/entry.h"
#include "client-lib/error.h"
#include "client-lib/verify.h"
#include "pki/asn1.h"
#include "pki/certificate.h"
#include "pki/general-names.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 1024U

struct identityd_peer {
    char *subject, *sha256;
    char **names; /* NULL-terminated */
};

_public_ identityd_peer *identityd_peer_free(identityd_peer *peer) {
    PRESERVE_ERRNO;

    if (!peer)
        return NULL;
    for (char **name = peer->names; name && *name; name++)
        free(*name);
    free(peer->names);
    free(peer->subject);
    free(peer->sha256);
    free(peer);
    return NULL;
}
DEFINE_CLEANUP(identityd_peer, identityd_peer_free)

_public_ const char *identityd_peer_subject(const identityd_peer *peer) {
    PRESERVE_ERRNO;

    return peer->subject;
}

_public_ const char *identityd_peer_sha256(const identityd_peer *peer) {
    PRESERVE_ERRNO;

    return peer->sha256;
}

_public_ const char *const *identityd_peer_names(const identityd_peer *peer) {
    PRESERVE_ERRNO;

    return (const char *const *) peer->names;
}

static bool is_text(BytesView view) {
    for (size_t i = 0; i < view.size; i++)
        if (view.data[i] < 0x20 || view.data[i] >= 0x7f)
            return false;
    return view.size > 0;
}

/* NULL with 0: a name of a kind that is not given out. */
static int name_to_string(const DerItem *name, char **ret) {
    char address[INET6_ADDRSTRLEN];
    const char *kind = name->tag == NAME_DNS    ? "dns"
                       : name->tag == NAME_URI  ? "uri"
                       : name->tag == NAME_MAIL ? "mail"
                                                : NULL;
    int family = name->content.size == 4 ? AF_INET : AF_INET6;

    *ret = NULL;
    if (name->tag == NAME_IP && (name->content.size == 4 || name->content.size == 16) &&
        inet_ntop(family, name->content.data, address, sizeof address))
        return asprintf(ret, "ip:%s", address) < 0 ? -ENOMEM : 0;
    if (!kind || !is_text(name->content))
        return 0;
    return asprintf(ret, "%s:%.*s", kind, (int) name->content.size, (const char *) name->content.data) < 0 ? -ENOMEM
                                                                                                           : 0;
}

static int read_names(const Certificate *leaf, identityd_peer *peer) {
    const CertificateExtension *san = certificate_extension(leaf, GNUTLS_X509EXT_OID_SAN);
    BytesView rest = { 0 };
    size_t count = 0;
    DerItem name;

    peer->names = calloc(NAMES_MAX + 1, sizeof *peer->names);
    if (!peer->names)
        return -ENOMEM;
    if (san)
        (void) der_open_sequence(san->value, &rest); /* or the certificate would not have verified */
    while (count < NAMES_MAX && der_next(&rest, &name) > 0) {
        if (name_to_string(&name, &peer->names[count]) < 0) {
            peer->names[count] = NULL;
            return -ENOMEM;
        }
        count += peer->names[count] != NULL;
    }
    return 0;
}

int peer_new(const gnutls_datum_t *der, identityd_peer **ret) {
    _cleanup_certificate_ Certificate *leaf = NULL;
    _cleanup_(identityd_peer_free_p) identityd_peer *peer = calloc(1, sizeof *peer);
    uint8_t fingerprint[32];
    int r = peer ? certificate_from_der((BytesView) { der->data, der->size }, &leaf, NULL) : -ENOMEM;

    if (r >= 0)
        r = certificate_fingerprint(leaf, fingerprint);
    if (r >= 0)
        r = read_names(leaf, peer);
    if (r < 0)
        return client_errno(r, "reading the peer's names");
    peer->subject = strdup(leaf->subject);
    peer->sha256 = bytes_to_hex((BytesView) { fingerprint, sizeof fingerprint });
    if (!peer->subject || !peer->sha256)
        return client_errno(-ENOMEM, "reading the peer's names");
    *ret = TAKE_PTR(peer);
    return 0;
}
