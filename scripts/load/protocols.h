/* The protocols that traffic.c and flood.c speak: how messages are made, and what is read of them. */
#include <stddef.h>
#include <stdint.h>

enum { SLOTS = 64, BODY = 128 };    /* most requests in flight on a connection; bytes of a host's text */

/* What differs between them. `body` is where the body of a message begins. */
struct protocol {
    const char *name;
    int slots;                                                      /* requests in flight on a connection, at most */
    size_t (*request)(uint8_t *out, const char *version);           /* writes one; returns its length */
    void (*number)(uint8_t *request, uint64_t id);                  /* puts a number into it; 0: it has none */
    size_t (*answer)(uint8_t *out, const uint8_t *request);         /* writes the answer to one */
    size_t (*length)(const uint8_t *input, size_t used, size_t *body);  /* of the first message; 0: it is not complete */
    int (*is_call)(int fd, const uint8_t *message, size_t length);  /* 0: something else, which has been answered */
    unsigned (*slot)(const uint8_t *answer);                        /* that was asked: the last bits of the number */
    size_t (*text)(const uint8_t *answer, size_t body);             /* where its text begins; 0: it is an error */
};

const struct protocol *find_protocol(const char *name);

/* Hands on every complete message of what was read, `used` bytes with room for `room`, and moves the rest to the front; returns its length. */
struct connection;
typedef void (*handler)(struct connection *, const uint8_t *message, size_t body, size_t length);
size_t hand_on(const struct protocol *, struct connection *, uint8_t *input, size_t used, size_t room, handler);

/* Of the program. */
extern int is_host;
extern char mark;                                                   /* of a host: v1, v2 */
void fail(const char *format, ...);
void send_all(int fd, const uint8_t *bytes, size_t length);
