#define _GNU_SOURCE
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

#include "CLinux.h"

static int release_segments(struct dl_phdr_info *object, size_t size, void *context)
{
    (void)size;
    // The C library is in use all the time. Of the program itself much is for its start alone.
    if (object->dlpi_name && strstr(object->dlpi_name, "/libc.so"))
        return 0;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int index = 0; index < object->dlpi_phnum; index++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[index];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
            continue;
        uintptr_t start = (object->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
        uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) & ~(page - 1);
        if (start < end)
            madvise((void *)start, end - start, MADV_DONTNEED);
    }
    *(int *)context += 1;
    return 0;
}

// Read-only pages of files lose nothing by this: what is used again comes back from the page cache.
int clinux_release_library_pages(void)
{
    int objects = 0;
    dl_iterate_phdr(release_segments, &objects);
    return objects;
}

void clinux_trim_heap(void)
{
    malloc_trim(0);
}
