/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See proxy-header.h. */
#include "proxy/proxy-header.h"

#include <string.h>

#define TEXT_MAX 255U

enum {
    VERSION_AND_PROXY = 0x21,
    FAMILY_NONE = 0x00,
    FAMILY_IPV4 = 0x11, /* over TCP */
    FAMILY_IPV6 = 0x21,

    TYPE_ALPN = 0x01,
    TYPE_AUTHORITY = 0x02,
    TYPE_SSL = 0x20,
    SUBTYPE_SSL_VERSION = 0x21,
    SUBTYPE_SSL_CN = 0x22,
    SUBTYPE_SSL_CIPHER = 0x23,

    CLIENT_SSL = 0x01,
    CLIENT_CERT_CONN = 0x02, /* with a certificate, on this connection … */
    CLIENT_CERT_SESS = 0x04, /* … and in this session */
};

static const unsigned char signature[] = { 0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A };

/* PROXY_HEADER_MAX has room for all that there can be. */
typedef struct Writer {
    unsigned char *data;
    size_t size;
} Writer;

static void add(Writer *writer, const void *data, size_t size) {
    memcpy(writer->data + writer->size, data, size);
    writer->size += size;
}

static void add_byte(Writer *writer, unsigned value) {
    writer->data[writer->size++] = (unsigned char) value;
}

static void put_length(unsigned char *at, size_t length) {
    at[0] = (unsigned char) (length >> 8);
    at[1] = (unsigned char) length;
}

/* Where its length goes, which is put there when it is known. */
static size_t begin_tlv(Writer *writer, unsigned type) {
    add_byte(writer, type);
    writer->size += 2;
    return writer->size;
}

static void end_tlv(Writer *writer, size_t begin) {
    put_length(writer->data + begin - 2, writer->size - begin);
}

static void add_text(Writer *writer, unsigned type, const char *text) {
    size_t length = text ? strlen(text) : 0;

    if (length == 0 || length > TEXT_MAX)
        return;
    size_t begin = begin_tlv(writer, type);
    add(writer, text, length);
    end_tlv(writer, begin);
}

/* The client's certificate has been verified, or there would be no connection: 0. */
static void add_ssl(Writer *writer, const ProxyHeader *header) {
    static const unsigned char verified[4] = { 0 };

    size_t begin = begin_tlv(writer, TYPE_SSL);
    add_byte(writer, CLIENT_SSL | CLIENT_CERT_CONN | CLIENT_CERT_SESS);
    add(writer, verified, sizeof verified);
    add_text(writer, SUBTYPE_SSL_VERSION, "TLSv1.3");
    add_text(writer, SUBTYPE_SSL_CN, header->common_name);
    add_text(writer, SUBTYPE_SSL_CIPHER, header->cipher);
    end_tlv(writer, begin);
}

/* An IPv4 address as it is, also where a listener at [::] sees it inside IPv6. */
static bool read_ipv4(const ProxyAddress *address, struct sockaddr_in *ret) {
    if (address->any.sa_family == AF_INET) {
        *ret = address->ipv4;
        return true;
    }
    if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->ipv6.sin6_addr))
        return false;
    *ret = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = address->ipv6.sin6_port };
    memcpy(&ret->sin_addr, address->ipv6.sin6_addr.s6_addr + 12, 4);
    return true;
}

/* The family; its addresses and ports follow the length of all, which comes later. */
static void add_addresses(Writer *writer, const ProxyHeader *header) {
    struct sockaddr_in from, to;
    const size_t family = writer->size;

    add_byte(writer, FAMILY_NONE);
    writer->size += 2;
    if (read_ipv4(header->from, &from) && read_ipv4(header->to, &to)) {
        writer->data[family] = FAMILY_IPV4;
        add(writer, &from.sin_addr, 4);
        add(writer, &to.sin_addr, 4);
        add(writer, &from.sin_port, 2);
        add(writer, &to.sin_port, 2);
    } else if (header->from->any.sa_family == AF_INET6 && header->to->any.sa_family == AF_INET6) {
        writer->data[family] = FAMILY_IPV6;
        add(writer, &header->from->ipv6.sin6_addr, 16);
        add(writer, &header->to->ipv6.sin6_addr, 16);
        add(writer, &header->from->ipv6.sin6_port, 2);
        add(writer, &header->to->ipv6.sin6_port, 2);
    }
}

size_t proxy_header_write(const ProxyHeader *header, unsigned char ret[static PROXY_HEADER_MAX]) {
    Writer writer = { .data = ret };

    add(&writer, signature, sizeof signature);
    add_byte(&writer, VERSION_AND_PROXY);
    add_addresses(&writer, header);
    add_text(&writer, TYPE_ALPN, header->protocol);
    add_text(&writer, TYPE_AUTHORITY, header->server_name);
    add_ssl(&writer, header);
    add_text(&writer, PROXY_HEADER_NAME, header->name);
    put_length(ret + sizeof signature + 2, writer.size - sizeof signature - 4);
    return writer.size;
}
