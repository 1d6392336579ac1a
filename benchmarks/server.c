/*
 * The server of the benchmarks: Server-Sent Events over HTTP/1.1, chunked, one chunk an event, from one process and one thread.
 *
 *     server [CERTIFICATE KEY]        PEM files: then it speaks TLS
 *
 * It takes a free port, prints it, and listens there on 127.0.0.1 to 127.0.0.4, so that the ephemeral ports of one address do not
 * run out. It is told what to do on its standard input, one line a command, and answers each with one line:
 *
 *     group STREAMS COUNT EVERY_NS SHAPE    what the next streams are sent; what is still open is closed
 *     stats                                 {"open": …, "sent": …, "ended": …} of this group
 *     release                               ends the streams of a group that is held
 *
 * SHAPE: `full`, each stream as fast as it takes the events; `bare`, the same, of events that are one line; `spread`, event K of all streams evenly over one EVERY_NS; `once`, event
 * K of all streams in one go; `hold`, only the head. The last three begin when all STREAMS are open. Every stream is sent COUNT
 * events, then `event: complete`, and is closed.
 *
 * An event is EVENT_BYTES long, has an ID, a type and data (a bare one data only), and says when it was sent, in ns:
 * {"seq": …, "ts": CLOCK_REALTIME, "mono": CLOCK_MONOTONIC, …}. Both are taken right before send() or SSL_write(); at full rate once for each buffer of events.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

enum { ADDRESSES = 4, EVENT_BYTES = 300, BUFFER = 64 * 1024, MAX_STREAMS = 65536, SETTLE_NS = 200 * 1000 * 1000 };
enum shape { FULL, BARE, SPREAD, ONCE, HOLD }; /* up to BARE, at full rate */

struct stream {
    int fd, requested, ending, watching_out;
    long next;          /* the number of the next event, at full rate */
    char *out;          /* what the socket has not taken yet */
    size_t from, until; /* its part in `out` that is left */
    uint32_t tail;      /* the last four bytes of the request seen so far */
    long place;         /* in the group's list, once the request is there */
    struct stream *dropped;
#ifdef TLS
    SSL *tls;
#endif
};

static struct {
    long streams, count, every_ns;
    enum shape shape;
    long open, ended, sent;
    int64_t began;      /* CLOCK_MONOTONIC of the first event; 0: not all are open */
    long round, at;     /* of the paced shapes: the next event's number, and whose turn it is */
    struct stream *list[MAX_STREAMS];
} group = {.shape = HOLD};

static int epoll;
static struct stream *dropped; /* freed once a turn is through: its list of ready sockets may name them again */
#ifdef TLS
static SSL_CTX *context;
#endif

static int64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(2);
}

/* One event as a chunk of its own; returns its length. */
static size_t event(char *at, long seq, int64_t real, int64_t mono) {
    static char pad[EVENT_BYTES];
    char body[EVENT_BYTES + 1];
    if (!pad[0]) memset(pad, 'x', sizeof pad);
    int length = group.shape == BARE ? 0 : sprintf(body, "id: %ld\nevent: tick\n", seq);
    length += snprintf(body + length, sizeof body - length, "data: {\"seq\": %ld, \"ts\": %" PRId64 ", \"mono\": %" PRId64 ", \"text\": \"", seq, real, mono);
    int left = EVENT_BYTES - length - 4;
    memcpy(body + length, pad, left);
    memcpy(body + length + left, "\"}\n\n", 4);
    int head = sprintf(at, "%x\r\n", EVENT_BYTES);
    memcpy(at + head, body, EVENT_BYTES);
    memcpy(at + head + EVENT_BYTES, "\r\n", 2);
    return head + EVENT_BYTES + 2;
}

static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char END[] = "1c\r\nevent: complete\ndata: done\n\n\r\n0\r\n\r\n";

static void watch(struct stream *s, int out) {
    if (s->watching_out == out) return;
    s->watching_out = out;
    struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = s};
    epoll_ctl(epoll, EPOLL_CTL_MOD, s->fd, &e);
}

