// The kernels of one tower as a library of the host: what the emulated run-time compiler makes of their text (host/card.cpp).
// T3B_TEXT names the file that holds it.
#include "kernels.h"
#include "shim.h"

#include T3B_TEXT

#include <map>
#include <string>

template <typename... Types, size_t... At>
static void call(void (*kernel)(Types...), void **with, std::index_sequence<At...>) {
    kernel(*static_cast<typename std::remove_const<Types>::type *>(with[At])...);
}

template <typename... Types> static std::function<void(void **)> callable(void (*kernel)(Types...)) {
    return [kernel](void **with) { call(kernel, with, std::index_sequence_for<Types...>()); };
}

#define BY_NAME(name) {#name, callable(name)},
static const std::map<std::string, std::function<void(void **)>> kernels = {T3B_KERNELS(BY_NAME)};

// Its address stands for the kernel; null where there is none of the name.
extern "C" const void *host_kernel(const char *name) {
    const auto found = kernels.find(name);
    return found == kernels.end() ? nullptr : &found->second;
}

extern "C" void host_launch(const void *kernel, unsigned x, unsigned y, unsigned z, unsigned block, void **with) {
    const auto &run = *static_cast<const std::function<void(void **)> *>(kernel);
    shim::launch({x, y, z}, block, [&] { run(with); });
}
