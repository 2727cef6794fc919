/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs: what main has done by the TPM that is no signature on a handle. They wait in lines, one for our own that go
 * first and one in each lane, and each turn of a line runs one of them. */
#include "signing/signing-internal.h"

struct SigningJob {
    Signing *signing;
    SigningJobRun run;
    SigningJobDone done;
    void *data;
    bool is_own; /* goes first */
    bool cancelled;
    Place place; /* until it is in line; where it is not own */
    SigningJob *next;
    Mail mail;
};

static void finish_job(void *data) {
    _cleanup_free_ SigningJob *job = data;

    job->done(job->data, job->cancelled);
}

static void send_back(SigningJob *job, bool cancelled) {
    job->cancelled = cancelled;
    mailbox_post_mail(job->signing->to_main, &job->mail, finish_job, job);
}

static SigningJob *take_first(SigningJobs *jobs) {
    SigningJob *job = jobs->first;

    jobs->first = job->next;
    return job;
}

static int run_first(Client *client) {
    SigningJobs *jobs = (SigningJobs *) client;
    Signing *signing = jobs->signing;
    SigningJob *job = take_first(jobs);

    bool stopping = atomic_load(&signing->stopping);
    if (!stopping) {
        thread_busy_begin(signing);
        job->run(signing->tpm, job->data);
        thread_busy_end(signing);
    }
    send_back(job, stopping);
    if (client->lane && client->lane->user->uid != OURSELVES)
        client->usual = &jobs->usual;
    return jobs->first ? 1 : 0;
}

static void end_turn(Client *client, int result) {
    if (client->lane)
        queue_leave(client->lane, ((SigningJobs *) client)->signing);
}

static void begin_jobs(SigningJobs *jobs, Signing *signing, Lane *lane) {
    if (jobs->signing)
        return;
    if (lane)
        share_begin(&jobs->client.share, &lane->share);
    jobs->client.lane = lane;
    jobs->client.serve = run_first;
    jobs->client.served = end_turn;
    jobs->signing = signing;
}

/* On the thread. */
static void line_up(void *data) {
    SigningJob *job = data;
    Signing *signing = job->signing;

    if (atomic_load(&signing->stopping)) {
        place_clear(&job->place);
        send_back(job, true);
        return;
    }
    Lane *lane = job->is_own ? NULL : queue_enter(signing, &job->place);
    SigningJobs *jobs = lane ? &lane->jobs : &signing->own_jobs;
    begin_jobs(jobs, signing, lane);
    if (jobs->first)
        jobs->last->next = job;
    else
        jobs->first = job;
    jobs->last = job;
    client_wait(&jobs->client, signing);
}

int signing_run_for(Signing *signing, const SigningPayer *payer, SigningJobRun run, SigningJobDone done, void *data) {
    /* Whoever is told the last things, once the thread has ended, may want more of it. */
    if (atomic_load(&signing->stopping))
        return -ESHUTDOWN;
    _cleanup_free_ SigningJob *job = malloc(sizeof(*job));
    if (!job)
        return -ENOMEM;
    *job = (SigningJob) {
        .signing = signing, .run = run, .done = done, .data = data, .is_own = payer->who == SIGNING_OWN
    };
    int r = job->is_own ? 0 : place_new(payer, &job->place);
    if (r < 0)
        return r;
    mailbox_post_mail(signing->to_thread, &job->mail, line_up, job);
    (void) TAKE_PTR(job);
    return 0;
}

int signing_run(Signing *signing, SigningJobRun run, SigningJobDone done, void *data) {
    return signing_run_for(signing, &(SigningPayer) { .who = SIGNING_OWN }, run, done, data);
}

static Lane *find_lane_with_jobs(const Signing *signing) {
    for (const User *user = signing->users; user; user = user->next)
        for (Lane *lane = user->lanes; lane; lane = lane->next)
            if (lane->jobs.first)
                return lane;
    return NULL;
}

void jobs_cancel(Signing *signing) {
    Lane *lane;

    while (signing->own_jobs.first)
        send_back(take_first(&signing->own_jobs), true);
    while ((lane = find_lane_with_jobs(signing))) {
        send_back(take_first(&lane->jobs), true);
        if (!lane->jobs.first)
            client_rest(&lane->jobs.client);
        queue_leave(lane, signing);
    }
}
