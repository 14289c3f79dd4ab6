/* Hosts and load for scripts/bench and scripts/budget: both sides of a proxy, so cheap that the proxy is the limit.
 *
 *   traffic serve http|dubbo MARK                          prints "PORT n"; answers every request with its mark
 *   traffic call  http|dubbo PORT [-c CONNECTIONS] [-m IN_FLIGHT] [-n REQUESTS | -d SECONDS] [-1]
 *   traffic idle  http|dubbo PORT CONNECTIONS              one request each, prints "IDLE", holds them until stdin ends
 *   traffic still SECONDS                                  does 0.2 ms of work again and again, prints how often, how often
 *                                                          it took over 1 ms of processor time, and the longest in us: the
 *                                                          machine itself adds to it what it takes from its guests
 *
 * `call` keeps IN_FLIGHT requests (HTTP: 1) on each connection, which ask for v1 and v2 in turns (-1: v1 only), and
 * checks that each is answered by the host of that mark. After a warm-up it prints "BEGIN" (and waits for a line when
 * it is to send a number of requests), measures, prints "END" and one line of JSON: others can measure the same time.
 * It ends at the first broken connection: a proxy that loses requests has no figures. All on 127.0.0.1, in one thread. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, SLOTS = 64, BODY = 128, LONGEST_US = 1 << 20, DUBBO_HEAD = 16 };
enum { REQUEST = 0x80, TWO_WAY = 0x40, EVENT = 0x20, HESSIAN2 = 2, OK = 20 };   /* of a Dubbo header */

struct connection {
    int fd;
    size_t used;                        /* bytes in `input` */
    uint64_t sequence;                  /* requests sent on it */
    uint8_t wanted[SLOTS];              /* mark asked for: '1', '2' */
    int64_t sent_at[SLOTS];
    uint8_t input[BUFFER];
};

static int is_dubbo, is_host;
static char mark = '1';                                             /* of a host: v1, v2 */
static size_t request_length[2];
static uint8_t request[2][1024];                                    /* that ask for v1, v2 */
static uint32_t *latencies;                                         /* answers by microseconds */
static uint64_t limit, sent, answered, errors, misrouted, turn;
static uint8_t output[4 * BUFFER];                                  /* for the connection at hand, not yet sent */
static size_t output_length;
static int is_measuring, only_v1, in_flight = 1;

static void fail(const char *format, ...)
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

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Sockets block when writing, with a limit, and never when reading: what is written here always fits soon. */
static void send_all(int fd, const uint8_t *bytes, size_t length)
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

/* ---- what is sent ---- */

static uint8_t *text(uint8_t *out, const char *value)               /* Hessian2 string of up to 1023 bytes */
{
    size_t length = strlen(value);
    if (length > 31) *out++ = (uint8_t)(0x30 + (length >> 8));
    *out++ = (uint8_t)length;
    memcpy(out, value, length);
    return out + length;
}

/* A head of about 360 bytes and 8 fields, as an application with tracing sends it. */
static size_t http_request(uint8_t *out, const char *version)
{
    return (size_t)sprintf((char *)out,
        "GET /api/orders/12345?expand=items HTTP/1.1\r\nHost: order-service\r\n"
        "User-Agent: greymesh-bench/1.0 (loopback)\r\nAccept: application/json, text/plain, */*\r\n"
        "Accept-Encoding: gzip, deflate\r\nX-Request-Id: 7f0f2a4e-8c1d-4a55-9f43-0b1f6a9d2c11\r\n"
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
        "x-version: %s\r\nContent-Type: application/json\r\n\r\n", version);
}

/* A call of about 420 bytes: a text and a map as arguments, six attachments of which the tag is the last. */
static size_t dubbo_request(uint8_t *out, const char *version)
{
    static const char service[] = "com.example.demo.OrderService";
    static const char *const attachments[] = {
        "path", service, "interface", service, "version", "0.0.0", "timeout", "10000",
        "remote.application", "order-consumer", "dubbo.tag"};
    char argument[BODY + 1];
    memset(argument, 'x', BODY);
    argument[BODY] = 0;
    uint8_t *p = out + DUBBO_HEAD;
    p = text(text(text(text(p, "2.0.2"), service), "0.0.0"), "queryOrder");
    p = text(text(p, "Ljava/lang/String;Ljava/util/Map;"), argument);
    *p++ = 'H';
    p = text(p, "userId");
    *p++ = 0x90 + 7;                                                /* int 7 */
    p = text(p, "tags");
    *p++ = 0x7a;                                                    /* untyped list of 2 */
    p = text(text(p, "a"), "bb");
    *p++ = 'Z';
    *p++ = 'H';
    for (size_t i = 0; i < sizeof attachments / sizeof *attachments; i++) p = text(p, attachments[i]);
    p = text(p, version);
    *p++ = 'Z';
    memset(out, 0, DUBBO_HEAD);
    out[0] = 0xda;
    out[1] = 0xbb;
    out[2] = REQUEST | TWO_WAY | HESSIAN2;
    put32(out + 12, (uint32_t)(p - out - DUBBO_HEAD));
    return (size_t)(p - out);
}

/* The answer of a host: its mark, then filling, 128 bytes in all. */
static void answer_text(char *out)
{
    memset(out, 'y', BODY);
    out[0] = 'v';
    out[1] = mark;
    out[2] = '|';
    out[BODY] = 0;
}

