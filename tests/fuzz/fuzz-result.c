/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An enroller that was taken over, as identityd's side of a job sees it: any packets in any order, with descriptors of
 * any kind. Whatever it sends, the job ends once, asks no more than it may, and hands on nothing that is larger than
 * agreed. */
#include "scratch.h"

#include "common/tlv.h"
#include "pki/certificate.h"
#include "work/job.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct Run {
    Job *job;
    uint8_t kind;
    unsigned ends, requests, signatures;
    bool refuses; /* identityd says no to each question */
} Run;

static JobLoop job_loop;
static int listener = -1;
static char address[108];

static int prepare(JobOrder *order, void *userdata, Failure *ret_failure) {
    static const char *const servers[] = { "https://ca.example/.well-known/est", NULL };
    const Run *run = userdata;

    order->socket_path = strdup(address);
    order->request = (JobRequest) { .kind = run->kind,
                                    .identity = "x",
                                    .servers = servers,
                                    .time = 1784548800,
                                    .allow_tls12 = true,
                                    .server_anchors = bytes_view_string("PEM") };
    return order->socket_path ? 0 : -ENOMEM;
}

static void progress(const char *step, void *userdata) {
    require(step[0] && strlen(step) < 64);
}

static void question(const JobQuestion *question, void *userdata) {
    Run *run = userdata;
    Failure failure = FAILURE_INIT;

    require(run->ends == 0 && run->kind != JOB_KIND_FETCH && question->eku_count <= JOB_EKU_MAX);
    if (question->type == JOB_PACKET_CREATE_REQUEST)
        require(++run->requests <= JOB_REQUESTS_MAX + JOB_LINKED_REQUESTS_MAX &&
                question->key_type < (int) _KEY_ALGORITHM_COUNT);
    else
        require(++run->signatures <= JOB_SIGNATURES_MAX && question->scheme);
    if (run->refuses)
        (void) failure_set(&failure, -EPERM, FAILURE_INVALID_ARGUMENT, "no");
    job_answer(run->job, question->type, question->serial, &failure, bytes_view_string("answer"));
}

/* What becomes of the certificates next, wherever they go. */
static void read_certificates(const Bytes *bag) {
    _cleanup_certificates_ CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;
    LeftOut left_out = { 0 };

    if (certificate_bundle_from_pkcs7(bytes_view(bag), 64, &list, &left_out, &failure) < 0)
        require(failure.text[0]);
    else
        require(list.count >= 1 && list.count <= 64);
}

static void result(JobResult *result, void *userdata) {
    Run *run = userdata;

    run->ends++;
    require(result->issued.size <= JOB_ISSUED_MAX && result->cacerts.size <= JOB_CACERTS_MAX);
    require(result->fetched.size <= JOB_FETCH_MAX && result->server_chain.size <= JOB_CHAIN_MAX);
    require(!result->is_later || !result->has_issued);
    require(!result->has_fetched || run->kind == JOB_KIND_FETCH);
    require(!result->has_issued || run->kind == JOB_KIND_ENROLL || run->kind == JOB_KIND_REENROLL);
    require(!result->server || strlen(result->server) <= JOB_URL_MAX);
    if (result->has_issued)
        read_certificates(&result->issued);
    if (result->has_cacerts)
        read_certificates(&result->cacerts);
}

static void failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    Run *run = userdata;

    run->ends++;
    require(failure->kind != FAILURE_NONE && failure->text[0]);
}

static void listen_once(void) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    if (listener >= 0)
        return;
    require(snprintf(address, sizeof address, "%s/enroller", scratch()) < (int) sizeof address);
    strcpy(at.sun_path, address);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    require(listener >= 0 && bind(listener, (struct sockaddr *) &at, sizeof at) == 0 && listen(listener, 1) == 0);
    require(sd_event_new(&job_loop.loop) == 0 && closer_new(&job_loop.closer) == 0);
}

static void turn(void) {
    int r;

    while ((r = sd_event_run(job_loop.loop, 0)) > 0)
        ;
    require(r == 0);
}

/* A descriptor that the input chooses: sealed bytes as agreed, bags of certificates among them, or something else. */
static int make_descriptor(BytesView *rest) {
    static Bytes bag = { NULL, 0 }; /* kept: read once */
    uint8_t how = choose(rest);

    if (!bag.data)
        require(bytes_read_file(SEEDS "/bundle.p7", 1U << 16, &bag) == 0);
    switch (how % 8) {
    case 0:
        return bytes_to_memfd("fuzz", bytes_view(&bag));
    case 1:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    case 2:
        return memfd_create("fuzz", MFD_CLOEXEC); /* not sealed */
    case 3:
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    default:
        return bytes_to_memfd("fuzz", choose_sized(rest));
    }
}

/* The next packet: its type, its scheme, its descriptors, its body. */
static bool send_packet(int peer, BytesView *rest) {
    uint8_t type = choose(rest), count = choose(rest) % (PACKET_FDS_MAX + 1U);
    PacketHeader header = { .type = type & 0x80 ? type : (uint8_t) (JOB_PACKET_PROGRESS + type % 6), .serial = 7 };
    int fds[PACKET_FDS_MAX];

    header.scheme = (uint16_t) (0x400 + choose(rest));
    for (uint8_t i = 0; i < count; i++)
        require((fds[i] = make_descriptor(rest)) >= 0);
    BytesView body = choose_sized(rest);
    int r = packet_send(peer, &header, body, fds, count);
    for (uint8_t i = 0; i < count; i++)
        close(fds[i]);
    turn();
    return r >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const JobCallbacks callbacks = { prepare, progress, question, result, failed };
    static PacketBuffer buffer;
    BytesView rest = { data, size };
    uint8_t first = choose(&rest);
    Run run = { .kind = (uint8_t) (JOB_KIND_ENROLL + first % JOB_KIND_PROBE), .refuses = first & 0x80 };
    _cleanup_packet_ Packet order = PACKET_INIT;

    listen_once();
    require(job_start(&job_loop, JOB_LINE_ENROLLER, &callbacks, &run, &run.job) == 0);
    turn();
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    require(peer >= 0 && packet_receive(peer, &buffer, true, &order) == PACKET_RECEIVED);
    require(order.header.type == JOB_PACKET_JOB);
    while (rest.size > 0 && run.ends == 0 && send_packet(peer, &rest))
        ;
    close(peer);
    turn();
    require(run.ends == 1);
    job_free(run.job);
    turn();
    return 0;
}
