/*
 * The limit: a client in C on epoll that reads, decodes the chunks, finds the events, and does nothing else.
 *
 *     client ADDRESS PORT STREAMS CLOCK [ERRORS]
 *
 * CLOCK: `own`, the time at which this process has read the bytes, as every program's own clock says it; `kernel`, the time at which
 * the kernel received them (SO_TIMESTAMPNS). Prints {"events": …, "complete": …}; ERRORS gets for each event its arrival less the
 * time at which the server sent it, int64 ns.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024 };

struct stream {
    int fd, in_body, part; /* `part` of a chunk: 0 its size, 1 its data, 2 the line end after it */
    long chunk;            /* bytes of the chunk that are still to come */
    size_t kept;           /* bytes of an event that is not whole yet */
    char *rest;
};

static long events, complete, open_streams;
static int64_t *errors;
static size_t room;
static int keep;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void take_event(const char *text, size_t length, int64_t at) {
    const char *ts = memmem(text, length, "\"ts\": ", 6);
    if (!ts) {
        complete += memmem(text, length, "event: complete", 15) != NULL;
        return;
    }
    if (keep) {
        if ((size_t)events == room && !(errors = realloc(errors, (room = room ? 2 * room : 4096) * sizeof *errors))) fail("realloc");
        errors[events] = at - strtoll(ts + 6, NULL, 10);
    }
    events++;
}

/* Decoded bytes, which stand behind what is kept of the last event; the last event may be cut again. */
static void parse(struct stream *s, char *text, size_t length, int64_t at) {
    char *end;
    while ((end = memmem(text, length, "\n\n", 2))) {
        take_event(text, end - text, at);
        length -= end + 2 - text;
        text = end + 2;
    }
    if (length && !(s->rest = realloc(s->rest, length))) fail("realloc");
    if (length) memcpy(s->rest, text, length);
    s->kept = length;
}

/* Take the chunks apart, in place: the data moves to `to`. Returns its length. */
static size_t dechunk(struct stream *s, char *to, const char *from, size_t length) {
    size_t out = 0;
    for (const char *end = from + length; from < end;) {
        if (s->part == 1) {
            size_t n = (size_t)s->chunk < (size_t)(end - from) ? (size_t)s->chunk : (size_t)(end - from);
            memmove(to + out, from, n);
            out += n, from += n;
            if (!(s->chunk -= n)) s->part = 2;
        } else if (*from == '\n') {
            s->part = s->part == 2 ? 0 : s->chunk ? 1 : 3; /* 3: behind the last chunk only line ends follow */
            from++;
        } else {
            char c = *from++;
            if (s->part == 0 && c != '\r') s->chunk = s->chunk * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        }
    }
    return out;
}

/* One read of a socket. */
static void serve(struct stream *s, int kernel) {
    static char buffer[2 * BUFFER];
    char control[256];
    char *raw = buffer + s->kept;
    struct iovec into = {raw, BUFFER};
    struct msghdr message = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = control, .msg_controllen = kernel ? sizeof control : 0};
    ssize_t got = kernel ? recvmsg(s->fd, &message, 0) : recv(s->fd, raw, BUFFER, 0);
    struct timespec stamp;
    clock_gettime(CLOCK_REALTIME, &stamp);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        close(s->fd);
        open_streams--;
        return;
    }
    if (kernel)
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    size_t length = got;
    if (!s->in_body) { /* the server sends the head in one piece */
        char *body = memmem(raw, length, "\r\n\r\n", 4);
        if (!body || strncmp(raw, "HTTP/1.1 200", 12)) fail("no head of a response");
        s->in_body = 1;
        length -= body + 4 - raw;
        memmove(raw, body + 4, length);
    }
    if (s->kept) memcpy(buffer, s->rest, s->kept);
    length = dechunk(s, raw, raw, length);
    parse(s, buffer, s->kept + length, stamp.tv_sec * 1000000000LL + stamp.tv_nsec);
}

int main(int argc, char **argv) {
    if (argc < 5) return fputs("client ADDRESS PORT STREAMS own|kernel [ERRORS]\n", stderr), 2;
    int count = atoi(argv[3]), kernel = !strcmp(argv[4], "kernel"), epoll = epoll_create1(0), on = 1;
    keep = argc > 5;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    static const char request[] = "GET /events HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n";
    struct stream *streams = calloc(count, sizeof *streams);
    for (; open_streams < count; open_streams++) {
        struct stream *s = &streams[open_streams];
        s->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (kernel) setsockopt(s->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        if (connect(s->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
        if (send(s->fd, request, sizeof request - 1, 0) < 0) fail("send");
        fcntl(s->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
        epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &e);
    }
    while (open_streams) {
        struct epoll_event ready[256];
        int n = epoll_wait(epoll, ready, 256, -1);
        for (int i = 0; i < n; i++) serve(ready[i].data.ptr, kernel);
    }
    if (keep) {
        FILE *file = fopen(argv[5], "wb");
        if (!file || fwrite(errors, sizeof *errors, events, file) != (size_t)events || fclose(file)) fail(argv[5]);
    }
    printf("{\"events\": %ld, \"complete\": %ld}\n", events, complete);
    return 0;
}