/* Returns the bytes taken, 0 if the socket takes none now, -1 if the stream is broken. */
static ssize_t put(struct stream *s, const char *bytes, size_t length) {
#ifdef TLS
    if (s->tls) {
        ERR_clear_error();
        int taken = SSL_write(s->tls, bytes, length);
        if (taken > 0) return taken;
        int why = SSL_get_error(s->tls, taken);
        return why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ ? 0 : -1;
    }
#endif
    ssize_t taken = send(s->fd, bytes, length, MSG_NOSIGNAL);
    return taken >= 0 ? taken : errno == EAGAIN ? 0 : -1;
}

static ssize_t take(struct stream *s, char *bytes, size_t length) {
#ifdef TLS
    if (s->tls) {
        ERR_clear_error();
        int got = SSL_read(s->tls, bytes, length);
        if (got > 0) return got;
        int why = SSL_get_error(s->tls, got);
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
            errno = EAGAIN;
            return -1;
        }
        return 0;
    }
#endif
    return recv(s->fd, bytes, length, 0);
}

static void drop(struct stream *s) {
    if (s->requested) group.list[s->place] = NULL;
    char rest[4096];
    while (recv(s->fd, rest, sizeof rest, MSG_DONTWAIT) > 0) {} /* closed with bytes unread, TCP would reset it */
#ifdef TLS
    if (s->tls) {
        SSL_shutdown(s->tls);
        SSL_free(s->tls);
    }
#endif
    close(s->fd);
    free(s->out);
    s->fd = -1;
    s->dropped = dropped;
    dropped = s;
}

/* Send bytes now, or keep what the socket does not take. Returns 0 if the stream is broken and gone. */
static int say(struct stream *s, const char *bytes, size_t length) {
    ssize_t taken = 0;
    if (s->from == s->until) {
        taken = put(s, bytes, length);
        if (taken < 0) {
            drop(s);
            return 0;
        }
    }
    if ((size_t)taken < length) {
        size_t kept = s->until - s->from, left = length - taken;
        char *out = malloc(kept + left);
        if (kept) memcpy(out, s->out + s->from, kept);
        memcpy(out + kept, bytes + taken, left);
        free(s->out);
        s->out = out, s->from = 0, s->until = kept + left;
        watch(s, 1);
    }
    return 1;
}

static void finish(struct stream *s) {
    s->ending = 1;
    if (say(s, END, sizeof END - 1) && s->from == s->until) {
        group.ended++;
        drop(s);
    }
}

/* At full rate: one buffer of events. */
static void fill(struct stream *s) {
    static char batch[BUFFER];
    size_t length = 0;
    int64_t real = now(CLOCK_REALTIME), mono = now(CLOCK_MONOTONIC);
    while (s->next < group.count && length + EVENT_BYTES + 16 < sizeof batch) {
        length += event(batch + length, s->next++, real, mono);
        group.sent++;
    }
    if (length && !say(s, batch, length)) return;
    if (s->next == group.count) finish(s);
}

static void writable(struct stream *s) {
    while (s->from < s->until) {
        ssize_t taken = put(s, s->out + s->from, s->until - s->from);
        if (taken < 0) {
            drop(s);
            return;
        }
        if (!taken) return;
        s->from += taken;
    }
    if (s->ending) {
        group.ended++;
        drop(s);
    } else if (s->requested && group.shape <= BARE)
        fill(s);
    else
        watch(s, 0);
}

