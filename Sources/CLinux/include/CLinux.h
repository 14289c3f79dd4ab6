// What Linux offers and Swift's Glibc overlay does not import, and byte scans that want SIMD.
#ifndef CLINUX_H
#define CLINUX_H

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clinux_blocks.h"
#include "clinux_scan.h"

// accept4 is behind _GNU_SOURCE, which Swift's clang importer does not define.
extern int accept4(int, struct sockaddr *, socklen_t *, int);
static inline int clinux_accept(int descriptor, struct sockaddr *address, socklen_t *length)
{
    return accept4(descriptor, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

// A pipe that child processes do not inherit.
extern int pipe2(int[2], int);
static inline int clinux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

// A program that is started has no descriptors from this one on.
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int);
static inline int clinux_spawn_without_from(posix_spawn_file_actions_t *actions, int first)
{
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

// Names a thread for top and gdb; the system takes 15 characters.
extern int pthread_setname_np(pthread_t, const char *);
static inline void clinux_name_thread(pthread_t thread, const char *name) { pthread_setname_np(thread, name); }

// Waits for a thread's end until a time of the system's clock; 0 when it has ended.
extern int pthread_timedjoin_np(pthread_t, void **, const struct timespec *);
static inline int clinux_join_thread(pthread_t thread, const struct timespec *until)
{
    return pthread_timedjoin_np(thread, NULL, until);
}

// The processors that this process may run on: those of its affinity mask; 0 when that cannot be read.
extern int sched_getaffinity(pid_t, size_t, cpu_set_t *);
static inline int clinux_processor_count(void)
{
    unsigned char mask[8192] = {0};
    int count = 0;
    if (sched_getaffinity(0, sizeof mask, (cpu_set_t *)mask) != 0)
        return 0;
    for (size_t index = 0; index < sizeof mask; index++)
        count += __builtin_popcount(mask[index]);
    return count;
}

// Gives the memory of library code that only loading needed back to the system; returns the number of libraries.
int clinux_release_library_pages(void);

// Gives freed memory of the heap back to the system.
void clinux_trim_heap(void);

// Registers, changes or removes a descriptor; `token` comes back with each event.
static inline int clinux_epoll_control(int epoll, int operation, int descriptor, uint32_t events, uint64_t token)
{
    struct epoll_event event = {.events = events, .data = {.u64 = token}};
    return epoll_ctl(epoll, operation, descriptor, &event);
}

// struct epoll_event is packed on x86-64; read it through these.
static inline uint32_t clinux_event_mask(const struct epoll_event *events, int index) { return events[index].events; }
static inline uint64_t clinux_event_token(const struct epoll_event *events, int index) { return events[index].data.u64; }

static inline int clinux_set_int_option(int descriptor, int level, int option, int value)
{
    return setsockopt(descriptor, level, option, &value, sizeof value);
}

// Sends without SIGPIPE.
static inline ssize_t clinux_send(int descriptor, const void *bytes, size_t count)
{
    return send(descriptor, bytes, count, MSG_NOSIGNAL);
}

// Sends two stretches of bytes in one call.
static inline ssize_t clinux_send_two(int descriptor, void *first, size_t first_count, void *second, size_t second_count)
{
    struct iovec parts[2] = {{first, first_count}, {second, second_count}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(descriptor, &message, MSG_NOSIGNAL);
}

// A pair of connected local sockets that do not block and that child processes do not inherit.
static inline int clinux_socket_pair(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
}

// Most descriptors that go with one piece of bytes.
#define CLINUX_MOST_DESCRIPTORS 64

// Sends bytes over a local socket, and copies of descriptors with the first of them.
static inline ssize_t clinux_send_descriptors(int socket, const void *bytes, size_t count, const int *descriptors,
                                              int descriptor_count)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(CLINUX_MOST_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec part = {(void *)bytes, count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor_count > 0 && descriptor_count <= CLINUX_MOST_DESCRIPTORS) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(descriptor_count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(descriptor_count * sizeof(int));
        memcpy(CMSG_DATA(head), descriptors, descriptor_count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

// Receives bytes and the descriptors that came with them, at most CLINUX_MOST_DESCRIPTORS; they are closed on exec.
static inline ssize_t clinux_receive_descriptors(int socket, void *bytes, size_t count, int *descriptors,
                                                 int *descriptor_count)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(CLINUX_MOST_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec part = {bytes, count};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    *descriptor_count = 0;
    ssize_t result = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (result < 0)
        return result;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        int found = (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        if (found > CLINUX_MOST_DESCRIPTORS - *descriptor_count)
            found = CLINUX_MOST_DESCRIPTORS - *descriptor_count;
        memcpy(descriptors + *descriptor_count, CMSG_DATA(head), found * sizeof(int));
        *descriptor_count += found;
    }
    return result;
}

// Has processes whose parents have ended become children of this one, as they do of a container's first process.
static inline void clinux_adopt_orphans(void) { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

// The signal by which a process tells the parent of its container which one serves now: none that others send.
static inline int clinux_serving_signal(void) { return SIGRTMIN + 4; }

// Tells it.
static inline void clinux_tell_serving(pid_t parent, pid_t serving)
{
    union sigval value = {.sival_int = (int)serving};
    sigqueue(parent, clinux_serving_signal(), value);
}

// Who serves now, as a process has told that is itself in `sender`; 0 where nobody has told anything.
static inline pid_t clinux_told_serving(int *sender)
{
    sigset_t set;
    siginfo_t info;
    struct timespec none = {0, 0};
    sigemptyset(&set);
    sigaddset(&set, clinux_serving_signal());
    if (sigtimedwait(&set, &info, &none) < 0)
        return 0;
    *sender = (int)info.si_pid;
    return info.si_code == SI_QUEUE ? (pid_t)info.si_value.sival_int : 0;
}

// Waits for one of the blocked signals; returns its number.
static inline int clinux_wait_signal(const sigset_t *signals)
{
    siginfo_t info;
    return sigwaitinfo(signals, &info);
}

// Whether the peer has neither closed the connection nor sent anything.
static inline int clinux_is_quiet(int descriptor)
{
    char byte;
    return recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

// Ends this side's way; the peer's way stays open.
static inline void clinux_end_output(int descriptor) { shutdown(descriptor, SHUT_WR); }

// The error a non-blocking connect ended with; 0 is success.
static inline int clinux_socket_error(int descriptor)
{
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

static inline int64_t clinux_monotonic_nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t clinux_thread_nanoseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static inline int64_t clinux_wall_nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
