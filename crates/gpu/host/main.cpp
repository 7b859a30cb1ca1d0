// Runs a schedule (src/schedule.rs) on the host: kernels under the shim, matrix products as plain loops. Reads a program, its
// buffers from files, and writes the buffers that it is told to.
//
//   buffer NAME TYPE LENGTH [FILE]     u8, f32 or value; from f32 or bytes in FILE, else poisoned with NaN
//   seed N                             order of the threads, see shim.h
//   gemm M N K A LDA B LDB C LDC       as cuBLAS: C [m, n] = transposed(A [k, m]) B [k, n], columns behind each other
//   launch KERNEL GX GY GZ BLOCK ARGUMENT...   NAME:OFFSET, null, 5u, 5l or BITSf
//   save NAME LENGTH FILE              as f32
#include "kernels.h"
#include "shim.h"

#include "../kernels/types.cuh"

#include "../kernels/attention.cu"
#include "../kernels/elementwise.cu"
#include "../kernels/norm.cu"
#include "../kernels/patches.cu"

#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

static void need(bool holds, const std::string &what) {
    if (holds) return;
    std::cerr << "host: " << what << "\n";
    exit(2);
}

struct Buffer {
    std::string type;
    size_t length;
    std::unique_ptr<char[]> bytes;
};

static std::map<std::string, Buffer> buffers;

static size_t size_of(const std::string &type) { return type == "u8" ? 1 : type == "f32" ? 4 : sizeof(value_t); }

static float number(const Buffer &buffer, size_t at) {
    need(at < buffer.length, "a matrix product reads behind a buffer");
    if (buffer.type == "f32") return ((const float *)buffer.bytes.get())[at];
    return load(((const value_t *)buffer.bytes.get())[at]);
}

static void put(Buffer &buffer, size_t at, float x) {
    need(at < buffer.length, "a matrix product writes behind a buffer");
    if (buffer.type == "f32")
        ((float *)buffer.bytes.get())[at] = x;
    else
        ((value_t *)buffer.bytes.get())[at] = store(x);
}

static void add_buffer(std::istream &line) {
    std::string name, file;
    Buffer buffer;
    line >> name >> buffer.type >> buffer.length >> file;
    // Exactly the length, so that the sanitizer sees what is read or written behind it.
    buffer.bytes.reset(new char[buffer.length * size_of(buffer.type)]);
    std::vector<char> from(buffer.type == "u8" ? buffer.length : buffer.length * 4);
    if (!file.empty()) {
        std::ifstream in(file, std::ios::binary);
        need((bool)in.read(from.data(), from.size()), "cannot read " + file);
    } else {
        for (size_t at = 0; at + 4 <= from.size(); at += 4) *(float *)&from[at] = NAN;
    }
    if (buffer.type == "u8")
        memcpy(buffer.bytes.get(), from.data(), from.size());
    else
        for (size_t at = 0; at < buffer.length; at++) put(buffer, at, ((const float *)from.data())[at]);
    buffers[name] = std::move(buffer);
}

struct Place {
    Buffer *buffer;
    size_t offset;
};

static Place place(const std::string &word) {
    const size_t colon = word.find(':');
    const auto found = buffers.find(word.substr(0, colon));
    need(found != buffers.end(), "no buffer " + word);
    return {&found->second, std::stoul(word.substr(colon + 1))};
}

// The row sums in f32 chains of a product on the device are close to a sum in double precision.
static void gemm(std::istream &line) {
    size_t m, n, k, lda, ldb, ldc;
    std::string a_word, b_word, c_word;
    line >> m >> n >> k >> a_word >> lda >> b_word >> ldb >> c_word >> ldc;
    const Place a = place(a_word), b = place(b_word), c = place(c_word);
    for (size_t column = 0; column < n; column++)
        for (size_t row = 0; row < m; row++) {
            double sum = 0;
            for (size_t at = 0; at < k; at++)
                sum += (double)number(*a.buffer, a.offset + row * lda + at) * number(*b.buffer, b.offset + column * ldb + at);
            put(*c.buffer, c.offset + column * ldc + row, (float)sum);
        }
}

struct Argument {
    std::string word;

    template <typename V> operator V *() const {
        if (word == "null") return nullptr;
        const Place at = place(word);
        using Bare = typename std::remove_const<V>::type;
        const std::string type = std::is_same<Bare, u8>::value ? "u8" : std::is_same<Bare, float>::value ? "f32" : "value";
        // Where values are f32, both names are one type.
        need(at.buffer->type == type || (sizeof(value_t) == 4 && type == "f32"), word + " is not of type " + type);
        return (V *)at.buffer->bytes.get() + at.offset;
    }
    operator u32() const { return suffixed('u'); }
    operator u64() const { return suffixed('l'); }
    operator float() const { return shim_float((uint32_t)suffixed('f')); }

    unsigned long suffixed(char suffix) const {
        need(word.back() == suffix, "argument " + word + " is not of type " + suffix);
        return std::stoul(word);
    }
};

using Arguments = std::vector<Argument>;

template <typename... Types, size_t... At>
static void call(void (*kernel)(Types...), const Arguments &with, std::index_sequence<At...>) {
    kernel(static_cast<Types>(with[At])...);
}

template <typename... Types> static std::function<void(const Arguments &)> callable(void (*kernel)(Types...)) {
    return [kernel](const Arguments &with) {
        need(with.size() == sizeof...(Types), "another number of arguments");
        call(kernel, with, std::index_sequence_for<Types...>());
    };
}

#define BY_NAME(name) {#name, callable(name)},
static const std::map<std::string, std::function<void(const Arguments &)>> kernels = {T3B_KERNELS(BY_NAME)};

static void launch(std::istream &line) {
    std::string name, word;
    Three grid;
    unsigned block;
    line >> name >> grid.x >> grid.y >> grid.z >> block;
    Arguments with;
    while (line >> word) with.push_back({word});
    const auto found = kernels.find(name);
    need(found != kernels.end(), "no kernel " + name);
    shim::launch(grid, block, [&] { found->second(with); });
}

static void save(std::istream &line) {
    std::string name, file;
    size_t length;
    line >> name >> length >> file;
    std::ofstream out(file, std::ios::binary);
    for (size_t at = 0; at < length; at++) {
        const float x = number(*place(name + ":0").buffer, at);
        out.write((const char *)&x, 4);
    }
    need((bool)out.flush(), "cannot write " + file);
}

int main() {
    const std::map<std::string, std::function<void(std::istream &)>> orders = {
        {"buffer", add_buffer},
        {"seed", [](std::istream &line) { line >> shim::seed; }},
        {"gemm", gemm},
        {"launch", launch},
        {"save", save},
    };
    for (std::string text; std::getline(std::cin, text);) {
        std::istringstream line(text);
        std::string order;
        line >> order;
        const auto found = orders.find(order);
        need(found != orders.end(), "no order " + order);
        found->second(line);
    }
}
