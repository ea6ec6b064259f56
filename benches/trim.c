/* glibc's allocator keeps what it has. This gives its free pages back to the system twice a second, whatever the program:
 *
 *     cc -shared -fPIC -o target/trim.so benches/trim.c
 *     LD_PRELOAD=$PWD/target/trim.so PROGRAM
 */
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

static void *trim(void *nothing)
{
    for (;;) {
        malloc_trim(0);
        usleep(500000);
    }
    return nothing;
}

__attribute__((constructor)) static void start(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, trim, NULL);
}
