/* Hosts and load for scripts/bench and scripts/budget: both sides of a proxy, so cheap that the proxy is the limit.
 *
 *   traffic serve http|dubbo|bolt MARK                     prints "PORT n"; answers every request with its mark
 *   traffic call  http|dubbo|bolt PORT [-c CONNECTIONS] [-m IN_FLIGHT] [-n REQUESTS | -d SECONDS] [-1]
 *   traffic idle  http|dubbo|bolt PORT CONNECTIONS         one request each, prints "IDLE", holds them until stdin ends
 *   traffic still SECONDS                                  does 0.2 ms of work again and again, prints how often, how often
 *                                                          it took over 1 ms of processor time, and the longest in us: the
 *                                                          machine itself adds to it what it takes from its guests
 *
 * `call` keeps IN_FLIGHT requests (HTTP: 1) on each connection, which ask for v1 and v2 in turns (-1: v1 only), and
 * checks that each is answered by the host of that mark. After a warm-up it prints "BEGIN" (and waits for a line when
 * it is to send a number of requests), measures, prints "END" and one line of JSON: others can measure the same time.
 * It ends at the first broken connection: a proxy that loses requests has no figures. All on 127.0.0.1, in one thread. */
#define _GNU_SOURCE
#include "protocols.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, LONGEST_US = 1 << 20 };

struct connection {
    int fd;
    size_t used;                        /* bytes in `input` */
    uint64_t sequence;                  /* requests sent on it */
    uint8_t wanted[SLOTS];              /* mark asked for: '1', '2' */
    int64_t sent_at[SLOTS];
    uint8_t input[BUFFER];
};

static const struct protocol *protocol;
int is_host;
char mark = '1';
static size_t request_length[2];
static uint8_t request[2][1024];                                    /* that ask for v1, v2 */
static uint32_t *latencies;                                         /* answers by microseconds */
static uint64_t limit, sent, answered, errors, misrouted, turn;
static uint8_t output[4 * BUFFER];                                  /* for the connection at hand, not yet sent */
static size_t output_length;
static int is_measuring, only_v1, in_flight = 1;

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "traffic: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    exit(1);
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t now_us(void) { return clock_us(CLOCK_MONOTONIC); }

/* Sockets block when writing, with a limit, and never when reading: what is written here always fits soon. */
void send_all(int fd, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = send(fd, bytes, length, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0 && is_host) return;                          /* the peer has gone: the next read tells */
        if (count <= 0) fail("cannot write: %s", strerror(errno));
        bytes += count;
        length -= (size_t)count;
    }
}

static void prepare(int fd)
{
    int one = 1;
    struct timeval limit = {10, 0};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static void watch(int poller, int fd, void *owner)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll: %s", strerror(errno));
}

/* ---- messages on a connection ---- */

/* Reads what is there and hands on every complete message. Returns 0 at the end of the connection. */
static int receive(struct connection *c, handler handle)
{
    ssize_t count = recv(c->fd, c->input + c->used, BUFFER - c->used, MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) return 0;
    c->used += (size_t)count;
    c->used = hand_on(protocol, c, c->input, c->used, BUFFER, handle);
    if (c->used == BUFFER) fail("a message without an end");
    return 1;
}

/* ---- host ---- */

static void serve_one(struct connection *c, const uint8_t *message, size_t body, size_t length)
{
    (void)body;
    if (!protocol->is_call(c->fd, message, length)) return;
    output_length += protocol->answer(output + output_length, message);
    if (output_length > sizeof output - 1024) {
        send_all(c->fd, output, output_length);
        output_length = 0;
    }
}

static void serve(void)
{
    static char listening;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0)
        fail("listen: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &size);
    watch(poller, listener, &listening);
    printf("PORT %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if ((void *)c == &listening) {
                int fd = accept(listener, NULL, NULL);
                if (fd < 0) continue;
                prepare(fd);
                if (!(c = malloc(sizeof *c))) fail("no memory");
                c->fd = fd;
                c->used = 0;
                watch(poller, fd, c);
                continue;
            }
            output_length = 0;
            int is_open = receive(c, serve_one);
            if (is_open && output_length > 0) send_all(c->fd, output, output_length);
            if (is_open) continue;
            close(c->fd);
            free(c);
        }
    }
}

/* ---- load ---- */

static struct connection *dial(int poller, int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct connection *c = calloc(1, sizeof *c);
    if (!c) fail("no memory");
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect to port %d: %s", port, strerror(errno));
    prepare(c->fd);
    watch(poller, c->fd, c);
    return c;
}

static void ask(struct connection *c, unsigned slot)
{
    int version = only_v1 ? 0 : (int)(turn++ & 1);
    uint8_t *bytes = request[version];
    c->wanted[slot] = (uint8_t)('1' + version);
    if (protocol->number) protocol->number(bytes, ++c->sequence * SLOTS + slot);
    sent++;
    c->sent_at[slot] = now_us();
    memcpy(output + output_length, bytes, request_length[version]);
    output_length += request_length[version];
}

/* What the answers of one read have led to goes out in one write, as clients with many calls in flight do it. */
static void flush_requests(struct connection *c)
{
    if (output_length > 0) send_all(c->fd, output, output_length);
    output_length = 0;
}

static void fill(struct connection **all, int connections)
{
    for (int i = 0; i < connections; i++) {
        for (int slot = 0; slot < in_flight && (limit == 0 || sent < limit); slot++) ask(all[i], (unsigned)slot);
        flush_requests(all[i]);
    }
}

