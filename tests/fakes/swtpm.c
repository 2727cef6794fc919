/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See swtpm.h. Guarantees that nothing is left behind: the child has PR_SET_PDEATHSIG, the directory is removed
 * by swtpm_free. The control channel's commands are those of swtpm_ioctl(8). */
#include "fakes/swtpm.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define START_TIMEOUT_MS 10000U
#define CONTROL_INIT     2U /* CMD_INIT: u32 command, u32 flags → u32 result */

struct Swtpm {
    char *directory;
    char *state;   /* DIRECTORY/state */
    char *socket;  /* DIRECTORY/socket */
    char *control; /* DIRECTORY/socket.ctrl: where tcti-swtpm looks for it */
    char *tcti;
    pid_t pid; /* 0: powered off */
};

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static int remove_tree(const char *path) {
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

static void sleep_ms(unsigned int ms) {
    struct timespec wait = { .tv_sec = ms / 1000U, .tv_nsec = (long) (ms % 1000U) * 1000000L };
    (void) nanosleep(&wait, NULL);
}

static int connect_unix(const char *path) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    _cleanup_close_ int fd = -1;

    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *) &address, sizeof address) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int send_all(int fd, const void *data, size_t size) {
    return send(fd, data, size, MSG_NOSIGNAL) == (ssize_t) size ? 0 : -EIO;
}

static int receive_all(int fd, void *data, size_t size) {
    return recv(fd, data, size, MSG_WAITALL) == (ssize_t) size ? 0 : -EIO;
}

static void child_exec(const Swtpm *swtpm, pid_t parent) {
    char tpmstate[512], server[512], control[512];
    int null;

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    sigset_t none;
    sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
    null = open("/dev/null", O_RDWR);
    (void) dup2(null, STDIN_FILENO);
    (void) dup2(null, STDOUT_FILENO);
    (void) dup2(null, STDERR_FILENO);
    (void) close_range(3, ~0U, 0);
    (void) snprintf(tpmstate, sizeof tpmstate, "dir=%s", swtpm->state);
    (void) snprintf(server, sizeof server, "type=unixio,path=%s", swtpm->socket);
    (void) snprintf(control, sizeof control, "type=unixio,path=%s", swtpm->control);
    (void) execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", tpmstate, "--server", server, "--ctrl", control,
                  "--flags", "not-need-init,startup-clear", (char *) NULL);
    _exit(127);
}

