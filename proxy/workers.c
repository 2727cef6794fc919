/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See workers.h. */
#include "proxy/workers.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

typedef struct Queue {
    Job *first, **last;
} Queue;

struct Workers {
    pthread_t threads[WORKERS_MAX];
    unsigned count;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t wanted;
    Queue waiting, finished;
    bool stopping;

    int wake;
    sd_event_source *source;
};

static void queue_add(Queue *queue, Job *job) {
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
}

static Job *queue_take(Queue *queue) {
    Job *job = queue->first;

    if (job && !(queue->first = job->next))
        queue->last = &queue->first;
    return job;
}

static void *work(void *data) {
    Workers *workers = data;

    pthread_mutex_lock(&workers->lock);
    while (!workers->stopping) {
        Job *job = queue_take(&workers->waiting);
        if (!job) {
            pthread_cond_wait(&workers->wanted, &workers->lock);
            continue;
        }
        pthread_mutex_unlock(&workers->lock);
        job->run(job);
        pthread_mutex_lock(&workers->lock);
        queue_add(&workers->finished, job);
        (void) eventfd_write(workers->wake, 1);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static Job *take_finished(Workers *workers) {
    pthread_mutex_lock(&workers->lock);
    Job *job = queue_take(&workers->finished);
    pthread_mutex_unlock(&workers->lock);
    return job;
}

/* One a turn, so that the sockets get theirs; the descriptor stays readable while there are more. */
static int on_finished(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    eventfd_t unused;
    Job *job = take_finished(userdata);

    (void) eventfd_read(fd, &unused);
    if (job)
        job->done(job);
    return 0;
}

static int start_threads(Workers *workers, unsigned count) {
    sigset_t all, before;
    int r = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (r == 0 && workers->count < count) {
        r = pthread_create(&workers->threads[workers->count], NULL, work, workers);
        if (r == 0)
            workers->count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

int workers_new(sd_event *event, unsigned count, Workers **ret) {
    Workers *workers = calloc(1, sizeof *workers);

    if (!workers)
        return -ENOMEM;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->wanted, NULL);
    workers->waiting.last = &workers->waiting.first;
    workers->finished.last = &workers->finished.first;
    workers->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    int r = workers->wake < 0 ? -errno
                              : sd_event_add_io(event, &workers->source, workers->wake, EPOLLIN, on_finished, workers);
    if (r >= 0)
        r = start_threads(workers, count);
    if (r < 0) {
        (void) workers_stop(workers, 60); /* they are idle */
        workers_free(workers);
        return r;
    }
    *ret = workers;
    return 0;
}

void workers_submit(Workers *workers, Job *job) {
    pthread_mutex_lock(&workers->lock);
    queue_add(&workers->waiting, job);
    pthread_cond_signal(&workers->wanted);
    pthread_mutex_unlock(&workers->lock);
}

bool workers_stop(Workers *workers, unsigned seconds) {
    struct timespec end;
    bool all = true;

    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->wanted);
    pthread_mutex_unlock(&workers->lock);
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += seconds;
    for (; workers->count > 0; workers->count--)
        if (pthread_timedjoin_np(workers->threads[workers->count - 1], NULL, &end) != 0) {
            (void) pthread_detach(workers->threads[workers->count - 1]);
            all = false;
        }
    return all;
}

Workers *workers_free(Workers *workers) {
    if (!workers)
        return NULL;
    sd_event_source_disable_unref(workers->source);
    close_safe(workers->wake);
    pthread_cond_destroy(&workers->wanted);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
    return NULL;
}
