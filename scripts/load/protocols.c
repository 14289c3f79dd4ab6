#define _GNU_SOURCE
#include "protocols.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> (24 - 8 * i));
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

/* ---- HTTP ---- */

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

static size_t http_answer(uint8_t *out, const uint8_t *request)
{
    (void)request;
    char body[BODY + 1];
    answer_text(body);
    return (size_t)sprintf((char *)out, "HTTP/1.1 200 OK\r\nServer: traffic\r\nContent-Type: application/json\r\n"
                                        "Content-Length: %d\r\nX-Host: v%c\r\n\r\n%s", BODY, mark, body);
}

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

static int http_is_call(int fd, const uint8_t *message, size_t length)
{
    (void)fd, (void)message, (void)length;
    return 1;
}

static unsigned http_slot(const uint8_t *answer)
{
    (void)answer;
    return 0;
}

static size_t http_text(const uint8_t *answer, size_t body)
{
    return memcmp(answer, "HTTP/1.1 200 ", 13) == 0 ? body : 0;
}

/* ---- Dubbo ---- */

enum { DUBBO_HEAD = 16, REQUEST = 0x80, TWO_WAY = 0x40, EVENT = 0x20, HESSIAN2 = 2, OK = 20 };

static uint8_t *text(uint8_t *out, const char *value)               /* Hessian2 string of up to 1023 bytes */
{
    size_t length = strlen(value);
    if (length > 31) *out++ = (uint8_t)(0x30 + (length >> 8));
    *out++ = (uint8_t)length;
    memcpy(out, value, length);
    return out + length;
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

static void dubbo_number(uint8_t *request, uint64_t id)
{
    put32(request + 4, (uint32_t)(id >> 32));
    put32(request + 8, (uint32_t)id);
}

static size_t dubbo_answer(uint8_t *out, const uint8_t *request)
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
    memcpy(out + 4, request + 4, 8);
    put32(out + 12, (uint32_t)(p - out - DUBBO_HEAD));
    return (size_t)(p - out);
}

static size_t dubbo_length(const uint8_t *input, size_t used, size_t *body)
{
    if (used < DUBBO_HEAD) return 0;
    if (input[0] != 0xda || input[1] != 0xbb) fail("not a Dubbo frame");
    *body = DUBBO_HEAD;
    return DUBBO_HEAD + (size_t)get32(input + 12);
}

/* A heartbeat comes back with its body as it is. */
static int dubbo_is_call(int fd, const uint8_t *message, size_t length)
{
    uint8_t answer[1024];
    if (!(message[2] & EVENT)) return !is_host || message[2] & REQUEST;
    if (!(message[2] & TWO_WAY) || length > sizeof answer) return 0;
    memcpy(answer, message, length);
    answer[2] = EVENT | (message[2] & 0x1f);
    answer[3] = OK;
    send_all(fd, answer, length);
    return 0;
}

static unsigned dubbo_slot(const uint8_t *answer) { return get32(answer + 8) % SLOTS; }

static size_t dubbo_text(const uint8_t *answer, size_t body)
{
    return answer[3] == OK ? body + 3 : 0;                          /* behind the kind of result and the length */
}

/* ---- SOFABolt, version 1, with what SOFA RPC puts into it ---- */

enum { BOLT_REQUEST_HEAD = 22, BOLT_ANSWER_HEAD = 20, HEARTBEAT = 0, CALL = 1, ANSWER = 2 };

static const char sofa_request[] = "com.alipay.sofa.rpc.core.request.SofaRequest";
static const char sofa_response[] = "com.alipay.sofa.rpc.core.response.SofaResponse";

/* What the content of an answer begins with: the class SofaResponse, and that it is no error and has no message. */
static const char sofa_result[] = "O\xbe" "com.alipay.sofa.rpc.core.response.SofaResponse\x94\x07isError\x08" "errorMsg"
                                  "\x0b" "appResponse\x0dresponsePropso\x90" "FN";

static uint8_t *entry(uint8_t *out, const char *value)              /* a key or value of a header map */
{
    put32(out, (uint32_t)strlen(value));
    memcpy(out + 4, value, strlen(value));
    return out + 4 + strlen(value);
}

static uint8_t *long_text(uint8_t *out, const char *value, size_t length)   /* a string of SOFA RPC's Hessian */
{
    *out++ = 'S';
    *out++ = (uint8_t)(length >> 8);
    *out++ = (uint8_t)length;
    memcpy(out, value, length);
    return out + length;
}

static void bolt_lengths(uint8_t *out, size_t class, size_t header, size_t content)
{
    put32(out, (uint32_t)(class << 16 | header));
    put32(out + 4, (uint32_t)content);
}

/* A call of about 540 bytes: twelve header entries, as an application with tracing sends them, of which the version is the
 * last. Its content is shorter than a real one, which proxies need not read. */