static void readable(struct stream *s) {
    char bytes[4096];
    ssize_t got;
    while ((got = take(s, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got && !s->requested; i++) {
            s->tail = s->tail << 8 | (unsigned char)bytes[i];
            s->requested = s->tail == 0x0d0a0d0a;
            if (!s->requested) continue;
            if (group.open == MAX_STREAMS) {
                fprintf(stderr, "server: more than %d streams in a group\n", MAX_STREAMS);
                exit(2);
            }
            group.list[s->place = group.open++] = s;
            if (!say(s, HEAD, sizeof HEAD - 1)) return;
            if (group.shape <= BARE) watch(s, 1);
            else if (group.open == group.streams) group.began = now(CLOCK_MONOTONIC) + SETTLE_NS;
        }
    if (got == 0 || errno != EAGAIN) drop(s);
}

/* Of the paced shapes: send what is due. Returns ns until the next is, or -1. */
static int64_t pace(void) {
    if (!group.began || group.shape <= BARE || group.shape == HOLD) return -1;
    while (group.round <= group.count) { /* the round after the last event ends the streams */
        int64_t due = group.began + group.round * group.every_ns;
        if (group.shape == SPREAD) due += group.at * group.every_ns / group.streams;
        int64_t wait = due - now(CLOCK_MONOTONIC);
        if (wait > 0) return wait;
        struct stream *s = group.list[group.at];
        if (s && group.round == group.count) finish(s);
        else if (s) {
            char bytes[EVENT_BYTES + 16];
            size_t length = event(bytes, group.round, now(CLOCK_REALTIME), now(CLOCK_MONOTONIC));
            group.sent += say(s, bytes, length);
        }
        if (++group.at == group.streams) group.at = 0, group.round++;
    }
    return -1;
}

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct stream *s = calloc(1, sizeof *s);
        s->fd = fd;
#ifdef TLS
        if (context) {
            s->tls = SSL_new(context);
            SSL_set_fd(s->tls, fd);
            SSL_set_accept_state(s->tls);
        }
#endif
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
    }
}

static void command(void) {
    char line[200], shape[16];
    if (!fgets(line, sizeof line, stdin)) exit(0);
    long streams, count, every;
    if (sscanf(line, "group %ld %ld %ld %15s", &streams, &count, &every, shape) == 4) {
        for (long i = 0; i < group.open; i++)
            if (group.list[i]) drop(group.list[i]);
        memset(&group, 0, sizeof group);
        group.streams = streams, group.count = count, group.every_ns = every;
        group.shape = !strcmp(shape, "full") ? FULL : !strcmp(shape, "bare") ? BARE : !strcmp(shape, "spread") ? SPREAD : !strcmp(shape, "once") ? ONCE : HOLD;
        puts("{}");
    } else if (!strncmp(line, "release", 7)) {
        for (long i = 0; i < group.open; i++)
            if (group.list[i]) finish(group.list[i]);
        puts("{}");
    } else
        printf("{\"open\": %ld, \"sent\": %ld, \"ended\": %ld}\n", group.open, group.sent, group.ended);
    fflush(stdout);
}

int main(int argc, char **argv) {
    setvbuf(stdin, NULL, _IONBF, 0); /* one command a line: none may wait in a buffer while poll() sees nothing */
    prctl(PR_SET_TIMERSLACK, 1000);
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3) {
        (void)argv;
#ifdef TLS
        context = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
        if (SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 || SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1) {
            ERR_print_errors_fp(stderr);
            return 2;
        }
#else
        fputs("server: built without TLS: OpenSSL's headers were missing.\n", stderr);
        return 2;
#endif
    }
    epoll = epoll_create1(0);
    int listeners[ADDRESSES];
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    for (int i = 0; i < ADDRESSES; i++) {
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
        listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        int on = 1;
        setsockopt(listeners[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(listeners[i], (struct sockaddr *)&address, sizeof address) || listen(listeners[i], 4096)) fail("listen");
        if (!i && getsockname(listeners[0], (struct sockaddr *)&address, &size)) fail("getsockname");
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listeners[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &e);
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int64_t wait = pace();
        struct timespec until = {wait / 1000000000, wait % 1000000000};
        struct pollfd both[2] = {{.fd = epoll, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        if (ppoll(both, 2, wait < 0 ? NULL : &until, NULL) < 0 && errno != EINTR) fail("ppoll");
        if (both[1].revents) command();
        struct epoll_event ready[256];
        int count = epoll_wait(epoll, ready, 256, 0);
        for (int i = 0; i < count; i++) {
            void *of = ready[i].data.ptr;
            if ((int *)of >= listeners && (int *)of < listeners + ADDRESSES) {
                accept_all(*(int *)of);
                continue;
            }
            struct stream *s = of;
            if (s->fd >= 0 && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(s);
            if (s->fd >= 0 && ready[i].events & EPOLLOUT) writable(s);
        }
        while (dropped) {
            struct stream *s = dropped;
            dropped = s->dropped;
            free(s);
        }
    }
}
