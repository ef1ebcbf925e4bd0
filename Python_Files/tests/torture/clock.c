/* The clock of one process, set back: the time of day less the seconds that the file named by TORTURE_CLOCK holds, read
 * once a second at most. Clocks that only count (CLOCK_MONOTONIC) go on as they do when a machine's clock is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);

static long back(void)
{
    static long seconds;
    static time_t read_at = -1;
    struct timespec now;
    real(CLOCK_MONOTONIC, &now);
    if (now.tv_sec != read_at) {
        const char *name = getenv("TORTURE_CLOCK");
        FILE *file = name ? fopen(name, "re") : NULL;
        read_at = now.tv_sec;
        if (file) {
            long told;
            if (fscanf(file, "%ld", &told) == 1)
                seconds = told;
            fclose(file);
        }
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed;
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec -= back();
    return failed;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec fine;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told)
{
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    if (told)
        *told = fine.tv_sec;
    return fine.tv_sec;
}
