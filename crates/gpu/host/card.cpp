// Two emulated cards: the driver, the run-time compiler and cuBLAS in one library, as far as the tower calls them, on the host. What is
// queued is done at once; memory has a guard behind it, begins with NaN, and ends where EMULATED_CARD_BYTES says. EMULATED_CARD_SOURCES is
// this folder; compiled towers are kept in EMULATED_CARD_CACHE.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

static std::mutex one_at_a_time;

static std::string named(const char *variable) {
    const char *value = getenv(variable);
    if (value) return value;
    fprintf(stderr, "card: %s is not set\n", variable);
    abort();
}

// The driver's codes.
enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NO_DEVICE = 101, NOT_FOUND = 500 };

typedef int Code;
typedef uint64_t Address;

// --- devices, contexts, streams, events: nothing is ever under way ---

extern "C" {
Code cuInit(unsigned) { return OK; }
Code cuDriverGetVersion(int *version) { return *version = 13000, OK; }
Code cuDeviceGetCount(int *count) { return *count = 2, OK; }
Code cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal < 2 ? OK : NO_DEVICE; }
Code cuDeviceGetName(char *name, int len, int) { return snprintf(name, len, "emulated"), OK; }
Code cuDeviceGetAttribute(int *value, int attribute, int) {
    // Compute capability 8.0, and memory that is allocated in the order of a stream.
    *value = attribute == 75 ? 8 : attribute == 115 ? 1 : 0;
    return OK;
}
Code cuDevicePrimaryCtxRetain(void **context, int device) { return *context = (void *)(uintptr_t)(device + 1), OK; }
Code cuDevicePrimaryCtxRelease_v2(int) { return OK; }
static thread_local void *context_here;
Code cuCtxGetCurrent(void **context) { return *context = context_here, OK; }
Code cuCtxSetCurrent(void *context) { return context_here = context, OK; }
Code cuCtxSynchronize() { return OK; }
Code cuStreamCreate(void **stream, unsigned) { return *stream = (void *)1, OK; }
Code cuStreamDestroy_v2(void *) { return OK; }
Code cuStreamSynchronize(void *) { return OK; }
Code cuStreamWaitEvent(void *, void *, unsigned) { return OK; }
Code cuEventCreate(void **event, unsigned) { return *event = (void *)1, OK; }
Code cuEventDestroy_v2(void *) { return OK; }
Code cuEventRecord(void *, void *) { return OK; }
Code cuEventSynchronize(void *) { return OK; }
Code cuGetErrorName(Code code, const char **text) {
    return *text = code == NO_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR", OK;
}
Code cuGetErrorString(Code, const char **text) { return *text = "emulated", OK; }
}

// --- memory ---

constexpr size_t guard_bytes = 64;
constexpr unsigned char guard = 0xa5;
static std::map<Address, size_t> lengths;
static size_t n_held;

static void fail(const char *what) {
    fprintf(stderr, "card: %s\n", what);
    abort();
}

// Whether a range lies inside one allocation.
static void need(Address from, size_t len) {
    auto after = lengths.upper_bound(from);
    if (after == lengths.begin()) fail("an address that was never given out");
    const auto found = std::prev(after);
    if (from + len > found->first + found->second) fail("a copy beyond its memory");
}

extern "C" {
Code cuMemAllocAsync(Address *address, size_t bytes, void *) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    static const size_t most = getenv("EMULATED_CARD_BYTES") ? strtoull(getenv("EMULATED_CARD_BYTES"), nullptr, 10) : SIZE_MAX;
    if (n_held + bytes > most) return NO_MEMORY;
    unsigned char *memory = (unsigned char *)aligned_alloc(256, (bytes + guard_bytes + 255) / 256 * 256);
    if (!memory) return NO_MEMORY;
    memset(memory, 0xff, bytes);
    memset(memory + bytes, guard, guard_bytes);
    *address = (Address)(uintptr_t)memory;
    lengths[*address] = bytes;
    n_held += bytes;
    return OK;
}
Code cuMemFreeAsync(Address address, void *) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    const auto found = lengths.find(address);
    if (found == lengths.end()) fail("memory given back that was never given out");
    const unsigned char *memory = (const unsigned char *)(uintptr_t)address;
    for (size_t at = 0; at < guard_bytes; at++)
        if (memory[found->second + at] != guard) fail("something was written behind its memory");
    n_held -= found->second;
    free((void *)memory);
    lengths.erase(found);
    return OK;
}
Code cuMemHostAlloc(void **memory, size_t bytes, unsigned) { return *memory = malloc(bytes), OK; }
Code cuMemFreeHost(void *memory) { return free(memory), OK; }
Code cuMemsetD8Async(Address to, unsigned char value, size_t len, void *) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    return need(to, len), memset((void *)(uintptr_t)to, value, len), OK;
}
Code cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t len, void *) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    return need(to, len), memcpy((void *)(uintptr_t)to, from, len), OK;
}
Code cuMemcpyDtoHAsync_v2(void *to, Address from, size_t len, void *) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    return need(from, len), memcpy(to, (const void *)(uintptr_t)from, len), OK;
}
Code cuMemcpyDtoDAsync_v2(Address to, Address from, size_t len, void *) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    return need(to, len), need(from, len), memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, len), OK;
}
}

// --- the run-time compiler: its code is the name of a library ---

struct Program {
    std::string text, code, log;
};

