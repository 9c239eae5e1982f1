/* Preloaded into a process: its n-th fdatasync (FAIL_SYNC=n) fails with EIO, as a broken disk makes
 * it fail; those after it "succeed", as they do on Linux. Each call is told on standard error. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd)
{
    static int calls;
    calls++;
    fprintf(stderr, "fdatasync %d\n", calls);
    if (calls == atoi(getenv("FAIL_SYNC"))) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