/* TPM2_Startup(TPM_SU_CLEAR), TPM 2.0 Library Part 3 §9.3. 0; -EALREADY: it was started before; else nobody answers. */
static int run_startup(const Swtpm *swtpm) {
    static const uint8_t command[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
    uint8_t answer[10];
    _cleanup_close_ int fd = connect_unix(swtpm->socket);

    if (fd < 0)
        return fd;
    if (send_all(fd, command, sizeof command) < 0 || receive_all(fd, answer, sizeof answer) < 0)
        return -EIO;
    if (answer[6] != 0 || answer[7] != 0 || answer[9] != 0)
        return -EPROTO;
    return answer[8] == 0x01 ? -EALREADY : answer[8] == 0 ? 0 : -EPROTO; /* 0x100: TPM_RC_INITIALIZE */
}

int swtpm_start(Swtpm *swtpm) {
    pid_t parent = getpid();

    if (swtpm->pid > 0)
        return 0;
    (void) unlink(swtpm->socket);
    (void) unlink(swtpm->control);
    swtpm->pid = fork();
    if (swtpm->pid < 0) {
        swtpm->pid = 0;
        return -errno;
    }
    if (swtpm->pid == 0)
        child_exec(swtpm, parent);

    /* Ready is what serves both sockets: the control socket accepts, and a command is answered. */
    for (unsigned int waited = 0; waited < START_TIMEOUT_MS; waited += 2) {
        int fd = connect_unix(swtpm->control);
        if (fd >= 0) {
            close_safe(fd);
            if (run_startup(swtpm) == -EALREADY)
                return 0;
        }
        if (waitpid(swtpm->pid, NULL, WNOHANG) == swtpm->pid) {
            swtpm->pid = 0;
            return -ECHILD;
        }
        sleep_ms(2);
    }
    (void) swtpm_kill(swtpm);
    return -ETIMEDOUT;
}

int swtpm_kill(Swtpm *swtpm) {
    if (swtpm->pid <= 0)
        return 0;
    (void) kill(swtpm->pid, SIGKILL);
    while (waitpid(swtpm->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    swtpm->pid = 0;
    return 0;
}

int swtpm_suspend(Swtpm *swtpm) {
    return kill(swtpm->pid, SIGSTOP) < 0 ? -errno : 0;
}

int swtpm_resume(Swtpm *swtpm) {
    return kill(swtpm->pid, SIGCONT) < 0 ? -errno : 0;
}

int swtpm_reset(Swtpm *swtpm, bool startup) {
    uint32_t request[2] = { htonl(CONTROL_INIT), 0 }, result = 1;
    _cleanup_close_ int fd = connect_unix(swtpm->control);

    if (fd < 0)
        return fd;
    if (send_all(fd, request, sizeof request) < 0 || receive_all(fd, &result, sizeof result) < 0)
        return -EIO;
    if (result != 0)
        return -EPROTO;
    return startup ? run_startup(swtpm) : 0;
}

int swtpm_replace(Swtpm *swtpm) {
    int r;

    if (swtpm->pid > 0)
        return -EBUSY;
    r = remove_tree(swtpm->state);
    if (r < 0)
        return r;
    return mkdir(swtpm->state, 0700) < 0 ? -errno : 0;
}

static int allocate(Swtpm **ret) {
    _cleanup_swtpm_ Swtpm *swtpm = calloc(1, sizeof *swtpm);
    const char *temporary = getenv("TMPDIR");

    if (!swtpm)
        return -ENOMEM;
    if (!temporary || temporary[0] != '/' || strlen(temporary) > 60) /* sun_path holds 107 bytes */
        temporary = "/tmp";
    if (asprintf(&swtpm->directory, "%s/swtpm-XXXXXX", temporary) < 0) {
        swtpm->directory = NULL;
        return -ENOMEM;
    }
    if (!mkdtemp(swtpm->directory)) {
        int r = -errno;
        free(swtpm->directory);
        swtpm->directory = NULL;
        return r;
    }
    if (asprintf(&swtpm->state, "%s/state", swtpm->directory) < 0 ||
        asprintf(&swtpm->socket, "%s/socket", swtpm->directory) < 0 ||
        asprintf(&swtpm->control, "%s/socket.ctrl", swtpm->directory) < 0 ||
        asprintf(&swtpm->tcti, "swtpm:path=%s/socket", swtpm->directory) < 0)
        return -ENOMEM;
    if (mkdir(swtpm->state, 0700) < 0)
        return -errno;
    *ret = TAKE_PTR(swtpm);
    return 0;
}

/* Runs a program to its end with XDG_CONFIG_HOME in the fixture's directory; output goes to `log` there. */
static int run(const Swtpm *swtpm, const char *const arguments[]) {
    char configuration[512], log[512];
    pid_t pid;
    int status;

    (void) snprintf(configuration, sizeof configuration, "%s/config", swtpm->directory);
    (void) snprintf(log, sizeof log, "%s/log", swtpm->directory);
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void) setenv("XDG_CONFIG_HOME", configuration, 1);
        (void) dup2(fd, STDOUT_FILENO);
        (void) dup2(fd, STDERR_FILENO);
        (void) execvp(arguments[0], (char *const *) arguments);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* What `swtpm_setup --create-config-files` writes points into the home directory of whoever runs the test. */
static int write_configuration(const Swtpm *swtpm) {
    static const struct {
        const char *name, *format;
    } files[] = {
        { "config/swtpm_setup.conf",
          "create_certs_tool=swtpm_localca\ncreate_certs_tool_config=%1$s/config/swtpm-localca.conf\n"
          "create_certs_tool_options=%1$s/config/swtpm-localca.options\n" },
        { "config/swtpm-localca.conf", "statedir=%1$s/ca\nsigningkey=%1$s/ca/signkey.pem\n"
                                       "issuercert=%1$s/ca/issuercert.pem\ncertserial=%1$s/ca/certserial\n" },
        { "config/swtpm-localca.options", "--platform-manufacturer Test\n--platform-version 1\n"
                                          "--platform-model %1$s\n" },
    };
    char path[512];

    (void) snprintf(path, sizeof path, "%s/config", swtpm->directory);
    if (mkdir(path, 0700) < 0)
        return -errno;
    (void) snprintf(path, sizeof path, "%s/ca", swtpm->directory);
    if (mkdir(path, 0700) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        FILE *file;
        (void) snprintf(path, sizeof path, "%s/%s", swtpm->directory, files[i].name);
        file = fopen(path, "we");
        if (!file)
            return -errno;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void) fprintf(file, files[i].format, i == 2 ? "Model" : swtpm->directory);
#pragma GCC diagnostic pop
        if (fclose(file) != 0)
            return -errno;
    }
    return 0;
}

int swtpm_new_with_certificates(Swtpm **ret) {
    _cleanup_swtpm_ Swtpm *swtpm = NULL;
    char configuration[512];
    int r = allocate(&swtpm);

    if (r < 0)
        return r;
    r = write_configuration(swtpm);
    if (r < 0)
        return r;
    (void) snprintf(configuration, sizeof configuration, "%s/config/swtpm_setup.conf", swtpm->directory);
    r = run(swtpm,
            (const char *const[]) { "swtpm_setup", "--tpm2", "--tpmstate", swtpm->state, "--config", configuration,
                                    "--create-ek-cert", "--create-platform-cert", "--lock-nvram", NULL });
    if (r < 0)
        return r;
    r = swtpm_start(swtpm);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(swtpm);
    return 0;
}

int swtpm_new(Swtpm **ret) {
    _cleanup_swtpm_ Swtpm *swtpm = NULL;
    int r = allocate(&swtpm);

    if (r < 0)
        return r;
    r = swtpm_start(swtpm);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(swtpm);
    return 0;
}

Swtpm *swtpm_free(Swtpm *swtpm) {
    if (!swtpm)
        return NULL;
    (void) swtpm_kill(swtpm);
    if (swtpm->directory)
        (void) remove_tree(swtpm->directory);
    free(swtpm->directory);
    free(swtpm->state);
    free(swtpm->socket);
    free(swtpm->control);
    free(swtpm->tcti);
    free(swtpm);
    return NULL;
}

const char *swtpm_tcti(const Swtpm *swtpm) {
    return swtpm->tcti;
}

const char *swtpm_directory(const Swtpm *swtpm) {
    return swtpm->directory;
}