static size_t bolt_request(uint8_t *out, const char *version)
{
    static const char service[] = "com.example.demo.OrderService:1.0";
    static const char *const entries[] = {
        "sofa_head_target_service", service, "app", "order-consumer", "rpc_trace_context.sofaRpcId", "0",
        "rpc_trace_context.samp", "true", "rpc_trace_context.sofaTraceId", "c0000202179526037653910019365",
        "rpc_trace_context.sofaPenAttrs", "", "type", "sync", "protocol", "bolt", "service", service,
        "rpc_trace_context.sysPenAttrs", "", "sofa_head_method_name", "queryOrder", "x-version"};
    char argument[28];
    memset(argument, 'x', sizeof argument);
    static const uint8_t head[BOLT_REQUEST_HEAD] = {1, 1, 0, CALL, 1, 0, 0, 0, 0, 1, 0, 0, 0x27, 0x10};  /* 10 s */
    memcpy(out, head, sizeof head);
    uint8_t *header = out + BOLT_REQUEST_HEAD + sizeof sofa_request - 1, *p = header;
    memcpy(out + BOLT_REQUEST_HEAD, sofa_request, sizeof sofa_request - 1);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) p = entry(p, entries[i]);
    uint8_t *content = entry(p, version);
    p = long_text(content, argument, sizeof argument);
    bolt_lengths(out + 14, sizeof sofa_request - 1, (size_t)(content - header), (size_t)(p - content));
    return (size_t)(p - out);
}

static void bolt_number(uint8_t *request, uint64_t id) { put32(request + 5, (uint32_t)id); }

static size_t bolt_answer(uint8_t *out, const uint8_t *request)
{
    char body[BODY + 1];
    answer_text(body);
    memset(out, 0, BOLT_ANSWER_HEAD);
    out[0] = out[4] = 1;
    out[3] = ANSWER;
    memcpy(out + 5, request + 5, 5);                                /* number and codec */
    memcpy(out + BOLT_ANSWER_HEAD, sofa_response, sizeof sofa_response - 1);
    uint8_t *content = out + BOLT_ANSWER_HEAD + sizeof sofa_response - 1;
    memcpy(content, sofa_result, sizeof sofa_result - 1);
    uint8_t *p = long_text(content + sizeof sofa_result - 1, body, BODY);
    *p++ = 'N';
    bolt_lengths(out + 12, sizeof sofa_response - 1, 0, (size_t)(p - content));
    return (size_t)(p - out);
}

static size_t bolt_length(const uint8_t *input, size_t used, size_t *body)
{
    if (used < BOLT_REQUEST_HEAD && (used < BOLT_ANSWER_HEAD || input[1] != 0)) return 0;
    if (input[0] != 1 || input[1] > 2) fail("not a frame of Bolt 1");
    size_t head = input[1] == 0 ? BOLT_ANSWER_HEAD : BOLT_REQUEST_HEAD;
    uint32_t parts = get32(input + head - 8);
    *body = head + (parts >> 16) + (parts & 0xffff);
    return *body + (size_t)get32(input + head - 4);
}

static int bolt_is_call(int fd, const uint8_t *message, size_t length)
{
    (void)length;
    if (message[3] == CALL) return is_host;
    if (message[3] == ANSWER) return !is_host;
    if (message[3] != HEARTBEAT || message[1] == 0) return 0;
    uint8_t answer[BOLT_ANSWER_HEAD] = {1, 0, 0, HEARTBEAT, 1};
    memcpy(answer + 5, message + 5, 5);
    send_all(fd, answer, sizeof answer);
    return 0;
}

static unsigned bolt_slot(const uint8_t *answer) { return get32(answer + 5) % SLOTS; }

static size_t bolt_text(const uint8_t *answer, size_t body)
{
    int is_good = answer[10] == 0 && answer[11] == 0 && body == BOLT_ANSWER_HEAD + sizeof sofa_response - 1
        && get32(answer + 16) >= sizeof sofa_result - 1
        && memcmp(answer + body, sofa_result, sizeof sofa_result - 1) == 0;
    return is_good ? body + sizeof sofa_result - 1 + 3 : 0;         /* behind the length of the text */
}

static const struct protocol protocols[] = {
    {"http", 1, http_request, 0, http_answer, http_length, http_is_call, http_slot, http_text},
    {"dubbo", SLOTS, dubbo_request, dubbo_number, dubbo_answer, dubbo_length, dubbo_is_call, dubbo_slot, dubbo_text},
    {"bolt", SLOTS, bolt_request, bolt_number, bolt_answer, bolt_length, bolt_is_call, bolt_slot, bolt_text},
};

const struct protocol *find_protocol(const char *name)
{
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (strcmp(name, protocols[i].name) == 0) return &protocols[i];
    return NULL;
}

size_t hand_on(const struct protocol *protocol, struct connection *c, uint8_t *input, size_t used, size_t room, handler handle)
{
    size_t start = 0, body = 0;
    while (start < used) {
        size_t length = protocol->length(input + start, used - start, &body);
        if (length > room) fail("a message of %zu bytes", length);
        if (length == 0 || length > used - start) break;
        handle(c, input + start, body, length);
        start += length;
    }
    memmove(input, input + start, used - start);
    return used - start;
}
