/* Hosts and load for scripts/overload: a host that does a few requests at a time, and clients that do not wait for each other.
 *
 *   flood serve PROTOCOL MARK AT_A_TIME MILLISECONDS       prints "PORT n"; the others wait in line, however many they are
 *   flood load PROTOCOL PORT RATE CONNECTIONS IN_FLIGHT SECONDS
 *
 * `load` has RATE requests a second on their way, whatever becomes of those before, as many users together do it. A request
 * goes to a connection that has room, else it is `unsent`. It is good when its answer is there within a second of the time when
 * it was due; else it is late, and its client closes the HTTP connection and opens another one; Dubbo and Bolt connections
 * stay, and the answer that comes too late takes its place meanwhile. Requests ask for v1 and v2 in turns. */
#define _GNU_SOURCE
#include "protocols.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INPUT = 1 << 16, OUTPUT = 1 << 16, MESSAGE = 1024, IN_TIME = 1000000, MOST_SERVERS = 64 };

struct connection {
    int fd, is_connected, active;       /* active: slots in use */
    size_t used, length;                /* bytes in `input`, `output` */
    uint64_t sequence, generation;
    int64_t due[SLOTS];                 /* of the request in a slot; 0: free */
    int is_late[SLOTS];                 /* it was given up */
    uint8_t input[INPUT], output[OUTPUT];
};

static const struct protocol *protocol;
int is_host;
char mark = '1';
static int poller, port;

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "flood: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void send_all(int fd, const uint8_t *bytes, size_t length) { (void)!send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT); }

static void watch(int fd, void *owner, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(poller, operation, fd, &event) < 0) fail("epoll: %s", strerror(errno));
}

static void put(struct connection *c, const uint8_t *bytes, size_t length)
{
    if (c->length + length > OUTPUT) fail("too much waits for a connection");
    memcpy(c->output + c->length, bytes, length);
    c->length += length;
}

/* Writes what fits. Returns 0 when the connection has ended. */
static int flush_output(struct connection *c)
{
    if (c->length == 0 || !c->is_connected) return 1;
    ssize_t count = send(c->fd, c->output, c->length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) return errno == EAGAIN;
    memmove(c->output, c->output + count, c->length - (size_t)count);
    c->length -= (size_t)count;
    return 1;
}

/* Reads what is there and hands on every complete message. Returns 0 at the end of the connection. */
static int receive(struct connection *c, handler handle)
{
    ssize_t count = recv(c->fd, c->input + c->used, INPUT - c->used, MSG_DONTWAIT);
    if (count <= 0) return count < 0 && (errno == EAGAIN || errno == EINTR);
    c->used += (size_t)count;
    c->used = hand_on(protocol, c, c->input, c->used, INPUT, handle);
    return 1;
}

/* ---- host: as all requests take the same time, they end in the order in which they came ---- */

struct waiting {
    struct connection *c;
    uint64_t generation;                /* of the connection: another one may have its place */
    int64_t end;
    uint8_t request[MESSAGE];
};

static struct waiting *line;
static size_t first, count_waiting, room;
static int64_t free_at[MOST_SERVERS], took;
static int servers, next_server;

static void enqueue(struct connection *c, const uint8_t *message, size_t body, size_t length)
{
    (void)body;
    if (!protocol->is_call(c->fd, message, length)) return;
    if (length > MESSAGE) fail("a request of %zu bytes", length);
    if (count_waiting == room) {
        struct waiting *more = malloc((room * 2 + 1024) * sizeof *more);
        if (!more) fail("no memory");
        for (size_t i = 0; i < count_waiting; i++) more[i] = line[(first + i) % room];
        free(line);
        line = more;
        first = 0;
        room = room * 2 + 1024;
    }
    struct waiting *w = &line[(first + count_waiting++) % room];
    int64_t now = now_us(), begin = free_at[next_server] > now ? free_at[next_server] : now;
    *w = (struct waiting){.c = c, .generation = c->generation, .end = begin + took};
    free_at[next_server] = w->end;
    next_server = (next_server + 1) % servers;
    memcpy(w->request, message, length);
}

