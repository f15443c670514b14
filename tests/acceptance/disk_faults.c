/* Loaded before libc by the tests of a failing disk: makes the n-th write, sync or open-for-writing fail, or kills. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, OPEN = 4 };
static int kinds, left, code, half, seen;

/* From the n-th call of these kinds on, fail with this errno (0: kill the process) until disarmed by kinds = 0. */
void disk_faults_arm(int which, int n, int with_errno, int write_half) {
  kinds = which, left = n, code = with_errno, half = write_half, seen = 0;
}
int disk_faults_seen(void) { return seen; }

static int hit(int kind) {
  if (!(kinds & kind)) return 0;
  seen++;
  if (left-- > 0) return 0;
  if (code == 0) kill(getpid(), SIGKILL);
  left = 0;
  errno = code;
  return 1;
}
#define REAL(name) (real ? real : (real = dlsym(RTLD_NEXT, #name)))

ssize_t write(int fd, const void *data, size_t size) {
  static ssize_t (*real)(int, const void *, size_t);
  if (fd <= 2 || !hit(WRITE)) return REAL(write)(fd, data, size);
  if (!half || size < 2) return -1;
  half = 0;
  return REAL(write)(fd, data, size / 2);
}
#define PWRITE(name, offset_type)                                                          \
  ssize_t name(int fd, const void *data, size_t size, offset_type offset) {               \
    static ssize_t (*real)(int, const void *, size_t, offset_type);                       \
    if (!hit(WRITE)) return REAL(name)(fd, data, size, offset);                           \
    if (!half || size < 2) return -1;                                                     \
    half = 0;                                                                             \
    return REAL(name)(fd, data, size / 2, offset);                                        \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
#define SYNC_CALL(name)                        \
  int name(int fd) {                           \
    static int (*real)(int);                   \
    return hit(SYNC) ? -1 : REAL(name)(fd);    \
  }
SYNC_CALL(fsync)
SYNC_CALL(fdatasync)
#define OPEN_CALL(name)                                                              \
  int name(const char *path, int flags, ...) {                                       \
    static int (*real)(const char *, int, ...);                                      \
    va_list rest;                                                                    \
    va_start(rest, flags);                                                           \
    mode_t mode = va_arg(rest, mode_t);                                              \
    va_end(rest);                                                                    \
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && hit(OPEN)) return -1;             \
    return REAL(name)(path, flags, mode);                                            \
  }
OPEN_CALL(open)
OPEN_CALL(open64)
