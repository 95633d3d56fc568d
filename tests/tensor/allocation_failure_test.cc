#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>

#include <gtest/gtest.h>

#include "lyre/tensor/tensor_archive.h"
#include "support/expect_error.h"
#include "support/sanitizers.h"
#include "support/temp_folder.h"
#include "tensor/file_bytes.h"

// The operators of this whole program: malloc, except that one chosen allocation of one thread
// fails.
namespace {

thread_local int64_t allocations_left = -1;  // until the failure; negative: none is planned

[[maybe_unused]] void* allocate(size_t bytes) {
  if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
  void* memory = std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

#if !LYRE_TEST_THREAD_SANITIZER
void* operator new(size_t bytes) { return allocate(bytes); }
void* operator new[](size_t bytes) { return allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace lyre::test {
namespace {

// Opens again and again, with the first, second, third ... allocation failing, until none did.
void expect_errors_until_success(const std::function<Result<TensorArchive>()>& open,
                                 int64_t fewest_allocations) {
  for (int64_t step = 0; step < 100'000; ++step) {
    allocations_left = step;
    const Result<TensorArchive> archive = open();
    const bool failed = allocations_left < 0;
    allocations_left = -1;
    if (!failed) {
      EXPECT_TRUE(archive.ok()) << archive.error().message;
      EXPECT_GE(step, fewest_allocations);
      return;
    }
    ASSERT_TRUE(is_error(archive, ErrorCode::kResourceExhausted, {"not enough memory"})) << step;
  }
  FAIL() << "never succeeded";
}

std::string one_tensor(const std::string& name) {
  return safetensors_bytes(
      "{\"" + name + "\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", "12345678");
}

TEST(AllocationFailure, Safetensors) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  const TempFolder folder;
  const auto file = folder.write("a_long_name.safetensors", one_tensor("a_name_that_is_allocated"));
  expect_errors_until_success([&] { return open_safetensors(file); }, 10);
}

TEST(AllocationFailure, SafetensorsFolder) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  const TempFolder folder;
  folder.write("s1.safetensors", one_tensor("a"));
  folder.write("s2.safetensors", one_tensor("b"));
  folder.write("model.safetensors.index.json",
               R"({"weight_map":{"a":"s1.safetensors","b":"s2.safetensors"}})");
  expect_errors_until_success([&] { return open_safetensors_folder(folder.path()); }, 20);
}

TEST(AllocationFailure, TorchCheckpoint) {
  LYRE_SKIP_UNDER_THREAD_SANITIZER();
  const TempFolder folder;
  const auto file = folder.write(
      "m.bin",
      checkpoint_bytes(
          pickle::state_dict({{"strided", pickle::tensor({.sizes = {3, 2}, .strides = {1, 3}})},
                              {"w", pickle::tensor()}}),
          {{"0", raw_all<float>({1, 2, 3, 4, 5, 6})}}));
  expect_errors_until_success([&] { return open_torch_checkpoint(file); }, 30);
}

}  // namespace
}  // namespace lyre::test