static void serve_due(void)
{
    uint8_t answer[MESSAGE];
    for (int64_t now = now_us(); count_waiting > 0 && line[first].end <= now; count_waiting--) {
        struct waiting *w = &line[first];
        first = (first + 1) % room;
        if (w->generation == w->c->generation) send_all(w->c->fd, answer, protocol->answer(answer, w->request));
    }
}

static void serve(void)
{
    static char listening;
    static struct connection *spare[1 << 16];
    size_t spares = 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0)
        fail("listen: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &size);
    watch(listener, &listening, EPOLLIN, EPOLL_CTL_ADD);
    printf("PORT %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(poller, events, 256, count_waiting > 0 ? 1 : -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if ((void *)c == &listening) {
                int fd = accept(listener, NULL, NULL);
                if (fd < 0) continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                c = spares > 0 ? spare[--spares] : calloc(1, sizeof *c);
                if (!c) fail("no memory");
                c->fd = fd;
                c->used = 0;
                watch(fd, c, EPOLLIN, EPOLL_CTL_ADD);
            } else if (!receive(c, enqueue)) {
                close(c->fd);
                c->generation++;
                if (spares < sizeof spare / sizeof *spare) spare[spares++] = c;
            }
        }
        serve_due();
    }
}

/* ---- load ---- */

static struct connection **all;
static uint32_t *latencies;                                         /* good answers by microseconds */
static uint64_t offered, unsent, good, refused, late, broken;
static size_t request_length[2];
static uint8_t request[2][MESSAGE];
static int is_measuring, in_flight;
static unsigned turns;

static void dial(struct connection *c)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->is_connected = connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0;
    c->active = 0;
    c->used = c->length = 0;
    memset(c->due, 0, sizeof c->due);
    memset(c->is_late, 0, sizeof c->is_late);
    watch(c->fd, c, c->is_connected ? EPOLLIN : EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

/* What it had in flight will not be answered. */
static void redial(struct connection *c)
{
    for (int slot = 0; slot < in_flight; slot++)
        if (c->due[slot] && !c->is_late[slot] && is_measuring) broken++;
    close(c->fd);
    dial(c);
}

static int ask(struct connection *c, int64_t due)
{
    for (int slot = 0; slot < in_flight; slot++) {
        if (c->due[slot]) continue;
        int version = (int)(turns++ & 1);
        if (protocol->number) protocol->number(request[version], ++c->sequence * SLOTS + (uint64_t)slot);
        put(c, request[version], request_length[version]);
        c->due[slot] = due;
        c->is_late[slot] = 0;
        c->active++;
        return 1;
    }
    return 0;
}

static void take_answer(struct connection *c, const uint8_t *message, size_t body, size_t length)
{
    if (!protocol->is_call(c->fd, message, length)) return;
    unsigned slot = protocol->slot(message);
    if (!c->due[slot]) fail("an answer that nobody waits for");
    int64_t waited = now_us() - c->due[slot];
    size_t at = protocol->text(message, body);
    if (c->is_late[slot]) {
    } else if (waited >= IN_TIME) {
        late += (uint64_t)is_measuring;
    } else if (at == 0 || length < at + BODY) {
        refused += (uint64_t)is_measuring;
    } else if (is_measuring) {
        good++;
        latencies[waited < 0 ? 0 : waited]++;
    }
    c->due[slot] = 0;
    c->active--;
}

/* Clients give up what was due more than a second ago. */
static void give_up(struct connection *c, int64_t now)
{
    if (c->active == 0) return;
    for (int slot = 0; slot < in_flight; slot++) {
        if (!c->due[slot] || c->is_late[slot] || now - c->due[slot] < IN_TIME) continue;
        late += (uint64_t)is_measuring;
        c->is_late[slot] = 1;
        if (!protocol->number) return redial(c);
    }
}

/* What finds no room on any connection is not sent, and what is due at the same time neither. */
static void send_due(int connections, double rate, int64_t begin, int64_t now, uint64_t *issued)
{
    static int place;
    uint64_t due = (uint64_t)((double)(now - begin) * rate / 1e6);
    if (is_measuring && due > *issued) offered += due - *issued;
    for (; *issued < due; ++*issued) {
        int64_t time = begin + (int64_t)((double)*issued * 1e6 / rate);
        int tries = 0;
        while (tries < connections && !ask(all[place], time)) {
            place = (place + 1) % connections;
            tries++;
        }
        if (tries == connections) {
            if (is_measuring) unsent += due - *issued;
            *issued = due;
            return;
        }
        place = (place + 1) % connections;
    }
}

static void turn(int connections)
{
    struct epoll_event events[1024];
    int count = epoll_wait(poller, events, 1024, 1);
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (!c->is_connected && events[i].events & EPOLLOUT) {
            c->is_connected = 1;
            watch(c->fd, c, EPOLLIN, EPOLL_CTL_MOD);
        }
        if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP) && !receive(c, take_answer)) redial(c);
    }
    for (int i = 0; i < connections; i++)
        if (all[i]->length > 0 && !flush_output(all[i])) redial(all[i]);
}