extern "C" {
int nvrtcCreateProgram(Program **program, const char *text, const char *, int, const char *const *, const char *const *) {
    return *program = new Program{text, "", ""}, 0;
}
int nvrtcDestroyProgram(Program **program) { return delete *program, 0; }
int nvrtcCompileProgram(Program *program, int n_options, const char *const *options) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    std::string defines, name = named("EMULATED_CARD_CACHE") + "/tower";
    for (int n = 0; n < n_options; n++)
        if (!strncmp(options[n], "-D", 2)) defines += std::string(" ") + options[n], name += options[n];
    program->code = name + ".so";
    if (access(program->code.c_str(), R_OK) == 0) return 0;
    const std::string own = name + "." + std::to_string(getpid()), text = own + ".cu", unfinished = own + ".so";
    std::ofstream(text) << program->text;
    const char *compiler = getenv("CXX") ? getenv("CXX") : "c++";
    const std::string command = std::string(compiler) + " -std=c++17 -O2 -w -shared -fPIC -fno-strict-aliasing -ffp-contract=off" +
        defines + " -DT3B_TEXT='\"" + text + "\"' " + named("EMULATED_CARD_SOURCES") + "/tower.cpp -o " + unfinished;
    if (system(command.c_str()) != 0) return program->log = command, 6;
    return rename(unfinished.c_str(), program->code.c_str());
}
int nvrtcGetPTXSize(Program *program, size_t *len) { return *len = program->code.size() + 1, 0; }
int nvrtcGetPTX(Program *program, char *code) { return strcpy(code, program->code.c_str()), 0; }
int nvrtcGetProgramLogSize(Program *program, size_t *len) { return *len = program->log.size() + 1, 0; }
int nvrtcGetProgramLog(Program *program, char *log) { return strcpy(log, program->log.c_str()), 0; }
const char *nvrtcGetErrorString(int) { return "emulated"; }

Code cuModuleLoadData(void **module, const void *code) {
    return *module = dlopen((const char *)code, RTLD_NOW | RTLD_LOCAL), *module ? OK : INVALID;
}
Code cuModuleUnload(void *) { return OK; }

// A kernel and the library it is in.
struct Function {
    const void *kernel;
    void (*launch)(const void *, unsigned, unsigned, unsigned, unsigned, void **);
};
Code cuModuleGetFunction(Function **function, void *module, const char *name) {
    const auto kernel = (const void *(*)(const char *))dlsym(module, "host_kernel");
    const auto launch = (decltype(Function::launch))dlsym(module, "host_launch");
    if (!kernel || !launch || !kernel(name)) return NOT_FOUND;
    return *function = new Function{kernel(name), launch}, OK;
}
Code cuLaunchKernel(
    Function *function, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *,
    void **with, void **extra
) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    if (by != 1 || bz != 1 || shared || extra) return INVALID;
    return function->launch(function->kernel, x, y, z, bx, with), OK;
}
}

// --- cuBLAS: one product ---

// The value at a place of a matrix in f32, f16 or bf16, by cuBLAS's numbers of them.
static float value(const void *matrix, int type, size_t at) {
    if (type == 0) return ((const float *)matrix)[at];
    const uint16_t bits = ((const uint16_t *)matrix)[at];
    if (type == 14) {
        const uint32_t wide = (uint32_t)bits << 16;
        float x;
        memcpy(&x, &wide, 4);
        return x;
    }
    _Float16 half;
    memcpy(&half, &bits, 2);
    return (float)half;
}

static void put(void *matrix, int type, size_t at, float x) {
    if (type == 0) {
        ((float *)matrix)[at] = x;
    } else if (type == 14) {
        uint32_t bits;
        memcpy(&bits, &x, 4);
        ((uint16_t *)matrix)[at] = std::isnan(x) ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    } else {
        const _Float16 half = (_Float16)x;
        memcpy((uint16_t *)matrix + at, &half, 2);
    }
}

extern "C" {
int cublasCreate_v2(void **handle) { return *handle = (void *)1, 0; }
int cublasDestroy_v2(void *) { return 0; }
int cublasSetStream_v2(void *, void *) { return 0; }
int cublasGemmEx(
    void *, int of_a, int of_b, int m, int n, int k, const float *alpha, const void *a, int a_type, int lda, const void *b,
    int b_type, int ldb, const float *beta, void *c, int c_type, int ldc, int, int
) {
    std::lock_guard<std::mutex> lock(one_at_a_time);
    // The only form that the schedules have: C = transposed(A) B.
    if (of_a != 1 || of_b != 0 || *alpha != 1.0f || *beta != 0.0f) return 15;
    const int bytes[] = {a_type ? 2 : 4, b_type ? 2 : 4, c_type ? 2 : 4};
    need((Address)(uintptr_t)a, ((size_t)(m - 1) * lda + k) * bytes[0]);
    need((Address)(uintptr_t)b, ((size_t)(n - 1) * ldb + k) * bytes[1]);
    need((Address)(uintptr_t)c, ((size_t)(n - 1) * ldc + m) * bytes[2]);
    std::vector<float> left((size_t)m * k), right(k);
    for (int row = 0; row < m; row++)
        for (int at = 0; at < k; at++) left[(size_t)row * k + at] = value(a, a_type, (size_t)row * lda + at);
    for (int column = 0; column < n; column++) {
        for (int at = 0; at < k; at++) right[at] = value(b, b_type, (size_t)column * ldb + at);
        for (int row = 0; row < m; row++) {
            double sum = 0;
            for (int at = 0; at < k; at++) sum += (double)left[(size_t)row * k + at] * right[at];
            put(c, c_type, (size_t)column * ldc + row, (float)sum);
        }
    }
    return 0;
}
}
