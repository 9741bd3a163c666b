/* Calls of the stand-in NVML that hang for one GPU, the rest of which goes on.
 *
 * FAKENVML_HANGS names a file of lines "FUNCTION INDEX": that call of that GPU does not come back while the line is there.
 * The stand-in is compiled with -DFUNCTION=fake_FUNCTION for each function of this file (see conftest.py).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef nvmlDeviceGetUtilizationRates
#undef nvmlDeviceGetHandleByIndex_v2

#define API __attribute__((visibility("default")))

int nvmlDeviceGetIndex(void *handle, unsigned *index);
int fake_nvmlDeviceGetUtilizationRates(void *handle, unsigned *out);
int fake_nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle);

static int named(const char *function, unsigned index) {
    const char *path = getenv("FAKENVML_HANGS");
    FILE *file = path ? fopen(path, "r") : NULL;
    char name[80]; unsigned number; int found = 0;
    if (!file) return 0;
    while (!found && fscanf(file, "%79s %u", name, &number) == 2) found = number == index && !strcmp(name, function);
    fclose(file);
    return found;
}

static void hang(const char *function, unsigned index) {
    while (named(function, index)) usleep(10000);
}

API int nvmlDeviceGetUtilizationRates(void *handle, unsigned *out) {
    unsigned index;
    if (!nvmlDeviceGetIndex(handle, &index)) hang(__func__, index);
    return fake_nvmlDeviceGetUtilizationRates(handle, out);
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    hang(__func__, index);
    return fake_nvmlDeviceGetHandleByIndex_v2(index, handle);
}