static size_t http_answer(uint8_t *out)
{
    char body[BODY + 1];
    answer_text(body);
    return (size_t)sprintf((char *)out, "HTTP/1.1 200 OK\r\nServer: traffic\r\nContent-Type: application/json\r\n"
                                        "Content-Length: %d\r\nX-Host: v%c\r\n\r\n%s", BODY, mark, body);
}

static size_t dubbo_answer(uint8_t *out, const uint8_t *id)
{
    char body[BODY + 1];
    answer_text(body);
    uint8_t *p = out + DUBBO_HEAD;
    *p++ = 0x94;                                                    /* a value with attachments */
    p = text(p, body);
    *p++ = 'H';
    p = text(text(p, "dubbo"), "2.0.2");
    *p++ = 'Z';
    const uint8_t head[4] = {0xda, 0xbb, HESSIAN2, OK};
    memcpy(out, head, 4);
    memcpy(out + 4, id, 8);
    put32(out + 12, (uint32_t)(p - out - DUBBO_HEAD));
    return (size_t)(p - out);
}

/* ---- messages on a connection ---- */

/* The length of the first message of `input`, 0 when it is not complete; `body` is where its body begins. */
static size_t http_length(const uint8_t *input, size_t used, size_t *body)
{
    const uint8_t *end = memmem(input, used, "\r\n\r\n", 4);
    if (!end) return 0;
    *body = (size_t)(end + 4 - input);
    size_t content = 0;
    const uint8_t *line = input;
    while (line < end) {
        const char *field = (const char *)line;
        if (strncasecmp(field, "content-length:", 15) == 0) content = strtoul(field + 15, NULL, 10);
        if (strncasecmp(field, "transfer-encoding:", 18) == 0) fail("unexpected Transfer-Encoding");
        line = (const uint8_t *)memmem(line, (size_t)(end + 2 - line), "\r\n", 2) + 2;
    }
    return *body + content;
}

static size_t dubbo_length(const uint8_t *input, size_t used, size_t *body)
{
    if (used < DUBBO_HEAD) return 0;
    if (input[0] != 0xda || input[1] != 0xbb) fail("not a Dubbo frame");
    *body = DUBBO_HEAD;
    return DUBBO_HEAD + (size_t)get32(input + 12);
}

typedef void (*handler)(struct connection *, const uint8_t *message, size_t body, size_t length);

/* Reads what is there and hands on every complete message. Returns 0 at the end of the connection. */
static int receive(struct connection *c, handler handle)
{
    ssize_t count = recv(c->fd, c->input + c->used, BUFFER - c->used, MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) return 0;
    c->used += (size_t)count;
    size_t start = 0, body = 0;
    while (start < c->used) {
        size_t length = (is_dubbo ? dubbo_length : http_length)(c->input + start, c->used - start, &body);
        if (length > BUFFER) fail("a message of %zu bytes", length);
        if (length == 0 || length > c->used - start) break;
        handle(c, c->input + start, body, length);
        start += length;
    }
    memmove(c->input, c->input + start, c->used - start);
    c->used -= start;
    if (c->used == BUFFER) fail("a message without an end");
    return 1;
}

/* A heartbeat comes back with its body as it is. */
static void answer_heartbeat(int fd, const uint8_t *message, size_t length)
{
    uint8_t answer[1024];
    if (!(message[2] & TWO_WAY) || length > sizeof answer) return;
    memcpy(answer, message, length);
    answer[2] = EVENT | (message[2] & 0x1f);
    answer[3] = OK;
    send_all(fd, answer, length);
}

/* ---- host ---- */

static void serve_one(struct connection *c, const uint8_t *message, size_t body, size_t length)
{
    (void)body;
    if (is_dubbo && message[2] & EVENT) return answer_heartbeat(c->fd, message, length);
    if (is_dubbo && !(message[2] & REQUEST)) return;
    output_length += is_dubbo ? dubbo_answer(output + output_length, message + 4) : http_answer(output + output_length);
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
    if (is_dubbo) {                                                 /* the slot stands in the last bits of the id */
        uint64_t id = ++c->sequence * SLOTS + slot;
        put32(bytes + 4, (uint32_t)(id >> 32));
        put32(bytes + 8, (uint32_t)id);
    }
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
    if (is_dubbo && message[2] & EVENT) return answer_heartbeat(c->fd, message, length);
    unsigned slot = is_dubbo ? get32(message + 8) % SLOTS : 0;
    size_t at = is_dubbo ? body + 3 : body;                         /* behind the kind of result and the length */
    int is_good = is_dubbo ? message[3] == OK : memcmp(message, "HTTP/1.1 200 ", 13) == 0;
    if (!is_good || length < at + BODY) {
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
    if (argc < 4) fail("serve|call|idle http|dubbo ...");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    is_dubbo = strcmp(argv[2], "dubbo") == 0;
    if (strcmp(argv[1], "serve") == 0) {
        is_host = 1;
        mark = argv[3][0];
        serve();
    }
    const char *const versions[2] = {"v1", "v2"};
    for (int i = 0; i < 2; i++) request_length[i] = (is_dubbo ? dubbo_request : http_request)(request[i], versions[i]);
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
    int most = is_dubbo ? SLOTS : 1;
    if (connections < 1 || connections > 10000 || in_flight < 1 || in_flight > most) fail("bad number");
    return call(atoi(argv[3]), connections, requests, seconds);
}