static void take_answer(struct connection *c, const uint8_t *message, size_t body, size_t length)
{
    if (!protocol->is_call(c->fd, message, length)) return;
    unsigned slot = protocol->slot(message);
    size_t at = protocol->text(message, body);
    if (at == 0 || length < at + BODY) {
        int shown = (int)(length < 300 ? length : 300);
        if (errors++ == 0) fprintf(stderr, "traffic: unexpected answer: %.*s\n", shown, message);
    } else if (message[at + 1] != c->wanted[slot]) {
        misrouted++;
    }
    int64_t took = now_us() - c->sent_at[slot];
    answered++;
    if (is_measuring) latencies[took < LONGEST_US ? took : LONGEST_US - 1]++;
    if (limit == 0 || sent < limit) ask(c, slot);
}

static void turn_until(int poller, int64_t end)
{
    while (limit ? answered < limit : now_us() < end) {
        struct epoll_event events[256];
        int count = epoll_wait(poller, events, 256, 100);
        if (now_us() > end) {
            if (limit)
                fail("%llu of %llu requests answered in time", (unsigned long long)answered, (unsigned long long)limit);
            return;
        }
        for (int i = 0; i < count; i++) {
            if (!receive(events[i].data.ptr, take_answer)) fail("the proxy closed a connection");
            flush_requests(events[i].data.ptr);
        }
    }
}

static int64_t percentile(double part)
{
    uint64_t total = 0, below = 0;
    for (int i = 0; i < LONGEST_US; i++) total += latencies[i];
    for (int i = 0; i < LONGEST_US; i++)
        if ((below += latencies[i]) > (uint64_t)(part * (double)total)) return i;
    return 0;
}

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

/* What is in flight at the end of a number of requests is nothing: counts begin and end with idle connections. */
static void send_exactly(int poller, struct connection **all, int connections, uint64_t requests, double seconds)
{
    limit = sent + requests;
    fill(all, connections);
    turn_until(poller, now_us() + (int64_t)(seconds * 1e6));
}

static int call(int port, int connections, uint64_t requests, double seconds)
{
    int poller = epoll_create1(0);
    latencies = calloc(LONGEST_US, sizeof *latencies);
    struct connection **all = calloc((size_t)connections, sizeof *all);
    if (!latencies || !all) fail("no memory");
    for (int i = 0; i < connections; i++) all[i] = dial(poller, port);
    send_exactly(poller, all, connections, (uint64_t)(4 * connections * in_flight), seconds);
    if (!requests) {
        limit = 0;
        fill(all, connections);
        turn_until(poller, now_us() + 300000);
    }
    say("BEGIN");
    if (requests) getchar();
    is_measuring = 1;
    int64_t begin = now_us();
    uint64_t before = answered;
    if (requests) send_exactly(poller, all, connections, requests, seconds);
    else turn_until(poller, begin + (int64_t)(seconds * 1e6));
    double took = (double)(now_us() - begin) / 1e6;
    say("END");
    printf("{\"answered\":%llu,\"seconds\":%.6f,\"errors\":%llu,\"misrouted\":%llu,\"p50_us\":%lld,\"p99_us\":%lld}\n",
           (unsigned long long)(answered - before), took, (unsigned long long)errors, (unsigned long long)misrouted,
           (long long)percentile(0.5), (long long)percentile(0.99));
    return errors || misrouted ? 1 : 0;
}

static int idle(int port, int connections)
{
    int poller = epoll_create1(0);
    latencies = calloc(LONGEST_US, sizeof *latencies);
    if (!latencies) fail("no memory");
    for (limit = 1; limit <= (uint64_t)connections; limit++) {
        struct connection *c = dial(poller, port);
        fill(&c, 1);
        turn_until(poller, now_us() + 10000000);
    }
    if (errors || misrouted) return 1;
    say("IDLE");
    while (getchar() != EOF) {}
    return 0;
}

/* Works some of the time, so that it is hardly a load. */
static int still(double seconds)
{
    struct timespec pause = {0, 1000000};
    int64_t count = 0, over = 0, longest = 0, end = now_us() + (int64_t)(seconds * 1e6);
    volatile uint64_t number = 1;
    for (; now_us() < end; count++) {
        int64_t begin = clock_us(CLOCK_THREAD_CPUTIME_ID);
        for (int i = 0; i < 150000; i++) number = number * 6364136223846793005u + 1;
        int64_t taken = clock_us(CLOCK_THREAD_CPUTIME_ID) - begin;
        over += taken > 1000;
        if (taken > longest) longest = taken;
        nanosleep(&pause, NULL);
    }
    printf("%lld %lld %lld\n", (long long)count, (long long)over, (long long)longest);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "still") == 0) return still(atof(argv[2]));
    if (argc < 4) fail("serve|call|idle http|dubbo|bolt ...");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!(protocol = find_protocol(argv[2]))) fail("the protocol %s is not known", argv[2]);
    if (strcmp(argv[1], "serve") == 0) {
        is_host = 1;
        mark = argv[3][0];
        serve();
    }
    const char *const versions[2] = {"v1", "v2"};
    for (int i = 0; i < 2; i++) request_length[i] = protocol->request(request[i], versions[i]);
    if (strcmp(argv[1], "idle") == 0 && argc == 5) return idle(atoi(argv[3]), atoi(argv[4]));
    int connections = 64, option;
    double seconds = 60;
    uint64_t requests = 0;
    optind = 4;
    while ((option = getopt(argc, argv, "c:m:n:d:1")) != -1) {
        switch (option) {
        case 'c': connections = atoi(optarg); break;
        case 'm': in_flight = atoi(optarg); break;
        case 'n': requests = strtoull(optarg, NULL, 10); break;
        case 'd': seconds = atof(optarg); break;
        case '1': only_v1 = 1; break;
        default: return 2;
        }
    }
    if (connections < 1 || connections > 10000 || in_flight < 1 || in_flight > protocol->slots) fail("bad number");
    return call(atoi(argv[3]), connections, requests, seconds);
}
