/*
 * LD_PRELOAD: camera buffers on a kernel without /dev/dma_heap.
 *
 * libcamera and picamera2 open a heap and ask it for buffers that devices can share. Here no device takes part,
 * only processes, and a memfd can be mapped and passed on as well. So opening a heap gives an empty memfd,
 * asking it for a buffer gives a memfd of that size, and what only a real buffer understands succeeds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static const char HEAPS[] = "/dev/dma_heap/";

static int is_heap(const char *path)
{
    return path && !strncmp(path, HEAPS, sizeof HEAPS - 1);
}

static int heap(void)
{
    return memfd_create("dma heap", MFD_CLOEXEC);
}

static int allocate(struct dma_heap_allocation_data *wanted)
{
    int buffer = memfd_create("dma buffer", MFD_CLOEXEC);

    if (buffer < 0)
        return -1;
    if (ftruncate(buffer, (off_t)wanted->len) < 0) {
        close(buffer);
        return -1;
    }
    wanted->fd = (unsigned)buffer;
    return 0;
}

#define MODE_AFTER(last)                                                   \
    mode_t mode = 0;                                                       \
    if ((last) & (O_CREAT | O_TMPFILE)) {                                  \
        va_list rest;                                                      \
        va_start(rest, last);                                              \
        mode = va_arg(rest, mode_t);                                       \
        va_end(rest);                                                      \
    }

#define OPEN(name)                                                         \
    int name(const char *path, int flags, ...)                             \
    {                                                                      \
        static int (*real)(const char *, int, ...);                        \
        MODE_AFTER(flags)                                                  \
        if (is_heap(path))                                                 \
            return heap();                                                 \
        if (!real)                                                         \
            real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name); \
        return real(path, flags, mode);                                    \
    }

#define OPENAT(name)                                                       \
    int name(int folder, const char *path, int flags, ...)                 \
    {                                                                      \
        static int (*real)(int, const char *, int, ...);                   \
        MODE_AFTER(flags)                                                  \
        if (is_heap(path))                                                 \
            return heap();                                                 \
        if (!real)                                                         \
            real = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name); \
        return real(folder, path, flags, mode);                            \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int ioctl(int fd, unsigned long request, ...)
{
    static int (*real)(int, unsigned long, ...);
    va_list rest;
    void *argument;

    va_start(rest, request);
    argument = va_arg(rest, void *);
    va_end(rest);
    if ((unsigned)request == (unsigned)DMA_HEAP_IOCTL_ALLOC)
        return allocate(argument);
    if (_IOC_TYPE((unsigned)request) == DMA_BUF_BASE)
        return 0;
    if (!real)
        real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}