static void run(int connections, double rate, double seconds)
{
    int64_t begin = now_us(), now = begin, looked = begin;
    for (uint64_t issued = 0; now - begin < (int64_t)(seconds * 1e6); now = now_us()) {
        send_due(connections, rate, begin, now, &issued);
        turn(connections);
        if (now - looked < 10000) continue;
        looked = now;
        for (int i = 0; i < connections; i++) give_up(all[i], now);
    }
}

static int64_t percentile(double part)
{
    uint64_t below = 0;
    for (int i = 0; i < IN_TIME; i++)
        if ((below += latencies[i]) > (uint64_t)(part * (double)good)) return i;
    return 0;
}

static int load(double rate, int connections, double seconds)
{
    latencies = calloc(IN_TIME, sizeof *latencies);
    all = calloc((size_t)connections, sizeof *all);
    if (!latencies || !all) fail("no memory");
    for (int i = 0; i < connections; i++) {
        if (!(all[i] = calloc(1, sizeof **all))) fail("no memory");
        dial(all[i]);
    }
    run(connections, rate, 3);                                  /* what piles up has piled up */
    is_measuring = 1;
    run(connections, rate, seconds);
    printf("{\"seconds\":%.3f,\"offered\":%llu,\"unsent\":%llu,\"good\":%llu,\"refused\":%llu,\"late\":%llu,\"broken\":%llu,"
           "\"p50_us\":%lld,\"p99_us\":%lld}\n", seconds, (unsigned long long)offered, (unsigned long long)unsent,
           (unsigned long long)good, (unsigned long long)refused, (unsigned long long)late, (unsigned long long)broken,
           (long long)percentile(0.5), (long long)percentile(0.99));
    return 0;
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    poller = epoll_create1(0);
    if (argc < 6 || !(protocol = find_protocol(argv[2]))) fail("serve|load http|dubbo|bolt ...");
    if (strcmp(argv[1], "serve") == 0) {
        is_host = 1;
        mark = argv[3][0];
        servers = atoi(argv[4]);
        took = atoi(argv[5]) * 1000;
        if (servers < 1 || servers > MOST_SERVERS) fail("bad number");
        serve();
    }
    if (argc < 8) fail("load PROTOCOL PORT RATE CONNECTIONS IN_FLIGHT SECONDS");
    const char *const versions[2] = {"v1", "v2"};
    for (int i = 0; i < 2; i++) request_length[i] = protocol->request(request[i], versions[i]);
    port = atoi(argv[3]);
    in_flight = atoi(argv[6]);
    if (in_flight < 1 || in_flight > protocol->slots) fail("bad number");
    return load(atof(argv[4]), atoi(argv[5]), atof(argv[7]));
}
